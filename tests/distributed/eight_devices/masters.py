"""What is kept of a master lies where its weight lies, and a step of it asks no other device."""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gdmethods

SPECS = {"rows": PartitionSpec("data"), "whole": PartitionSpec()}
PARAMS, GRADIENTS = (
    {name: np.random.default_rng(seed).normal(size=size).astype(jnp.bfloat16) for name in SPECS}
    for seed, size in ((0, (16, 8)), (1, (6, 16, 8)))
)
COLLECTIVES = re.compile("all-gather|all-reduce|all-to-all|collective|reduce-scatter")
FORMS = pytest.mark.parametrize(
    "tx",
    [
        gdmethods.with_float32_master(gdmethods.adam(0.1), remainder=remainder)
        for remainder in (True, False)
    ],
    ids=["remainder", "whole"],
)


def mesh_of(devices, kind=AxisType.Auto):
    return jax.make_mesh(
        (devices,), ("data",), axis_types=(kind,), devices=jax.devices()[:devices]
    )


def placed(mesh, tree, t=...):
    return {n: jax.device_put(tree[n][t], NamedSharding(mesh, SPECS[n])) for n in SPECS}


@partial(jax.jit, static_argnums=0)
def step(tx, params, state, gradients):
    updates, state = tx.update(gradients, state, params)
    return optax.apply_updates(params, updates), state


def walked(tx, mesh, params, state, steps):
    for t in steps:
        params, state = step(tx, params, state, placed(mesh, GRADIENTS, t))
    return params, state


def begun(tx, mesh):
    params = placed(mesh, PARAMS)
    return params, jax.jit(tx.init)(params)


def assert_lies_as_the_weights(params, state):
    for tree in (state.remainder, state.master, state.inner_state.mu):
        for path, leaf in jax.tree.leaves_with_path(tree):
            weight = params[path[0].key]
            assert leaf.sharding.is_equivalent_to(weight.sharding, leaf.ndim), path


@FORMS
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_steps(tx, kind):
    """No collective, and the numbers of one device to the bit."""
    mesh = mesh_of(8, kind)
    with jax.set_mesh(mesh):
        started = begun(tx, mesh)
        assert_lies_as_the_weights(*started)
        compiled = step.lower(tx, *started, placed(mesh, GRADIENTS, 0)).compile().as_text()
        assert not re.search(
            "all-gather|all-reduce|all-to-all|collective|reduce-scatter", compiled
        )
        ended = walked(tx, mesh, *started, range(6))
        assert_lies_as_the_weights(*ended)
        masters = gdmethods.master_params(ended[1], ended[0])
    one = mesh_of(1)
    alone = walked(tx, one, *begun(tx, one), range(6))
    chex.assert_trees_all_equal(*(jax.device_get(x) for x in (ended, alone)))
    chex.assert_trees_all_equal(
        jax.device_get(masters), jax.device_get(gdmethods.master_params(alone[1], alone[0]))
    )


@FORMS
def test_a_checkpoint_of_eight_devices_goes_on_on_four(tx, tmp_path):
    """To the bit, through Orbax."""
    eight, four, one = map(mesh_of, (8, 4, 1))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "saved", walked(tx, eight, *begun(tx, eight), range(3)))
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "saved", begun(tx, four))
    results = (
        walked(tx, four, *restored, range(3, 6)),
        walked(tx, one, *begun(tx, one), range(6)),
    )
    chex.assert_trees_all_equal(*map(jax.device_get, results))
