"""The state of a peer's optimizer as entries, which fill a state here and are read from it.

The peer is PyTorch or Keras. An entry holds what it keeps of one parameter: the
count, as "step", and arrays under the peer's names. The table of a dialect has
the words for each state here:

    {AdamState: Words({"mu": "exp_avg", "nu": "exp_avg_sq"}), …}
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.built import Built, init_told
from gdmethods._engine.public_name import public_name
from gdmethods._engine.states import (
    is_state,
    kinds_of,
    map_states,
    require_restored,
    slots_of,
    states_in,
)
from gdmethods._engine.transformations import transformation
from gdmethods._engine.trees import by_path
from gdmethods._numbers.kinds import Kind
from gdmethods._numbers.remainder import bfloat16_of, remainder_of
from gdmethods._states.conversion import read_state
from gdmethods._states.porting import UNTOLD, filled, finished, is_count
from gdmethods._wrappers.masters import Float32MasterState, kept_of, masters_of, with_kept
from gdmethods.dialects._element_map import Conversion, array, wide

Entry = Mapping[str, Any]
Entries = Mapping[str, Entry]
Arrays = dict[str, np.ndarray]


class Words(NamedTuple):
    """The peer's names for the slots of a state, and how its numbers differ.

    Attributes:
      names: the peer's name of each slot.
      ours: converts the peer's numbers to ours, both under our names.
      theirs: the way back.
    """

    names: Mapping[str, str]
    ours: Callable[[Arrays], Arrays] = dict
    theirs: Callable[[Arrays], Arrays] = dict


Table = Mapping[type, Words]
Options = Mapping[str, Mapping[str, Any]]


def variance(slots: Arrays) -> Arrays:
    """Centered RMSProp's variance, from the mean of squares that the peers keep."""
    if "mu" not in slots:
        return slots
    nu = slots["nu"].astype(np.float64) - slots["mu"].astype(np.float64) ** 2
    return slots | {"nu": np.maximum(nu, 0).astype(slots["nu"].dtype)}


def mean_of_squares(slots: Arrays) -> Arrays:
    """The inverse of `variance`."""
    return slots | {"nu": slots["nu"] + slots["mu"] ** 2} if "mu" in slots else slots


def carried_over(
    tx: optax.GradientTransformation,
    conversion: Conversion,
    named: Mapping[str, np.ndarray],
    entries: Entries,
    table: Table,
    options: Options,
    implied: Mapping[Any, Mapping[str, Any]],
    *,
    count: int | None = None,
    dtype: Any = None,
) -> tuple[Any, Any]:
    """The parameters here, and the state with which `tx` goes on.

    Arguments:
      tx: the transformation that is to go on.
      conversion: of the named arrays to the parameters.
      named: the weights.
      entries: by the parameters' names; none for one that was never moved.
      table: the words of the dialect.
      options: the options of the peer's optimizer, by the parameters' names.
      implied: options of the peer that a factory here has without an argument.
      count: updates so far, if the entries have no steps.
      dtype: of the parameters; None for what `convert` makes.
    """
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype must be a real floating-point dtype or None, got {dtype!r}.")
    exact = conversion.to_tree(named, conversion.tree)
    params = jax.tree.map(
        lambda w, x: w.astype(x.dtype if dtype is None or jnp.iscomplexobj(x) else dtype),
        exact,
        jax.tree.map(jnp.asarray, conversion.tree),
    )
    start, told = init_told(transformation("tx", tx), params)
    params, state = _with_masters(params, start, exact)
    _require_owners(state, conversion, entries)
    state = jax.tree.map(
        lambda node: _filled(node, conversion, entries, table) if _has_slots(node) else node,
        read_state(state),
        is_leaf=is_state,
    )
    counts = {_number(node.count) for node in _methods(state) if _has_slots(node)}
    common = counts.pop() if len(counts) == 1 else UNTOLD if counts else _count(entries)

    def counted(path: Any, node: Any) -> Any:
        """A node without slots, such as a schedule, gets the methods' count."""
        if is_state(node):
            return node if slots_of(node) else filled(node, {}, common)
        if not path or getattr(path[-1], "name", "") != "count":
            return node
        return common if common is UNTOLD else jnp.asarray(common, node.dtype)

    state = jax.tree.map_with_path(counted, state, is_leaf=is_state)
    injected = states_in(start, optax.InjectStatefulHyperparamsState)
    schedules = [x for each in injected for x in each.hyperparams_states.items()]
    _require_counts(schedules)
    _require_options(told, conversion, options, implied, scheduled=bool(schedules))
    return params, finished(tx, params, state, count)


def _require_counts(schedules: list[tuple[str, Any]]) -> None:
    """Raises an error for an injected schedule with a state that the peer does not keep."""
    for name, state in schedules:
        if not is_count(state):
            raise ValueError(
                f"The schedule of {name} in tx keeps {type(state).__name__}, which the given "
                "state does not contain. Take the run over with a tx that has a number instead. "
                "Then put its inner_state, and the hyperparams_states as they were, into "
                "tx.init(params) of the tx with the schedule."
            )


_MAY_CHANGE = ("lr", "learning_rate", "lr_decay", "weight_decay")
"""Options that users change on purpose when a run goes on; a change in others is a mistake."""


def _require_options(
    told: list[Built],
    conversion: Conversion,
    options: Options,
    implied: Mapping[Any, Mapping[str, Any]],
    scheduled: bool,
) -> None:
    """Raises an error if a method's options differ from the peer's; for some it only warns.

    Where `optax.inject_hyperparams` has schedules (`scheduled`), an array may
    be the first value of one, and is not compared.
    """
    changed: dict[str, str] = {}
    for method, params, _ in told:
        ours = {**method.options, **implied.get(method.factory, {})}
        for name in conversion.names(by_path(params)):
            for option, theirs in options.get(name, {}).items():
                if option not in ours or _same(ours[option], theirs):
                    continue
                if scheduled and isinstance(ours[option], jax.Array):
                    continue
                differs = (
                    f"The optimizer has {option}={theirs} for {name!r}, and tx {ours[option]}"
                )
                if option not in _MAY_CHANGE:
                    raise ValueError(
                        f"{differs}. Build tx with the optimizer's options. If you mean to change "
                        "one, pass the new state to another tx with the same slots."
                    )
                changed.setdefault(option, differs)
    for differs in changed.values():
        warnings.warn(f"{differs}, with which it goes on.", stacklevel=4)


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two options are the same number, pair or flag in the narrower of their dtypes.

    None counts as 0, and a schedule here equals anything there.
    """
    if callable(ours):
        return True
    mine, other = (np.asarray(jax.tree.map(array, 0 if x is None else x)) for x in (ours, theirs))
    if all(jnp.issubdtype(x.dtype, jnp.floating) for x in (mine, other)):
        narrow = min(mine.dtype, other.dtype, key=lambda dtype: dtype.itemsize)
        mine, other = mine.astype(narrow), other.astype(narrow)
    return np.array_equal(mine, other)


def _with_masters(params: Any, state: Any, exact: Any) -> tuple[Any, Any]:
    """The parameters and the state; if it keeps masters, these are the exact weights."""
    masters = by_path(exact)
    weights = by_path(params)

    def with_exact(node: Any) -> Any:
        kept = {}
        for path, x in kept_of(node).items():
            m = masters[path].astype(jnp.float32)
            kept[path] = remainder_of(m) if x.dtype == jnp.int16 else m
            if x.dtype == jnp.int16:
                weights[path] = bfloat16_of(m, kept[path])
        return with_kept(node, kept)

    state = map_states(with_exact, state, Float32MasterState)
    return jax.tree.unflatten(jax.tree.structure(params), weights.values()), state


def _number(count: Any) -> Any:
    return count if count is UNTOLD else int(count)


def _methods(state: Any) -> list[Any]:
    return list(filter(is_state, jax.tree.leaves(state, is_leaf=is_state)))


def _has_slots(node: Any) -> bool:
    return is_state(node) and bool(slots_of(node))


def _leaves(state: Any) -> dict[Any, Any]:
    """One slot of each parameter, by the parameter's path."""
    return by_path(next(iter(slots_of(state).values())))


def _require_owners(state: Any, conversion: Conversion, entries: Entries) -> None:
    methods = filter(_has_slots, _methods(state))
    owned = {name for node in methods for name in conversion.names(_leaves(node))}
    for name, entry in entries.items():
        fields = [field for field in entry if field != "step"]
        if fields and name not in owned:
            raise ValueError(
                f"The given state has {', '.join(fields)} of {name!r}, but tx keeps no slot for "
                "it. Build tx with the peer's dialect and with the optimizer's options, such as "
                "its momentum."
            )


def _filled(state: Any, conversion: Conversion, entries: Entries, table: Table) -> Any:
    """The state of a method, with the entries of its parameters."""
    words = _words(state, table)
    names = {slot: words.names[slot] for slot in slots_of(state)}
    slots: dict[str, Arrays] = {slot: {} for slot in names}
    mine = {name: entries[name] for name in conversion.names(_leaves(state)) if entries.get(name)}
    for name, entry in mine.items():
        _require_fields(name, entry, [*names.values()], state)
        came = {slot: array(entry[theirs]) for slot, theirs in names.items()}
        for slot, x in came.items():
            if x.shape != conversion.shapes[name]:
                raise ValueError(
                    f"{names[slot]} of {name!r} has the shape {x.shape}, and the parameter "
                    f"{conversion.shapes[name]}. Give the parameters in the optimizer's order, "
                    "group by group."
                )
            if np.iscomplexobj(x) and kinds_of(state)[slot] is Kind.SQUARE:
                raise TypeError(
                    f"{names[slot]} of {name!r} is complex, since the peer takes a complex weight "
                    "as two real ones. Give real parameters and arrays with a last axis of two "
                    "(torch.view_as_real), and train those."
                )
        for slot, x in words.ours({slot: wide(x) for slot, x in came.items()}).items():
            slots[slot][name] = x
    trees = {
        slot: conversion.to_tree(arrays, getattr(state, slot)) for slot, arrays in slots.items()
    }
    return filled(state, trees, _count(mine) if mine else 0)


def _words(state: Any, table: Table) -> Words:
    if type(state) not in table:
        raise TypeError(
            f"tx keeps {public_name(type(state))}, and the optimizers of this peer keep "
            f"{', '.join(map(public_name, table))}. Build tx with the peer's dialect."
        )
    return table[type(state)]


def _require_fields(name: str, entry: Entry, wanted: list[str], state: Any) -> None:
    came = [field for field in entry if field != "step"]
    if sorted(came) != sorted(wanted):
        raise ValueError(
            f"The given state has {', '.join(came) or 'no arrays'} of {name!r}, but tx, with "
            f"{type(state).__name__}({', '.join(slots_of(state))}), needs {', '.join(wanted)}. "
            "Build tx like the optimizer: the same method with the same options."
        )


def _count(entries: Entries) -> Any:
    """The steps of all entries, as one number.

    In some optimizers a parameter that was never moved has an entry at step 0.
    """
    steps = {name: int(entry["step"]) for name, entry in entries.items() if "step" in entry}
    moved = {name: step for name, step in steps.items() if step > 0}
    if len(set(moved.values())) > 1:
        (first, step), *others = moved.items()
        name, other = next(each for each in others if each[1] != step)
        raise ValueError(
            f"{first!r} has had {step} steps and {name!r} {other}, and tx keeps one count for "
            "both. Give them labels of their own in optax.partition."
        )
    return next(iter(moved.values()), 0) if steps else UNTOLD


def entries_of(state: Any, conversion: Conversion, table: Table) -> dict[str, dict[str, Any]]:
    """The entries of the parameters whose slots a state here keeps.

    Arguments:
      state: of a transformation, with chains and wrappers.
      conversion: of the named arrays to the parameters.
      table: the words of the dialect.
    """
    entries: dict[str, dict[str, Any]] = {}
    for node in filter(_has_slots, _methods(read_state(state))):
        words = _words(node, table)
        slots = {slot: conversion.to_named(by_path(tree)) for slot, tree in slots_of(node).items()}
        for name in conversion.names(_leaves(node)):
            if name in entries:
                raise ValueError(
                    f"tx keeps two states for {name!r}, and the peer one. Build tx with one "
                    "method for each parameter."
                )
            theirs = words.theirs({slot: arrays[name] for slot, arrays in slots.items()})
            named = {words.names[slot]: x for slot, x in theirs.items()}
            entries[name] = {"step": int(node.count), **named}
    return entries


def count_of(state: Any) -> int:
    """The largest number of updates that a method has made."""
    return max(int(node.count) for node in _methods(state))


def only_state(tx: Any, params: Any, table: Table) -> tuple[type, list[str]]:
    """The type of the state that `tx` keeps for all parameters, and its slots."""
    methods = _methods(jax.eval_shape(transformation("tx", tx).init, params))
    kept = [node for node in methods if slots_of(node)] or methods
    for node in kept:
        _words(node, table)
    found = {(type(node), tuple(slots_of(node))) for node in kept}
    if len(found) != 1:
        names = ", ".join(public_name(each) for each, _ in found)
        raise TypeError(
            f"tx keeps {names or 'no state of gdmethods'}, and the peer has one optimizer. Build "
            "tx with one function of the peer's dialect."
        )
    ((state_type, slots),) = found
    return state_type, [*slots]


def weights_of(params: Any, state: Any, conversion: Conversion) -> Arrays:
    """The named arrays of the parameters, or of their masters."""
    for node in states_in(state, Float32MasterState):
        params = masters_of(params, kept_of(node))
    weights = conversion.to_named(by_path(params))
    for name in conversion.shapes:
        if name not in weights:
            raise ValueError(
                f"params have no elements of {name!r}. Pass the parameters that convert makes."
            )
    return weights


def require_like(tx: optax.GradientTransformation, params: Any, state: Any) -> None:
    """Raises an error for a state that `tx` does not keep for these parameters."""
    expected = jax.eval_shape(transformation("tx", tx).init, params)
    require_restored(state)
    structures: list[Any] = [jax.tree.structure(each) for each in (state, expected)]
    if structures[0] != structures[1]:
        raise TypeError(
            f"state is {structures[0]}, and tx keeps {structures[1]}. Pass the transformation "
            "that made the state, and its parameters."
        )
