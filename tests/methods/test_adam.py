"""Adam: a running mean of the gradient over the root of a running mean of its square."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.adam import adam as oracle
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


OPTIONS = {
    "defaults": {},
    "schedule": {"learning_rate": halving},
    "b1": {"b1": 0.5},
    "b1 zero": {"b1": 0.0},
    "b2": {"b2": 0.9},
    "b2 near one": {"b2": 0.9999},
    "eps": {"eps": 0.5},
    "eps zero": {"eps": 0.0},
    "eps_root": {"eps_root": 0.5},
    "no correction": {"bias_correction": False},
    "all": {"b1": 0.8, "b2": 0.95, "eps": 0.1, "eps_root": 0.2, "bias_correction": False},
}
COMPLEX = ["defaults", "eps zero", "all"]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, dtype, rtol):
    options = {"learning_rate": 0.01} | options
    assert_equals_oracle(
        gdmethods.adam(**options), partial(oracle, **options), dtype, rtol, cancels=True
    )


@pytest.mark.parametrize("name", COMPLEX)
@COMPLEX_PRECISIONS
def test_complex_weights(name, dtype, rtol):
    options = {"learning_rate": 0.01} | OPTIONS[name]
    assert_equals_oracle(
        gdmethods.adam(**options), partial(oracle, **options), dtype, rtol, cancels=True
    )


@pytest.mark.parametrize(
    "options", [{}, {"b1": 0.5, "b2": 0.9}, {"eps": 0.1}, {"eps": 0.0, "eps_root": 0.1}], ids=str
)
def test_equals_optax(options):
    """To ten digits in x64: Optax takes 1 − β₂ᵗ as a difference."""
    gradients = random_gradients(np.float64)["kernel"]
    with x64(np.float64):
        ours = displacements(gdmethods.adam(0.01, **options), gradients)
        optaxs = displacements(optax.adam(0.01, **options), gradients)
    assert_close(ours, optaxs, 1e-10, cancels=True)


@pytest.mark.parametrize("g", [1e-6, -1.0, 1e6])
def test_a_constant_gradient_is_followed_at_the_learning_rate(g):
    """m_t = (1 − β₁ᵗ) g and v_t = (1 − β₂ᵗ) g²: corrected, both are constant from the start."""
    path = displacements(gdmethods.adam(0.01, eps=0.0), jnp.full(1000, g))
    np.testing.assert_allclose(path, -0.01 * np.sign(g), rtol=2e-5)


def test_without_correction_the_first_step_is_long():
    """Δ₁ = −η (1 − β₁)/√(1 − β₂) sign(g), which is 3.16 η at the defaults."""
    path = displacements(gdmethods.adam(0.01, eps=0.0, bias_correction=False), jnp.ones(1))
    np.testing.assert_allclose(path, -0.01 * 0.1 / np.sqrt(0.001), rtol=1e-5)


@pytest.mark.parametrize("c", [1e-6, 7.0, 1e6])
def test_scale_invariance(c):
    """Under f → c·f both m̂ and √v̂ are multiplied by c: Δ stays."""
    gradients = {"kernel": random_gradients(np.float32)["kernel"]}
    tx = gdmethods.adam(0.01, eps=0.0)
    scaled = jax.tree.map(lambda g: np.float32(c) * g, gradients)
    assert_close(displacements(tx, scaled), displacements(tx, gradients), 1e-5, cancels=True)


@pytest.mark.parametrize("b2", [0.999, 0.99999, 0.999999])
@pytest.mark.parametrize("b1", [0.9, 0.9999])
def test_bias_correction_keeps_its_digits_in_float32(b1, b2):
    """float32 has 0.999999 as 0.99999899, so that 1 − β₂ᵗ would be 1.3 % off from the start."""
    gradients = {"w": 1 + np.random.default_rng(4).uniform(size=(50, 5)).astype(np.float32)}
    options = {"learning_rate": 0.01, "b1": b1, "b2": b2}
    expected = {"w": np.stack(oracle(list(gradients["w"].astype(np.float64)), **options))}
    assert_close(displacements(gdmethods.adam(**options), gradients), expected, 3e-6)


@pytest.mark.parametrize("b2", [0.999, 0.99999, 0.999999])
def test_bias_correction_keeps_its_digits_for_a_traced_b2(b2):
    """Here β₂ is what float32 makes of it, for the oracle as well."""
    gradients = {"w": 1 + np.random.default_rng(4).uniform(size=(50, 5)).astype(np.float32)}
    b2 = np.float32(b2)
    expected = oracle(list(gradients["w"].astype(np.float64)), 0.01, b2=float(b2))
    actual = jax.jit(lambda b2: displacements(gdmethods.adam(0.01, b2=b2), gradients))(b2)
    assert_close(actual, {"w": np.stack(expected)}, 1e-5)


def test_the_moments_of_a_bfloat16_weight_do_not_stall():
    """0.999 is 1 in bfloat16, where v would grow by a thousandth until it stalls at 0.25."""
    tx = gdmethods.adam(0.1, eps=0.0, bias_correction=False)
    path = displacements(tx, jnp.ones((3000, 1), jnp.bfloat16))
    expected = oracle([np.ones(1)] * 3000, 0.1, eps=0.0, bias_correction=False)
    assert path.dtype == jnp.bfloat16
    np.testing.assert_allclose(path.astype(jnp.float32), np.stack(expected), rtol=2**-8)
