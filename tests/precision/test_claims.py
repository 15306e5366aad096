"""What rounds stochastically keeps the laws of gdmethods.testing, and claims that it does."""

import jax.numpy as jnp
import pytest
from table import METHODS

import gdmethods
from gdmethods.testing import assert_contract

ALIASES = {
    name: method
    for name, method in METHODS.items()
    if method.core and method.bytes_per_weight and not (method.needs_value or method.decays)
}


@pytest.mark.proof
@pytest.mark.parametrize("name", ALIASES)
def test_narrow_accumulators(name):
    method = ALIASES[name]
    assert_contract(
        lambda: method.build(accumulator_dtype=jnp.bfloat16),
        claims=["rounds_stochastically"],
        reference=method.build,
    )


@pytest.mark.proof
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_rounded_weights(dtype):
    assert_contract(
        lambda: gdmethods.with_stochastic_rounding(gdmethods.adam(0.1, accumulator_dtype=dtype)),
        claims=["rounds_stochastically", "wide_updates"],
        reference=lambda: gdmethods.adam(0.1),
    )
