"""Classical momentum, with the learning rate inside the velocity."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.momentum import momentum as oracle
from oracles.schedules import sutskever_momentum
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
    return 0.1 * 0.5 ** (count // 50)


def rising(count):
    return 0.9 - 0.4 / (1 + count)


OPTIONS = {
    "defaults": {"learning_rate": 0.1},
    "low": {"learning_rate": 0.1, "momentum": 0.3},
    "none": {"learning_rate": 0.1, "momentum": 0.0},
    "scheduled rate": {"learning_rate": halving, "momentum": 0.95},
    "scheduled momentum": {"learning_rate": 0.1, "momentum": rising},
    "both scheduled": {"learning_rate": halving, "momentum": rising},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, dtype, rtol):
    assert_equals_oracle(
        gdmethods.momentum(**options), partial(oracle, **options), dtype, rtol, cancels=True
    )


@COMPLEX_PRECISIONS
def test_complex_weights(dtype, rtol):
    assert_equals_oracle(
        gdmethods.momentum(0.1), partial(oracle, learning_rate=0.1), dtype, rtol, cancels=True
    )


def test_the_schedule_of_the_slide():
    """0.75 follows 0.5 at count 250, that is in step 251."""
    schedule = gdmethods.sutskever_momentum_schedule()
    gradients = np.random.default_rng(1).normal(size=(600, 3))
    expected = oracle(list(gradients), 0.1, sutskever_momentum)
    with x64(np.float64):
        actual = displacements(gdmethods.momentum(0.1, schedule), gradients)
    np.testing.assert_allclose(actual, np.stack(expected), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("mu", "worth"), [(0.5, 2), (0.9, 10), (0.99, 100)])
def test_terminal_velocity(mu, worth):
    """With a constant gradient Δ_t = −ηg (1 + μ + … + μ^{t−1}) = −ηg (1 − μᵗ)/(1 − μ)."""
    with x64(np.float64):
        path = displacements(gdmethods.momentum(0.1, mu), np.full(4000, 3.0))
    t = np.arange(1, 4001)
    np.testing.assert_allclose(path, -0.3 * (1 - mu**t) / (1 - mu), rtol=1e-12)
    np.testing.assert_allclose(path[-1], -0.3 * worth, rtol=1e-12)


def test_equals_optax_at_a_constant_rate():
    gradients = random_gradients(np.float32)
    actual = displacements(gdmethods.momentum(0.1, 0.9), gradients)
    expected = displacements(optax.sgd(0.1, momentum=0.9), gradients)
    assert_close(actual, expected, 1e-5, cancels=True)


def test_displacement_keeps_its_size_when_the_rate_drops():
    """The rate falls to a hundredth after step 10, and from there on the gradient is zero.

    What was gathered runs out as μ^k; with the rate outside, as Optax has it, the displacement
    shrinks a hundredfold at once.
    """

    def rate(count):
        return jnp.where(count < 10, 0.1, 0.001)

    gradients = jnp.where(jnp.arange(15) < 10, 1.0, 0.0)
    inside = displacements(gdmethods.momentum(rate, 0.9), gradients)
    outside = displacements(optax.sgd(rate, momentum=0.9), gradients)
    np.testing.assert_allclose(inside[:10], outside[:10], rtol=1e-5)
    np.testing.assert_allclose(inside[10:], inside[9] * 0.9 ** np.arange(1, 6), rtol=1e-5)
    np.testing.assert_allclose(outside[10:], inside[10:] / 100, rtol=1e-5)


def test_velocity_of_a_bfloat16_weight_is_gathered_in_float32():
    """In bfloat16 the velocity would stop where ηg falls below half a digit: at 0.5 of 1."""
    gradients = jnp.ones(3000, jnp.bfloat16)
    path = displacements(gdmethods.momentum(0.001, 0.999), gradients)
    assert path.dtype == jnp.bfloat16
    np.testing.assert_allclose(path[-1].astype(jnp.float32), -(1 - 0.999**3000), rtol=2**-8)
