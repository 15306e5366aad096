"""The few operations of the papers that floating point does not get right by itself."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_TINY = float(jnp.finfo(jnp.float32).tiny)


def square(x: jax.Array) -> jax.Array:
    """|x|²: g² of a real gradient, the squared magnitude of a complex one."""
    return jnp.real(x * jnp.conj(x)) if jnp.iscomplexobj(x) else x * x


def divide(x: jax.Array, y: jax.Array, *, least: Any = 0.0) -> jax.Array:
    """x / y, and 0 where y is 0: a weight that never had a gradient does not move.

    `least`: a lower bound of y. Where it is a positive number, nothing needs to be asked.
    """
    if isinstance(least, float) and least >= _TINY:
        return x / y
    zero = y == 0
    return jnp.where(zero, 0.0, x / jnp.where(zero, 1.0, y))


@jax.custom_jvp
def sqrt(x: jax.Array) -> jax.Array:
    """√x with the derivative 0 at 0, so that `jax.grad` of a whole training run is finite."""
    return jnp.sqrt(x)


@sqrt.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    root = sqrt(*primals)
    return root, divide(tangents[0], 2.0 * root)


def sign(x: jax.Array) -> jax.Array:
    """−1, 0 or 1, and 0 of NaN; of denormal numbers too, which XLA compares as if they were 0."""
    integer = jnp.dtype(f"int{8 * x.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(x, integer)
    magnitude = bits & jnp.iinfo(integer).max
    infinity = np.array(np.inf, x.dtype).view(integer)
    ordered = jnp.where(bits < 0, -magnitude, magnitude)  # as x itself is
    return jnp.where(magnitude > infinity, 0, jnp.clip(ordered, -1, 1)).astype(x.dtype)


def one_minus_power(base: float | jax.Array, exponent: jax.Array) -> jax.Array:
    """1 − baseᵉ for e ≥ 1, whose digits a subtraction would lose while baseᵉ is near 1."""
    dtype = jnp.result_type(float)
    if isinstance(base, float):
        return -jnp.expm1(exponent.astype(dtype) * (math.log(base) if base else -math.inf))
    return _one_minus_power(base.astype(dtype), exponent)


@jax.custom_jvp
def _one_minus_power(base: jax.Array, exponent: jax.Array) -> jax.Array:
    """With the derivative −e baseᵉ⁻¹, also at 0, where the logarithm has none."""
    return -jnp.expm1(exponent.astype(base.dtype) * jnp.log(base))


@_one_minus_power.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    base, exponent = primals
    slope = -exponent.astype(base.dtype) * jax.lax.pow(base, exponent - 1)
    return _one_minus_power(base, exponent), slope * tangents[0]
