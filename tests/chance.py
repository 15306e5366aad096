"""Small transformations that round stochastically, in ways that are sound or not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax


class Rounded(NamedTuple):
    count: Any
    velocity: Any


def noise(*arrays: Any) -> Any:
    """16 bits for each element, which depend on the bits of all arrays alone."""
    mixed = jnp.uint32(0x9E3779B9)
    for x in arrays:
        x = jnp.asarray(x)
        bits = x if x.dtype == jnp.int32 else jax.lax.bitcast_convert_type(x, jnp.uint32)
        mixed = (mixed ^ bits.astype(jnp.uint32)) * jnp.uint32(0x85EBCA6B)
        mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)
        mixed = mixed ^ (mixed >> 16)
    return mixed >> 16


def by_chance(x: Any, bits: Any) -> Any:
    """To one of the bfloat16 numbers beside it, the nearer the more often."""
    raised = jax.lax.bitcast_convert_type(x, jnp.uint32) + bits
    return jax.lax.bitcast_convert_type(raised & jnp.uint32(0xFFFF0000), jnp.float32)


def momentum(
    rounded: Callable[[Any, Any], Any] = by_chance, decay: float = 0.99, dtype: Any = jnp.bfloat16
) -> optax.GradientTransformationExtraArgs:
    """Momentum with a bfloat16 velocity, rounded as `rounded` does with 16 bits of noise."""

    def init(params: Any) -> Rounded:
        return Rounded(jnp.int32(0), jax.tree.map(lambda w: jnp.zeros_like(w, dtype), params))

    def update(updates: Any, state: Rounded, params: Any, **extra_args: Any) -> Any:
        if any(map(jnp.iscomplexobj, jax.tree.leaves(params))):
            raise TypeError("a complex weight is not rounded")

        def following(v: Any, g: Any) -> Any:
            return decay * v.astype(jnp.float32) + g.astype(jnp.float32)

        def stored(v: Any, g: Any, w: Any) -> Any:
            bits = noise(*(x.astype(jnp.float32) for x in (v, g, w)), state.count)
            return rounded(following(v, g), bits).astype(v.dtype)

        moves = jax.tree.map(
            lambda v, g, w: (-0.01 * following(v, g)).astype(w.dtype),
            state.velocity,
            updates,
            params,
        )
        velocity = jax.tree.map(stored, state.velocity, updates, params)
        return moves, Rounded(optax.safe_increment(state.count), velocity)

    return optax.GradientTransformationExtraArgs(init, update)


def wide_momentum() -> optax.GradientTransformationExtraArgs:
    """The same rule with a float32 velocity."""
    return momentum(lambda x, bits: x, dtype=jnp.float32)


class Counted(NamedTuple):
    count: Any
    inner: Any


def weights_by_chance(
    inner: optax.GradientTransformation, *, counted: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Takes bfloat16 weights to one of the numbers beside their sums, by float32 updates.

    Unless the noise depends on the count, a weight that its update does not move
    meets the same noise again, and stays for ever.
    """
    inner = optax.with_extra_args_support(inner)

    def wide(tree: Any) -> Any:
        narrow = jnp.bfloat16, jnp.float16
        return jax.tree.map(lambda w: w.astype(jnp.float32) if w.dtype in narrow else w, tree)

    def update(updates: Any, state: Counted, params: Any, **extra_args: Any) -> Any:
        moves, following = inner.update(wide(updates), state.inner, wide(params), **extra_args)
        count = state.count if counted else jnp.int32(0)

        def move(u: Any, w: Any, g: Any) -> Any:
            if w.dtype != jnp.bfloat16:
                return u
            w, g = w.astype(jnp.float32), g.astype(jnp.float32)
            return by_chance(w + u, noise(w, u, g, count)) - w

        moves = jax.tree.map(move, moves, params, updates)
        return moves, Counted(optax.safe_increment(state.count), following)

    return optax.GradientTransformationExtraArgs(
        lambda params: Counted(jnp.int32(0), inner.init(wide(params))), update
    )


def independent(weights: Any) -> float:
    """How many weights of noise their own have a sum that is as noisy, without gradients.

    Those that are equal in bfloat16 but for the sign share their noise: 1/Σp², p the share of each
    number of bfloat16.
    """
    shares = np.unique(np.abs(np.asarray(weights, ml_dtypes.bfloat16)), return_counts=True)[1]
    return float(np.sum(shares) ** 2 / np.sum(shares**2))
