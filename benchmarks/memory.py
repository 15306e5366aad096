"""Bytes a weight: of the state, of XLA's temporaries, and of a step's reads and writes."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

import gdmethods
from benchmarks.stepping import traced_step

FLOAT32 = 4


def state_bytes(
    tx: optax.GradientTransformation, weights: int, dtype: DTypeLike = jnp.float32
) -> float:
    return gdmethods.state_bytes(tx, _leaf(weights, dtype)) / weights


def temporary_bytes(
    tx: optax.GradientTransformation, weights: int, dtype: DTypeLike = jnp.float32
) -> float:
    """Temporaries of the compiled step, at its peak."""
    leaf = _leaf(weights, dtype)
    compiled = traced_step(tx, leaf, jax.eval_shape(tx.init, leaf), leaf).lower().compile()
    return float(compiled.memory_analysis().temp_size_in_bytes) / weights


def moved_bytes(
    tx: optax.GradientTransformation, weights: int, dtype: DTypeLike = jnp.float32
) -> float:
    """A step reads the gradient, the weight and the state, and writes the weight and the state."""
    return 3 * jnp.dtype(dtype).itemsize + 2 * state_bytes(tx, weights, dtype)


def _leaf(weights: int, dtype: DTypeLike) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((weights,), dtype)
