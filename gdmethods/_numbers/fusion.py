"""Ties: one result of a rule made to depend on another, so that XLA computes both in one pass.

A TPU's compiler puts several results into one kernel only if each of them leads to the weight in
the end; otherwise each kernel reads the arrays again. A CPU's overwrites an array in place only if
the new values depend on its last reader; otherwise it copies the old ones first.
"""

import jax
import jax.numpy as jnp

from gdmethods._numbers.bits import bits_of


def after(before: jax.Array, x: jax.Array) -> jax.Array:
    """x, computed after `before`: NaN goes on from number to number, and is 0 as a sign."""
    if not jnp.issubdtype(before.dtype, jnp.inexact):  # a sign, which is never that
        return jnp.where(before == jnp.iinfo(before.dtype).min, 0, x)
    nan = before.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else 0
    return jnp.where(jnp.isnan(before), nan, x)


@jax.jit  # for the same reason as in `lift`
def waiting_for(before: jax.Array, x: jax.Array) -> jax.Array:
    """x, computed after `before`, by a condition that never holds, which XLA does not know.

    Where NaN must not go on as `after` lets it. Wide integers and keys have no such condition.
    """
    if jnp.issubdtype(before.dtype, jnp.inexact):
        never = jnp.abs(before) < -1
    elif jnp.issubdtype(before.dtype, jnp.integer) and jnp.iinfo(before.dtype).bits < 32:
        never = before.astype(jnp.int32) > 2**16
    else:
        return x
    return jnp.where(never, jnp.zeros((), x.dtype), x)


def sign_after(slot: jax.Array, sign: jax.Array) -> jax.Array:
    """`sign` as its slot keeps it, after the new `slot` that its old values decide."""
    return after(slot, sign.astype(jnp.int8)).astype(slot.dtype)


def made_once(x: jax.Array) -> jax.Array:
    """x, which a CPU would compute again for each result that follows from it.

    XLA of jax 0.10 keeps there only what is costly, as divisions are, and does not see a barrier.
    This one divides by 1, which LLVM sees, and XLA does not.
    """
    same: jax.Array = jax.lax.platform_dependent(x, cpu=_divided, default=lambda x: x)
    return same


def _divided(x: jax.Array) -> jax.Array:
    bits = bits_of(x) if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.uint32)
    one = 1 + (bits >> 16 > 2**16).astype(x.dtype)
    return jax.lax.div(x, one)
