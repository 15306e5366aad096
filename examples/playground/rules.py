"""The page's methods, and each one's rule in JavaScript, with all its numbers free."""

import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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

    def having(self, words: str, **options: Any) -> "Rule":
        return replace(self, words=words, options=options)

    def kept_in(self, dtype: str, **options: Any) -> "Rule":
        """With narrow state, beside float32 weights."""
        narrow = self.having(
            f"state in {dtype.replace('8bit', '8 bits')}", accumulator_dtype=dtype, **options
        )
        return replace(narrow, dtype="float32")

    def ranges(self) -> dict[str, tuple[float, float, str]]:
        """Of each number, as its annotation has it: [0, 1) is (0.0, 1.0, "[)")."""
        found = {"learning_rate": (0.0, math.inf, "()")}  # Rprop's says nothing
        for name, parameter in inspect.signature(self.method).parameters.items():
            interval = _INTERVAL.search(str(parameter.annotation))
            if interval and name not in self.options:
                left, low, high, right = interval.groups()
                found[name] = float(low), float(high), left + right
        return found

    def hyperparameters(self) -> dict[str, float]:
        """All numbers, as the page begins with them; None is 0."""
        parameters = inspect.signature(self.method).parameters
        numbers = {name: float(parameters[name].default or 0) for name in [*self.ranges()][1:]}
        return {"learning_rate": self.learning_rate} | numbers

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


def _sutskever(method: Callable[..., Transformation]) -> Callable[..., Transformation]:
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


SGD = Rule(gdmethods.sgd, 0.05)
MOMENTUM = Rule(gdmethods.momentum, 0.02)
NESTEROV = Rule(gdmethods.nesterov, 0.02)
GAINS = Rule(gdmethods.adaptive_gains, 0.02)
ADAGRAD = Rule(gdmethods.adagrad, 0.5)
ADADELTA = Rule(gdmethods.adadelta, 1.0)
RPROP = Rule(gdmethods.rprop, 0.1)
RMSPROP = Rule(gdmethods.rmsprop, 0.1)
ADAM = Rule(gdmethods.adam, 0.1)

ROSTER = {  # a variant's name begins with that of its method, which stands before it
    "sgd": SGD,
    "sgd_falling": replace(SGD, method=_falling, words="η falls"),
    "sgd_bfloat16": replace(SGD, words="bfloat16 weights", dtype="bfloat16"),
    "sgd_stochastic": replace(
        SGD,
        words="bfloat16 weights, stochastic",
        dtype="bfloat16",
        around=gdmethods.with_stochastic_rounding,
    ),
    "sgd_master": replace(
        SGD,
        words="bfloat16 weights, master",
        dtype="bfloat16",
        around=gdmethods.with_float32_master,
    ),
    "momentum": MOMENTUM,
    "momentum_sutskever": replace(
        MOMENTUM, method=_sutskever(gdmethods.momentum), words="Sutskever's schedule"
    ),
    "momentum_16bit": MOMENTUM.kept_in("bfloat16"),
    "nesterov": NESTEROV,
    "nesterov_sutskever": replace(
        NESTEROV, method=_sutskever(gdmethods.nesterov), words="Sutskever's schedule"
    ),
    "nesterov_16bit": NESTEROV.kept_in("bfloat16"),
    "adaptive_gains": GAINS,
    "adaptive_gains_velocity": GAINS.having("agreement with the velocity", agreement="velocity"),
    "adaptive_gains_16bit": GAINS.kept_in("bfloat16", momentum=None),  # no velocity to round
    "adagrad": ADAGRAD,
    "adagrad_16bit": ADAGRAD.kept_in("bfloat16"),
    "adagrad_8bit": ADAGRAD.kept_in("8bit"),
    "adadelta": ADADELTA,
    "adadelta_16bit": ADADELTA.kept_in("bfloat16"),
    "rprop": RPROP,
    "rprop_minus": RPROP.having("rprop-", variant="rprop-"),
    "rprop_plus": RPROP.having("rprop+", variant="rprop+"),
    "rprop_iplus": RPROP.having("irprop+", variant="irprop+"),
    "rprop_16bit": RPROP.kept_in("bfloat16"),
    "rmsprop": RMSPROP,
    "rmsprop_centered": RMSPROP.having("centered", centered=True),
    "rmsprop_corrected": RMSPROP.having("bias correction", bias_correction=True),
    "rmsprop_16bit": RMSPROP.kept_in("bfloat16", momentum=None),
    "rmsprop_8bit": RMSPROP.kept_in("8bit", momentum=None),
    "adam": ADAM,
    "adam_uncorrected": ADAM.having("no bias correction", bias_correction=False),
    "adam_amsgrad": replace(ADAM, method=_amsgrad, words="AMSGrad"),
    "adam_16bit": ADAM.kept_in("bfloat16"),
    "adam_8bit": ADAM.kept_in("8bit", b1=0.9, b2=0.999),  # m in a byte asks for b1 as a number
    "adamw": Rule(gdmethods.adamw, 0.1),
}


@functools.cache
def rules() -> str:
    """The constant `rules` of JavaScript, with each rule by its name."""
    each = "".join(f"{name}: {rule.in_javascript()},\n" for name, rule in ROSTER.items())
    return f"{javascript.HELPERS}const rules = {{\n{each}}};\n"
