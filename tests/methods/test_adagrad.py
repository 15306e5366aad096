"""AdaGrad: each weight's rate falls with the root of its summed squared gradients."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.adagrad import adagrad as oracle
from trajectories import (
    COMPLEX_PRECISIONS,
    PRECISIONS,
    assert_close,
    assert_equals_oracle,
    displacements,
    random_gradients,
)

import gdmethods


def halving(count):
    return 0.1 * 0.5 ** (count // 50)


OPTIONS = {
    "defaults": {},
    "schedule": {"learning_rate": halving},
    "large eps": {"eps": 0.5},
    "eps zero": {"eps": 0.0},
    "eps_root": {"eps_root": 1e-2},
    "eps zero, eps_root": {"eps": 0.0, "eps_root": 1e-6},
    "initial value": {"initial_accumulator_value": 0.1},
    "all": {"eps": 0.1, "eps_root": 0.2, "initial_accumulator_value": 0.3},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, dtype, rtol):
    options = {"learning_rate": 0.1} | options
    assert_equals_oracle(gdmethods.adagrad(**options), partial(oracle, **options), dtype, rtol)


@pytest.mark.parametrize("name", ["defaults", "eps zero", "all"])
@COMPLEX_PRECISIONS
def test_complex_weights(name, dtype, rtol):
    options = {"learning_rate": 0.1} | OPTIONS[name]
    assert_equals_oracle(gdmethods.adagrad(**options), partial(oracle, **options), dtype, rtol)


def test_a_constant_gradient_is_followed_as_one_over_root_t():
    """s_t = t g², so that Δ_t = −η sign(g)/√t whatever g is."""
    gradients = np.broadcast_to(np.float32([3.0, -1e-3, 1e6]), (100, 3))
    path = displacements(gdmethods.adagrad(0.1, eps=0.0), gradients)
    t = np.arange(1, 101)[:, None]
    np.testing.assert_allclose(path, -0.1 * np.sign(gradients) / np.sqrt(t), rtol=1e-5)


@pytest.mark.parametrize("c", [1e-6, 7.0, 1e6])
def test_scale_invariance(c):
    """Under f → c·f every g becomes c·g and √s becomes c·√s: Δ stays."""
    gradients = random_gradients(np.float32)["kernel"]
    tx = gdmethods.adagrad(0.1, eps=0.0)
    expected = displacements(tx, gradients)
    np.testing.assert_allclose(displacements(tx, np.float32(c) * gradients), expected, rtol=1e-5)


@pytest.mark.parametrize(("initial", "eps"), [(0.1, 1e-7), (0.0, 1e-7), (2.0, 0.5)])
def test_optax_keeps_eps_inside_the_root(initial, eps):
    gradients = random_gradients(np.float32)
    ours = gdmethods.adagrad(0.1, eps=0.0, eps_root=eps, initial_accumulator_value=initial)
    optaxs = optax.adagrad(0.1, initial_accumulator_value=initial, eps=eps)
    assert_close(displacements(ours, gradients), displacements(optaxs, gradients), 1e-5)


def test_core_equals_scale_by_rss():
    gradients = random_gradients(np.float32)
    ours = gdmethods.scale_by_rss(eps=0.0, eps_root=1e-7, initial_accumulator_value=0.1)
    optaxs = optax.scale_by_rss(initial_accumulator_value=0.1, eps=1e-7)
    assert_close(displacements(ours, gradients), displacements(optaxs, gradients), 1e-5)


def test_the_sum_of_a_bfloat16_weight_does_not_stall():
    """In bfloat16 a sum of ones stops at 256, the first number whose successor it lacks."""
    tx = gdmethods.adagrad(0.1)
    path = displacements(tx, jnp.ones(600, jnp.bfloat16))
    assert path.dtype == jnp.bfloat16
    np.testing.assert_allclose(path[-1].astype(jnp.float32), -0.1 / 600**0.5, rtol=2**-8)
