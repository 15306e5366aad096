"""A gain for each weight, which grows by addition and shrinks by multiplication."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from oracles.adaptive_gains import adaptive_gains as oracle
from trajectories import PRECISIONS, assert_equals_oracle, displacements, x64

import gdmethods


def halving(count):
    return 0.1 * 0.5 ** (count // 50)


def rising(count):
    return 0.9 - 0.4 / (1 + count)


def pausing(count):
    """A rate that is zero at first, as a warm-up's is, and at every seventh count."""
    return 0.1 * (count % 7 != 0)


OPTIONS = {
    "defaults": {},
    "momentum": {"momentum": 0.9},
    "schedules": {"learning_rate": halving, "momentum": rising},
    "pauses": {"learning_rate": pausing},
    "pauses and momentum": {"learning_rate": pausing, "momentum": 0.9},
    "wide limits": {"increase": 0.2, "decrease": 0.5, "min_gain": 0.01, "max_gain": np.inf},
    "tight limits": {"min_gain": 0.8, "max_gain": 1.2, "momentum": 0.5},
}


@pytest.mark.parametrize("agreement", ["gradient", "velocity"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, agreement, dtype, rtol):
    options = {"learning_rate": 0.1, "agreement": agreement} | options
    assert_equals_oracle(
        gdmethods.adaptive_gains(**options),
        partial(oracle, **options),
        dtype,
        rtol,
        cancels="momentum" in options,
    )


def gains(signs, **options):
    """The gains that the updates −gain·sign show."""
    signs = jnp.asarray(signs, jnp.float32)
    return -displacements(gdmethods.adaptive_gains(1.0, **options), signs) / signs


def test_180_agreements_from_one_to_ten():
    """1 + 180 · 0.05 = 10. The first of the gradients has none before it to agree with."""
    path = gains(np.ones(200))
    np.testing.assert_allclose(path[:181], 1 + 0.05 * np.arange(181), rtol=1e-5)
    assert path[179] < 9.96
    np.testing.assert_allclose(path[181:], 10.0, rtol=1e-6)


def test_45_disagreements_from_one_to_a_tenth():
    """0.95⁴⁴ = 0.105 and 0.95⁴⁵ = 0.099, which the limit lifts to 0.1."""
    path = gains((-1.0) ** np.arange(60))
    np.testing.assert_allclose(path[:45], 0.95 ** np.arange(45), rtol=1e-5)
    assert path[44] > 0.104
    np.testing.assert_allclose(path[45:], 0.1, rtol=1e-6)


def test_the_other_limits_of_the_slide():
    up = gains(np.ones(2100), min_gain=0.01, max_gain=100.0)
    down = gains((-1.0) ** np.arange(120), min_gain=0.01, max_gain=100.0)
    np.testing.assert_allclose(up[1800], 91.0, rtol=1e-3)
    np.testing.assert_allclose(up[-1], 100.0, rtol=1e-6)
    np.testing.assert_allclose(down[80], 0.95**80, rtol=1e-5)
    np.testing.assert_allclose(down[-1], 0.01, rtol=1e-6)


def test_without_an_upper_limit():
    np.testing.assert_allclose(gains(np.ones(1001), max_gain=np.inf)[-1], 51.0, rtol=1e-4)


@pytest.mark.parametrize(
    ("agreement", "expected"),
    [
        # Gradients          1     1     −1      −1       0      1
        # previous                 1      1      −1      −1      0
        ("gradient", [1.0, 1.05, 0.9975, 1.0475, 0.995125, 0.94536875]),
        # previous Δ         0     −      −       +       +      0 (the gradient was zero)
        ("velocity", [0.95, 1.0, 0.95, 1.0, 0.95, 0.9025]),
    ],
)
def test_zero_products_take_the_else_branch(agreement, expected):
    """Only at the first step do they differ: no gradient came before, but a velocity, zero."""
    gradients = np.array([1.0, 1.0, -1.0, -1.0, 0.0, 1.0])
    tx = gdmethods.adaptive_gains(1.0, agreement=agreement)
    state = tx.init(jnp.float32(0))
    for g, gain in zip(gradients, expected, strict=True):
        update, state = tx.update(jnp.float32(g), state)
        np.testing.assert_allclose(state.gains, gain, rtol=1e-6)
        np.testing.assert_allclose(update, -gain * g, rtol=1e-6)


def test_velocity_agrees_with_a_gradient_that_pushes_on():
    """With momentum the two agreements part where the gradient has turned and Δ has not.

    Gradients 1, 1, −0.1, −0.1 with η = 1, μ = 0.9: after step 2, Δ < −1.8, and −0.1 cannot turn
    it. So at step 4 the gradient agrees with the one before, but against the velocity.
    """
    gradients = jnp.array([1.0, 1.0, -0.1, -0.1])
    histories = {}
    for agreement in ("gradient", "velocity"):
        tx = gdmethods.adaptive_gains(1.0, 0.9, agreement=agreement)
        state = tx.init(gradients[0])
        histories[agreement] = []
        for g in gradients:
            _, state = tx.update(g, state)
            histories[agreement].append(float(state.gains))
    np.testing.assert_allclose(histories["gradient"], [1, 1.05, 0.9975, 1.0475], rtol=1e-6)
    np.testing.assert_allclose(histories["velocity"], [0.95, 1, 0.95, 0.9025], rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("agreement", ["gradient", "velocity"])
def test_gradients_of_size_1e_30_are_seen(agreement, momentum):
    """Signs are compared: a product of two such float32 gradients is zero."""
    gradients = np.sign(np.random.default_rng(2).normal(0.3, 1, (50, 8))).astype(np.float32)
    tx = gdmethods.adaptive_gains(0.1, momentum, agreement=agreement)
    small = displacements(tx, gradients * np.float32(1e-30))
    np.testing.assert_allclose(small / 1e-30, displacements(tx, gradients), rtol=1e-4, atol=1e-6)


def test_denormal_gradients_are_seen():
    """XLA compares them as if they were 0."""
    signs = np.sign(np.random.default_rng(2).normal(0.3, 1, (50, 8))).astype(np.float32)
    tx = gdmethods.adaptive_gains(0.1)
    usual = denormal = tx.init(jnp.zeros(8, jnp.float32))
    for g in signs:
        _, usual = tx.update(g, usual)
        _, denormal = tx.update(g * np.float32(1e-45), denormal)
        np.testing.assert_array_equal(denormal.gains, usual.gains)
        np.testing.assert_array_equal(denormal.sign, usual.sign)


def test_gradients_of_size_1e_7_are_seen_in_float16():
    tx = gdmethods.adaptive_gains(1.0)
    state = tx.init(jnp.float16(0))
    for _ in range(3):
        _, state = tx.update(jnp.float16(1e-7), state, jnp.float16(0))
    np.testing.assert_allclose(state.gains, 1.1, rtol=1e-6)


def test_gains_are_per_weight():
    gradients = np.stack([np.ones(50), (-1.0) ** np.arange(50)], axis=1)
    path = gains(gradients)
    np.testing.assert_allclose(path[-1], [1 + 49 * 0.05, 0.1], rtol=1e-5)


def test_momentum_multiplies_the_terminal_velocity():
    """At the limit both factors are reached: Δ → −η · max_gain · g / (1 − μ)."""
    with x64(np.float64):
        tx = gdmethods.adaptive_gains(0.1, 0.9, max_gain=3.0)
        path = displacements(tx, np.full(500, 2.0))
    np.testing.assert_allclose(path[-1], -0.1 * 3.0 * 2.0 / 0.1, rtol=1e-12)
