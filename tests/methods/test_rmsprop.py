"""RMSProp: the gradient divided by the root of a running mean of its square."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.rmsprop import rmsprop as oracle
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
    return 0.01 * 0.5 ** (count // 50)


def rising(count):
    return 0.9 - 0.4 / (1 + count)


OPTIONS = {
    "defaults": {},
    "schedule": {"learning_rate": halving},
    "decay": {"decay": 0.99},
    "eps": {"eps": 0.5},
    "eps zero": {"eps": 0.0},
    "eps_root": {"eps_root": 0.5},
    "initial scale": {"initial_scale": 1.0},
    "bias correction": {"bias_correction": True},
    "centered": {"centered": True},
    "centered, bias correction": {"centered": True, "bias_correction": True, "decay": 0.99},
    "momentum": {"momentum": 0.9},
    "scheduled momentum": {"learning_rate": halving, "momentum": rising},
    "all": {
        "decay": 0.8,
        "eps": 0.1,
        "eps_root": 0.2,
        "initial_scale": 0.3,
        "centered": True,
        "momentum": 0.4,
        "bias_correction": True,
    },
}
COMPLEX = ["defaults", "centered, bias correction", "all"]


def assert_options(options, dtype, rtol):
    """With bias correction the variance of the first gradient is g² − g² = 0 but for rounding.

    Of that no digit is left to compare. So there the gradients are of size 1, and a variance to
    begin with and eps_root stand above what rounding leaves.
    """
    options = {"learning_rate": 0.01} | options
    variance_of_one = options.get("centered", False) and options.get("bias_correction", False)
    if variance_of_one:
        options = {"eps_root": 0.1, "initial_scale": 1.0} | options
    assert_equals_oracle(
        gdmethods.rmsprop(**options),
        partial(oracle, **options),
        dtype,
        rtol,
        cancels="momentum" in options,
        decades=0 if variance_of_one else 3,
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, dtype, rtol):
    assert_options(options, dtype, rtol)


@pytest.mark.parametrize("name", COMPLEX)
@COMPLEX_PRECISIONS
def test_complex_weights(name, dtype, rtol):
    assert_options(OPTIONS[name], dtype, rtol)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decay": 0.99, "initial_scale": 1.0},
        {"momentum": 0.9},
        {"bias_correction": True},
        {"centered": True},
        {"centered": True, "momentum": 0.5, "initial_scale": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("inside", [False, True], ids=["eps", "eps_root"])
def test_equals_optax(options, inside):
    """Optax has one eps, outside of the root or in it."""
    gradients = random_gradients(np.float32)["kernel"]
    eps = {"eps": 0.0, "eps_root": 1e-3} if inside else {"eps": 1e-3}
    ours = gdmethods.rmsprop(0.01, **eps, **options)
    optaxs = optax.rmsprop(0.01, eps=1e-3, eps_in_sqrt=inside, **options)
    assert_close(
        displacements(ours, gradients), displacements(optaxs, gradients), 2e-5, cancels=True
    )


def test_the_first_step():
    """ν₁ = (1 − decay) g²: without correction Δ₁ = −η sign(g)/√(1 − decay), a long step."""
    g = jnp.array([[3.0, -1e-3]])
    step = displacements(gdmethods.rmsprop(0.01, eps=0.0), g)
    np.testing.assert_allclose(step, -0.01 * np.sign(g) / np.sqrt(0.1), rtol=1e-6)
    corrected = displacements(gdmethods.rmsprop(0.01, eps=0.0, bias_correction=True), g)
    np.testing.assert_allclose(corrected, -0.01 * np.sign(g), rtol=1e-6)


def test_a_first_variance_of_zero():
    """Of one gradient: corrected, ν − |m|² = g² − g², and of η g/(√0 + eps) only eps is left."""
    g = jnp.array([[0.5, -0.25]])  # whose squares are exact
    options = {"decay": 0.5, "centered": True, "bias_correction": True}
    step = displacements(gdmethods.rmsprop(0.01, eps=0.1, **options), g)
    np.testing.assert_allclose(step, -0.01 * g / 0.1, rtol=1e-6)
    with_scale = displacements(gdmethods.rmsprop(0.01, initial_scale=1.0, **options), g)
    np.testing.assert_allclose(with_scale, -0.01 * g, rtol=1e-6)  # ν̂₁ − g² = 1


def test_a_constant_gradient_is_followed_at_the_learning_rate():
    """ν_t = (1 − decayᵗ) g²."""
    with x64(np.float64):
        path = displacements(gdmethods.rmsprop(0.01, 0.9, eps=0.0), np.full(300, -7.0))
    t = np.arange(1, 301)
    np.testing.assert_allclose(path, 0.01 / np.sqrt(1 - 0.9**t), rtol=1e-12)
    np.testing.assert_allclose(path[-1], 0.01, rtol=1e-12)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("c", [1e-6, 7.0, 1e6])
def test_scale_invariance(c, centered):
    """Under f → c·f every g becomes c·g and √ν becomes c·√ν: Δ stays."""
    gradients = random_gradients(np.float32)["kernel"]
    tx = gdmethods.rmsprop(0.01, eps=0.0, centered=centered)
    expected = displacements(tx, gradients)
    np.testing.assert_allclose(
        displacements(tx, np.float32(c) * gradients), expected, rtol=1e-4 if centered else 1e-5
    )


@pytest.mark.parametrize("bias_correction", [False, True])
def test_a_variance_is_never_negative(bias_correction):
    """Of a constant gradient the variance tends to 0, and rounding took it below in float32."""
    tx = gdmethods.rmsprop(0.01, eps=1e-3, centered=True, bias_correction=bias_correction)
    path = displacements(tx, np.broadcast_to(np.linspace(0.1, 3, 50, dtype="f4"), (500, 50)))
    assert np.all(np.isfinite(path))
    assert np.all(path < 0)


# The variance without a subtraction, with ρ = decay, β = 1 − ρ and d = g − mₜ₋₁:
#
#     mₜ = ρ mₜ₋₁ + β g = mₜ₋₁ + β d,    hence g − mₜ = ρ d;
#     νₜ − mₜ² = ρ νₜ₋₁ + β (mₜ₋₁ + d)² − (mₜ₋₁ + β d)²
#              = ρ νₜ₋₁ + (β − 1) mₜ₋₁² + (2β − 2β) mₜ₋₁ d + (β − β²) d²
#              = ρ (νₜ₋₁ − mₜ₋₁²) + ρβ d²  =  ρ (νₜ₋₁ − mₜ₋₁²) + β/ρ (g − mₜ)².
#
# It starts at ν₀ − m₀² = ν₀. Corrected, with c = 1 − ρᵗ and c' = 1 − ρᵗ⁻¹, the variance is ν/c −
# (m/c)², and the state keeps its c-fold, D = ν − m²/c, which is ν₀ at the start, too. There m/c
# is a mean with the weight β/c for the new gradient, and 1 − β/c = ρc'/c for the one before:
#
#     g − mₜ/c = ρc'/c (g − mₜ₋₁/c');    Dₜ − ρ Dₜ₋₁ = β g² − mₜ²/c + ρ mₜ₋₁²/c'.
#
# In the unit in which mₜ₋₁ = 0 (a shift by a constant is left in neither variance, and D − ρᵗν₀ is
# one times c) the right side is β g² − β² g²/c = β ρc'/c g², that is β/ρ · c/c' (g − mₜ/c)². In
# the first update c' is 0, and so is g − m₁/c.
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("initial_scale", [0.0, 0.3])
def test_the_variance_is_that_of_the_moments(initial_scale, bias_correction, dtype):
    """So ν = σ² + |m|², or σ² + |m|²/c corrected, is what a peer keeps for the same state."""
    gradients = random_gradients(dtype)["kernel"] + 0.5
    decay, nu, mean = 0.9, initial_scale, 0.0
    tx = gdmethods.rmsprop(
        0.01,
        decay,
        initial_scale=initial_scale,
        centered=True,
        bias_correction=bias_correction,
    )
    with x64(dtype):
        state = tx.init(jnp.zeros_like(gradients[0]))
        for t, g in enumerate(gradients[:30], 1):
            _, state = tx.update(g, state)
            nu = decay * nu + (1 - decay) * np.abs(g) ** 2
            mean = decay * mean + (1 - decay) * g
            correction = 1 - decay**t if bias_correction else 1.0
            moment = state.nu + np.abs(state.mu) ** 2 / correction
            np.testing.assert_allclose(moment, nu, rtol=1e-12)
            np.testing.assert_allclose(state.mu, mean, rtol=1e-12)


@pytest.mark.parametrize("bias_correction", [False, True])
def test_a_variance_keeps_its_digits_under_a_large_mean(bias_correction):
    """Of a variance of 1 and a mean of 1000, ν − m² = 1000001 − 1000000 keeps one in float32."""
    gradients = 1000 + np.random.default_rng(1).normal(size=(300, 50)).astype(np.float32)
    options = {"centered": True, "bias_correction": bias_correction, "initial_scale": 1.0}
    path = displacements(gdmethods.rmsprop(0.01, **options), gradients)
    expected = np.stack(oracle(list(gradients.astype(np.float64)), 0.01, **options))
    np.testing.assert_allclose(path, expected, rtol=1e-3)


@pytest.mark.parametrize("mean", [1.0, 16.0])
def test_a_variance_in_narrower_state_is_positive(mean):
    """In bfloat16 numbers around 16² are 1 or 2 apart, and ν − m² is 1."""
    gradients = mean + np.random.default_rng(1).normal(size=(300, 1000)).astype(np.float32)
    tx = gdmethods.rmsprop(0.01, 0.9, centered=True, accumulator_dtype=jnp.bfloat16)
    update = jax.jit(tx.update)
    state = tx.init(jnp.zeros(1000))
    for t, g in enumerate(gradients):
        updates, state = update(g, state)
        assert np.all(state.nu > 0)
        assert t < 50 or np.all(np.abs(updates) < 0.1 * np.abs(g))
    step = np.median(np.abs(updates)) / 0.01  # of gradients with the standard deviation 1
    np.testing.assert_allclose(step, np.median(np.abs(gradients[-1])), rtol=0.2)


def test_momentum_multiplies_the_terminal_velocity():
    with x64(np.float64):
        path = displacements(gdmethods.rmsprop(0.01, eps=0.0, momentum=0.9), np.full(600, 3.0))
    np.testing.assert_allclose(path[-1], -0.01 / (1 - 0.9), rtol=1e-12)


def test_displacement_keeps_its_size_when_the_rate_drops():
    """As in momentum, the learning rate is inside the velocity."""

    def rate(count):
        return jnp.where(count < 10, 0.1, 0.001)

    gradients = jnp.where(jnp.arange(15) < 10, 1.0, 0.0)
    path = displacements(gdmethods.rmsprop(rate, momentum=0.9), gradients)
    np.testing.assert_allclose(path[10:], path[9] * 0.9 ** np.arange(1, 6), rtol=1e-5)


def test_the_mean_square_of_a_bfloat16_weight_does_not_stall():
    """0.999 is 1 in bfloat16, where ν would grow by a thousandth until it stalls at 0.25."""
    path = displacements(gdmethods.rmsprop(0.1, decay=0.999), jnp.ones((3000, 1), jnp.bfloat16))
    expected = oracle([np.ones(1)] * 3000, 0.1, decay=0.999)
    assert path.dtype == jnp.bfloat16
    np.testing.assert_allclose(path.astype(jnp.float32), np.stack(expected), rtol=2**-8)
