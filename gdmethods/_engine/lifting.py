"""A rule of one weight, lifted to a tree of weights.

Every method of this library is a *rule*: a plain function of arrays that holds
the paper's lines in the paper's order, and takes a gradient and the slots of
its state to a displacement and the new slots. `lift` runs it over the leaves:
it compares trees and shapes, computes in float32 or wider (wider where the
gradient is), and rounds once, when a displacement goes back to its parameter's
dtype and a slot to its own.

A rule says where a slot is stored, as in `m = keep.mu(b1 * m + (1 - b1) * g)`.
Where its format has fewer digits than the rule computes with, `keep` returns a
number that the format has, and the displacement follows from that.
"""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.trees import at_path, misfit
from gdmethods._numbers.dtypes import at_least_float32, dtype_of
from gdmethods._numbers.eight_bits import EIGHT_BITS
from gdmethods._numbers.formats import Keeper, Seed, limited, needs_seed
from gdmethods._numbers.fusion import after
from gdmethods._numbers.kinds import Kind

Rule = jax.tree_util.Partial
"""`rule(gradient, keep, *slots)` → `(displacement, *slots)`, elementwise: a function at module
level, so that all that bind it share their traces, with its scalars bound by name."""

NOT_KEPT = 0.0
"""What a rule reads from a slot that its state does not keep: the zero it would start from."""


_ARRAYS = (jax.Array, np.ndarray, np.generic)


def lift(
    rule: Rule,
    gradients: optax.Updates,
    slots: Mapping[str, optax.Updates | None],
    kinds: Mapping[str, Kind],
    params: optax.Params | None,
    count: jax.Array,
    mask: Any = False,
    given: optax.Params | None = None,
) -> tuple[Any, ...]:
    """Runs `rule` over every leaf: to the tree of displacements, and those of the new slots.

    Arguments:
      rule: arrays among its scalars are inputs of the compiled step, all else
        its constants.
      gradients: a tree like the parameters.
      slots: the state's trees in the rule's order, None for one that is not
        kept and stays so.
      kinds: of the slots.
      params: lends the displacements its dtypes; without it they take the
        gradients'.
      count: of this update; narrow slots are rounded by it.
      mask: the weights that the rule is to see as its keyword `w`; a bool for
        all, or a tree of them that is like the parameters or a prefix of it.
      given: the parameters as the user gave them, for a message.

    Raises:
      ValueError: trees or shapes differ.
      TypeError: a gradient is complex where its parameter is real.
    """
    structure: Any
    leaves, structure = jax.tree.flatten(gradients)
    shapes = list(map(np.shape, leaves))

    def column(tree: Any) -> list[Any]:
        others, other_structure = jax.tree.flatten(tree)
        if other_structure != structure or list(map(np.shape, others)) != shapes:
            kept = {name: slot for name, slot in slots.items() if slot is not None}
            raise ValueError(misfit(gradients, given, kept))
        return others

    models = leaves if params is None else column(params)
    dtypes = list(map(dtype_of, models))
    _require_real(gradients, dtypes)
    columns = [[None] * len(leaves) if slot is None else column(slot) for slot in slots.values()]
    flags = [mask] * len(leaves) if isinstance(mask, bool) else _flags(mask, gradients)
    seen = [{"w": w} if sees else {} for w, sees in zip(models, flags, strict=True)]
    seeds = [
        Seed(count, None if params is None else w) if needs_seed(row) else None
        for w, *row in zip(models, *columns, strict=True)
    ]
    scalars, form = jax.tree.flatten(rule)
    arrays = jax.tree.leaves((leaves, columns, scalars))
    traced = any(isinstance(x, jax.core.Tracer) for x in arrays)
    inputs = [x if isinstance(x, _ARRAYS) else None if traced else _number(x) for x in scalars]
    constants = tuple(x if i is None else type(x) for x, i in zip(scalars, inputs, strict=True))

    named_kinds = tuple((name, kinds[name]) for name in slots)
    static = {"kinds": named_kinds, "form": form, "constants": constants}
    with contextlib.nullcontext() if traced else jax.enable_x64(True):
        rows = [
            _on_leaf(leaf, row, w, seed, inputs, dtype=dtype, **static)
            for leaf, dtype, w, seed, *row in zip(
                leaves, dtypes, seen, seeds, *columns, strict=True
            )
        ]
    displacements, *new = zip(*rows, strict=True) if rows else [()] * (1 + len(slots))
    return jax.tree.unflatten(structure, displacements), *(
        None if slot is None else jax.tree.unflatten(structure, column)
        for slot, column in zip(slots.values(), new, strict=True)
    )


# Outside of jit, Python's numbers are inputs, so that another learning rate compiles nothing. They
# keep their 64 bits until they meet an array, as constants do: 1 − β₂ has all its digits. 0 and 1
# stay constants, since they are how a rule goes without a term.
@functools.lru_cache(typed=True)
def _number(x: Any) -> jax.Array | None:
    if type(x) is not float or x in (0.0, 1.0):
        return None
    with jax.enable_x64(True):
        return jnp.asarray(x)


# An inner jit, because JAX then traces and lowers a rule once for all leaves of one shape and
# dtype: a thousand leaves cost a thousand calls, not a thousand traces. Outside of jit it also
# makes an update one fused kernel a leaf.
@functools.partial(jax.jit, static_argnames=("dtype", "kinds", "form", "constants"))
def _on_leaf(
    gradient: jax.Array,
    slots: list[jax.Array | None],
    w: dict[str, jax.Array],
    seed: Seed | None,
    inputs: list[jax.Array | None],
    *,
    dtype: jnp.dtype,
    kinds: tuple[tuple[str, Kind], ...],
    form: Any,
    constants: tuple[Any, ...],
) -> tuple[jax.Array | None, ...]:
    def widest(*arrays: jax.Array | None) -> jnp.dtype:
        dtypes = [x.dtype for x in arrays if x is not None]
        floats = [x for x in dtypes if jnp.issubdtype(x, jnp.inexact)]
        return functools.reduce(jnp.promote_types, map(at_least_float32, [dtype, *floats]))

    real = widest(*slots)

    def widen(x: jax.Array, to: jnp.dtype = real) -> jax.Array:
        return x.astype(jnp.promote_types(to, jnp.complex64) if jnp.iscomplexobj(x) else to)

    scalars = [
        c if x is None else x if c is float else widen(x)
        for c, x in zip(constants, inputs, strict=True)
    ]
    named = {name: x for (name, _), x in zip(kinds, slots, strict=True)}
    keep = Keeper(named, dict(kinds), gradient, seed)
    displacement, *new = jax.tree.unflatten(form, scalars)(
        limited(widen(gradient, widest(gradient, *slots)), named, dict(kinds)),
        keep,
        *(NOT_KEPT if x is None else widen(x) for x in keep.numbers.values()),
        **jax.tree.map(widen, w),
    )
    kept = list(map(keep.stored, named, new))
    displacement = displacement.astype(dtype)
    tieable = [x for x in kept if x is not None and x.dtype != EIGHT_BITS]
    for last in tieable[-1:]:  # the others lead to it, or to this one
        displacement = after(last, displacement)
    return displacement, *kept


def with_gradients(params: Any, gradients: Any) -> Any:
    """The parameters without those that have no gradient, such as the functions of a model."""
    structures: list[Any] = [jax.tree.structure(tree) for tree in (params, gradients)]
    if params is None or structures[0] == structures[1]:
        return params
    try:
        return jax.tree.map(
            lambda g, w: None if g is None else w, gradients, params, is_leaf=lambda x: x is None
        )
    except ValueError:  # they differ otherwise, too
        return params


def _flags(mask: Any, gradients: Any) -> list[bool]:
    wanted = "mask must be a tree of bools like the parameters, or a prefix of it"
    try:
        flags: list[bool] = jax.tree.leaves(jax.tree.broadcast(mask, gradients))
    except ValueError as error:
        raise ValueError(f"{wanted}: {error}") from error
    for flag in flags:
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(f"{wanted}, and holds {flag!r}.")
    return flags


def _require_real(gradients: optax.Updates, dtypes: list[jnp.dtype]) -> None:
    """Raises the first complex gradient of a parameter of a real dtype."""
    for leaf, dtype in zip(jax.tree.leaves(gradients), dtypes, strict=True):
        if np.iscomplexobj(leaf) and not jnp.issubdtype(dtype, jnp.complexfloating):
            path = next(path for path, x in jax.tree.leaves_with_path(gradients) if x is leaf)
            raise TypeError(
                f"The gradient {at_path(path)} is complex, and its parameter has dtype {dtype}. "
                "Differentiate a real-valued loss, or make the parameter complex."
            )
