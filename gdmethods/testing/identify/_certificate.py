"""The real factories, run on gradients that were held out."""

import contextlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
      arguments: its arguments.
      difference: the largest difference between its updates and the step's,
        relative to the step's update, or to a thousandth of the weight's
        largest so far.
      steps: the number of updates that were compared.
      text: the call, without arguments that are the default.
    """

    factory: str
    arguments: Mapping[str, Any]
    difference: float
    steps: int
    text: str


@dataclass(frozen=True)
class HeldOut:
    """Updates of the step that were not used to find its rule, to judge factories by.

    Attributes:
      record: the gradients and updates.
      weights: the weights before each step.
      first: the first step that is judged.
      shown: how some numbers are written in a call, such as a learning rate
        that is an argument.
    """

    record: Record
    weights: Any = 0.0
    first: int = 0
    shown: Mapping[float, str] = field(default_factory=dict)

    def certificates(self, calls: Iterable[Call]) -> list[Certificate]:
        """All factories in one program, which is compiled once."""
        built = []
        for name, factory, arguments in calls:
            with contextlib.suppress(ValueError, TypeError):  # a number that it refuses
                built.append((name, factory, arguments, factory(**arguments)))
        if not built:
            return []
        walks = self._walked([transformation for *_, transformation in built])
        return [
            self._judged(name, factory, arguments, updates)
            for (name, factory, arguments, _), updates in zip(built, walks, strict=True)
        ]

    def by_look_ahead(self, rate: float, mu: float) -> Certificate:
        """`gdmethods.nesterov` as updates of its weights, not of the look-ahead points."""
        arguments = {"learning_rate": rate, "momentum": mu}
        tx = gdmethods.nesterov(**arguments)

        def step(state: Any, g: Any) -> Any:
            _, state = tx.update(g, state)
            return state, optax.tree.get(state, "velocity")

        with jax.enable_x64(True):
            gradients = jnp.asarray(self.record.gradients)
            moved = jax.jit(lambda g: jax.lax.scan(step, tx.init(g[0]), g)[1])(gradients)
            updates = np.asarray(moved)
        return self._judged("gdmethods.nesterov", gdmethods.nesterov, arguments, updates)

    def _walked(self, transformations: list[Any]) -> list[Array]:
        """Their updates in float64; the weights are put back before each step."""
        with jax.enable_x64(True):
            gradients = jnp.asarray(self.record.gradients)
            params = jnp.broadcast_to(jnp.asarray(self.weights, float), gradients.shape[1:])

            def step(states: list[Any], g: Any) -> Any:
                moved = [
                    tx.update(g, state, params)
                    for tx, state in zip(transformations, states, strict=True)
                ]
                return [state for _, state in moved], [update for update, _ in moved]

            states = [tx.init(params) for tx in transformations]
            updates = jax.jit(lambda g: jax.lax.scan(step, states, g)[1])(gradients)
            return [np.asarray(each) for each in updates]

    def _judged(
        self, name: str, factory: Any, arguments: Mapping[str, Any], updates: Array
    ) -> Certificate:
        seen = np.isfinite(self.record.updates)
        off = self.record.off(np.where(seen, updates, np.nan))[self.first :]
        text = _text(name, factory, arguments, self.shown)
        return Certificate(name, arguments, largest(off), int(seen[self.first :].sum()), text)


def _text(
    name: str, factory: Any, arguments: Mapping[str, Any], shown: Mapping[float, str]
) -> str:
    """The call as it is written, without arguments that are the default."""
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
