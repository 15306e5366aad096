"""State lies where its parameters lie, and a step moves nothing between devices.

Four parameters of one shape: cut by rows, by columns, by both, and whole on every device. The
gradients are given, cut as their parameters are, so every collective would be the method's own.
"""

import re
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from table import METHODS, every_method

SPECS = {
    "rows": PartitionSpec("data"),
    "columns": PartitionSpec(None, "model"),
    "both": PartitionSpec("data", "model"),
    "whole": PartitionSpec(),
}
WHOLE = PartitionSpec()
SHAPE, STEPS = (16, 8), 10
PARAMS, GRADIENTS = (
    {name: np.random.default_rng(seed).normal(size=size).astype("f4") for name in SPECS}
    for seed, size in ((0, SHAPE), (1, (STEPS, *SHAPE)))
)
LOSSES = np.float32([1.0, 0.8, 1.1, 1.3, 0.9, 0.7, 0.8, 0.6, 0.5, 0.9])
COLLECTIVES = re.compile(
    "all-gather|all-reduce|all-to-all|collective-broadcast|collective-permute|reduce-scatter"
)

every_alias = every_method(lambda method: method.core is not None)
every_mesh = pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)


def mesh_of(kind):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind))


def placed(mesh, tree, specs=SPECS):
    return {name: jax.device_put(tree[name], NamedSharding(mesh, specs[name])) for name in specs}


def at(tree, t):
    return jax.tree.map(lambda leaf: leaf[t], tree)


def specs_of(tx, params):
    """The specs of a state: those of the parameters, wherever it is shaped like them."""
    return optax.tree.map_params(
        tx,
        lambda _, spec: spec,
        jax.eval_shape(tx.init, params),
        SPECS,
        transform_non_params=lambda _: WHOLE,
    )


def assert_laid_out(mesh, tree, specs):
    def check(spec, leaf):
        expected = NamedSharding(mesh, spec)
        assert leaf.sharding.is_equivalent_to(expected, len(leaf.shape)), (leaf.sharding, spec)

    jax.tree.map(check, specs, tree)


def step(method, tx, params, state, gradients, loss):
    updates, state = tx.update(gradients, state, params, **method.extra_args(loss))
    return optax.apply_updates(params, updates), state


@cache
def on_one_device(method):
    """The parameters and the state after all steps, eagerly."""
    tx, params = method.build(), jax.tree.map(jnp.asarray, PARAMS)
    state = tx.init(params)
    for t in range(STEPS):
        params, state = step(method, tx, params, state, at(GRADIENTS, t), LOSSES[t])
    assert jax.tree.leaves(params)[0].sharding.num_devices == 1
    return params, state


def assert_equal_to_one_device(method, actual):
    chex.assert_trees_all_close(actual, on_one_device(method), rtol=1e-5, atol=1e-6)


@every_mesh
@every_method()
def test_init_of_arrays_and_of_abstract_values(method, kind):
    mesh, tx = mesh_of(kind), method.build()
    with jax.set_mesh(mesh):
        params = placed(mesh, PARAMS)
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
            params,
        )
        for given in (params, abstract):
            assert_laid_out(mesh, tx.init(given), specs_of(tx, params))


@every_mesh
@every_method()
def test_init_under_jit(method, kind):
    mesh, tx = mesh_of(kind), method.build()
    with jax.set_mesh(mesh):
        params = placed(mesh, PARAMS)
        assert_laid_out(mesh, jax.jit(tx.init)(params), specs_of(tx, params))


@every_mesh
@every_alias
def test_steps(method, kind):
    """No collective; the layout stays; and the numbers are those of one device."""
    mesh, tx = mesh_of(kind), method.build()
    with jax.set_mesh(mesh):
        params, gradients = placed(mesh, PARAMS), placed(mesh, at(GRADIENTS, 0))
        specs = specs_of(tx, params)
        state = jax.device_put(
            tx.init(params), jax.tree.map(lambda s: NamedSharding(mesh, s), specs)
        )
        compiled = (
            jax.jit(lambda *args: step(method, tx, *args))
            .lower(params, state, gradients, LOSSES[0])
            .compile()
        )
        assert COLLECTIVES.findall(compiled.as_text()) == []
        for t in range(STEPS):
            params, state = compiled(params, state, placed(mesh, at(GRADIENTS, t)), LOSSES[t])
    assert_laid_out(mesh, (params, state), (SPECS, specs))
    assert_equal_to_one_device(method, (params, state))


@every_alias
def test_steps_under_shard_map(method):
    """From init on, by each device for its own part."""
    mesh, tx = mesh_of(AxisType.Explicit), method.build()

    def walk(params, gradients, losses):
        def body(carry, inputs):
            return step(method, tx, *carry, *inputs), None

        return jax.lax.scan(body, (params, tx.init(params)), (gradients, losses))[0]

    specs = specs_of(tx, PARAMS)
    specs_of_steps = {name: PartitionSpec(None, *spec) for name, spec in SPECS.items()}
    with jax.set_mesh(mesh):
        params, gradients = placed(mesh, PARAMS), placed(mesh, GRADIENTS, specs_of_steps)
        compiled = (
            jax.jit(
                jax.shard_map(
                    walk, in_specs=(SPECS, specs_of_steps, WHOLE), out_specs=(SPECS, specs)
                )
            )
            .lower(params, gradients, LOSSES)
            .compile()
        )
        assert COLLECTIVES.findall(compiled.as_text()) == []
        assert_equal_to_one_device(method, compiled(params, gradients, LOSSES))


def test_collectives_are_seen():
    """What the tests above rely on: a norm over all gradients has to ask every device."""
    mesh, tx = (
        mesh_of(AxisType.Auto),
        optax.chain(optax.clip_by_global_norm(1.0), METHODS["adam"].build()),
    )
    params = placed(mesh, PARAMS)
    compiled = jax.jit(tx.update).lower(params, tx.init(params), params).compile()
    assert COLLECTIVES.findall(compiled.as_text()) != []
