"""Where JAX is told to promote no dtype by itself, each method computes as it does elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import every_method

import gdmethods


def two_steps(tx, w, **extra_args):
    state = tx.init(w)
    for _ in range(2):
        updates, state = tx.update(w, state, w, **extra_args)
        w = optax.apply_updates(w, updates)
    return w, state


def is_without_schedules(method):
    """Optax' schedules divide a whole number by another."""
    return not any(map(callable, {**method.hyperparameters, **method.flags}.values()))


@every_method(is_without_schedules)
@pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
def test_the_same_numbers(method, dtype):
    if dtype == "complex64" and method.refuses_complex:
        return
    w = jnp.array([1.0, -2.0, 0.5], dtype) * (1 + 1j if dtype == "complex64" else 1)
    with jax.disable_jit():
        expected, _ = two_steps(method.build(), w, **method.extra_args(1.0))
        with jax.numpy_dtype_promotion("strict"):
            actual, _ = two_steps(method.build(), w, **method.extra_args(1.0))
    np.testing.assert_array_equal(actual, expected)


def test_the_weights_behind_look_ahead_points():
    y, state = two_steps(gdmethods.nesterov(0.1, 0.5), jnp.ones(3, jnp.bfloat16))
    expected = gdmethods.nesterov_eval_params(state, y)
    with jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(gdmethods.nesterov_eval_params(state, y), expected)
