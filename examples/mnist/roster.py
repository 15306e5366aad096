"""The methods in the lecture's order, with their settings."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import optax

import gdmethods


def _as_they_are(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    return params


@dataclasses.dataclass(frozen=True)
class Method:
    """A method with its settings.

    Attributes:
      label: the name that tables show.
      alias: of gdmethods; builds the optimizer from the settings.
      settings: its keyword arguments; the others keep their defaults.
      full_batch: one step a pass, with the gradient of the whole training set.
      eval_params: returns the weights to evaluate, given the optimizer's state and the parameters.
    """

    label: str
    alias: Callable[..., optax.GradientTransformationExtraArgs]
    settings: Mapping[str, Any]
    full_batch: bool = False
    eval_params: Callable[[optax.OptState, optax.Params], optax.Params] = _as_they_are

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.alias.__name__ + ("_full_batch" if self.full_batch else "")

    @property
    def expression(self) -> str:
        """For `--methods` of the study."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{self.alias.__name__}({settings})"

    def optimizer(self) -> optax.GradientTransformationExtraArgs:
        return self.alias(**self.settings)


ROSTER = {
    method.name: method
    for method in (
        Method("SGD", gdmethods.sgd, {"learning_rate": 0.2}),
        Method("Momentum", gdmethods.momentum, {"learning_rate": 0.05, "momentum": 0.9}),
        Method(
            "Nesterov",
            gdmethods.nesterov,
            {"learning_rate": 0.05, "momentum": 0.9},
            eval_params=gdmethods.nesterov_eval_params,
        ),
        Method(
            "Adaptive gains",
            gdmethods.adaptive_gains,
            {"learning_rate": 0.05, "momentum": 0.9, "agreement": "velocity"},
        ),
        Method("AdaGrad", gdmethods.adagrad, {"learning_rate": 0.01}),
        Method("AdaDelta", gdmethods.adadelta, {"learning_rate": 1.0}),
        Method("Rprop, minibatches", gdmethods.rprop, {"learning_rate": 0.001}),
        Method("Rprop, full batches", gdmethods.rprop, {"learning_rate": 0.001}, full_batch=True),
        Method("RMSProp", gdmethods.rmsprop, {"learning_rate": 0.001}),
        Method("Adam", gdmethods.adam, {"learning_rate": 0.001}),
    )
}
