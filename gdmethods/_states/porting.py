"""How the numbers of another library's state come into ours.

The conversions from all libraries end here. A state is first filled with
numbers in float32 or wider, and then stored in the formats of `tx`. If the
other library keeps no count, the user must give it only if an update reads it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.extend.core import Var

from gdmethods._engine.states import kinds_of
from gdmethods._engine.trees import at_path
from gdmethods._numbers.dtypes import at_least_float32, promoted
from gdmethods._numbers.kinds import Kind
from gdmethods._states.conversion import convert_state

UNTOLD = object()
"""Stands in a state for an unknown count."""


def numbers(tree: Any, like: Any, name: str) -> Any:
    """The leaves of `tree` in float32 or wider, in the containers of `like`.

    Raises:
      ValueError: `tree` has other leaves, or other shapes.
    """
    came, wanted = (
        {path: jnp.shape(leaf) for path, leaf in jax.tree.leaves_with_path(each)}
        for each in (tree, like)
    )
    for path in wanted | came:
        if came.get(path) != wanted.get(path):
            raise ValueError(
                f"{name} of the given state has {_shape(came, path)} {at_path(path)}, but tx "
                f"keeps {_shape(wanted, path)} for these parameters. Pass the parameters that "
                "the state was made for."
            )
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    wide = [x.astype(promoted(x.dtype, at_least_float32(x.dtype))) for x in leaves]
    return jax.tree.unflatten(jax.tree.structure(like), wide)


def _shape(shapes: Mapping[Any, Any], path: Any) -> str:
    return f"the shape {shapes[path]}" if path in shapes else "nothing"


def filled(state: Any, slots: dict[str, Any], count: Any) -> Any:
    """The state with these numbers in its slots, and this count."""
    if count is not UNTOLD:
        count = jnp.asarray(count, jnp.int32)
    signs = {
        name: jax.tree.map(lambda sign: sign.astype(jnp.int8), tree)
        for name, tree in slots.items()
        if kinds_of(state)[name] is Kind.SIGN
    }
    return state._replace(count=count, **(slots | signs))


def finished(
    tx: optax.GradientTransformation, params: optax.Params, state: Any, count: int | None
) -> Any:
    """The state with its slots in the formats of `tx`, and a number for each count.

    Arguments:
      tx: the transformation that goes on.
      params: the parameters.
      state: with slots in float32 or wider, and `UNTOLD` for unknown counts.
      count: updates so far; None for 0, which is enough if no update reads it.

    Raises:
      ValueError: an update reads an unknown count.
    """
    untold = {path for path, leaf in jax.tree.leaves_with_path(state) if leaf is UNTOLD}
    number = jnp.asarray(count or 0, jnp.int32)
    state = jax.tree.map(lambda leaf: number if leaf is UNTOLD else leaf, state)
    state = convert_state(tx, params, state)
    if untold and count is None and _is_read(untold, tx, params, state):
        raise ValueError(
            "The updates of tx depend on their count (by a schedule, or noise), but the given "
            "state has no count. Pass count, the number of updates so far."
        )
    return _each_its_own(state)


def is_count(schedule_state: Any) -> bool:
    """Whether the state of an injected schedule is nothing but the count of updates."""
    return type(schedule_state).__name__ == "WrappedScheduleState"  # which Optax keeps private


def _each_its_own(state: Any) -> Any:
    """The state with no array twice, so that it can be donated."""
    seen: set[int] = set()

    def own(x: Any) -> Any:
        if id(x) in seen:
            return jnp.copy(x)
        seen.add(id(x))
        return x

    return jax.tree.map(own, state)


def _is_read(untold: set[Any], tx: Any, params: Any, state: Any) -> bool:
    """Whether the updates, or other leaves of the state, depend on the leaves at these paths."""
    flat: Any = jax.tree.flatten_with_path(state)
    (leaves, structure), update = flat, optax.with_extra_args_support(tx).update

    def step(count: Any, known: dict[Any, Any], params: Any) -> Any:
        state = [count if path in untold else known[i] for i, (path, _) in enumerate(leaves)]
        updates, new = update(params, jax.tree.unflatten(structure, state), params, value=0.0)
        return updates, [x for path, x in jax.tree.leaves_with_path(new) if path not in untold]

    known = {i: x for i, (path, x) in enumerate(leaves) if path not in untold}
    shapes = jax.eval_shape(lambda *trees: trees, jnp.int32(0), known, params)
    jaxpr = jax.make_jaxpr(step)(*shapes).jaxpr
    return 0 in _arguments_read(jaxpr, range(len(jaxpr.outvars)))


def _arguments_read(jaxpr: Any, results: Iterable[int]) -> set[int]:
    """The arguments, by place, that these results depend on, through jits and branches too."""
    read = {jaxpr.outvars[i] for i in results if isinstance(jaxpr.outvars[i], Var)}
    for equation in reversed(jaxpr.eqns):
        wanted = [i for i, var in enumerate(equation.outvars) if var in read]
        places: Iterable[int] = range(len(equation.invars)) if wanted else ()
        if wanted and equation.primitive.name == "jit":
            places = _arguments_read(equation.params["jaxpr"].jaxpr, wanted)
        if wanted and equation.primitive.name == "cond":  # the first argument selects a branch
            branches = (branch.jaxpr for branch in equation.params["branches"])
            read_by = set().union(*(_arguments_read(branch, wanted) for branch in branches))
            places = [0, *(1 + i for i in read_by)]
        read |= {equation.invars[i] for i in places if isinstance(equation.invars[i], Var)}
    return {i for i, var in enumerate(jaxpr.invars) if var in read}
