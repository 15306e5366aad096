"""What is measured: each method, and the same optimizers of Optax and PyTorch."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import optax

import gdmethods

Transformation: TypeAlias = optax.GradientTransformation
Factory: TypeAlias = Callable[..., Transformation]

BFLOAT16 = "gdmethods bfloat16"
"""Weights, gradients and accumulators in bfloat16; weights and accumulators are rounded
stochastically."""

EIGHT_BITS = "gdmethods 8 bits"
"""The same with accumulators in 8 bits."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A method here and elsewhere, with the same hyperparameters as far as the other has them.

    `gdmethods` takes an accumulator_dtype; `eight_bits` says that 8 bits are enough for all of its
    accumulators. `torch` names a class of `torch.optim` and its arguments; `fused` says that
    PyTorch has it as one kernel on a CPU too.
    """

    gdmethods: Factory
    optax: Factory | None = None
    torch: tuple[str, dict[str, Any]] | None = None
    eight_bits: bool = False
    fused: bool = False

    def transformations(self) -> dict[str, Transformation]:
        libraries = {"gdmethods": self.gdmethods, "optax": self.optax}
        return {name: make() for name, make in libraries.items() if make is not None}

    def narrow(self) -> dict[str, Transformation]:
        """The transformations for bfloat16 weights."""
        dtypes = {BFLOAT16: "bfloat16"} | ({EIGHT_BITS: "8bit"} if self.eight_bits else {})
        return {
            name: gdmethods.with_stochastic_rounding(self.gdmethods(accumulator_dtype=dtype))
            for name, dtype in dtypes.items()
        }


RATE = 1e-3

METHODS = {
    "sgd": Method(
        lambda **_: gdmethods.sgd(RATE),
        lambda: optax.sgd(RATE),
        ("SGD", {"lr": RATE}),
        fused=True,
    ),
    "momentum": Method(
        lambda **dtype: gdmethods.momentum(RATE, 0.9, **dtype),
        lambda: optax.sgd(RATE, 0.9),
        ("SGD", {"lr": RATE, "momentum": 0.9}),
        fused=True,
    ),
    "nesterov": Method(
        lambda **dtype: gdmethods.nesterov(RATE, 0.9, **dtype),
        lambda: optax.sgd(RATE, 0.9, nesterov=True),
        ("SGD", {"lr": RATE, "momentum": 0.9, "nesterov": True}),
        fused=True,
    ),
    "adaptive_gains": Method(lambda **dtype: gdmethods.adaptive_gains(RATE, **dtype)),
    "adagrad": Method(
        lambda **dtype: gdmethods.adagrad(RATE, **dtype),
        lambda: optax.adagrad(RATE),
        ("Adagrad", {"lr": RATE}),
        eight_bits=True,
        fused=True,
    ),
    "adadelta": Method(
        lambda **dtype: gdmethods.adadelta(1.0, **dtype),
        lambda: optax.adadelta(1.0),
        ("Adadelta", {"lr": 1.0}),
    ),
    "rprop": Method(
        lambda **dtype: gdmethods.rprop(RATE, **dtype),
        lambda: optax.rprop(RATE),
        ("Rprop", {"lr": RATE}),
    ),
    "rmsprop": Method(
        lambda **dtype: gdmethods.rmsprop(RATE, **dtype),
        lambda: optax.rmsprop(RATE),
        ("RMSprop", {"lr": RATE, "alpha": 0.9}),
        eight_bits=True,
    ),
    "adam": Method(
        lambda **dtype: gdmethods.adam(RATE, **dtype),
        lambda: optax.adam(RATE),
        ("Adam", {"lr": RATE}),
        eight_bits=True,
        fused=True,
    ),
}
