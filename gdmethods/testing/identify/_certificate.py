"""The real factories, run on gradients that were held out."""

import contextlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gdmethods
from gdmethods.testing.identify._factories import Call
from gdmethods.testing.identify._fit import Record, largest
from gdmethods.testing.identify._probes import Array


@dataclass(frozen=True)
class Certificate:
    """A factory that was run beside the step.

    Attributes:
      factory: its name, such as "keras.rmsprop".
      arguments: that it was given.
      difference: the largest between an update of it and of the step, relative
        to the step's, or to a thousandth of the weight's largest so far.
      steps: the updates that were compared.
      text: the call, without what is the factory's default.
    """

    factory: str
    arguments: Mapping[str, Any]
    difference: float
    steps: int
    text: str


def certificates(
    calls: Iterable[Call],
    held_out: Record,
    weights: Any = 0.0,
    first: int = 0,
    shown: Mapping[float, str] = MappingProxyType({}),
) -> list[Certificate]:
    """All factories in one program, which is compiled once; judged from step `first` on."""
    built = []
    for name, factory, arguments in calls:
        with contextlib.suppress(ValueError, TypeError):  # a number that it refuses
            built.append((name, factory, arguments, factory(**arguments)))
    if not built:
        return []
    found = []
    updates = walked([tx for *_, tx in built], held_out.gradients, weights)
    for (name, factory, arguments, _), theirs in zip(built, updates, strict=True):
        text = _text(name, factory, arguments, shown)
        found.append(_judged(name, arguments, text, theirs, held_out, first))
    return found


def _judged(
    name: str,
    arguments: Mapping[str, Any],
    text: str,
    theirs: Array,
    held_out: Record,
    first: int,
) -> Certificate:
    seen = np.isfinite(held_out.updates)
    off = held_out.off(np.where(seen, theirs, np.nan))[first:]
    return Certificate(name, arguments, largest(off), int(seen[first:].sum()), text)


def ahead_of_nesterov(
    rate: float, mu: float, held_out: Record, first: int, shown: Mapping[float, str]
) -> Certificate:
    """`gdmethods.nesterov` seen from its weights, not from the points ahead of them."""
    arguments = {"learning_rate": rate, "momentum": mu}
    tx = gdmethods.nesterov(**arguments)
    with jax.enable_x64(True):
        ahead = jnp.zeros(held_out.gradients.shape[1])

        def step(carried: Any, g: Any) -> Any:
            state, ahead = carried
            updates, state = tx.update(g, state, ahead)
            return (state, ahead + updates), optax.tree.get(state, "velocity")

        walk = jax.jit(lambda g: jax.lax.scan(step, (tx.init(ahead), ahead), g)[1])
        theirs = np.asarray(walk(jnp.asarray(held_out.gradients)))
    text = _text("gdmethods.nesterov", gdmethods.nesterov, arguments, shown)
    return _judged("gdmethods.nesterov", arguments, text, theirs, held_out, first)


def walked(transformations: list[Any], gradients: Array, weights: Any = 0.0) -> list[Array]:
    """Their updates, in float64, at weights that are the same before each step."""
    with jax.enable_x64(True):
        params = jnp.asarray(np.broadcast_to(weights, gradients.shape[1:]), float)

        def step(states: Any, g: Any) -> Any:
            moved = [
                tx.update(g, s, params) for tx, s in zip(transformations, states, strict=True)
            ]
            return [state for _, state in moved], [update for update, _ in moved]

        def walk(gradients: Any) -> Any:
            return jax.lax.scan(step, [tx.init(params) for tx in transformations], gradients)[1]

        return [np.asarray(u) for u in jax.jit(walk)(jnp.asarray(gradients))]


def _text(
    name: str, factory: Any, arguments: Mapping[str, Any], shown: Mapping[float, str]
) -> str:
    """The call as it is written, without what is the default."""
    written = []
    for place, parameter in enumerate(inspect.signature(factory).parameters.values()):
        value = arguments.get(parameter.name, parameter.default)
        if parameter.name in arguments and value != parameter.default:
            written.append(("" if place == 0 else f"{parameter.name}=") + _shown(value, shown))
    return f"{name}({', '.join(written)})"


def _shown(value: Any, shown: Mapping[float, str]) -> str:
    if isinstance(value, float):
        return shown.get(value, f"{value:.6g}")
    if isinstance(value, tuple):
        return f"({', '.join(_shown(each, shown) for each in value)})"
    return repr(value)
