"""Floating-point numbers as bits, and back."""

from typing import Any

import jax
import jax.numpy as jnp


def bits_of(x: jax.Array, dtype: Any = jnp.uint32) -> jax.Array:
    """The bits of numbers, as integers of a dtype with as many bits."""
    return jax.lax.bitcast_convert_type(x, dtype)


def float32_of(bits: jax.Array) -> jax.Array:
    """The float32 numbers that have these bits."""
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
