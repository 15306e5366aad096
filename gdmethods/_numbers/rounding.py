"""Stochastic rounding of float32 to bfloat16, without a key.

A number is rounded to one of its two neighbours: to the one farther from zero
with the probability of the part that is cut off. So its mean is the number
itself, and small changes add up. Rounding to nearest loses them.

The noise is a hash of numbers that the step already has: the gradient, the
weight, the old stored value and the count. So the rounding of a weight does not
depend on its place in a leaf, its leaf, its device, or whether the run was
resumed. Each number is first rounded to bfloat16, because the last digit of a
float32 number depends on how a step was compiled. Such a digit then changes the
noise of only one weight in 65,000.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods._numbers.bits import bits_of, float32_of


def noise(
    count: jax.Array, slot: int, gradient: jax.Array, weight: Any = None, stored: Any = None
) -> jax.Array:
    """32 random bits for each weight; the upper bits are the best.

    The count draws a function h(x) = a x + b mod 2³² with a odd, which hashes x
    (Dietzfelbinger's multiply-add-shift). So the bits of one weight are uniform
    over the steps, and the bits of two weights with different x are
    independent. There is one exception: two x that differ only in one of their
    highest bits. If one gradient is 2⁶⁴ times the other, the correlation is
    −1/32. There is only one multiplication, since TPUs are slow at them. x has
    no signs, so that a run with all signs turned is the mirror image.

    Arguments:
      count: the number of the step; an integer, shape ().
      slot: distinguishes the slots that are rounded in the same step.
      gradient, weight, stored: real or complex arrays; weight and stored may be
        None.
    """
    x = _magnitude(gradient) ^ np.uint32(slot * 0x9E3779B9 % 2**32)
    if weight is not None:  # into the lower half, which is 0 in the gradient
        x ^= _rotated(_magnitude(weight))
    if stored is not None:  # x ^ x >> 3 is one to one, should it equal the gradient
        x ^= _magnitude(stored) >> 3
    a, b = _drawn(count)
    return x * a + b


def _drawn(count: jax.Array) -> tuple[jax.Array, jax.Array]:
    a = _scrambled(count.astype(jnp.uint32) * np.uint32(0x9E3779B9))
    return a | 1, _scrambled(a + np.uint32(0x6A09E667))


def _scrambled(x: jax.Array) -> jax.Array:
    """The finaliser of MurmurHash3: one to one, and each bit depends on every bit of x."""
    x = (x ^ x >> 16) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * np.uint32(0xC2B2AE35)
    return x ^ x >> 16


def _magnitude(x: jax.Array) -> jax.Array:
    """The bits of |x| in bfloat16, then 16 zeros; for a complex number, both parts combined."""
    if jnp.iscomplexobj(x):
        return _magnitude(x.real) ^ _rotated(_magnitude(x.imag))
    return bits_of(x.astype(jnp.float32)) + np.uint32(0x8000) & np.uint32(0x7FFF0000)


def _rotated(bits: jax.Array) -> jax.Array:
    """Rotated by an odd number of places, so that x ^ rotated x is nearly one to one."""
    return bits << 17 | bits >> 15


@jax.custom_jvp
def rounded(x: jax.Array, noise: jax.Array) -> jax.Array:
    """x in float32, rounded stochastically to one of bfloat16's numbers.

    bfloat16 is the upper half of float32. So 16 random bits are added, and the
    lower 16 are cut off. bfloat16's own numbers, infinities and NaN stay as
    they are. Derivatives pass straight through.
    """
    up_or_down = (bits_of(x) + (noise >> 16)) & np.uint32(0xFFFF0000)
    return jnp.where(jnp.isnan(x), x, float32_of(up_or_down))


@rounded.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    return rounded(*primals), tangents[0]
