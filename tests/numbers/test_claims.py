"""What rounds, keeps masters or skips steps is held to the laws that it claims."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import pytest
from table import METHODS

import gdmethods
from gdmethods.testing import assert_contract, check_law

ALIASES = {
    name: method
    for name, method in METHODS.items()
    if method.core and method.bytes_per_weight and not (method.needs_value or method.decays)
}
BY_CHANCE = {"claims": ["rounds_stochastically"], "reference": lambda: gdmethods.adam(0.01)}
WIDE = {"claims": ["wide_updates"]}
DECAYS = {
    "zero_gradient": "weight decay moves every weight",
    "long_walk": "where decay and gradient balance, an update is what rounding leaves",
}
WRAPPERS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "with_stochastic_rounding": (
        lambda: gdmethods.with_stochastic_rounding(gdmethods.adam(0.01)),
        BY_CHANCE | {"claims": ["rounds_stochastically", "wide_updates"]},
    ),
    "with_stochastic_rounding, bfloat16": (
        lambda: gdmethods.with_stochastic_rounding(
            gdmethods.adam(0.01, accumulator_dtype=jnp.bfloat16)
        ),
        BY_CHANCE | {"claims": ["rounds_stochastically", "wide_updates"]},
    ),
    "with_float32_master": (lambda: gdmethods.with_float32_master(gdmethods.adam(0.01)), WIDE),
    "skip_nonfinite_steps": (lambda: gdmethods.skip_nonfinite_steps(gdmethods.adam(0.01), 3), {}),
}


@pytest.mark.proof
@pytest.mark.parametrize("name", ALIASES)
def test_narrow_accumulators(name: str) -> None:
    method = ALIASES[name]
    assert_contract(
        lambda: method.build(accumulator_dtype=jnp.bfloat16),
        claims=["rounds_stochastically"],
        reference=method.build,
    )


@pytest.mark.proof
@pytest.mark.parametrize(
    "name",
    ["adagrad", "adadelta", "rmsprop", "rmsprop, centered", "rmsprop, momentum", "adam", "adamw"],
)
def test_eight_bits(name: str) -> None:
    """No step is long, as where squares are rounded to zero."""
    method = METHODS[name]
    assert_contract(
        lambda: method.build(accumulator_dtype="8bit"),
        claims=["rounds_stochastically", "bounded_steps"],
        reference=method.build,
        allow=DECAYS if method.decays else None,
    )


@pytest.mark.proof
@pytest.mark.parametrize(("make", "promises"), WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers(make: Callable[[], Any], promises: dict[str, Any]) -> None:
    assert_contract(make, **promises)


@pytest.mark.proof
@pytest.mark.parametrize(
    ("make", "promises"),
    [
        (lambda: gdmethods.adam(0.01, accumulator_dtype=jnp.bfloat16), BY_CHANCE),
        WRAPPERS["with_stochastic_rounding"],
        WRAPPERS["with_float32_master"],
    ],
    ids=["adam, bfloat16", "with_stochastic_rounding", "with_float32_master"],
)
def test_weights_follow_float32_over_a_thousand_steps(
    make: Callable[[], Any], promises: dict[str, Any]
) -> None:
    laws = {"narrow_weights", "long_walk", "counts", *promises["claims"]}
    for law in sorted(laws):
        check_law(law, make, **promises)
