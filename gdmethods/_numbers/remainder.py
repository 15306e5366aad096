"""A float32 number as a bfloat16 number and the 16 bits that are missing from it.

bfloat16 is the upper half of float32. Let w be M rounded to bfloat16, with ties
away from zero. Then the remainder r fits an int16:

    bits(M) = 2¹⁶ bits(w) + r,    −2¹⁵ ≤ r < 2¹⁵

With ties to even r could be 2¹⁵. All is done on bits, since a compiler may drop
a cast to bfloat16 and back.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdmethods._numbers.bits import bits_of, float32_of

_OVERFLOW = 3.3961775e38
"""(2 − 2⁻⁸) 2¹²⁷: from here on float32 numbers round to bfloat16's infinity."""


@jax.custom_jvp
def join(w: jax.Array, remainder: jax.Array) -> jax.Array:
    """M, from w and r. Its derivative is that of w.

    If w is infinite, or w = 0 and r < 0, the bits together would be those of a
    NaN or of another number. There r counts as 0.
    """
    upper = bits_of(w, jnp.int16)
    magnitude = upper & 0x7FFF
    remainder = jnp.where(magnitude == 0, jnp.maximum(remainder, 0), remainder)
    remainder = jnp.where(magnitude == 0x7F80, 0, remainder)
    return float32_of((upper.astype(jnp.int32) << 16) + remainder.astype(jnp.int32))


@join.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    return join(*primals), tangents[0].astype(jnp.float32)


def remainder_of(m: jax.Array) -> jax.Array:
    """r of M."""
    return bits_of(m, jnp.int32).astype(jnp.int16)


def remainder_beside(m: jax.Array, w: jax.Array) -> jax.Array:
    """The r that brings a given w nearest to M: exactly, if w is M with ties away from zero.

    If w is M with ties to even, half of the ties need r = 2¹⁵, and end one unit
    in float32's last place off.
    """
    difference = bits_of(m, jnp.int32) - (bits_of(w, jnp.int16).astype(jnp.int32) << 16)
    return jnp.clip(difference, -(2**15), 2**15 - 1).astype(jnp.int16)


def bfloat16_of(m: jax.Array, remainder: jax.Array) -> jax.Array:
    """w, from M and its r."""
    upper = ((bits_of(m, jnp.int32) - remainder.astype(jnp.int32)) >> 16).astype(jnp.int16)
    w = jax.lax.bitcast_convert_type(upper, jnp.bfloat16)
    return jnp.where(jnp.isnan(m), m.astype(jnp.bfloat16), w)


@jax.custom_jvp
def update_to(m: jax.Array, remainder: jax.Array, w: jax.Array) -> jax.Array:
    """The float32 update that takes a weight w to M's w. Its derivative is that of M − w."""
    new = float32_of(bits_of(m, jnp.int32) - remainder.astype(jnp.int32))
    old = float32_of(bits_of(w, jnp.int16).astype(jnp.int32) << 16)
    # m + m: infinite, also if the weight is infinite already, where new − old would be NaN.
    return jnp.where(jnp.abs(m) < _OVERFLOW, new - old, m + m)


@update_to.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    return update_to(*primals), tangents[0] - tangents[2].astype(jnp.float32)
