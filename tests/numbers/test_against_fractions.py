"""Whole trajectories beside Python's fractions, where every sum of float32 is exact."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.rounding import noise, rounded

import gdmethods

STEPS, WEIGHT = 60, -1


def gradients():
    """Of few digits, so that half a velocity and a sixteenth of a gradient have all of theirs."""
    rng = np.random.default_rng(0)
    return (rng.integers(-64, 65, (STEPS, 4)) / 2.0**9).astype(np.float32)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_momentum_on_rounded_weights(dtype):
    """v = v/2 − g/16, rounded if it is narrow, and w + v, rounded."""
    tx = gdmethods.with_stochastic_rounding(
        gdmethods.momentum(2.0**-4, 0.5, accumulator_dtype=dtype)
    )
    w = jnp.array([1.0, -0.5, 3.0, 0.0], jnp.bfloat16)
    state = tx.init(w)
    weights = [Fraction(float(x)) for x in w]
    velocity = [Fraction(0)] * 4

    @jax.jit
    def step(w, state, g):
        updates, state = tx.update(g, state, w)
        return optax.apply_updates(w, updates), state

    for t, g in enumerate(gradients(), start=1):
        w, state = step(w, state, g)
        for i, gradient in enumerate(map(float, g)):
            new = velocity[i] / 2 - Fraction(gradient) / 16
            at = float(weights[i])
            if dtype is not None:
                new = rounded(new, noise(t, 0, gradient, at, float(velocity[i])))
            velocity[i] = Fraction(float(np.float32(new)))
            x = Fraction(float(np.float32(weights[i] + velocity[i])))
            weights[i] = rounded(x, noise(t, WEIGHT, gradient, at))
        np.testing.assert_array_equal(np.float64(w), [float(x) for x in weights])
        np.testing.assert_array_equal(
            np.float64(state.inner_state.velocity), [float(x) for x in velocity]
        )
