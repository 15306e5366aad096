"""Bytes a weight: of the state, of XLA's temporaries, and those that a step has to move."""

import jax
import jax.numpy as jnp
import optax

import gdmethods
from benchmarks.stepping import traced_step

FLOAT32 = 4


def state_bytes(tx: optax.GradientTransformation, weights: int) -> float:
    return gdmethods.state_bytes(tx, _leaf(weights)) / weights


def temporary_bytes(tx: optax.GradientTransformation, weights: int) -> float:
    """Of the compiled step, at its peak."""
    leaf = _leaf(weights)
    compiled = traced_step(tx, leaf, jax.eval_shape(tx.init, leaf), leaf).lower().compile()
    return float(compiled.memory_analysis().temp_size_in_bytes) / weights


def moved_bytes(tx: optax.GradientTransformation, weights: int) -> float:
    """A step reads the gradient, the weight and the state, and writes the latter two."""
    return 3 * FLOAT32 + 2 * state_bytes(tx, weights)


def _leaf(weights: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((weights,), jnp.float32)
