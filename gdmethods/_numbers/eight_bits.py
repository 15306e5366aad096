"""Eight bits a number: floating point with 8 levels an octave, rounded stochastically.

A square v is stored by its fourth root. Adam's steps are 1 % too long with it,
where roundings of √v as far apart make them 3 % too long, and those of v itself
7 %. A byte has √v from 2⁻⁴⁰ to 2²³, and codes of their own for 0,
infinity and NaN.

A signed number m is stored relative to the root of the square beside it, as it
is stored. The ratio is what a step uses, and is bounded, so that it needs no
scale. NaN is left to the square.

A code is float32's bits without their last twenty, less those of the smallest
level. To add twenty random bits and to cut them off rounds up with the
probability of the part that is cut off. A level comes back whatever the noise.
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
"""Less than |m|/√v of the codes 127 and 255, which is 60."""

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
    """√v of what `square_code` stored, in float32."""
    k = codes.astype(jnp.uint32)
    k += jnp.where(k < _INFINITE, np.uint32(_BEFORE_FIRST), np.uint32(_TO_INFINITY))
    fourth_root = jnp.where(codes == 0, 0.0, float32_of(k << _CUT))
    return fourth_root * fourth_root


def square_code(v: jax.Array, noise: jax.Array | None = None) -> jax.Array:
    """The codes of v ≥ 0: never 0 unless v is, and the largest finite one for larger v.

    Arguments:
      v: squares, in float32.
      noise: 32 random bits each; without it, to the nearest code.
    """
    fourth_root = jnp.sqrt(jnp.sqrt(v))
    code = jnp.clip(_levels(bits_of(fourth_root), noise) - _BEFORE_FIRST, 1, TOP_SQUARE)
    code = jnp.where(fourth_root > 0, code, 0)
    code = jnp.where(fourth_root == jnp.inf, _INFINITE, code)
    return jnp.where(jnp.isnan(fourth_root), _NAN, code).astype(EIGHT_BITS)


def ratio_of(codes: jax.Array) -> jax.Array:
    """m/√v of what `ratio_code` stored, in float32.

    The levels are those of |m|/√v + 2⁻¹⁰, so that they reach 0 in even steps.
    """
    k = codes.astype(jnp.uint32)
    magnitude = float32_of(((k & TOP_RATIO) + np.uint32(_ZERO)) << _CUT) - _OFFSET
    return jnp.where(k < _SIGN, magnitude, -magnitude)


def ratio_code(ratio: jax.Array, noise: jax.Array | None = None) -> jax.Array:
    """The codes of m/√v; the largest one for what is larger.

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
