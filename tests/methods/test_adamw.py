"""AdamW: Adam's step, and weights that decay beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles.adamw import adamw as oracle
from trajectories import PRECISIONS, random_gradients, x64

import gdmethods


def halving(count):
    return 0.01 * 0.5 ** (count // 50)


OPTIONS = {
    "defaults": {},
    "schedule": {"learning_rate": halving, "weight_decay": 0.1},
    "decay zero": {"weight_decay": 0.0},
    "all": {"b1": 0.8, "b2": 0.95, "eps": 0.1, "eps_root": 0.2, "weight_decay": 0.5},
    "no correction": {"bias_correction": False, "weight_decay": 0.1},
}


def path(tx, start, gradients):
    """The weights after each step."""

    def step(carry, gradient):
        weights, state = carry
        updates, state = tx.update(gradient, state, weights)
        weights = optax.apply_updates(weights, updates)
        return (weights, state), weights

    return jax.lax.scan(step, (start, tx.init(start)), gradients)[1]


def start(gradients):
    return jax.tree.map(lambda g: np.full(g.shape[1:], 2.0, g.dtype), gradients)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@PRECISIONS
def test_equals_its_oracle(options, dtype, rtol):
    options = {"learning_rate": 0.01} | options
    gradients = random_gradients(dtype)
    with x64(dtype):
        actual = path(gdmethods.adamw(**options), start(gradients), gradients)
    expected = jax.tree.map(
        lambda g, w: np.stack(oracle(list(g.astype(float)), w.astype(float), **options)),
        gradients,
        start(gradients),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=20 * rtol), actual, expected)


MASKS = {
    "a tree": {"kernel": True, "layer": {"scale": False}},
    "a prefix": {"kernel": True, "layer": False},
    "a function": lambda params: jax.tree.map(lambda w: w.ndim > 1, params),
    "none decay": False,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_equals_optax(mask):
    gradients = random_gradients(np.float64)
    options = {"b1": 0.8, "weight_decay": 0.1, "mask": mask}
    if mask is False:
        options["mask"] = lambda params: jax.tree.map(lambda w: False, params)
    with x64(np.float64):
        theirs = path(optax.adamw(halving, **options), start(gradients), gradients)
        ours = path(gdmethods.adamw(halving, **options), start(gradients), gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7), ours, theirs)


def test_what_the_mask_leaves_out_is_adams():
    gradients = random_gradients(np.float32)
    ours = path(gdmethods.adamw(0.01, weight_decay=0.5, mask=False), start(gradients), gradients)
    adams = path(gdmethods.adam(0.01), start(gradients), gradients)
    jax.tree.map(np.testing.assert_array_equal, ours, adams)


def test_its_state_is_adams():
    w = jnp.ones(3)
    assert type(gdmethods.adamw(0.1).init(w)) is gdmethods.AdamState


def test_one_rounding():
    """An update in bfloat16 is the rounding of the one in float32."""
    rng = np.random.default_rng(0)
    w, g = (jnp.asarray(rng.normal(size=1000), jnp.bfloat16) for _ in range(2))
    tx = gdmethods.adamw(0.1, weight_decay=0.1)
    narrow, _ = tx.update(g, tx.init(w), w)
    wide, _ = tx.update(g.astype(jnp.float32), tx.init(w), w.astype(jnp.float32))
    np.testing.assert_array_equal(narrow, wide.astype(jnp.bfloat16))


def test_a_mask_that_does_not_fit():
    w = {"kernel": jnp.ones(2)}
    tx = gdmethods.adamw(0.1, mask={"bias": True})
    with pytest.raises(ValueError, match=r"^mask must be a tree of bools like the parameters"):
        tx.update(w, tx.init(w), w)


@pytest.mark.parametrize("mask", ["w", {"w": jnp.array([True, False])}, {"w": 1}], ids=str)
def test_a_mask_that_holds_no_bools(mask):
    w = {"w": jnp.ones(2)}
    for tell in (lambda: mask, lambda: lambda params: mask):  # at once, or when it is called
        with pytest.raises(TypeError, match=r"^mask must be a tree of bools .*, and holds"):
            gdmethods.adamw(0.1, mask=tell()).update(w, gdmethods.adam(0.1).init(w), w)


def test_without_parameters():
    tx, w = gdmethods.adamw(0.1), jnp.ones(2)
    with pytest.raises(ValueError, match=r"reads the parameters.*update\(grads, state, params\)"):
        tx.update(w, tx.init(w))
