"""Weights in bfloat16 and accumulators round alike wherever they lie, and after a restart."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import gdmethods

SPECS = {"rows": PartitionSpec("data"), "whole": PartitionSpec()}
PARAMS, GRADIENTS = (
    {name: np.random.default_rng(seed).normal(size=size).astype("f4") for name in SPECS}
    for seed, size in ((0, (16, 8)), (1, (6, 16, 8)))
)
every_format = pytest.mark.parametrize(
    "tx",
    [
        gdmethods.with_stochastic_rounding(build(0.1, accumulator_dtype=dtype))
        for build, dtype in (
            (gdmethods.adam, "bfloat16"),
            (gdmethods.adam, "8bit"),
            (gdmethods.adamw, "8bit"),
            (functools.partial(gdmethods.rmsprop, centered=True), "8bit"),
            (gdmethods.adagrad, "8bit"),
        )
    ],
    ids=["adam, bfloat16", "adam", "adamw", "rmsprop", "adagrad"],
)


def layouts(tx, mesh):
    """Of parameters and state."""
    of_params = {name: NamedSharding(mesh, spec) for name, spec in SPECS.items()}
    of_state = optax.tree.map_params(
        tx,
        lambda _, sharding: sharding,
        jax.eval_shape(tx.init, jax.tree.map(jnp.bfloat16, PARAMS)),
        of_params,
        transform_non_params=lambda _: NamedSharding(mesh, PartitionSpec()),
    )
    return of_params, of_state


def begun(tx, devices):
    mesh = Mesh(jax.devices()[:devices], ("data",), axis_types=(AxisType.Auto,))
    params = jax.tree.map(jnp.bfloat16, PARAMS)
    return jax.device_put((params, tx.init(params)), layouts(tx, mesh))


@functools.partial(jax.jit, static_argnums=0)
def step(tx, params, state, gradients):
    updates, state = tx.update(gradients, state, params)
    return optax.apply_updates(params, updates), state


def walked(tx, params, state, steps):
    for t in steps:
        gradients = jax.tree.map(
            lambda g, p, t=t: jax.device_put(g[t], p.sharding), GRADIENTS, params
        )
        params, state = step(tx, params, state, gradients)
    return params, state


@every_format
def test_eight_devices_round_as_one_does(tx):
    """To the bit, without a collective."""
    started = begun(tx, 8)
    gradients = jax.tree.map(lambda g, p: jax.device_put(g[0], p.sharding), GRADIENTS, started[0])
    compiled = step.lower(tx, *started, gradients).compile().as_text()
    assert not re.search("all-gather|all-reduce|all-to-all|collective|reduce-scatter", compiled)
    chex.assert_trees_all_equal(
        *(jax.device_get(walked(tx, *begun(tx, devices), range(6))) for devices in (8, 1))
    )


@every_format
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_a_state_starts_where_its_weights_lie(tx, kind):
    """Also under jit, where only the compiler knows."""
    mesh = Mesh(jax.devices()[:8], ("data",), axis_types=(kind,))
    of_params, of_state = layouts(tx, mesh)
    with jax.set_mesh(mesh):
        params = jax.device_put(jax.tree.map(jnp.bfloat16, PARAMS), of_params)
        for state in (tx.init(params), jax.jit(tx.init)(params)):
            for x, layout in zip(*map(jax.tree.leaves, (state, of_state)), strict=True):
                assert x.sharding.is_equivalent_to(layout, x.ndim)


@every_format
def test_a_checkpoint_of_eight_devices_goes_on_on_four(tx, tmp_path):
    """To the bit, through Orbax."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", walked(tx, *begun(tx, 8), range(3)))
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "saved", begun(tx, 4))
    expected = walked(tx, *begun(tx, 1), range(6))
    chex.assert_trees_all_equal(
        *(jax.device_get(x) for x in (walked(tx, *restored, range(3, 6)), expected))
    )
