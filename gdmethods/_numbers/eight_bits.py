"""Eight bits a number: floating point with 8 levels an octave, rounded stochastically.

A square v is stored as its fourth root. Adam's steps are then 1 % too long.
With levels of √v as far apart they would be 3 % too long, and with levels of v
7 %. A byte holds √v from 2⁻⁴⁰ to 2²³, and has codes for 0, infinity and NaN.

A signed number m is stored as its ratio to √v, the stored root of the square
beside it. A step uses this ratio. It is bounded, so that it needs no scale. It
has no code for NaN, since the square keeps it.

A code is the upper twelve bits of a float32 number, minus those of the smallest
level. Twenty random bits are added before the lower twenty are cut off. So a
number is rounded up with the probability of the part that is cut off, and a
level is never changed.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods._numbers.bits import bits_of, float32_of

EIGHT_BITS: jnp.dtype = jnp.dtype(jnp.uint8)

LEAST_ROOT = 2.0**-40
"""√v of code 1."""
LARGEST_ROOT = 9 * 2.0**20
"""√v of code 253; a larger gradient counts as this."""
LARGEST_RATIO = 59.0
"""A bound below 60, the |m|/√v of the codes 127 and 255."""

_CUT = 20  # of the 23 bits of float32's mantissa
_OCTAVE = 2 ** (23 - _CUT)
TOP_SQUARE, _INFINITE, _NAN = 253, 254, 255
TOP_RATIO, _SIGN = 0x7F, 0x80
_BEFORE_FIRST = (127 - 20) * _OCTAVE - 1  # code 1 is 2⁻²⁰
_TO_INFINITY = 255 * _OCTAVE - _INFINITE  # and on to NaN
_OFFSET = 2.0**-10
_ZERO = (127 - 10) * _OCTAVE  # code 0 is 2⁻¹⁰
_TO_NEAREST = np.uint32(2 ** (_CUT - 1))


def root_of(codes: jax.Array) -> jax.Array:
    """√v of the codes that `square_code` made, in float32."""
    k = codes.astype(jnp.uint32)
    k += jnp.where(k < _INFINITE, np.uint32(_BEFORE_FIRST), np.uint32(_TO_INFINITY))
    fourth_root = jnp.where(codes == 0, 0.0, float32_of(k << _CUT))
    return fourth_root * fourth_root


def square_code(v: jax.Array, noise: jax.Array | None = None) -> jax.Array:
    """The codes of v ≥ 0: 0 only if v is 0, and the largest finite code if v is too large.

    Arguments:
      v: squares, in float32.
      noise: 32 random bits for each; None rounds to the nearest code.
    """
    fourth_root = jnp.sqrt(jnp.sqrt(v))
    code = jnp.clip(_levels(bits_of(fourth_root), noise) - _BEFORE_FIRST, 1, TOP_SQUARE)
    code = jnp.where(fourth_root > 0, code, 0)
    code = jnp.where(fourth_root == jnp.inf, _INFINITE, code)
    return jnp.where(jnp.isnan(fourth_root), _NAN, code).astype(EIGHT_BITS)


def ratio_of(codes: jax.Array) -> jax.Array:
    """m/√v of the codes that `ratio_code` made, in float32.

    |m|/√v + 2⁻¹⁰ is rounded to floating point, so that the levels near 0 are
    evenly spaced.
    """
    k = codes.astype(jnp.uint32)
    magnitude = float32_of(((k & TOP_RATIO) + np.uint32(_ZERO)) << _CUT) - _OFFSET
    return jnp.where(k < _SIGN, magnitude, -magnitude)


def ratio_code(ratio: jax.Array, noise: jax.Array | None = None) -> jax.Array:
    """The codes of m/√v; the largest code for a larger ratio.

    Arguments:
      ratio: m/√v, in float32.
      noise: as in `square_code`.
    """
    bits = bits_of(ratio)  # read once: of a costly number with two readers a CPU keeps an array
    magnitude = float32_of(bits & np.uint32(0x7FFFFFFF))
    level = _levels(bits_of(magnitude + _OFFSET), noise) - _ZERO
    code = jnp.clip(level, 0, TOP_RATIO)
    return jnp.where(bits > np.uint32(0x80000000), code + _SIGN, code).astype(EIGHT_BITS)


def _levels(bits: jax.Array, noise: Any) -> jax.Array:
    noise = _TO_NEAREST if noise is None else noise >> (32 - _CUT)
    return jax.lax.bitcast_convert_type((bits + noise) >> _CUT, jnp.int32)
