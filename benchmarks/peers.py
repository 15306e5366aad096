"""Who is measured: each method, and the optimizers of Optax and PyTorch that stand beside it."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import optax

import gdmethods

Transformation: TypeAlias = optax.GradientTransformation
Factory: TypeAlias = Callable[..., Transformation]


@dataclasses.dataclass(frozen=True)
class Method:
    """A method here and elsewhere, at the same hyperparameters where the other has them.

    `gdmethods` takes an accumulator_dtype. `torch` names a class of `torch.optim` and its
    arguments; `fused` says that PyTorch has it as one kernel on a CPU too.
    """

    gdmethods: Factory
    optax: Factory | None = None
    torch: tuple[str, dict[str, Any]] | None = None
    fused: bool = False

    def transformations(self) -> dict[str, Transformation]:
        libraries = {"gdmethods": self.gdmethods, "optax": self.optax}
        return {name: make() for name, make in libraries.items() if make is not None}

    def narrow(self) -> Transformation:
        """With bfloat16 accumulators, for bfloat16 weights; both are rounded stochastically."""
        return gdmethods.with_stochastic_rounding(self.gdmethods(accumulator_dtype=jnp.bfloat16))


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
    ),
    "adam": Method(
        lambda **dtype: gdmethods.adam(RATE, **dtype),
        lambda: optax.adam(RATE),
        ("Adam", {"lr": RATE}),
        fused=True,
    ),
}
