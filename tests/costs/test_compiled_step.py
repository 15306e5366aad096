"""What XLA makes of a jitted step with all donated: it overwrites in place and keeps nothing.

A temporary of a weight's size is a second pass over memory that a rule can do without.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import every_method

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
}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other backends fuse otherwise")
@pytest.mark.parametrize(("tx", "expected"), BYTES_A_WEIGHT.values(), ids=BYTES_A_WEIGHT)
def test_temporary_memory(tx, expected):
    def step(params, state, gradients):
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    leaf = jax.ShapeDtypeStruct((WEIGHTS,), jnp.float32)
    state = jax.eval_shape(tx.init, leaf)
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(leaf, state, leaf).compile()
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


def test_adam_lowers_one_rule_for_all_leaves_of_a_shape():
    """A thousand leaves cost a thousand calls, and not a thousand rules."""
    tx = gdmethods.adam(0.1)

    def roots(leaves):
        params = leaves * [jax.ShapeDtypeStruct((2, 3), jnp.float32)]
        state = jax.eval_shape(tx.init, params)
        return jax.jit(tx.update).lower(params, state, params).as_text().count("sqrt")

    assert roots(20) == roots(1) > 0


@every_method()
def test_lowers_for_every_platform(method):
    tx, w = method.build(), jax.ShapeDtypeStruct((2, 3), jnp.float32)
    platforms = ["cpu", "cuda", "rocm", "tpu"]
    step = jax.jit(lambda g, state, w: tx.update(g, state, w, **method.extra_args(0.0)))
    exported = jax.export.export(step, platforms=platforms)(w, jax.eval_shape(tx.init, w), w)
    assert list(exported.platforms) == platforms
