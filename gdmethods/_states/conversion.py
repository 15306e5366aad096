"""States in another format: as float32 numbers, or for another configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.slots import is_accumulator
from gdmethods._engine.states import (
    is_state,
    kinds_of,
    map_states,
    require_restored,
    slots_of,
    states_in,
)
from gdmethods._engine.transformations import transformation_first
from gdmethods._engine.trees import at_path
from gdmethods._numbers.formats import converted_slots, read_slots
from gdmethods._wrappers.masters import Float32MasterState, in_form_of


def read_state(state: optax.OptState) -> optax.OptState:
    """The same state with its narrow slots in float32, to look at.

    Arguments:
      state: of a method of gdmethods, alone or within chains and wrappers.

    Returns:
      A tree of the same structure. Wider slots, and states of other libraries,
      are unchanged.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adam(0.1, accumulator_dtype=jnp.bfloat16)
      >>> w = jnp.array([1.0, 2.0])
      >>> _, state = tx.update(w, tx.init(w), w)
      >>> state.mu.dtype, gdmethods.read_state(state).mu.dtype
      (dtype(bfloat16), dtype('float32'))

    Elsewhere: Optax has none.
    """
    require_restored(state)
    return jax.tree.map(lambda x: _read(x) if is_state(x) else x, state, is_leaf=is_state)


def _read(state: Any) -> Any:
    return _by_leaf(read_slots, state)


def _by_leaf(convert: Callable[..., dict[str, Any]], state: Any, *others: Any) -> Any:
    """The state with the slots of each leaf converted together, since one may need another."""
    names = list(slots_of(state))
    columns = [[jax.tree.leaves(getattr(x, n)) for n in names] for x in (state, *others)]
    rows = [
        convert(*(dict(zip(names, row, strict=True)) for row in leaf), kinds_of(state))
        for leaf in zip(*(zip(*column, strict=True) for column in columns), strict=True)
    ]
    structures = {name: jax.tree.structure(getattr(state, name)) for name in names}
    return state._replace(
        **{
            name: jax.tree.unflatten(structure, [row[name] for row in rows])
            for name, structure in structures.items()
        }
    )


def convert_state(
    tx: optax.GradientTransformation, params: optax.Params, state: optax.OptState
) -> optax.OptState:
    """The state in the formats of `tx`, from another `accumulator_dtype`.

    A float32 run can go on with narrow accumulators, and a narrow one with
    float32. Each number is rounded to the nearest of the new format. A run of
    `with_float32_master` can switch to `remainder=False` and back. A run of
    `with_stochastic_rounding` can switch between float32 and bfloat16
    parameters: cast the parameters first.

    Arguments:
      tx: the transformation that goes on. It may differ from the one that made
        the state only in `accumulator_dtype` and `remainder`.
      params: the parameters with which it goes on; a `jax.ShapeDtypeStruct` in
        place of each is enough if `remainder` stays the same.
      state: the state.

    Returns:
      A state like `tx.init(params)`. Arrays that need no change are not copied.

    Raises:
      TypeError: `tx` is no transformation, or keeps another state.
      ValueError: the state was made for other parameters.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> w = jnp.array([1.0, 2.0])
      >>> tx = gdmethods.adam(0.1)
      >>> _, state = tx.update(w, tx.init(w), w)
      >>> tx = gdmethods.adam(0.1, accumulator_dtype=jnp.bfloat16)
      >>> state = gdmethods.convert_state(tx, w, state)
      >>> _, state = tx.update(w, state, w)
      >>> state.mu.dtype, int(state.count)
      (dtype(bfloat16), 2)

    Elsewhere: Optax has none.
    """
    for swapped in filter(is_state, jax.tree.leaves(params, is_leaf=is_state)):
        raise TypeError(
            f"params holds a {type(swapped).__name__}. The arguments are in the wrong order: "
            "write convert_state(tx, params, state)."
        )
    like = jax.eval_shape(transformation_first("convert_state", tx, params).init, params)
    require_restored(state)
    state = _with_masters_like(like, state, params)
    flat: list[Any] = [jax.tree.flatten(tree) for tree in (state, like)]
    (leaves, structure), (models, model_structure) = flat
    if structure != model_structure:
        raise TypeError(
            f"The state is {_named(state)}, but this transformation keeps {_named(like)}. "
            "convert_state only changes how slots are stored: build tx with the arguments that "
            "the state was made with, except accumulator_dtype."
        )
    paths = [path for path, _ in jax.tree.leaves_with_path(like)]
    for leaf, model, path in zip(leaves, models, paths, strict=True):
        _require_convertible(leaf, model, path)
    return jax.tree.map(_converted, state, like, is_leaf=is_state)


def _named(state: Any) -> str:
    """The parts of a state, for a message."""
    nodes: list[Any] = []

    def is_named(node: Any) -> bool:
        if hasattr(node, "_fields"):
            nodes.append(node)
        return False

    jax.tree.leaves(state, is_leaf=is_named)
    described = (
        f"{type(node).__name__}({', '.join(slots_of(node))})"
        if is_state(node)
        else type(node).__name__
        for node in nodes
    )
    return ", ".join(described) or f"a {type(state).__name__} of other parameters"


def _converted(x: Any, like: Any) -> Any:
    if is_state(x):
        return _by_leaf(converted_slots, x, like)
    return x if x.dtype == like.dtype else x.astype(like.dtype)


def _with_masters_like(like: Any, state: Any, params: Any) -> Any:
    structures: list[Any] = [
        jax.tree.structure(map_states(lambda _: 0, each, Float32MasterState))
        for each in (state, like)
    ]
    if structures[0] != structures[1]:
        return state  # convert_state then reports the difference
    models = iter(states_in(like, Float32MasterState))
    return map_states(
        lambda node: in_form_of(next(models), node, params), state, Float32MasterState
    )


def _require_convertible(x: Any, like: Any, path: Any) -> None:
    if jnp.shape(x) != like.shape:
        raise ValueError(
            f"The state was made for other parameters: the shape {at_path(path)} is "
            f"{jnp.shape(x)}, and this transformation keeps {like.shape}."
        )
    both = jnp.iscomplexobj(x) == jnp.issubdtype(like.dtype, jnp.complexfloating)
    stored = is_accumulator(x.dtype) and is_accumulator(like.dtype)
    if x.dtype != like.dtype and not (stored and both):
        raise TypeError(
            f"The leaf of the state {at_path(path)} is {x.dtype}, and this transformation keeps "
            f"{like.dtype}. Pass the state of another accumulator_dtype."
        )
