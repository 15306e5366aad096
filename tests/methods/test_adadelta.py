"""ADADELTA: the ratio of two running roots, which has the units of the weights."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.adadelta import adadelta as oracle
from trajectories import (
    COMPLEX_PRECISIONS,
    PRECISIONS,
    assert_close,
    assert_equals_oracle,
    displacements,
    random_gradients,
    x64,
)

import gdmethods


def halving(count):
    return 0.5 ** (count // 50)


OPTIONS = {
    "defaults": {},
    "learning rate": {"learning_rate": 0.1},
    "schedule": {"learning_rate": halving},
    "rho": {"rho": 0.9},
    "long memory": {"rho": 0.999},
    "eps": {"eps": 1e-2},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, dtype, rtol):
    assert_equals_oracle(gdmethods.adadelta(**options), partial(oracle, **options), dtype, rtol)


@COMPLEX_PRECISIONS
def test_complex_weights(dtype, rtol):
    assert_equals_oracle(gdmethods.adadelta(), oracle, dtype, rtol)


@pytest.mark.parametrize(("rho", "eps"), [(0.9, 1e-6), (0.95, 1e-3)])
def test_equals_optax(rho, eps):
    gradients = random_gradients(np.float32)
    ours = displacements(gdmethods.adadelta(0.5, rho, eps), gradients)
    assert_close(ours, displacements(optax.adadelta(0.5, rho, eps), gradients), 1e-5)


def test_the_first_step():
    """Before any displacement b is 0: δ₁ = √ε/√((1 − ρ)g² + ε) · g."""
    g = np.array([1.0, -1e-3, 100.0])
    with x64(np.float64):
        path = displacements(gdmethods.adadelta(rho=0.9, eps=1e-4), g[None])
    np.testing.assert_allclose(path[0], -1e-2 * g / np.sqrt(0.1 * g**2 + 1e-4), rtol=1e-12)


def test_learning_rate_does_not_enter_the_memory():
    """Displacements at rate η are η times those at rate 1, and a change of η leaves no trace."""
    gradients = random_gradients(np.float32)["kernel"]
    whole = displacements(gdmethods.adadelta(), gradients)

    def dipping(count):
        return jnp.where((count > 50) & (count < 100), 0.01, 1.0)

    dipped = displacements(gdmethods.adadelta(dipping), gradients)
    np.testing.assert_allclose(
        displacements(gdmethods.adadelta(0.25), gradients), 0.25 * whole, rtol=1e-6
    )
    np.testing.assert_allclose(dipped[100:], whole[100:], rtol=1e-6)
    np.testing.assert_allclose(dipped[51:100], 0.01 * whole[51:100], rtol=1e-5)


def test_units_are_those_of_the_weights():
    """With c·g for g and c²·ε for ε, all of a, b and ε become c² as large.

    The ratio of the roots is what it was, so δ becomes c·δ, as b says it should.
    """
    gradients = random_gradients(np.float64)["kernel"]
    c = 8.0
    with x64(np.float64):
        expected = c * displacements(gdmethods.adadelta(eps=1e-6), gradients)
        actual = displacements(gdmethods.adadelta(eps=1e-6 * c**2), c * gradients)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_averages_of_a_bfloat16_weight_do_not_stall():
    """0.999 is 1 in bfloat16, where a would grow for ever and b with it."""
    expected = oracle([np.ones(1)] * 3000, rho=0.999)
    path = displacements(gdmethods.adadelta(rho=0.999), jnp.ones((3000, 1), jnp.bfloat16))
    np.testing.assert_allclose(path.astype(jnp.float32), np.stack(expected), rtol=2**-8)
