"""Stochastic gradient descent: a step down the gradient, and no memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.sgd import sgd as oracle
from trajectories import COMPLEX_PRECISIONS, PRECISIONS, assert_equals_oracle, displacements

import gdmethods


def halving(count):
    return 0.1 * 0.5 ** (count // 50)


@pytest.mark.parametrize("learning_rate", [0.1, halving], ids=["constant", "schedule"])
@PRECISIONS
def test_equals_its_oracle(learning_rate, dtype, rtol):
    assert_equals_oracle(
        gdmethods.sgd(learning_rate), partial(oracle, learning_rate=learning_rate), dtype, rtol
    )


@COMPLEX_PRECISIONS
def test_complex_weights(dtype, rtol):
    assert_equals_oracle(gdmethods.sgd(0.1), partial(oracle, learning_rate=0.1), dtype, rtol)


def test_equals_optax():
    gradients = jnp.linspace(-3, 3, 20).reshape(10, 2)
    actual = displacements(gdmethods.sgd(0.3), gradients)
    np.testing.assert_allclose(actual, displacements(optax.sgd(0.3), gradients), rtol=1e-6)


def test_a_schedule_sees_zero_at_the_first_update():
    updates = displacements(gdmethods.sgd(lambda count: 1.0 + count), jnp.ones(4))
    np.testing.assert_array_equal(updates, [-1, -2, -3, -4])


def test_rounds_once():
    """In float16 the rate 1e-8 is zero, but 1e-8 · 60000 is not."""
    updates, _ = gdmethods.sgd(1e-8).update(
        jnp.float16(60000), gdmethods.sgd(1e-8).init(jnp.float16(0)), jnp.float16(0)
    )
    assert updates.dtype == jnp.float16
    np.testing.assert_allclose(updates, np.float16(-6e-4), rtol=1e-3)


def test_converges_like_a_power_of_its_contraction():
    """On f = λw²/2 a step multiplies w by 1 − ηλ."""
    tx = gdmethods.sgd(0.1)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(3.0 * w, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    w = jnp.float32(2.0)
    _, path = jax.lax.scan(step, (w, tx.init(w)), length=20)
    np.testing.assert_allclose(path, 2.0 * 0.7 ** np.arange(1, 21), rtol=1e-5)
