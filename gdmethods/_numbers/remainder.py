"""A float32 number as a bfloat16 one and the 16 bits that this one lacks.

bfloat16 is the upper half of float32. With w the rounding of M to bfloat16,
ties away from zero, the rest of the bits is an int16:

    bits(M) = 2¹⁶ bits(w) + r,    −2¹⁵ ≤ r < 2¹⁵

Ties to even would ask for r = 2¹⁵. All is done on bits, since a compiler may
leave out a pair of casts, there and back.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdmethods._numbers.bits import bits_of, float32_of

_OVERFLOW = 3.3961775e38
"""(2 − 2⁻⁸) 2¹²⁷: from here on bfloat16 has only infinity; float32 goes on to 3.4028e38."""


@jax.custom_jvp
def join(w: jax.Array, remainder: jax.Array) -> jax.Array:
    """M, from w and r; as a derivative, w.

    Beside an infinity, and r < 0 beside a zero, both together are the bits of
    another number or of a NaN: r counts as 0 there.
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
    """The r with which a given w comes nearest to M: to the last bit, if w is M rounded.

    Half of the ties to even ask for 2¹⁵, and are one unit of float32 off.
    """
    difference = bits_of(m, jnp.int32) - (bits_of(w, jnp.int16).astype(jnp.int32) << 16)
    return jnp.clip(difference, -(2**15), 2**15 - 1).astype(jnp.int16)


def bfloat16_of(m: jax.Array, remainder: jax.Array) -> jax.Array:
    """w of M, whose r is known."""
    upper = ((bits_of(m, jnp.int32) - remainder.astype(jnp.int32)) >> 16).astype(jnp.int16)
    w = jax.lax.bitcast_convert_type(upper, jnp.bfloat16)
    return jnp.where(jnp.isnan(m), m.astype(jnp.bfloat16), w)


@jax.custom_jvp
def update_to(m: jax.Array, remainder: jax.Array, w: jax.Array) -> jax.Array:
    """What takes the weight w to that of M, in float32; as a derivative, M − w."""
    new = float32_of(bits_of(m, jnp.int32) - remainder.astype(jnp.int32))
    old = float32_of(bits_of(w, jnp.int16).astype(jnp.int32) << 16)
    # Else it is infinite, and not NaN where the weight is infinite, too; or NaN.
    return jnp.where(jnp.abs(m) < _OVERFLOW, new - old, m + m)


@update_to.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    return update_to(*primals), tangents[0] - tangents[2].astype(jnp.float32)
