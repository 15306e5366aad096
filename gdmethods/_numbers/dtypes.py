"""The dtype that JAX gives an array, and the dtype that a rule computes in."""

import functools
from typing import Any

import jax
import jax.numpy as jnp


def dtype_of(leaf: Any) -> jnp.dtype:
    """The dtype that JAX gives a leaf: float32 for NumPy's float64, except in 64-bit mode."""
    return jax.dtypes.canonicalize_dtype(leaf.dtype if hasattr(leaf, "dtype") else type(leaf))


def at_least_float32(dtype: jnp.dtype) -> jnp.dtype:
    """The real dtype to compute in: float32 or wider."""
    real = jnp.finfo(dtype).dtype
    return real if jnp.finfo(real).bits >= 32 else jnp.dtype(jnp.float32)


def promoted(*dtypes: Any) -> jnp.dtype:
    """The dtype that holds them all, even if the user has turned JAX's promotion off."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes)
