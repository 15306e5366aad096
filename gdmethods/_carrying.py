"""A state that another library's optimizer began: how its numbers come into a state of ours.

Each road ends here. The numbers of a slot are taken in float32 or wider, and
are stored as `tx` keeps them. A count that the other library does not keep is
asked for only where an update reads it.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.extend.core import Var

from gdmethods._lifting import at_least_float32, dtype_of
from gdmethods._slots import Kind, kinds
from gdmethods._trees import at_path

UNTOLD = object()
"""Stands in a state for a count that nothing told."""


def kept_slots(state: Any) -> list[str]:
    """The fields of a state that keep a number for each weight."""
    return [
        name
        for name, kind in kinds(state.__class__).items()
        if kind not in (Kind.COUNT, Kind.NUMBER) and getattr(state, name) is not None
    ]


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
                f"{name} of the state that came has {_shape(came, path)} {at_path(path)}, and tx "
                f"keeps {_shape(wanted, path)} for these parameters. Pass the parameters that "
                "the state was made for."
            )
    leaves = [jnp.asarray(x) for x in jax.tree.leaves(tree)]
    wide = [x.astype(jnp.promote_types(x.dtype, at_least_float32(x.dtype))) for x in leaves]
    return jax.tree.unflatten(jax.tree.structure(like), wide)


def _shape(shapes: Mapping[Any, Any], path: Any) -> str:
    return f"the shape {shapes[path]}" if path in shapes else "nothing"


def stored(state: Any, slots: Mapping[str, Any], count: Any) -> Any:
    """The state with these numbers in its slots, each in the dtype that it has there."""
    trees = {
        name: jax.tree.map(_stored, numbers, getattr(state, name))
        for name, numbers in slots.items()
    }
    return state._replace(**trees, **({"count": count} if "count" in state._fields else {}))


def _stored(x: jax.Array, like: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(x) and not jnp.iscomplexobj(like):  # as Optax keeps squared magnitudes
        if jnp.any(x.imag != 0):
            raise ValueError(
                "The state that came has squares of complex numbers, where tx keeps squared "
                "magnitudes. Start from tx.init(params)."
            )
        x = x.real
    return x.astype(dtype_of(like))


def with_count(
    tx: optax.GradientTransformation, params: optax.Params, state: Any, count: int | None
) -> Any:
    """The state with a number in the place of each untold count.

    Arguments:
      tx: the transformation that is to go on.
      params: the parameters.
      state: holds `UNTOLD` where a count is not known.
      count: updates so far; None for 0, which serves where no update reads it.

    Raises:
      ValueError: an update reads a count that nothing told.
    """
    told = [leaf is not UNTOLD for leaf in jax.tree.leaves(state)]
    if all(told):
        return state
    if count is None and _reads_count(tx, params, state, told):
        raise ValueError(
            "The updates of tx depend on their count, by a schedule for instance, and the state "
            "that came counts no steps. Pass count, the number of updates so far."
        )
    number = jnp.asarray(count or 0, jnp.int32)
    return jax.tree.map(lambda x: number if x is UNTOLD else x, state)


def _reads_count(tx: Any, params: Any, state: Any, told: list[bool]) -> bool:
    """Whether the updates, or what else is kept, depend on the untold counts."""
    leaves, structure = jax.tree.flatten(state)
    known = [leaf for leaf, is_told in zip(leaves, told, strict=True) if is_told]

    def step(count: Any, known: list[Any], params: Any) -> Any:
        rest = iter(known)
        state = jax.tree.unflatten(structure, [next(rest) if each else count for each in told])
        update = optax.with_extra_args_support(tx).update
        updates, state = update(params, state, params, value=0.0)
        new = zip(jax.tree.leaves(state), told, strict=True)
        return updates, [leaf for leaf, is_told in new if is_told]

    shapes = jax.eval_shape(lambda *trees: trees, jnp.int32(0), known, params)
    jaxpr = jax.make_jaxpr(step)(*shapes).jaxpr
    read = {atom for atom in jaxpr.outvars if isinstance(atom, Var)}
    for equation in reversed(jaxpr.eqns):
        if not read.isdisjoint(equation.outvars):
            read |= {atom for atom in equation.invars if isinstance(atom, Var)}
    return jaxpr.invars[0] in read
