"""The page's methods, and each one's rule in JavaScript, with all its numbers free."""

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import gdmethods
from examples.playground import javascript

Method = Callable[..., optax.GradientTransformationExtraArgs]

METHODS: dict[Method, float] = {
    gdmethods.sgd: 0.05,
    gdmethods.momentum: 0.02,
    gdmethods.nesterov: 0.02,
    gdmethods.adaptive_gains: 0.02,
    gdmethods.adagrad: 0.5,
    gdmethods.adadelta: 1.0,
    gdmethods.rprop: 0.1,
    gdmethods.rmsprop: 0.1,
    gdmethods.adam: 0.1,
    gdmethods.adamw: 0.1,
}
"""With the learning rates that the page begins with."""


def hyperparameters(method: Method) -> dict[str, float]:
    """All that are numbers, as the page begins with them; None is 0."""
    parameters = inspect.signature(method).parameters.values()
    numbers = {p.name: p.default for p in parameters if str(p.annotation).startswith("number")}
    numbers["learning_rate"] = METHODS[method]
    return {name: float(value or 0) for name, value in numbers.items()}


def ranges(method: Method) -> dict[str, tuple[float, float, str]]:
    """Of each hyperparameter, as its annotation has it: [0, 1) is (0.0, 1.0, "[)")."""
    parameters = inspect.signature(method).parameters
    found = {
        name: re.search(
            r"([\[(])(\S+), (\S+)([\])])", f"{parameters[name].annotation} in (0, inf)"
        )
        for name in hyperparameters(method)
    }
    return {
        name: (float(interval[2]), float(interval[3]), interval[1] + interval[4])
        for name, interval in found.items()
        if interval
    }


def rule(method: Method) -> str:
    """An object of JavaScript.

    hyper, ranges: the numbers that it takes, and the interval of each
    init(w, hyper) → state
    step(g, w, state, hyper) → [displacement, state]
    """
    hyper = hyperparameters(method)

    def init(w: Any, hyper: dict[str, Any]) -> Any:
        return method(**hyper).init(w)

    def step(g: Any, w: Any, state: Any, hyper: dict[str, Any]) -> Any:
        return method(**hyper).update(g, state, w)

    with jax.enable_x64(True):
        w = jnp.float64(1.0)
        numbers = {name: jnp.float64(value) for name, value in hyper.items()}
        state = init(w, numbers)
    fields = {
        "hyper": json.dumps(hyper),
        "ranges": json.dumps(ranges(method)),
        "init": javascript.function(init, w=w, hyper=numbers),
        "step": javascript.function(step, g=w, w=w, state=state, hyper=numbers),
    }
    return "{\n" + "".join(f"{name}: {text},\n" for name, text in fields.items()) + "}"


def rules() -> str:
    """The constant `rules` of JavaScript, with each method by its name."""
    each = "".join(f"{method.__name__}: {rule(method)},\n" for method in METHODS)
    return f"{javascript.HELPERS}const rules = {{\n{each}}};\n"
