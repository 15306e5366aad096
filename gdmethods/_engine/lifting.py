"""A rule of one weight, lifted to a tree of weights.

Every method of this library is a *rule*: a plain function of arrays that holds
the paper's lines in the paper's order. It returns a displacement from a
gradient and the state of its leaf, and stores the new slots. `lift` runs it
over the leaves. It compares trees and shapes, computes in float32 or wider, and
rounds once: each displacement to its parameter's dtype, and each slot to its
own.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.leaf_state import LeafState, end_of, new_slots, require_like
from gdmethods._engine.trees import at_path, misfit
from gdmethods._numbers.dtypes import at_least_float32, dtype_of, promoted
from gdmethods._numbers.formats import Seed, is_narrow, limited
from gdmethods._numbers.fusion import after
from gdmethods._numbers.kinds import Kind

Rule = jax.tree_util.Partial
"""`rule(gradient, s)` → displacement, elementwise; s is a `LeafState`. It is a function at module
level with its scalars bound by name, so that all rules of one function share their traces."""

_ARRAYS = (jax.Array, np.ndarray, np.generic)


def lift(
    rule: Rule,
    numbers: Mapping[str, Any],
    gradients: optax.Updates,
    slots: Mapping[str, optax.Updates | None],
    kinds: Mapping[str, Kind],
    params: optax.Params | None,
    count: jax.Array,
    mask: Any = None,
    given: optax.Params | None = None,
) -> tuple[Any, ...]:
    """Runs `rule` over every leaf. Returns the trees of displacements and of the new slots.

    Arguments:
      rule: arrays among its scalars are inputs of the compiled step, all else
        its constants.
      numbers: the same for all weights, read as `s.count`; arrays are inputs
        here too.
      gradients: a tree like the parameters.
      slots: the state's trees in the rule's order; None for one that is not
        kept.
      kinds: of the slots.
      params: give the displacements their dtypes; without them the gradients
        do.
      count: the number of this update; the noise of narrow slots depends on it.
      mask: the weights that the rule reads as `s.w`, which is 0 for the others.
        A bool for all, or a tree of bools like the parameters or a prefix of
        it. With None there is no `s.w`.
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
    _require_dtypes(gradients, dtypes)
    columns = [[None] * len(leaves) if slot is None else column(slot) for slot in slots.values()]
    flags = [False] * len(leaves) if mask is None else _flags(mask, gradients)
    seen = [w if sees else None for w, sees in zip(models, flags, strict=True)]
    seeds = [
        Seed(count, None if params is None else w) if any(map(is_narrow, row)) else None
        for w, *row in zip(models, *columns, strict=True)
    ]
    scalars, form = jax.tree.flatten((rule, dict(numbers)))
    arrays = jax.tree.leaves((leaves, columns, scalars))
    traced = any(isinstance(x, jax.core.Tracer) for x in arrays)
    inputs = [x if isinstance(x, _ARRAYS) else None if traced else _number(x) for x in scalars]
    constants = tuple(x if i is None else type(x) for x, i in zip(scalars, inputs, strict=True))

    static = {
        "kinds": tuple((name, kinds[name]) for name in slots),
        "form": form,
        "constants": constants,
        "weighs": mask is not None,
    }
    with contextlib.nullcontext() if traced else jax.enable_x64(True):
        given_rows = [
            (leaf, row, w, seed)
            for leaf, w, seed, *row in zip(leaves, seen, seeds, *columns, strict=True)
        ]
        rows: dict[int, Any] = {}
        for dtype, places in _alike(dtypes, given_rows, _TOGETHER if traced else 1):
            some = [given_rows[i] for i in places]
            rows |= zip(places, _on_leaves(some, inputs, dtype=dtype, **static), strict=True)
    in_order = [rows[i] for i in range(len(leaves))]
    displacements, *new = zip(*in_order, strict=True) if rows else [()] * (1 + len(slots))
    return jax.tree.unflatten(structure, displacements), *(
        None if slot is None else jax.tree.unflatten(structure, column)
        for slot, column in zip(slots.values(), new, strict=True)
    )


# Outside of jit, Python's numbers are inputs, so that a new learning rate compiles nothing. They
# keep their 64 bits until they meet an array, as constants do: 1 − β₂ has all its digits. 0 and 1
# stay constants, since they let a rule leave out a term.
@functools.lru_cache(typed=True)
def _number(x: Any) -> jax.Array | None:
    if type(x) is not float or x in (0.0, 1.0):
        return None
    with jax.enable_x64(True):
        return jnp.asarray(x)


_TOGETHER = 8


def _alike(
    dtypes: list[jnp.dtype], rows: list[Any], most: int
) -> Iterator[tuple[jnp.dtype, list[int]]]:
    """Groups of at most `most` rows that can share a trace: their dtype, and their places."""
    groups: dict[Any, list[int]] = {}
    for i, (dtype, row) in enumerate(zip(dtypes, rows, strict=True)):
        arrays, structure = jax.tree.flatten(row)
        types = tuple((np.shape(x), dtype_of(x)) for x in arrays)
        groups.setdefault((dtype, structure, types), []).append(i)
    for (dtype, *_), places in groups.items():
        for start in range(0, len(places), most):
            yield dtype, places[start : start + most]


# An inner jit, because JAX then traces and lowers a rule once for eight leaves of one shape and
# dtype: a thousand leaves cost 125 calls, not a thousand traces. The eight share their constants;
# otherwise XLA carries a copy for each through its passes. Within it, disable_jit inlines the
# jitted functions of jnp once; otherwise XLA inlines them in every call. Outside of jit, the inner
# jit also makes an update one fused kernel a leaf.
@functools.partial(jax.jit, static_argnames=("dtype", "kinds", "form", "constants", "weighs"))
def _on_leaves(
    rows: list[Any], inputs: list[jax.Array | None], **static: Any
) -> list[tuple[jax.Array | None, ...]]:
    with jax.disable_jit():
        return [_on_leaf(*row, inputs=inputs, **static) for row in rows]


def _on_leaf(
    gradient: jax.Array,
    slots: list[jax.Array | None],
    w: jax.Array | None,
    seed: Seed | None,
    *,
    inputs: list[jax.Array | None],
    dtype: jnp.dtype,
    kinds: tuple[tuple[str, Kind], ...],
    form: Any,
    constants: tuple[Any, ...],
    weighs: bool,
) -> tuple[jax.Array | None, ...]:
    def widest(*arrays: jax.Array | None) -> jnp.dtype:
        dtypes = [x.dtype for x in arrays if x is not None]
        floats = [x for x in dtypes if jnp.issubdtype(x, jnp.inexact)]
        return promoted(*map(at_least_float32, [dtype, *floats]))

    real = widest(*slots)

    def widen(x: jax.Array, to: jnp.dtype = real) -> jax.Array:
        if x.dtype == bool:
            return x
        return x.astype(promoted(to, jnp.complex64) if jnp.iscomplexobj(x) else to)

    scalars = [
        c if x is None else x if c is float else widen(x)
        for c, x in zip(constants, inputs, strict=True)
    ]
    rule, numbers = jax.tree.unflatten(form, scalars)
    if weighs:
        numbers |= {"w": 0.0 if w is None else widen(w)}
    kinds_of, slots_of = dict(kinds), dict(zip(dict(kinds), slots, strict=True))
    s = LeafState(slots_of, kinds_of, numbers, gradient, seed, widen)
    g = limited(widen(gradient, widest(gradient, *slots)), slots_of, kinds_of)
    try:
        with jax.numpy_dtype_promotion("standard"):  # for a complex mean over a real root
            displacement = rule(g, s)
    except jax.errors.JAXTypeError as error:
        error.add_note(
            "In a rule g, the slots and the hyperparameters are arrays: write "
            "jnp.where(condition, a, b) instead of `if`, and use operations of jnp."
        )
        raise
    require_like("The rule returned", displacement, gradient)
    if jnp.iscomplexobj(displacement) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError("The rule returned complex numbers for a real parameter.")
    displacement, end = displacement.astype(dtype), end_of(s)
    if end is not None:
        displacement = after(end, displacement)
    return displacement, *new_slots(s)


def with_gradients(params: Any, gradients: Any) -> Any:
    """The parameters, with None for those without a gradient, such as functions of a model."""
    structures: list[Any] = [jax.tree.structure(tree) for tree in (params, gradients)]
    if params is None or structures[0] == structures[1]:
        return params
    try:
        return jax.tree.map(
            lambda g, w: None if g is None else w, gradients, params, is_leaf=lambda x: x is None
        )
    except ValueError:  # they differ otherwise, too
        return params


_MASK = "mask must be a tree of bools like the parameters, or a prefix of it"


def known_before_compilation(mask: Any) -> Any:
    """A mask, if it is one: a tree of bools, or a function that may return one."""
    for flag in () if callable(mask) else jax.tree.leaves(mask):
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(f"{_MASK}, and holds {flag!r}.")
    return mask


def _flags(mask: Any, gradients: Any) -> list[bool]:
    try:
        broadcast = jax.tree.broadcast(known_before_compilation(mask), gradients)
    except ValueError as error:
        raise ValueError(f"{_MASK}: {error}") from error
    flags: list[bool] = jax.tree.leaves(broadcast)
    return flags


def _require_dtypes(gradients: optax.Updates, dtypes: list[jnp.dtype]) -> None:
    """Raises an error for the first gradient of integers, or complex one of a real parameter."""
    for (path, leaf), dtype in zip(jax.tree.leaves_with_path(gradients), dtypes, strict=True):
        came = dtype_of(leaf)
        if not jnp.issubdtype(came, jnp.inexact):
            raise TypeError(
                f"The gradient {at_path(path)} has dtype {came}, and gradients are floating-point "
                "numbers. Pass what jax.grad returns."
            )
        if jnp.issubdtype(came, jnp.complexfloating) and not jnp.issubdtype(
            dtype, jnp.complexfloating
        ):
            raise TypeError(
                f"The gradient {at_path(path)} is complex, and its parameter has dtype {dtype}. "
                "Differentiate a real-valued loss, or make the parameter complex."
            )
