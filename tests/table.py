"""The table of methods: who joins it is held to every property that test_contract.py states.

A row says how to build a transformation and what the tests have to know of it. Tests ask the row
and never its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optax
import pytest

import gdmethods

STEPS_TO_CONVERGE = 20_000


@dataclass(frozen=True, eq=False)
class Method:
    """One way through the code of a method.

    factory: the function of gdmethods that builds it.
    hyperparameters: the numbers that it is built with. They are also traced, swept, differentiated
        and injected, so they stand where a derivative shows in a few steps.
    flags: its other arguments, the ones that choose a path.
    core: for an alias, the same as a chain of its core and its learning rate.
    accumulators, squares, signs: the fields of its state that are trees like the parameters, with
        the parameters' dtype, real where it is complex, and int8.
    bytes_per_weight: of state, for a float32 weight.
    needs_value: whether update asks for the loss.
    refuses_complex: whether a complex weight has no sign that it could use.
    converges_with: for an alias, the arguments that settle within STEPS_TO_CONVERGE.
    decays: whether a weight moves without a gradient; update asks for the parameters then.
    claims: the laws of gdmethods.testing that only some keep.
    after_inf, after_nan: what such a gradient makes of its own update, and of those after it:
        "finite", "zero", "inf" or "nan".
    """

    factory: Callable[..., optax.GradientTransformationExtraArgs]
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    core: Callable[[], optax.GradientTransformation] | None = None
    accumulators: tuple[str, ...] = ()
    squares: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    bytes_per_weight: int = 0
    needs_value: bool = False
    refuses_complex: bool = False
    converges_with: Mapping[str, Any] | None = None
    decays: bool = False
    claims: tuple[str, ...] = ()
    after_inf: tuple[str, str] = ("nan", "nan")
    after_nan: tuple[str, str] = ("nan", "nan")

    def build(self, **others: Any) -> optax.GradientTransformationExtraArgs:
        return self.factory(**{**self.hyperparameters, **self.flags, **others})

    def extra_args(self, loss: Any) -> dict[str, Any]:
        """What update asks for beside gradients, state and parameters."""
        return {"value": loss} if self.needs_value else {}


def decaying(count: Any) -> Any:
    return 0.1 / (1.0 + count)  # not 1 + count, which wraps when the count is at its limit


def rising(count: Any) -> Any:
    return 0.9 - 0.4 / (1.0 + count)


def exponential(initial: float) -> optax.Schedule:
    return optax.exponential_decay(initial, STEPS_TO_CONVERGE, 1e-5)


def cosine(initial: float) -> optax.Schedule:
    return optax.cosine_decay_schedule(initial, STEPS_TO_CONVERGE)


GAINS = {"increase": 0.05, "decrease": 0.95, "min_gain": 0.1, "max_gain": 10.0}
RPROP = {
    "learning_rate": 0.1,
    "eta_minus": 0.5,
    "eta_plus": 1.2,
    "min_step_size": 1e-6,
    "max_step_size": 50.0,
}
RPROP_CONVERGES = {"learning_rate": 0.01, "min_step_size": 1e-9, "max_step_size": 0.1}
RMS = {"decay": 0.9, "eps": 1e-2, "eps_root": 1e-3, "initial_scale": 0.1}
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-2, "eps_root": 1e-3}
RSS = {"eps": 1e-2, "eps_root": 1e-3, "initial_accumulator_value": 0.1}


def then_rate(core: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(core, optax.scale_by_learning_rate(0.1))


def rate_then(core: optax.GradientTransformation) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_learning_rate(0.1), core)


def rprop_row(variant: str) -> Method:
    return Method(
        gdmethods.rprop,
        RPROP,
        {"variant": variant},
        core=lambda: optax.chain(
            gdmethods.scale_by_rprop(**RPROP, variant=variant), optax.scale(-1.0)
        ),
        accumulators=("step_sizes",),
        signs=("sign",),
        bytes_per_weight=5,
        needs_value=variant == "irprop+",
        refuses_complex=True,
        converges_with=RPROP_CONVERGES | {"variant": variant},
        claims=("scale_invariance",),
        after_inf=("finite", "finite"),
    )


def gains_row(**flags: Any) -> Method:
    """Adaptive gains at a momentum of 0, the Python number."""
    return Method(
        gdmethods.adaptive_gains,
        {"learning_rate": 0.1} | GAINS,
        flags,
        core=lambda: then_rate(gdmethods.scale_by_gains(**GAINS, **flags)),
        accumulators=("gains",),
        signs=("sign",),
        bytes_per_weight=5,
        refuses_complex=True,
        converges_with={"learning_rate": 3e-4} | flags,
        after_inf=("inf", "finite"),
        after_nan=("nan", "finite"),
    )


def gains_with_momentum_row(**flags: Any) -> Method:
    return Method(
        gdmethods.adaptive_gains,
        {"learning_rate": 0.1, "momentum": 0.9} | GAINS,
        flags,
        core=lambda: then_rate(gdmethods.scale_by_gains(0.9, **GAINS, **flags)),
        accumulators=("gains", "velocity"),
        signs=("sign",),
        bytes_per_weight=9,
        refuses_complex=True,
        converges_with={"learning_rate": 5e-4, "momentum": 0.9} | flags,
        after_inf=("inf", "inf"),
    )


METHODS: dict[str, Method] = {
    "sgd": Method(
        gdmethods.sgd,
        {"learning_rate": 0.1},
        core=lambda: optax.scale_by_learning_rate(0.1),
        converges_with={"learning_rate": 1.5e-3},
        after_inf=("inf", "finite"),
        after_nan=("nan", "finite"),
    ),
    "sgd, schedule": Method(
        gdmethods.sgd,
        {},
        {"learning_rate": decaying},
        after_inf=("inf", "finite"),
        after_nan=("nan", "finite"),
    ),
    "momentum": Method(
        gdmethods.momentum,
        {"learning_rate": 0.1, "momentum": 0.9},
        core=lambda: rate_then(gdmethods.velocity(0.9)),
        accumulators=("velocity",),
        bytes_per_weight=4,
        converges_with={"learning_rate": 1e-3},
        after_inf=("inf", "inf"),
    ),
    "momentum, schedules": Method(
        gdmethods.momentum,
        {},
        {"learning_rate": decaying, "momentum": rising},
        accumulators=("velocity",),
        bytes_per_weight=4,
        after_inf=("inf", "inf"),
    ),
    "velocity": Method(
        gdmethods.velocity,
        {"momentum": 0.9},
        accumulators=("velocity",),
        bytes_per_weight=4,
        after_inf=("inf", "inf"),
    ),
    "nesterov": Method(
        gdmethods.nesterov,
        {"learning_rate": 0.1, "momentum": 0.9},
        core=lambda: rate_then(gdmethods.nesterov_velocity(0.9)),
        accumulators=("velocity",),
        bytes_per_weight=4,
        converges_with={"learning_rate": 1e-3},
        after_inf=("inf", "inf"),
    ),
    "nesterov, schedules": Method(
        gdmethods.nesterov,
        {},
        {"learning_rate": decaying, "momentum": rising},
        accumulators=("velocity",),
        bytes_per_weight=4,
        after_inf=("inf", "inf"),
    ),
    "nesterov_velocity": Method(
        gdmethods.nesterov_velocity,
        {"momentum": 0.9},
        accumulators=("velocity",),
        bytes_per_weight=4,
        after_inf=("inf", "inf"),
    ),
    "adaptive_gains": gains_row(),
    "adaptive_gains, velocity": gains_row(agreement="velocity"),
    "adaptive_gains, momentum": gains_with_momentum_row(),
    "adaptive_gains, momentum, velocity": gains_with_momentum_row(agreement="velocity"),
    "scale_by_gains": Method(
        gdmethods.scale_by_gains,
        GAINS,
        accumulators=("gains",),
        signs=("sign",),
        bytes_per_weight=5,
        refuses_complex=True,
        after_inf=("inf", "finite"),
        after_nan=("nan", "finite"),
    ),
    "adagrad": Method(
        gdmethods.adagrad,
        {"learning_rate": 0.1} | RSS,
        core=lambda: then_rate(gdmethods.scale_by_rss(**RSS)),
        squares=("sum_of_squares",),
        bytes_per_weight=4,
        converges_with={"learning_rate": 0.5},
        after_inf=("finite", "finite"),
    ),
    "adagrad, eps zero": Method(
        gdmethods.adagrad,
        {"learning_rate": 0.1},
        {"eps": 0.0},
        squares=("sum_of_squares",),
        bytes_per_weight=4,
        claims=("scale_invariance",),
        after_inf=("finite", "finite"),
    ),
    "scale_by_rss": Method(
        gdmethods.scale_by_rss,
        RSS,
        squares=("sum_of_squares",),
        bytes_per_weight=4,
        after_inf=("finite", "finite"),
    ),
    "adadelta": Method(
        gdmethods.adadelta,
        {"learning_rate": 0.1, "rho": 0.95, "eps": 1e-2},
        core=lambda: then_rate(gdmethods.scale_by_adadelta(0.95, 1e-2)),
        squares=("e_g", "e_x"),
        bytes_per_weight=8,
        converges_with={"learning_rate": exponential(1.0)},
        after_inf=("finite", "finite"),
    ),
    "scale_by_adadelta": Method(
        gdmethods.scale_by_adadelta,
        {"rho": 0.95, "eps": 1e-2},
        squares=("e_g", "e_x"),
        bytes_per_weight=8,
        after_inf=("finite", "finite"),
    ),
    "rprop-": rprop_row("rprop-"),
    "rprop+": rprop_row("rprop+"),
    "irprop-": rprop_row("irprop-"),
    "irprop+": rprop_row("irprop+"),
    "scale_by_rprop": Method(
        gdmethods.scale_by_rprop,
        RPROP,
        accumulators=("step_sizes",),
        signs=("sign",),
        bytes_per_weight=5,
        refuses_complex=True,
        claims=("scale_invariance",),
        after_inf=("finite", "finite"),
    ),
    "rmsprop": Method(
        gdmethods.rmsprop,
        {"learning_rate": 0.1} | RMS,
        core=lambda: then_rate(gdmethods.scale_by_rms(**RMS)),
        squares=("nu",),
        bytes_per_weight=4,
        converges_with={"learning_rate": exponential(1e-2)},
        after_inf=("finite", "finite"),
    ),
    "rmsprop, eps zero": Method(
        gdmethods.rmsprop,
        {"learning_rate": 0.1},
        {"eps": 0.0, "bias_correction": True},
        squares=("nu",),
        bytes_per_weight=4,
        claims=("scale_invariance",),
        after_inf=("finite", "finite"),
    ),
    "rmsprop, centered": Method(
        gdmethods.rmsprop,
        {"learning_rate": 0.1} | RMS,
        {"centered": True},
        core=lambda: then_rate(gdmethods.scale_by_rms(**RMS, centered=True)),
        accumulators=("mu",),
        squares=("nu",),
        bytes_per_weight=8,
        converges_with={"learning_rate": exponential(1e-2), "centered": True},
        after_inf=("finite", "finite"),
    ),
    "rmsprop, momentum": Method(
        gdmethods.rmsprop,
        {"learning_rate": 0.1, "momentum": 0.9} | RMS,
        {"bias_correction": True},
        core=lambda: optax.chain(
            then_rate(gdmethods.scale_by_rms(**RMS, bias_correction=True)),
            gdmethods.velocity(0.9),
        ),
        accumulators=("velocity",),
        squares=("nu",),
        bytes_per_weight=8,
        converges_with={"learning_rate": exponential(1e-3), "momentum": 0.9},
        after_inf=("finite", "finite"),
    ),
    "rmsprop, all": Method(
        gdmethods.rmsprop,
        RMS,
        {
            "learning_rate": decaying,
            "momentum": rising,
            "centered": True,
            "bias_correction": True,
        },
        accumulators=("mu", "velocity"),
        squares=("nu",),
        bytes_per_weight=12,
        after_inf=("finite", "finite"),
    ),
    "scale_by_rms": Method(
        gdmethods.scale_by_rms,
        RMS,
        squares=("nu",),
        bytes_per_weight=4,
        after_inf=("finite", "finite"),
    ),
    "adam": Method(
        gdmethods.adam,
        {"learning_rate": 0.1} | ADAM,
        core=lambda: then_rate(gdmethods.scale_by_adam(**ADAM)),
        accumulators=("mu",),
        squares=("nu",),
        bytes_per_weight=8,
        converges_with={"learning_rate": cosine(1e-2)},
        after_inf=("finite", "finite"),
    ),
    "adam, schedule, eps zero": Method(
        gdmethods.adam,
        {"b1": 0.9, "b2": 0.999},
        {"learning_rate": decaying, "eps": 0.0},
        accumulators=("mu",),
        squares=("nu",),
        bytes_per_weight=8,
        claims=("scale_invariance",),
        after_inf=("finite", "finite"),
    ),
    "adam, no correction": Method(
        gdmethods.adam,
        {"learning_rate": 0.1} | ADAM,
        {"bias_correction": False},
        core=lambda: then_rate(gdmethods.scale_by_adam(**ADAM, bias_correction=False)),
        accumulators=("mu",),
        squares=("nu",),
        bytes_per_weight=8,
        converges_with={"learning_rate": cosine(1e-2), "bias_correction": False},
        after_inf=("finite", "finite"),
    ),
    "adamw": Method(
        gdmethods.adamw,
        {"learning_rate": 0.1, "weight_decay": 0.1} | ADAM,
        core=lambda: optax.chain(
            gdmethods.scale_by_adam(**ADAM),
            optax.add_decayed_weights(0.1),
            optax.scale_by_learning_rate(0.1),
        ),
        accumulators=("mu",),
        squares=("nu",),
        bytes_per_weight=8,
        decays=True,
        converges_with={"learning_rate": cosine(1e-2), "weight_decay": 0.0},
        after_inf=("finite", "finite"),
    ),
    "scale_by_adam": Method(
        gdmethods.scale_by_adam,
        ADAM,
        accumulators=("mu",),
        squares=("nu",),
        bytes_per_weight=8,
        after_inf=("finite", "finite"),
    ),
}


def every_method(where: Callable[[Method], bool] = lambda method: True) -> Any:
    """Parametrizes a test with the rows of which `where` holds."""
    rows = {name: method for name, method in METHODS.items() if where(method)}
    return pytest.mark.parametrize("method", rows.values(), ids=rows)


def stands_for_its_rule(method: Method) -> bool:
    """Cores have the rules of their aliases, and a flag changes a line of one."""
    first = next(row for row in METHODS.values() if row.factory is method.factory)
    return method.core is not None and first is method
