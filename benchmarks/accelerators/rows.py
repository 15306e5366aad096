"""What is compiled: every method, dialect and wrapper, and Optax's optimizers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import optax

import gdmethods
from examples import own_rule
from gdmethods.dialects import keras, lecture, torch


class Row(NamedTuple):
    """One line of the table.

    Attributes:
      tx: the transformation whose step is compiled.
      extra_args: the extra arguments of its update.
    """

    tx: optax.GradientTransformation
    extra_args: Mapping[str, Any] = {}


RATE = 1e-3

METHODS: Mapping[str, Row] = {
    "sgd": Row(gdmethods.sgd(RATE)),
    "momentum": Row(gdmethods.momentum(RATE)),
    "nesterov": Row(gdmethods.nesterov(RATE)),
    "adaptive_gains": Row(gdmethods.adaptive_gains(RATE)),
    "adaptive_gains, velocity": Row(gdmethods.adaptive_gains(RATE, agreement="velocity")),
    "adaptive_gains, μ": Row(gdmethods.adaptive_gains(RATE, 0.9)),
    "adaptive_gains, μ, velocity": Row(
        gdmethods.adaptive_gains(RATE, 0.9, agreement="velocity"),
    ),
    "adagrad": Row(gdmethods.adagrad(RATE)),
    "adadelta": Row(gdmethods.adadelta()),
    "rprop, rprop-": Row(gdmethods.rprop(variant="rprop-")),
    "rprop, rprop+": Row(gdmethods.rprop(variant="rprop+")),
    "rprop, irprop-": Row(gdmethods.rprop(variant="irprop-")),
    "rprop, irprop+": Row(gdmethods.rprop(variant="irprop+"), {"value": 0.0}),
    "rmsprop": Row(gdmethods.rmsprop(RATE)),
    "rmsprop, centered": Row(gdmethods.rmsprop(RATE, centered=True)),
    "rmsprop, μ": Row(gdmethods.rmsprop(RATE, momentum=0.9)),
    "rmsprop, centered, μ": Row(gdmethods.rmsprop(RATE, centered=True, momentum=0.9)),
    "adam": Row(gdmethods.adam(RATE)),
    "adamw": Row(gdmethods.adamw(RATE)),
}

CORES: Mapping[str, Row] = {
    name: Row(optax.chain(core, gdmethods.scale_by_learning_rate(RATE)))
    for name, core in {
        "velocity": gdmethods.velocity(),
        "nesterov_velocity": gdmethods.nesterov_velocity(),
        "scale_by_gains": gdmethods.scale_by_gains(),
        "scale_by_rss": gdmethods.scale_by_rss(),
        "scale_by_adadelta": gdmethods.scale_by_adadelta(),
        "scale_by_rprop": gdmethods.scale_by_rprop(),
        "scale_by_rms": gdmethods.scale_by_rms(),
        "scale_by_adam": gdmethods.scale_by_adam(),
    }.items()
}

DIALECTS: Mapping[str, Row] = {
    "torch.sgd": Row(torch.sgd(momentum=0.9, nesterov=True, weight_decay=0.1)),
    "torch.adagrad": Row(torch.adagrad(lr_decay=0.1, weight_decay=0.1)),
    "torch.adadelta": Row(torch.adadelta(weight_decay=0.1)),
    "torch.rprop": Row(torch.rprop()),
    "torch.rmsprop": Row(torch.rmsprop(momentum=0.9, centered=True)),
    "torch.adam": Row(torch.adam(weight_decay=0.1)),
    "torch.adam, amsgrad": Row(torch.adam(amsgrad=True)),
    "torch.adamw": Row(torch.adamw()),
    "keras.sgd": Row(keras.sgd(momentum=0.9, nesterov=True, weight_decay=0.1)),
    "keras.adagrad": Row(keras.adagrad()),
    "keras.adadelta": Row(keras.adadelta()),
    "keras.rmsprop": Row(keras.rmsprop(momentum=0.9, centered=True)),
    "keras.adam": Row(keras.adam(weight_decay=0.1)),
    "keras.adam, amsgrad": Row(keras.adam(amsgrad=True)),
    "keras.adamw": Row(keras.adamw()),
    "lecture.momentum": Row(lecture.momentum(RATE)),
    "lecture.nesterov": Row(lecture.nesterov(RATE)),
    "lecture.adaptive_gains": Row(lecture.adaptive_gains(RATE)),
    "lecture.adagrad": Row(lecture.adagrad(RATE)),
    "lecture.adadelta": Row(lecture.adadelta(RATE)),
    "lecture.rprop": Row(lecture.rprop(RATE)),
    "lecture.rmsprop": Row(lecture.rmsprop()),
    "lecture.adam": Row(lecture.adam()),
}

WRAPPERS: Mapping[str, Row] = {
    "adam, bfloat16 state": Row(gdmethods.adam(RATE, accumulator_dtype="bfloat16")),
    "float32 master, adam": Row(gdmethods.with_float32_master(gdmethods.adam(RATE))),
    "stochastic rounding, adam": Row(gdmethods.with_stochastic_rounding(gdmethods.adam(RATE))),
}

NARROW: Mapping[str, Row] = {
    "rmsprop, μ, bfloat16 state": Row(
        gdmethods.rmsprop(RATE, momentum=0.9, accumulator_dtype="bfloat16")
    ),
    "rmsprop, centered, μ, bfloat16 state": Row(
        gdmethods.rmsprop(RATE, centered=True, momentum=0.9, accumulator_dtype="bfloat16")
    ),
}

MASTERS: Mapping[str, Row] = {
    f"float32 master, {name}": Row(gdmethods.with_float32_master(tx))
    for name, tx in {
        "sgd": gdmethods.sgd(RATE),
        "momentum": gdmethods.momentum(RATE),
        "momentum, bfloat16 state": gdmethods.momentum(RATE, accumulator_dtype="bfloat16"),
        "rprop, rprop+": gdmethods.rprop(variant="rprop+"),
        "adaptive_gains, μ": gdmethods.adaptive_gains(RATE, 0.9),
        "rmsprop, centered": gdmethods.rmsprop(RATE, centered=True),
        "adam, bfloat16 state": gdmethods.adam(RATE, accumulator_dtype="bfloat16"),
        "optax.adamw": optax.adamw(RATE),
    }.items()
}

EIGHT_BITS: Mapping[str, Row] = {
    f"{name}, 8-bit state": Row(tx)
    for name, tx in {
        "adagrad": gdmethods.adagrad(RATE, accumulator_dtype="8bit"),
        "rmsprop": gdmethods.rmsprop(RATE, accumulator_dtype="8bit"),
        "rmsprop, centered": gdmethods.rmsprop(RATE, centered=True, accumulator_dtype="8bit"),
        "adam": gdmethods.adam(RATE, accumulator_dtype="8bit"),
        "adam, β₁ = 0.99": gdmethods.adam(RATE, 0.99, accumulator_dtype="8bit"),
        "adamw": gdmethods.adamw(RATE, accumulator_dtype="8bit"),
        "stochastic rounding, adam": gdmethods.with_stochastic_rounding(
            gdmethods.adam(RATE, accumulator_dtype="8bit")
        ),
        "float32 master, adam": gdmethods.with_float32_master(
            gdmethods.adam(RATE, accumulator_dtype="8bit")
        ),
    }.items()
}

RULES: Mapping[str, Row] = {
    "a rule of one's own, nadam": Row(own_rule.nadam(RATE)),
    "a rule of one's own, nadam, 8-bit state": Row(own_rule.nadam(RATE, accumulator_dtype="8bit")),
    "a rule of one's own, nadam, in 4 bytes": Row(own_rule.in_four_bytes(RATE)),
}

REDUCTIONS: Mapping[str, Row] = {
    "clip_by_global_norm, adam": Row(
        optax.chain(optax.clip_by_global_norm(1.0), gdmethods.adam(RATE))
    ),
    "skip_nonfinite_steps, adam": Row(gdmethods.skip_nonfinite_steps(gdmethods.adam(RATE), 5)),
}

OPTAX: Mapping[str, Row] = {
    "optax.sgd": Row(optax.sgd(RATE)),
    "optax.sgd, momentum": Row(optax.sgd(RATE, 0.9)),
    "optax.sgd, nesterov": Row(optax.sgd(RATE, 0.9, nesterov=True)),
    "optax.adagrad": Row(optax.adagrad(RATE)),
    "optax.adadelta": Row(optax.adadelta(1.0)),
    "optax.rprop": Row(optax.rprop(RATE)),
    "optax.rmsprop": Row(optax.rmsprop(RATE)),
    "optax.rmsprop, centered, μ": Row(optax.rmsprop(RATE, centered=True, momentum=0.9)),
    "optax.adam": Row(optax.adam(RATE)),
    "optax.adamw": Row(optax.adamw(RATE)),
    "optax.amsgrad": Row(optax.amsgrad(RATE)),
}

BESIDE_OPTAX: Mapping[str, str] = {
    "sgd": "optax.sgd",
    "momentum": "optax.sgd, momentum",
    "nesterov": "optax.sgd, nesterov",
    "adagrad": "optax.adagrad",
    "adadelta": "optax.adadelta",
    "rprop, irprop-": "optax.rprop",
    "rmsprop": "optax.rmsprop",
    "rmsprop, centered, μ": "optax.rmsprop, centered, μ",
    "adam": "optax.adam",
    "adamw": "optax.adamw",
}
"""Methods of the picture, and Optax' steps of the same kind."""

IN_FOUR_BYTES: Mapping[str, str] = {"adam": "stochastic rounding, adam, 8-bit state"}
"""Methods of the picture with bfloat16 weights and two bytes of state."""
