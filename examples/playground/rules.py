"""The page's methods, and each one's rule in JavaScript, with all its numbers free."""

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

import gdmethods
from examples.playground import javascript
from gdmethods.dialects import torch
from gdmethods.rules import Decay, NonNegative, Rate, Scalar

Transformation: TypeAlias = optax.GradientTransformationExtraArgs
Period: TypeAlias = Annotated[Scalar, "(0, inf)"]

_INTERVAL = re.compile(r"([\[(])([\d.]+), ([\d.]+|inf)([\])])")
_NOT_OF_A_WEIGHT = {"count", "value", "rounding_count", "narrowest"}


@dataclass(frozen=True)
class Rule:
    """A method of gdmethods as the page has it.

    method: builds it of hyperparameters.
    learning_rate: that the page begins with.
    words: how a variant differs from the method that it is named after.
    options: hyperparameters that are fixed.
    dtype: of the weights.
    around: what wraps it.
    """

    method: Callable[..., Transformation]
    learning_rate: float
    words: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: Any = "float64"
    around: Callable[[Transformation], Transformation] = lambda tx: tx

    def ranges(self) -> dict[str, tuple[float, float, str]]:
        """Of each number, as its annotation has it: [0, 1) is (0.0, 1.0, "[)")."""
        parameters = inspect.signature(self.method).parameters
        found = {
            name: _INTERVAL.search(f"{parameter.annotation}, or (0, inf)")
            for name, parameter in parameters.items()
            if name == "learning_rate" or _INTERVAL.search(str(parameter.annotation))
        }
        return {
            name: (float(interval[2]), float(interval[3]), interval[1] + interval[4])
            for name, interval in found.items()
            if interval and name not in self.options
        }

    def hyperparameters(self) -> dict[str, float]:
        """All numbers, as the page begins with them; None is 0."""
        parameters = inspect.signature(self.method).parameters
        own = {"learning_rate": self.learning_rate}
        return {
            name: float(own.get(name) or parameters[name].default or 0) for name in self.ranges()
        }

    def build(self, **hyper: Any) -> Transformation:
        return self.around(self.method(**hyper, **self.options))

    def stored(self, w: Any) -> Any:
        """A float64 weight in its dtype; float32 is between, as not all convert it at once."""
        return w if self.dtype == "float64" else w.astype("float32").astype(self.dtype)

    def init(self, w: Any, hyper: dict[str, Any]) -> Any:
        return self.build(**hyper).init(self.stored(w))

    def step(self, g: Any, w: Any, state: Any, hyper: dict[str, Any], loss: Any) -> Any:
        """The displacement of a float64 weight, and the next state."""
        tx = self.build(**hyper)
        if self.dtype == "float64":
            return tx.update(g, state, w, value=loss)
        before = self.stored(w)
        updates, state = tx.update(g.astype("float32"), state, before, value=loss)
        after: Any = optax.apply_updates(before, updates)
        return after.astype("float64") - w, state

    def slots(self, state: Any) -> dict[str, Any]:
        """The numbers that a state keeps of its weight."""
        named = {
            jax.tree_util.keystr(path[-1:], simple=True): number
            for path, number in jax.tree.leaves_with_path(gdmethods.read_state(state))
        }
        return {name: named[name] for name in named if name not in _NOT_OF_A_WEIGHT}

    def in_javascript(self) -> str:
        """An object.

        words: as above
        hyper, ranges: the numbers that it takes, and the interval of each
        init(w, hyper) → state
        step(g, w, state, hyper, loss) → [displacement, state]
        slots(state) → its numbers of the weight, by name
        """
        with jax.enable_x64(True):
            w = jnp.float64(1.0)
            numbers = {name: jnp.float64(v) for name, v in self.hyperparameters().items()}
            state = self.init(w, numbers)
        fields = {
            "words": json.dumps(self.words),
            "hyper": json.dumps(self.hyperparameters()),
            "ranges": json.dumps(self.ranges()),
            "init": javascript.function(self.init, w=w, hyper=numbers),
            "step": javascript.function(self.step, g=w, w=w, state=state, hyper=numbers, loss=w),
            "slots": javascript.function(self.slots, state=state),
        }
        return "{\n" + "".join(f"{name}: {text},\n" for name, text in fields.items()) + "}"


def _falling(learning_rate: Rate, period: Period = 20) -> Transformation:
    return gdmethods.sgd(lambda t: learning_rate / (1 + t / period))


def _sutskever(
    method: Callable[..., Transformation],
) -> Callable[..., Transformation]:
    def build(
        learning_rate: Rate,
        max_momentum: Annotated[Scalar, "[0, 1]"] = 0.99,
        period: Period = 20,
    ) -> Transformation:
        schedule = gdmethods.sutskever_momentum_schedule(max_momentum, period)
        return method(learning_rate, schedule)

    return build


def _amsgrad(
    learning_rate: Rate, b1: Decay = 0.9, b2: Decay = 0.999, eps: NonNegative = 1e-8
) -> Transformation:
    return torch.adam(learning_rate, (b1, b2), eps, amsgrad=True)


def _in_bfloat16(method: Callable[..., Transformation], rate: float, **fixed: Any) -> Rule:
    options = {"accumulator_dtype": "bfloat16", **fixed}
    return Rule(method, rate, "state in bfloat16", options, "float32")


def _in_8_bits(method: Callable[..., Transformation], rate: float, **fixed: Any) -> Rule:
    options = {"accumulator_dtype": "8bit", **fixed}
    return Rule(method, rate, "state in 8 bits", options, "float32")


_MASTER, _ROUNDING = gdmethods.with_float32_master, gdmethods.with_stochastic_rounding
ROSTER = {  # a variant's name begins with that of its method, which stands before it
    "sgd": Rule(gdmethods.sgd, 0.05),
    "sgd_falling": Rule(_falling, 0.05, "η falls"),
    "sgd_bfloat16": Rule(gdmethods.sgd, 0.05, "bfloat16 weights", {}, "bfloat16"),
    "sgd_stochastic": Rule(
        gdmethods.sgd, 0.05, "bfloat16 weights, stochastic", {}, "bfloat16", _ROUNDING
    ),
    "sgd_master": Rule(gdmethods.sgd, 0.05, "bfloat16 weights, master", {}, "bfloat16", _MASTER),
    "momentum": Rule(gdmethods.momentum, 0.02),
    "momentum_sutskever": Rule(_sutskever(gdmethods.momentum), 0.02, "Sutskever's schedule"),
    "momentum_16bit": _in_bfloat16(gdmethods.momentum, 0.02),
    "nesterov": Rule(gdmethods.nesterov, 0.02),
    "nesterov_sutskever": Rule(_sutskever(gdmethods.nesterov), 0.02, "Sutskever's schedule"),
    "nesterov_16bit": _in_bfloat16(gdmethods.nesterov, 0.02),
    "adaptive_gains": Rule(gdmethods.adaptive_gains, 0.02),
    "adaptive_gains_velocity": Rule(
        gdmethods.adaptive_gains, 0.02, "agreement with the velocity", {"agreement": "velocity"}
    ),
    "adaptive_gains_16bit": _in_bfloat16(gdmethods.adaptive_gains, 0.02, momentum=None),
    "adagrad": Rule(gdmethods.adagrad, 0.5),
    "adagrad_16bit": _in_bfloat16(gdmethods.adagrad, 0.5),
    "adagrad_8bit": _in_8_bits(gdmethods.adagrad, 0.5),
    "adadelta": Rule(gdmethods.adadelta, 1.0),
    "adadelta_16bit": _in_bfloat16(gdmethods.adadelta, 1.0),
    "rprop": Rule(gdmethods.rprop, 0.1),
    "rprop_minus": Rule(gdmethods.rprop, 0.1, "rprop-", {"variant": "rprop-"}),
    "rprop_plus": Rule(gdmethods.rprop, 0.1, "rprop+", {"variant": "rprop+"}),
    "rprop_iplus": Rule(gdmethods.rprop, 0.1, "irprop+", {"variant": "irprop+"}),
    "rprop_16bit": _in_bfloat16(gdmethods.rprop, 0.1),
    "rmsprop": Rule(gdmethods.rmsprop, 0.1),
    "rmsprop_centered": Rule(gdmethods.rmsprop, 0.1, "centered", {"centered": True}),
    "rmsprop_corrected": Rule(
        gdmethods.rmsprop, 0.1, "bias correction", {"bias_correction": True}
    ),
    "rmsprop_16bit": _in_bfloat16(gdmethods.rmsprop, 0.1, momentum=None),
    "rmsprop_8bit": _in_8_bits(gdmethods.rmsprop, 0.1, momentum=None),
    "adam": Rule(gdmethods.adam, 0.1),
    "adam_uncorrected": Rule(
        gdmethods.adam, 0.1, "no bias correction", {"bias_correction": False}
    ),
    "adam_amsgrad": Rule(_amsgrad, 0.1, "AMSGrad"),
    "adam_16bit": _in_bfloat16(gdmethods.adam, 0.1),
    "adam_8bit": _in_8_bits(gdmethods.adam, 0.1, b1=0.9, b2=0.999),
    "adamw": Rule(gdmethods.adamw, 0.1),
}


@functools.cache
def rules() -> str:
    """The constant `rules` of JavaScript, with each rule by its name."""
    each = "".join(f"{name}: {rule.in_javascript()},\n" for name, rule in ROSTER.items())
    return f"{javascript.HELPERS}const rules = {{\n{each}}};\n"
