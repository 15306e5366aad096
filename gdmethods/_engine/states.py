"""The states of methods and wrappers: what their fields keep, and where they stand in a tree.

The annotations of a method's state say what kind of number each field keeps:

    class AdamState(NamedTuple):
        count: Count
        mu: Signed
        nu: Square
"""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ForwardRef, TypeAlias, TypeVar, get_args

import jax
import optax

from gdmethods._engine.foreign_states import RESTORE
from gdmethods._engine.public_name import public_name
from gdmethods._engine.trees import at_path
from gdmethods._numbers.kinds import Kind

State = TypeVar("State", bound=tuple[Any, ...])


def serializable(state_type: type[State]) -> type[State]:
    """Lets `jax.export` write a state by its name, and read it where gdmethods is imported."""
    with contextlib.suppress(ValueError):  # its module is imported a second time
        jax.export.register_namedtuple_serialization(
            state_type, serialized_name=public_name(state_type)
        )
    return state_type


Count: TypeAlias = Annotated[jax.Array, Kind.COUNT]
Number: TypeAlias = Annotated[jax.Array, Kind.NUMBER]
Signed: TypeAlias = Annotated[optax.Updates, Kind.SIGNED]
Positive: TypeAlias = Annotated[optax.Updates, Kind.POSITIVE]
Square: TypeAlias = Annotated[optax.Updates, Kind.SQUARE]
Sign: TypeAlias = Annotated[optax.Updates, Kind.SIGN]


@functools.cache
def kinds(state_type: type) -> dict[str, Kind]:
    """The kind of each field of a state, in the state's order."""
    module = sys.modules.get(state_type.__module__)
    scope = vars(module) if module else {}
    hints = inspect.get_annotations(state_type)
    return {
        name: _kind(f"{name} of {state_type.__name__}", hint, scope)
        for name, hint in hints.items()
    }


def kinds_of(state: Any) -> dict[str, Kind]:
    """The kind of each field of a state of a method."""
    state_type: Any = type(state)
    return kinds(state_type)


def _kind(field: str, hint: Any, scope: dict[str, Any]) -> Kind:
    if isinstance(hint, ForwardRef):  # under `from __future__ import annotations`
        hint = evaluated(field, hint.__forward_arg__, scope)
    for part in (hint, *get_args(hint)):  # of `Signed | None` too
        for kind in getattr(part, "__metadata__", ()):
            if isinstance(kind, Kind):
                return kind
    raise TypeError(
        f"{field} is declared as {getattr(hint, '__name__', hint)}. Declare what it keeps: Count, "
        "Number, Signed, Positive, Square or Sign of gdmethods.rules, or such a slot | None."
    )


def evaluated(what: str, hint: str, scope: dict[str, Any]) -> Any:
    """An annotation that `from __future__ import annotations` made a string."""
    try:
        return eval(hint, scope)
    except NameError as error:
        raise TypeError(
            f"{what} is annotated with {hint}, and {error}. Import it at the top of the module."
        ) from error


def slots_of(state: Any) -> dict[str, Any]:
    """The trees of a state that keep a number for each weight, by their names."""
    shared = (Kind.COUNT, Kind.NUMBER)
    return {
        name: getattr(state, name)
        for name, kind in kinds_of(state).items()
        if kind not in shared and getattr(state, name) is not None
    }


_METHODS: set[Any] = set()


def register(state_type: Any) -> None:
    """Registers the state of a method; raises an error if it does not declare its fields."""
    name = getattr(state_type, "__name__", type(state_type).__name__)
    if isinstance(state_type, tuple):
        raise TypeError(f"optimizer takes the class of the state: write optimizer({name}).")
    if inspect.isfunction(state_type):
        raise TypeError(f"optimizer takes a state: write @optimizer(State) above {name}.")
    if not hasattr(state_type, "_fields"):
        raise TypeError(
            f"The state of a method is a typing.NamedTuple: write class {name}(NamedTuple)."
        )
    for field, default in state_type._field_defaults.items():
        raise TypeError(
            f"{name} gives {field} a default, which is not read. Write optimizer({name}, "
            f"starts={{{field!r}: {default!r}}})."
        )
    if "w" in state_type._fields:
        raise TypeError(f"{name} has a field w, which is the weight in a rule. Rename the field.")
    if kinds(state_type).get("count") is not Kind.COUNT:
        raise TypeError(f"{state_type.__name__} does not count its updates: add count: Count.")
    _METHODS.add(serializable(state_type))


def is_state(node: Any) -> bool:
    """Whether a node of a tree is the state of a method, whose fields declare their kinds."""
    return type(node) in _METHODS


def require_restored(state: Any) -> None:
    """Raises an error for a state that came as a dict, as checkpoints are read by default."""
    fields = [{*each._fields} for each in _METHODS if len(each._fields) > 1]

    def is_read_back(node: Any) -> bool:
        return isinstance(node, Mapping) and {*node} in fields

    for path, node in jax.tree.leaves_with_path(state, is_leaf=is_read_back):
        if is_read_back(node):
            names = ", ".join(node)
            raise TypeError(f"The state {at_path(path)} is a plain dict of {names}: {RESTORE}")


def states_in(tree: Any, *types: type) -> list[Any]:
    """The states of these types that stand in a tree."""

    def is_one(node: Any) -> bool:
        return isinstance(node, types)

    return list(filter(is_one, jax.tree.leaves(tree, is_leaf=is_one)))


def require_state_first(function: str, params: Any, *types: type) -> None:
    """Raises an error for a state in the place of the parameters."""
    for state in states_in(params, *types):
        raise TypeError(
            f"params holds a {type(state).__name__}. The arguments are in the wrong order: write "
            f"{function}(opt_state, params)."
        )


def map_states(function: Callable[[Any], Any], tree: Any, *types: type) -> Any:
    """The tree with `function` applied to each state of these types."""

    def is_one(node: Any) -> bool:
        return isinstance(node, types)

    return jax.tree.map(
        lambda node: function(node) if is_one(node) else node, tree, is_leaf=is_one
    )
