"""Float32 masters of narrow weights: what a state keeps of each, and how to get it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.states import serializable
from gdmethods._engine.trees import Path, at_path, by_path
from gdmethods._numbers.remainder import join, remainder_beside
from gdmethods._wrappers.narrow_weights import weights_state


@weights_state
@serializable
class Float32MasterState(NamedTuple):
    """State of `with_float32_master`.

    Each weight has a leaf in one of the two trees, or in none if it is no
    narrower than float32; `optax.MaskedNode()` stands where there is none.

    Attributes:
      remainder: the lower halves of float32 masters, of which bfloat16 weights
        are the upper halves; int16.
      master: whole masters of float16 weights, and of all narrow weights with
        `remainder=False`; float32.
      inner_state: of the wrapped transformation, made for the float32 weights.
    """

    remainder: optax.Params
    master: optax.Params
    inner_state: optax.OptState


def kept_of(state: Float32MasterState) -> dict[Path, jax.Array]:
    """What is kept of each master, its remainder or all of it, by the path of the weight."""
    return by_path(state.remainder) | by_path(state.master)


def with_kept(state: Float32MasterState, kept: Mapping[Path, jax.Array]) -> Float32MasterState:
    """The state with these instead of its own."""
    remainder, master = (
        jax.tree.map_with_path(lambda path, _: kept[path], tree)
        for tree in (state.remainder, state.master)
    )
    return state._replace(remainder=remainder, master=master)


def masters_of(params: optax.Params, kept: Mapping[Path, jax.Array]) -> optax.Params:
    """The parameters, with its master in the place of each weight that has one."""
    return jax.tree.map_with_path(
        lambda path, w: _master(w, kept[path]) if path in kept else w, params
    )


def in_form_of(
    like: Float32MasterState, state: Float32MasterState, params: optax.Params
) -> Float32MasterState:
    """The state with remainders and whole masters where `like` has them."""
    kept, weights = kept_of(state), by_path(params)

    def converted(path: Path, model: Any) -> jax.Array:
        x, w = kept[path], weights[path]
        if x.dtype == model.dtype:
            return x
        if isinstance(w, jax.ShapeDtypeStruct):
            raise TypeError(
                f"The parameter {at_path(path)} is a jax.ShapeDtypeStruct, and a remainder is "
                "relative to its weight: pass convert_state the parameters."
            )
        return _master(w, x) if x.dtype == jnp.int16 else remainder_beside(x, w)

    if kept.keys() != kept_of(like).keys() or not kept.keys() <= weights.keys():
        raise ValueError("The state was made for other parameters, or for other dtypes of them.")
    remainder, master = (
        jax.tree.map_with_path(converted, tree) for tree in (like.remainder, like.master)
    )
    return Float32MasterState(remainder, master, state.inner_state)


# An inner jit for the same reason as in `lift`.
@jax.jit
def _master(w: jax.Array, kept: jax.Array) -> jax.Array:
    return join(w, kept) if kept.dtype == jnp.int16 else kept


_KEPT = {"int16": "the remainder of a master", "float32": "a whole master"}


def require_kept(
    kept: Mapping[Path, jax.Array], params: optax.Params, dtype_kept: Callable[[Any], Any]
) -> None:
    """Refuses a state that was made for other parameters, or for other dtypes of them."""
    weights = by_path(params)
    for path in kept.keys() - weights.keys():
        raise ValueError(
            f"The state was made for other parameters: it keeps a master {at_path(path)}, and "
            "there is no parameter. Pass update the state that tx.init(params), or the update "
            "before, returned for these parameters."
        )
    for path, w in weights.items():
        came, expected = kept.get(path), dtype_kept(w)
        if expected is None and came is None:
            continue
        where = f"{at_path(path)}, where the parameter is {jnp.result_type(w)}"
        if came is None:
            raise TypeError(
                f"The state keeps no master {where}. Call init with the parameters in the dtypes "
                "that are trained."
            )
        if expected is None:
            raise TypeError(
                f"The state keeps a master {where}. Add updates by optax.apply_updates(params, "
                "updates), since w + u changes the parameters' dtypes. In Equinox, apply it to "
                "the arrays alone: params, rest = eqx.partition(model, eqx.is_inexact_array)."
            )
        if came.dtype != expected:
            raise TypeError(
                f"The state keeps {_KEPT[came.dtype.name]} {where}, and this transformation "
                f"{_KEPT[jnp.dtype(expected).name]}. Pass gdmethods.convert_state(tx, params, "
                "state), or give with_float32_master the remainder that it had."
            )
        if came.shape != jnp.shape(w):
            raise ValueError(
                f"The state was made for other parameters: it keeps a master of shape "
                f"{came.shape} {at_path(path)} for a parameter of {jnp.shape(w)}."
            )
