"""Who is measured: each method, and the optimizers of Optax and PyTorch that stand beside it."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import optax

import gdmethods

Transformation: TypeAlias = optax.GradientTransformation
Factory: TypeAlias = Callable[[], Transformation]


@dataclasses.dataclass(frozen=True)
class Method:
    """A method here and elsewhere, at the same hyperparameters where the other has them.

    `torch` names a class of `torch.optim` and its arguments; `fused` says that PyTorch has it as
    one kernel on a CPU too.
    """

    gdmethods: Factory
    optax: Factory | None = None
    torch: tuple[str, dict[str, Any]] | None = None
    fused: bool = False

    def transformations(self) -> dict[str, Transformation]:
        libraries = {"gdmethods": self.gdmethods, "optax": self.optax}
        return {name: make() for name, make in libraries.items() if make is not None}


RATE = 1e-3

METHODS = {
    "sgd": Method(
        lambda: gdmethods.sgd(RATE),
        lambda: optax.sgd(RATE),
        ("SGD", {"lr": RATE}),
        fused=True,
    ),
    "momentum": Method(
        lambda: gdmethods.momentum(RATE, 0.9),
        lambda: optax.sgd(RATE, 0.9),
        ("SGD", {"lr": RATE, "momentum": 0.9}),
        fused=True,
    ),
    "nesterov": Method(
        lambda: gdmethods.nesterov(RATE, 0.9),
        lambda: optax.sgd(RATE, 0.9, nesterov=True),
        ("SGD", {"lr": RATE, "momentum": 0.9, "nesterov": True}),
        fused=True,
    ),
    "adaptive_gains": Method(lambda: gdmethods.adaptive_gains(RATE)),
    "adagrad": Method(
        lambda: gdmethods.adagrad(RATE),
        lambda: optax.adagrad(RATE),
        ("Adagrad", {"lr": RATE}),
        fused=True,
    ),
    "adadelta": Method(
        lambda: gdmethods.adadelta(1.0),
        lambda: optax.adadelta(1.0),
        ("Adadelta", {"lr": 1.0}),
    ),
    "rprop": Method(
        lambda: gdmethods.rprop(RATE),
        lambda: optax.rprop(RATE),
        ("Rprop", {"lr": RATE}),
    ),
    "rmsprop": Method(
        lambda: gdmethods.rmsprop(RATE),
        lambda: optax.rmsprop(RATE),
        ("RMSprop", {"lr": RATE, "alpha": 0.9}),
    ),
    "adam": Method(
        lambda: gdmethods.adam(RATE),
        lambda: optax.adam(RATE),
        ("Adam", {"lr": RATE}),
        fused=True,
    ),
}
