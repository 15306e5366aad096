"""Ties: one result of a rule made to depend on another, so that XLA computes both in one pass.

A TPU's compiler puts several results into one kernel only if each of them leads to the weight in
the end; otherwise each kernel reads the arrays again. A CPU's compiler overwrites an array in
place only if the new values depend on its last reader; otherwise it copies the old values first.
"""

import jax
import jax.numpy as jnp

from gdmethods._numbers.bits import bits_of


def after(before: jax.Array, x: jax.Array) -> jax.Array:
    """x, computed after `before`. A NaN of `before` makes x NaN, or 0 if x is an integer."""
    if not jnp.issubdtype(before.dtype, jnp.inexact):  # a sign is never the least integer
        return jnp.where(before == jnp.iinfo(before.dtype).min, 0, x)
    nan = before.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else 0
    return jnp.where(jnp.isnan(before), nan, x)


@jax.jit  # for the same reason as in `lift`
def waiting_for(before: jax.Array, x: jax.Array) -> jax.Array:
    """x, computed after `before`: a condition on `before` never holds, but XLA cannot tell.

    Unlike with `after`, a NaN of `before` does not reach x. For wide integers and keys there is no
    such condition, and x is returned as it is.
    """
    if jnp.issubdtype(before.dtype, jnp.inexact):
        never = jnp.abs(before) < -1
    elif jnp.issubdtype(before.dtype, jnp.integer) and jnp.iinfo(before.dtype).bits < 32:
        never = before.astype(jnp.int32) > 2**16
    else:
        return x
    return jnp.where(never, jnp.zeros((), x.dtype), x)


def sign_after(slot: jax.Array, sign: jax.Array) -> jax.Array:
    """`sign` in its slot's precision, computed after the new `slot`."""
    return after(slot, sign.astype(jnp.int8)).astype(slot.dtype)


def made_once(x: jax.Array) -> jax.Array:
    """x. A CPU would otherwise compute it again for each result that uses it.

    On a CPU, XLA stores only costly values, such as quotients, and ignores barriers. Here it
    divides by a number whose value it does not know. LLVM sees that the number is 1, and removes
    the division.
    """
    same: jax.Array = jax.lax.platform_dependent(x, cpu=_divided, default=lambda x: x)
    return same


def _divided(x: jax.Array) -> jax.Array:
    bits = bits_of(x) if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.uint32)
    one = 1 + (bits >> 16 > 2**16).astype(x.dtype)
    return jax.lax.div(x, one)
