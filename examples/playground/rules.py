"""The page's methods, and each one's rule in JavaScript, with all its numbers free."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

import gdmethods
from examples.playground import javascript

Transformation: TypeAlias = optax.GradientTransformationExtraArgs


@dataclass(frozen=True)
class Rule:
    """A method of gdmethods as the page has it.

    method: builds it of hyperparameters.
    learning_rate: that the page begins with.
    dtype: of the weights.
    around: what wraps it.
    """

    method: Callable[..., Transformation]
    learning_rate: float
    dtype: Any = "float64"
    around: Callable[[Transformation], Transformation] = lambda tx: tx

    def hyperparameters(self) -> dict[str, float]:
        """All that are numbers, as the page begins with them; None is 0."""
        parameters = inspect.signature(self.method).parameters.values()
        numbers = {p.name: p.default for p in parameters if str(p.annotation).startswith("number")}
        numbers["learning_rate"] = self.learning_rate
        return {name: float(value or 0) for name, value in numbers.items()}

    def ranges(self) -> dict[str, tuple[float, float, str]]:
        """Of each hyperparameter, as its annotation has it: [0, 1) is (0.0, 1.0, "[)")."""
        parameters = inspect.signature(self.method).parameters
        found = {
            name: re.search(
                r"([\[(])(\S+), (\S+)([\])])", f"{parameters[name].annotation} in (0, inf)"
            )
            for name in self.hyperparameters()
        }
        return {
            name: (float(interval[2]), float(interval[3]), interval[1] + interval[4])
            for name, interval in found.items()
            if interval
        }

    def build(self, **hyper: Any) -> Transformation:
        return self.around(self.method(**hyper))

    def stored(self, w: Any) -> Any:
        """A float64 weight in its dtype; float32 is between, as not all convert it at once."""
        return w if self.dtype == "float64" else w.astype("float32").astype(self.dtype)

    def init(self, w: Any, hyper: dict[str, Any]) -> Any:
        return self.build(**hyper).init(self.stored(w))

    def step(self, g: Any, w: Any, state: Any, hyper: dict[str, Any]) -> tuple[Any, Any]:
        """The displacement of a float64 weight, and the next state."""
        if self.dtype == "float64":
            updates, state = self.build(**hyper).update(g, state, w)
            return updates, state
        before = self.stored(w)
        updates, state = self.build(**hyper).update(g.astype("float32"), state, before)
        after: Any = optax.apply_updates(before, updates)
        return after.astype("float64") - w, state

    def in_javascript(self) -> str:
        """An object.

        hyper, ranges: the numbers that it takes, and the interval of each
        init(w, hyper) → state
        step(g, w, state, hyper) → [displacement, state]
        """
        with jax.enable_x64(True):
            w = jnp.float64(1.0)
            numbers = {name: jnp.float64(v) for name, v in self.hyperparameters().items()}
            state = self.init(w, numbers)
        fields = {
            "hyper": json.dumps(self.hyperparameters()),
            "ranges": json.dumps(self.ranges()),
            "init": javascript.function(self.init, w=w, hyper=numbers),
            "step": javascript.function(self.step, g=w, w=w, state=state, hyper=numbers),
        }
        return "{\n" + "".join(f"{name}: {text},\n" for name, text in fields.items()) + "}"


ROSTER = {
    "sgd": Rule(gdmethods.sgd, 0.05),
    "momentum": Rule(gdmethods.momentum, 0.02),
    "nesterov": Rule(gdmethods.nesterov, 0.02),
    "adaptive_gains": Rule(gdmethods.adaptive_gains, 0.02),
    "adagrad": Rule(gdmethods.adagrad, 0.5),
    "adadelta": Rule(gdmethods.adadelta, 1.0),
    "rprop": Rule(gdmethods.rprop, 0.1),
    "rmsprop": Rule(gdmethods.rmsprop, 0.1),
    "adam": Rule(gdmethods.adam, 0.1),
    "adamw": Rule(gdmethods.adamw, 0.1),
    "sgd_bfloat16": Rule(gdmethods.sgd, 0.05, "bfloat16"),
    "sgd_stochastic": Rule(gdmethods.sgd, 0.05, "bfloat16", gdmethods.with_stochastic_rounding),
}


def rules() -> str:
    """The constant `rules` of JavaScript, with each rule by its name."""
    each = "".join(f"{name}: {rule.in_javascript()},\n" for name, rule in ROSTER.items())
    return f"{javascript.HELPERS}const rules = {{\n{each}}};\n"
