"""How a rule's signature declares its hyperparameters: an interval, and whether schedules may be.

    learning_rate: Annotated[ScalarOrSchedule, "[0, inf)"]

`bool` declares a flag and `Literal` a choice; both are known before
compilation. A function in the place of the interval checks the value itself:
it takes a name and a value, and returns the value.
"""

import enum
import functools
import inspect
import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

import optax

from gdmethods._engine.hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    choice,
    flag,
    float_dtype,
    in_eight_bits,
    scalar,
    scalar_or_schedule,
)
from gdmethods._engine.states import evaluated


class Beside(enum.Enum):
    """What a hyperparameter is added to: a root or a square, which 8 bits may keep."""

    ROOT = 1
    SQUARE = 2


Rate: TypeAlias = Annotated[ScalarOrSchedule, "[0, inf)"]
Momentum: TypeAlias = Annotated[ScalarOrSchedule, "[0, 1]"]
Decay: TypeAlias = Annotated[Scalar, "[0, 1)"]
NonNegative: TypeAlias = Annotated[Scalar, "[0, inf)"]
Eps: TypeAlias = Annotated[Scalar, "[0, inf)", Beside.ROOT]
EpsRoot: TypeAlias = Annotated[Scalar, "[0, inf)", Beside.SQUARE]
# For a type checker these are the number that the rule gets: 0 for None.
MomentumOrNone: TypeAlias = Annotated[Any, Momentum | None]
NonNegativeOrNone: TypeAlias = Annotated[Any, NonNegative | None]


class Says(str):
    """What `help` shows for a hyperparameter."""

    __repr__ = str.__str__


class Declared(NamedTuple):
    """A hyperparameter, as its rule declares it.

    Attributes:
      check: takes its name and a value; returns the value, or raises an error.
      says: the values that `help` shows.
      beside: what it is added to.
      is_rate: whether it is declared as a `Rate`.
    """

    check: Callable[[str, Any], Any]
    says: Any
    beside: Beside | None = None
    is_rate: bool = False


def declared(rule: Callable[..., Any]) -> dict[str, Declared]:
    """The hyperparameters of a rule, which follow its gradient and its state."""
    scope = {**rule.__globals__, **inspect.getclosurevars(rule).nonlocals}
    parameters = [*inspect.signature(rule).parameters.values()]
    if len(parameters) < 2 or any(
        p.default is not p.empty or get_origin(p.annotation) is Annotated for p in parameters[:2]
    ):
        raise TypeError(
            f"{rule.__name__} must be a function (g, s, …): the gradient and the state come "
            "before the hyperparameters."
        )
    made = {}
    for parameter in parameters[2:]:
        name, hint = parameter.name, parameter.annotation
        if isinstance(hint, str):  # under `from __future__ import annotations`
            hint = evaluated(f"{name} of {rule.__name__}", hint, scope)
        if name == "accumulator_dtype":
            made[name] = Declared(float_dtype, Says("dtype or '8bit' or None"))
        elif name != "mask":
            made[name] = hyperparameter(f"{name} of {rule.__name__}", hint)
    return made


def checked(given: Mapping[str, Any], declarations: Mapping[str, Declared]) -> dict[str, Any]:
    """The given hyperparameters, checked."""
    values = {name: each.check(name, given[name]) for name, each in declarations.items()}
    for name, each in declarations.items():
        if each.beside:
            dtype = values.get("accumulator_dtype")
            in_eight_bits(name, values[name], dtype, power=each.beside.value)
    return values


def hyperparameter(name: str, hint: Any) -> Declared:
    """The hyperparameter that an annotation declares."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is bool:
        return Declared(flag, bool)
    if origin is Literal:
        return Declared(lambda name, value: choice(name, value, args), hint)
    if origin in (Union, types.UnionType) and type(None) in args and len(args) == 2:
        inner = hyperparameter(name, next(arg for arg in args if arg is not type(None)))
        return inner._replace(check=_or_none(inner.check), says=Says(f"{inner.says} or None"))
    if origin is Annotated:
        base, *notes = args
        if base is Any:
            return hyperparameter(name, notes[0])
        beside = next((note for note in notes if isinstance(note, Beside)), None)
        own = next(filter(callable, notes), None)
        interval = next((note for note in notes if isinstance(note, str)), None)
        if own is not None:
            return Declared(own, Says("number"), beside)
        if interval is not None:
            if not re.fullmatch(r"[\[(][^,]+,[^,]+[\])]", interval):
                raise TypeError(
                    f'{name}: {interval!r} is no interval. Write one such as "[0, 1)".'
                )
            schedule = optax.Schedule in get_args(base)
            return Declared(
                functools.partial(_within, scalar_or_schedule if schedule else scalar, interval),
                Says(f"number{' or schedule' * schedule} in {interval}"),
                beside,
                hint == Rate,
            )
    raise TypeError(
        f"{name} needs an annotation of its values: Rate, Decay or another of gdmethods.rules, "
        'bool, Literal["…"], or an interval such as Annotated[Scalar, "[0, 1)"].'
    )


def _within(check: Callable[..., Any], interval: str, name: str, value: Any) -> Any:
    return check(name, value, interval)


def _or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: 0.0 if value is None else check(name, value)
