"""States saved by Orbax from eight devices go on elsewhere with the same numbers.

Two processes read such a checkpoint in tests/examples/test_distributed.py.
"""

import itertools
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from table import METHODS

ROWS = PartitionSpec("data")
PARAMS, GRADIENTS = (
    {"kernel": rng.normal(size=size).astype("f4"), "bias": rng.normal(size=size[:-1]).astype("f4")}
    for rng, size in ((np.random.default_rng(0), (8, 3)), (np.random.default_rng(1), (6, 8, 3)))
)
LOSSES = np.float32([1.0, 0.8, 1.1, 1.3, 0.9, 0.7])

KINDS_OF_STATE = [  # no two have the same fields
    "sgd",
    "momentum",
    "nesterov",
    "adaptive_gains",
    "adaptive_gains, momentum",
    "adadelta",
    "irprop+",
    "rmsprop",
    "rmsprop, centered",
    "rmsprop, momentum",
    "adam",
]


def mesh_of(size):
    return Mesh(jax.devices()[:size], ("data",), axis_types=(AxisType.Auto,))


def layouts(tx, mesh):
    """Of parameters and state."""
    rows, whole = NamedSharding(mesh, ROWS), NamedSharding(mesh, PartitionSpec())
    of_params = jax.tree.map(lambda _: rows, PARAMS)
    of_state = optax.tree.map_params(
        tx,
        lambda _, sharding: sharding,
        jax.eval_shape(tx.init, PARAMS),
        of_params,
        transform_non_params=lambda _: whole,
    )
    return {"params": of_params, "opt_state": of_state}


def begun(tx):
    return {"params": jax.tree.map(jnp.asarray, PARAMS), "opt_state": tx.init(PARAMS)}


def target(tx, mesh):
    """What Orbax is asked for: shapes, dtypes and where they shall lie."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        jax.eval_shape(lambda: begun(tx)),
        layouts(tx, mesh),
    )


def walked(method, tx, state, steps):
    """The state after these steps, with gradients that lie where the parameters do."""
    params, opt_state = state["params"], state["opt_state"]
    for t in steps:
        gradients = jax.tree.map(
            lambda g, p, t=t: jax.device_put(g[t], p.sharding), GRADIENTS, params
        )
        updates, opt_state = tx.update(
            gradients, opt_state, params, **method.extra_args(LOSSES[t])
        )
        params = optax.apply_updates(params, updates)
    return {"params": params, "opt_state": opt_state}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function of a method: the path of its checkpoint after three steps on eight devices."""
    directory = tmp_path_factory.mktemp("checkpoints")

    @cache
    def path(method):
        tx = method.build()
        state = jax.device_put(begun(tx), layouts(tx, mesh_of(8)))
        file = directory / str(len(list(directory.iterdir())))
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(file, walked(method, tx, state, range(3)))
        return file

    return path


def restored(file, tx, mesh):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(file, target(tx, mesh))


@pytest.mark.parametrize("name", KINDS_OF_STATE)
def test_on_one_device_and_on_four(name, saved):
    method = METHODS[name]
    tx = method.build()
    expected = walked(method, tx, begun(tx), range(6))
    for size in (1, 4):
        mesh = mesh_of(size)
        state = restored(saved(method), tx, mesh)
        for leaf, sharding in zip(*map(jax.tree.leaves, (state, layouts(tx, mesh))), strict=True):
            assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        chex.assert_trees_all_close(
            walked(method, tx, state, range(3, 6)), expected, rtol=1e-5, atol=1e-6
        )


def fields(method):
    """Each with whether it holds anything."""
    state = method.build().init(PARAMS)
    return {(name, value is not None) for name, value in state._asdict().items()}


@pytest.mark.parametrize(("there", "asked"), list(itertools.permutations(KINDS_OF_STATE, 2)))
def test_another_method_is_refused_by_the_name_of_a_field(there, asked, saved):
    there, asked = METHODS[there], METHODS[asked]
    different = "|".join({name for name, _ in fields(there) ^ fields(asked)})
    with pytest.raises(ValueError, match=rf"(opt_state\.|path \('opt_state', ')({different})\b"):
        restored(saved(there), asked.build(), mesh_of(1))
