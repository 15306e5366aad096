"""A tie changes no number, neither of finite gradients nor of NaN and infinite ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from table import METHODS

from gdmethods._engine import lifting
from gdmethods._numbers.fusion import made_once, waiting_for

GRADIENTS = jnp.array(
    [
        [1.0, -1.0, 0.0, -0.0, 1e-40, 1e30, np.inf, -np.inf, np.nan, 1.0, 1.0],
        [1.0, 1.0, 1.0, -1.0, -1e-40, -1e30, 1.0, np.inf, 1.0, np.nan, np.inf],
        [0.5, 1.0, 0.0, 2.0, 1e-40, 1e-30, -1.0, 1.0, -1.0, 1.0, -np.inf],
    ]
)
W = jnp.ones(GRADIENTS.shape[1:])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "int16", "int8", "bool"])
def test_waiting_changes_nothing(dtype):
    if jnp.issubdtype(dtype, jnp.inexact):
        before = jnp.array([np.nan, np.inf, -np.inf, -0.0, -1.0, -3e38, 1e-45], dtype)
    elif dtype == "bool":
        before = jnp.array([False, True])
    else:
        before = jnp.array([jnp.iinfo(dtype).min, -1, 0, jnp.iinfo(dtype).max], dtype)
    for x in (-0.0, np.inf, np.nan, 3):
        given = jnp.full(before.shape, x)
        result = jax.jit(waiting_for)(before, given)
        np.testing.assert_array_equal(np.asarray(result).view("i4"), np.asarray(given).view("i4"))


def test_what_is_made_once_keeps_its_bits():
    for x in (
        np.arange(256, dtype=np.uint8),
        np.array(
            [0, 0x80000000, 1, 0x7F800000, 0xFF800000, 0x7FC00001, 2**32 - 1], np.uint32
        ).view(np.float32),
    ):
        np.testing.assert_array_equal(np.asarray(jax.jit(made_once)(x)).view("u1"), x.view("u1"))


@pytest.mark.proof
def test_a_tie_changes_no_bit(monkeypatch):
    def train():
        """The updates and states of every method, by name and step."""
        made = {}
        for name, method in METHODS.items():
            tx = method.build()
            state = tx.init(W)
            for step, g in enumerate(GRADIENTS):
                updates, state = tx.update(g, state, W, **method.extra_args(jnp.float32(step)))
                made[name, step] = updates, state
        return jax.device_get(made)

    tied = train()
    monkeypatch.setattr(lifting, "after", lambda before, x: x)
    jax.clear_caches()
    untied = train()
    jax.clear_caches()
    for result, (path, expected) in zip(
        jax.tree.leaves(tied), jax.tree.leaves_with_path(untied), strict=True
    ):
        np.testing.assert_array_equal(result, expected, jax.tree_util.keystr(path))
        zero = np.asarray(expected) == 0
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]))
