"""Stochastic rounding of float32 to bfloat16, without a key.

A number is rounded to one of its two neighbours, to the upper one with the
probability of the part that is cut off. So the rounded number has the mean of
the number itself, and small changes add up, which rounding to nearest loses.

The noise is a hash of numbers that the step already has: of the gradient, of
the weight, of the old stored value, and of the count. Weights at other places
of a leaf, in other leaves, on other devices or in a resumed run therefore round
alike. Each number counts as the nearest one of bfloat16, because the last digit
of a float32 number depends on how a step was compiled. Such a digit changes the
noise of one weight in 65,000.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods._numbers.bits import bits_of, float32_of


def noise(
    count: jax.Array, slot: int, gradient: jax.Array, weight: Any = None, stored: Any = None
) -> jax.Array:
    """32 random bits for each weight, of which the upper ones are the best.

    The count draws a function h(x) = a x + b mod 2³², a odd, and x is hashed by
    it. So the bits of one weight are uniform over the steps, and those of two
    weights with different x independent, each pair of them (Dietzfelbinger's
    multiply-add-shift), but for x that differ in one of their highest bits alone: of
    gradients of which one is 2⁶⁴ times the other they have a correlation of −1/32.
    It is one multiplication, which is what TPUs are slow at. Signs are left out of x,
    so that the mirrored run is the mirror image.

    Arguments:
      count: of the step; an integer, shape ().
      slot: tells apart what is rounded in the same step.
      gradient, weight, stored: real or complex arrays; None for one that there
        is not.
    """
    x = _magnitude(gradient) ^ np.uint32(slot * 0x9E3779B9 % 2**32)
    if weight is not None:  # in the lower half, where the gradient has nothing
        x ^= _rotated(_magnitude(weight))
    if stored is not None:  # x ^ x >> 3 is one to one, as where it equals the gradient
        x ^= _magnitude(stored) >> 3
    a, b = _drawn(count)
    return x * a + b


def _drawn(count: jax.Array) -> tuple[jax.Array, jax.Array]:
    a = _scrambled(count.astype(jnp.uint32) * np.uint32(0x9E3779B9))
    return a | 1, _scrambled(a + np.uint32(0x6A09E667))


def _scrambled(x: jax.Array) -> jax.Array:
    """The finaliser of MurmurHash3: one to one, and each bit depends on each."""
    x = (x ^ x >> 16) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * np.uint32(0xC2B2AE35)
    return x ^ x >> 16


def _magnitude(x: jax.Array) -> jax.Array:
    """The bits of |x| in bfloat16, above 16 zeros; of a complex number those of both parts."""
    if jnp.iscomplexobj(x):
        return _magnitude(x.real) ^ _rotated(_magnitude(x.imag))
    return bits_of(x.astype(jnp.float32)) + np.uint32(0x8000) & np.uint32(0x7FFF0000)


def _rotated(bits: jax.Array) -> jax.Array:
    """By an odd number of places, so that x ^ rotated x is nearly one to one."""
    return bits << 17 | bits >> 15


@jax.custom_jvp
def rounded(x: jax.Array, noise: jax.Array) -> jax.Array:
    """x in float32, rounded stochastically to a number that bfloat16 has.

    bfloat16 is the upper half of float32, so that rounding is to add 16 random
    bits and to cut 16 off. What has no lower half stays, and so do infinities
    and NaN. Derivatives pass straight through.
    """
    up_or_down = (bits_of(x) + (noise >> 16)) & np.uint32(0xFFFF0000)
    return jnp.where(jnp.isnan(x), x, float32_of(up_or_down))


@rounded.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    return rounded(*primals), tangents[0]
