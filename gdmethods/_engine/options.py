"""An option that a factory does not have raises an error that says what to write instead."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeAlias

import optax

from gdmethods._engine.method import Method
from gdmethods._engine.public_name import public_name

P = ParamSpec("P")
Transformation: TypeAlias = optax.GradientTransformationExtraArgs

SYNONYMS = (
    {"learning_rate", "lr", "eta"},
    {"momentum", "gamma"},
    {"b1", "beta1", "beta_1", "betas"},
    {"b2", "beta2", "beta_2", "betas"},
    {"eps", "epsilon"},
    {"decay", "alpha", "rho", "beta"},
    {"accumulator_dtype", "mu_dtype"},
    {"initial_accumulator_value", "initial_scale"},
    {"eta_minus", "etas"},
    {"eta_plus", "etas"},
    {"min_step_size", "step_sizes"},
    {"max_step_size", "step_sizes"},
)
"""The names that Optax, PyTorch, Keras, the lecture and this library give to the same argument."""

_BY_JIT = "which sets how PyTorch runs; jax.jit compiles every update"
ELSEWHERE = {
    "eps_in_sqrt": "since each method has its own place for ε, which its docstring shows",
    "nesterov": "since gdmethods.nesterov is a method of its own",
    "momentum": "since gdmethods.momentum is a method, and gdmethods.velocity its part in a chain",
    "decoupled_weight_decay": "since adamw always decouples its decay",
    "weight_decay": (
        "which gdmethods.adamw has; with other methods chain optax.add_decayed_weights before "
        "the learning rate"
    ),
    "mask": "which gdmethods.adamw has",
    "amsgrad": "which gdmethods.dialects.torch.adam and gdmethods.dialects.keras.adam have",
    "dampening": "which gdmethods.dialects.torch.sgd has",
    "lr_decay": "which gdmethods.dialects.torch.adagrad has",
    "maximize": "which is optax.scale(-1) before it in a chain",
    "foreach": _BY_JIT,
    "fused": _BY_JIT,
    "capturable": _BY_JIT,
    "clipnorm": (
        "which clips each gradient by its own norm: optax.clip_by_global_norm in an "
        "optax.partition that has a label for each leaf"
    ),
    "global_clipnorm": "which is optax.clip_by_global_norm before it in a chain",
    "clipvalue": "which is optax.clip before it in a chain",
}
"""Arguments of other libraries that a published method lacks, and where to find what they do."""


def refusing(
    reasons: Mapping[str, str] = ELSEWHERE,
) -> Callable[[Callable[P, Transformation]], Callable[P, Transformation]]:
    """Decorates a factory: an option that it does not have raises a `TypeError` with the reason.

    The method that the factory returns keeps its options.
    """

    def decorate(factory: Callable[P, Transformation]) -> Callable[P, Transformation]:
        signature = inspect.signature(factory)
        options = list(signature.parameters)
        where = public_name(factory)

        @functools.wraps(factory)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Transformation:
            for name in kwargs:
                if name not in options:
                    reason = _synonym(name, options) or reasons.get(name) or _guess(name, options)
                    raise TypeError(f"{where} has no option {name!r}, {reason}.")
            if args and (options[0] in kwargs or _is_tree(args[0])):
                raise TypeError(
                    f"{where} does not take the parameters: tx.init(params) and tx.update(grads, "
                    f"state, params) do. Write tx = {where}({options[0]}=…)."
                )
            made = factory(*args, **kwargs)
            if isinstance(made, Method):
                given = signature.bind(*args, **kwargs)
                given.apply_defaults()
                made.factory, made.options = checked, given.arguments
            return made

        return checked

    return decorate


def _is_tree(value: Any) -> bool:
    """Whether it is several values, and no array or text."""
    return isinstance(value, Iterable) and not (hasattr(value, "dtype") or isinstance(value, str))


def _synonym(name: str, options: Iterable[str]) -> str:
    same = [option for option in options for names in SYNONYMS if {name, option} <= names]
    return f"which {'are' if len(same) > 1 else 'is'} {' and '.join(same)} here" if same else ""


def _guess(name: str, options: list[str]) -> str:
    near = difflib.get_close_matches(name, options, 1, cutoff=0.8)
    return f"but {near[0]}" if near else f"and its options are {', '.join(options)}"
