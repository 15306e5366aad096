"""What XLA makes of a jitted step with all donated: it overwrites in place and keeps nothing.

A temporary of a weight's size is a second pass over memory that a rule can do without.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import METHODS, every_method

import gdmethods

WEIGHTS = 2**20

BYTES_A_WEIGHT = {
    "sgd": (gdmethods.sgd(0.1), 0),
    "momentum": (gdmethods.momentum(0.1, 0.9), 0),
    "nesterov": (gdmethods.nesterov(0.1, 0.9), 0),
    "adaptive_gains": (gdmethods.adaptive_gains(0.1), 0),
    "adaptive_gains, momentum": (gdmethods.adaptive_gains(0.1, momentum=0.9), 0),
    "adagrad": (gdmethods.adagrad(0.1), 0),
    "adadelta": (gdmethods.adadelta(1.0), 4),  # the quotient that update and e_x share
    "rprop": (gdmethods.rprop(0.1), 0),
    "rprop-": (gdmethods.rprop(0.1, variant="rprop-"), 0),
    "rmsprop": (gdmethods.rmsprop(0.1), 0),
    "rmsprop, all": (gdmethods.rmsprop(0.1, momentum=0.9, centered=True), 0),
    "adam": (gdmethods.adam(0.1), 0),
    "adamw": (gdmethods.adamw(0.1), 0),
    "rmsprop, 8 bits": (gdmethods.rmsprop(0.1, accumulator_dtype="8bit"), 0),
    "adam, 8 bits": (gdmethods.adam(0.1, accumulator_dtype="8bit"), 1),  # old ν, which old m needs
}

BYTES_A_NARROW_WEIGHT = {
    "master": (gdmethods.with_float32_master(gdmethods.adam(0.1)), 4),  # the new one
    "master, 8 bits": (
        gdmethods.with_float32_master(gdmethods.adam(0.1, accumulator_dtype="8bit")),
        4,
    ),
    "stochastic rounding": (gdmethods.with_stochastic_rounding(gdmethods.adam(0.1)), 0),
    "stochastic rounding, 8 bits": (
        gdmethods.with_stochastic_rounding(gdmethods.adam(0.1, accumulator_dtype="8bit")),
        1,
    ),
}

TEMPORARY = [
    pytest.param(tx, dtype, expected, id=name)
    for table, dtype in ((BYTES_A_WEIGHT, jnp.float32), (BYTES_A_NARROW_WEIGHT, jnp.bfloat16))
    for name, (tx, expected) in table.items()
]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other backends fuse otherwise")
@pytest.mark.parametrize(("tx", "dtype", "expected"), TEMPORARY)
def test_temporary_memory(tx, dtype, expected):
    compiled = lowered(tx, jax.ShapeDtypeStruct((WEIGHTS,), dtype)).compile()
    scalars = 4096
    assert compiled.memory_analysis().temp_size_in_bytes <= expected * WEIGHTS + scalars


def test_another_number_compiles_nothing_outside_of_jit(caplog):
    def step(**numbers):
        tx = gdmethods.adamw(**numbers)
        w = jnp.ones(3)
        jax.block_until_ready(tx.update(w, tx.init(w), w))

    step(learning_rate=0.1234567)  # which no test before has made an array of
    with jax.log_compiles():
        step(learning_rate=0.2, b1=0.8, b2=0.99, eps=1e-6, weight_decay=0.02)
    assert [x.getMessage() for x in caplog.records if "Compiling" in x.getMessage()] == []


@pytest.mark.parametrize("run", [jax.jit, lambda update: update])
def test_a_number_keeps_its_digits_until_it_meets_an_array(run):
    """1 − 0.9999999 is 1e-7, and 1.2e-7 if the decay is rounded to float32 before."""
    tx = gdmethods.adam(0.1, b2=0.9999999)
    g = jnp.ones(3)
    _, state = run(tx.update)(g, tx.init(g), g)
    assert state.nu.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(state.nu, np.float64), 1e-7, rtol=1e-7)


def test_adam_lowers_one_rule_for_eight_leaves_of_a_shape():
    """A thousand leaves cost 125 calls, and not a thousand rules."""
    tx = gdmethods.adam(0.1)

    def roots(leaves):
        params = leaves * [jax.ShapeDtypeStruct((2, 3), jnp.float32)]
        state = jax.eval_shape(tx.init, params)
        return jax.jit(tx.update).lower(params, state, params).as_text().count("sqrt")

    assert roots(80) == roots(8) == 8 * roots(1) > 0


@every_method()
def test_lowers_for_every_platform(method):
    tx, w = method.build(), jax.ShapeDtypeStruct((2, 3), jnp.float32)
    platforms = ["cpu", "cuda", "rocm", "tpu"]
    step = jax.jit(lambda g, state, w: tx.update(g, state, w, **method.extra_args(0.0)))
    exported = jax.export.export(step, platforms=platforms)(w, jax.eval_shape(tx.init, w), w)
    assert list(exported.platforms) == platforms


INSTRUCTIONS = {
    "sgd": 18,
    "sgd, schedule": 27,
    "momentum": 26,
    "momentum, schedules": 43,
    "velocity": 26,
    "nesterov": 38,
    "nesterov, schedules": 59,
    "nesterov_velocity": 38,
    "adaptive_gains": 89,
    "adaptive_gains, velocity": 135,
    "adaptive_gains, momentum": 96,
    "adaptive_gains, momentum, velocity": 144,
    "scale_by_gains": 85,
    "adagrad": 43,
    "adagrad, eps zero": 40,
    "scale_by_rss": 44,
    "adadelta": 73,
    "scale_by_adadelta": 74,
    "rprop-": 80,
    "rprop+": 110,
    "irprop-": 85,
    "irprop+": 117,
    "scale_by_rprop": 86,
    "rmsprop": 50,
    "rmsprop, eps zero": 59,
    "rmsprop, centered": 68,
    "rmsprop, momentum": 72,
    "rmsprop, all": 130,
    "scale_by_rms": 46,
    "adam": 84,
    "adam, schedule, eps zero": 85,
    "adam, no correction": 60,
    "adamw": 86,
    "scale_by_adam": 85,
}
"""Of the optimised step of one leaf, whose sum is what a step takes to compile.

Whoever changes one changes the table, and says why.
"""


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other backends fuse otherwise")
@every_method()
def test_instructions(method):
    leaf = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    optimised = lowered(method.build(), leaf, **method.extra_args(0.0)).compile().as_text()
    instructions = len(re.findall(r"^ +(?:ROOT )?%?[\w.-]+ = ", optimised, re.MULTILINE))
    name = next(name for name, each in METHODS.items() if each is method)
    assert INSTRUCTIONS[name] - instructions in (0, 2)  # XLA of jax 0.8 shares a constant more


@pytest.mark.parametrize(
    ("tx", "dtype", "expected"),
    [
        (gdmethods.adam(0.1, accumulator_dtype=jnp.bfloat16), jnp.float32, 227),
        (gdmethods.adam(0.1, accumulator_dtype="8bit"), jnp.float32, 431),
        (gdmethods.with_float32_master(gdmethods.adam(0.1)), jnp.bfloat16, 117),
        (gdmethods.with_stochastic_rounding(gdmethods.adam(0.1)), jnp.bfloat16, 142),
        (gdmethods.skip_nonfinite_steps(gdmethods.adam(0.1), 3), jnp.float32, 83),
    ],
)
def test_instructions_before_xla(tx, dtype, expected):
    """Of narrow state and wrappers, which versions of XLA optimise differently."""
    leaf = jax.ShapeDtypeStruct((64, 64), dtype)
    assert lowered(tx, leaf).as_text().count("= stablehlo.") == expected


def lowered(tx, leaf, **extra_args):
    """The step of one leaf, with all donated."""

    def step(params, state, gradients):
        updates, state = tx.update(gradients, state, params, **extra_args)
        return optax.apply_updates(params, updates), state

    state = jax.eval_shape(tx.init, leaf)
    return jax.jit(step, donate_argnums=(0, 1)).lower(leaf, state, leaf)
