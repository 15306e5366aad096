"""Rprop: only the sign of the gradient counts.

`optax.rprop` (0.2.8) is no oracle: it returns the step of the update before.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.rprop import rprop as oracle
from trajectories import (
    PRECISIONS,
    STEPS,
    assert_equals_oracle,
    displacements,
    random_gradients,
    x64,
)

import gdmethods

VARIANTS = ["rprop-", "rprop+", "irprop-", "irprop+"]

OPTIONS = {
    "defaults": {},
    "etas": {"learning_rate": 1e-3, "eta_minus": 0.7, "eta_plus": 1.5},
    "limits": {"min_step_size": 0.01, "max_step_size": 0.5},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, variant, dtype, rtol):
    """The losses are random, so that irprop+ meets a rise and a fall on both sides of a turn."""
    losses = np.random.default_rng(3).normal(size=STEPS)
    options = options | {"variant": variant}
    assert_equals_oracle(
        gdmethods.rprop(**options),
        partial(oracle, losses=losses, **options),
        dtype,
        rtol,
        losses=losses.astype(dtype),
    )


# f = x²/2 from x = 0.95 with d₀ = 0.1.
DESCENT = [0.85, 0.73, 0.586, 0.4132, 0.20584, -0.042992]
TABLE = {
    "rprop+": [*DESCENT, 0.20584, 0.081424, -0.067875, 0.081424],
    "rprop-": [*DESCENT, 0.081424, 0.019216, -0.055434, -0.018109],
    "irprop+": [*DESCENT, -0.042992, 0.081424, -0.042992, 0.019216],
    "irprop-": [*DESCENT, -0.042992, 0.081424, 0.081424, 0.019216],
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_table(variant, dtype):
    tx = gdmethods.rprop(variant=variant)

    def step(carry, _):
        x, state = carry
        update, state = tx.update(x, state, x, value=x**2 / 2)
        return (x + update, state), x + update

    with x64(dtype):
        x = jnp.asarray(0.95, dtype)
        _, path = jax.lax.scan(step, (x, tx.init(x)), length=10)
    np.testing.assert_allclose(path, TABLE[variant], rtol=0, atol=6e-7)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_oracle_gives_the_table_too(variant):
    x, gradients, path = 0.95, [], []
    for _ in range(10):
        gradients.append(np.array(x))
        losses = [g**2 / 2 for g in gradients]
        x = x + oracle(gradients, variant=variant, losses=losses)[-1]
        path.append(x)
    np.testing.assert_allclose(path, TABLE[variant], rtol=0, atol=6e-7)


@pytest.mark.parametrize(
    ("variant", "rose", "expected"),
    [
        # Gradients 1, 1, 1, −1, −1, −1; the loss before the turn is 1, at the turn 0.5 or 2.
        # d: 0.1, 0.12, 0.144; at the turn 0.072. What remembered a zero does not grow at once.
        ("rprop-", True, [-0.1, -0.12, -0.144, 0.072, 0.0864, 0.10368]),
        ("rprop+", True, [-0.1, -0.12, -0.144, 0.144, 0.072, 0.0864]),
        ("rprop+", False, [-0.1, -0.12, -0.144, 0.144, 0.072, 0.0864]),
        ("irprop-", True, [-0.1, -0.12, -0.144, 0.0, 0.072, 0.0864]),
        ("irprop+", True, [-0.1, -0.12, -0.144, 0.144, 0.072, 0.0864]),
        ("irprop+", False, [-0.1, -0.12, -0.144, 0.0, 0.072, 0.0864]),
    ],
)
def test_a_turn_with_and_without_a_rise_of_the_loss(variant, rose, expected):
    gradients = jnp.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    losses = jnp.array([1.0, 1.0, 1.0, 2.0 if rose else 0.5, 0.4, 0.3])
    path = displacements(gdmethods.rprop(variant=variant), gradients, losses)
    np.testing.assert_allclose(path, expected, rtol=1e-6)


def test_irprop_plus_does_not_take_an_equal_loss_for_a_rise():
    path = displacements(
        gdmethods.rprop(variant="irprop+"), jnp.array([1.0, -1.0]), jnp.array([1.0, 1.0])
    )
    np.testing.assert_allclose(path, [-0.1, 0.0], rtol=1e-6)


def test_irprop_plus_compares_the_loss_with_the_one_before_and_no_other():
    """The loss falls from 3 to 1 and rises to 2: below the first, but above the last."""
    path = displacements(
        gdmethods.rprop(variant="irprop+"),
        jnp.array([1.0, 1.0, -1.0]),
        jnp.array([3.0, 1.0, 2.0]),
    )
    np.testing.assert_allclose(path, [-0.1, -0.12, 0.12], rtol=1e-6)


def test_does_not_lag():
    """At a step each update answers its own gradient; after the turn a zero is remembered."""
    path = displacements(gdmethods.rprop(0.1), jnp.array([1.0, 1.0, 1.0, -1.0, 1.0]))
    np.testing.assert_allclose(path, [-0.1, -0.12, -0.144, 0.0, -0.072], rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scale_invariance(variant):
    """Under f → c·f, and under any change that leaves the signs, nothing changes at all."""
    gradients = random_gradients(np.float32)["kernel"]
    losses = np.random.default_rng(3).normal(size=STEPS).astype(np.float32)
    tx = gdmethods.rprop(variant=variant)
    expected = displacements(tx, gradients, losses)
    for same in (np.float32(1e-3) * gradients, np.cbrt(gradients), np.sign(gradients)):
        np.testing.assert_array_equal(displacements(tx, same, losses), expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, 1e-30), (np.float32, 1e-45), (jnp.bfloat16, 1e-40), (np.float64, 5e-324)],
    ids=str,
)
def test_gradients_of_any_size_are_seen(variant, dtype, size):
    """Signs are compared: products underflow, and XLA compares denormal numbers as 0."""
    signs = np.sign(np.random.default_rng(2).normal(0.3, 1, (50, 8))).astype(dtype)
    losses = np.random.default_rng(3).normal(size=50).astype(np.float32)
    tx = gdmethods.rprop(variant=variant)
    with x64(dtype):
        small = displacements(tx, signs * np.asarray(size, dtype), losses)
        np.testing.assert_array_equal(small, displacements(tx, signs, losses))


def test_an_infinite_gradient_after_none_makes_no_nan_on_the_way():
    """Signs are multiplied, and no gradient: ∞ · 0 is NaN."""
    tx = gdmethods.rprop()
    with jax.disable_jit(), jax.debug_nans(True):
        path = displacements(tx, jnp.array([0.0, jnp.inf, 1.0]))
    np.testing.assert_allclose(path, [0.0, -0.1, -0.12], rtol=1e-6)


def test_limits():
    """From 0.1 up to 50 in 35 agreements, 0.1·1.2³⁵ = 59; down to 1e-6 in 17 turns."""
    up = displacements(gdmethods.rprop(0.1), jnp.ones(60))
    np.testing.assert_allclose(up[:35], -0.1 * 1.2 ** np.arange(35), rtol=1e-5)
    np.testing.assert_allclose(up[35:], -50.0)
    signs = (-1.0) ** jnp.arange(60)
    down = displacements(gdmethods.rprop(0.1, variant="rprop-"), signs)
    np.testing.assert_allclose(down[:17], -signs[:17] * 0.1 * 0.5 ** np.arange(17), rtol=1e-5)
    np.testing.assert_allclose(down[17:], -signs[17:] * 1e-6, rtol=1e-6)


def test_a_zero_gradient_neither_moves_nor_changes_the_step_size():
    path = displacements(gdmethods.rprop(0.1), jnp.array([1.0, 0.0, 1.0, 0.0, -1.0, -1.0]))
    np.testing.assert_allclose(path, [-0.1, 0.0, -0.1, 0.0, 0.1, 0.12], rtol=1e-6)


def test_step_sizes_of_a_bfloat16_weight_are_kept_in_float32():
    """1.2 is 1.203 in bfloat16; thirty growths would be 8 % too far."""
    path = displacements(gdmethods.rprop(0.1), jnp.ones(31, jnp.bfloat16))
    assert path.dtype == jnp.bfloat16
    np.testing.assert_allclose(path[-1].astype(np.float32), -0.1 * 1.2**30, rtol=2**-8)
