"""The recipe of examples/zero1.py: each device keeps an eighth of what is shaped like a weight."""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import METHODS

import gdmethods
from examples.zero1 import cut, of_state, replicas, whole

SHAPES = {"first axis": (16, 3), "second axis": (3, 8), "vector": (24,), "whole": (3, 5)}
CUT = 3
PARAMS, GRADIENTS = (
    {name: rng.normal(size=shape).astype("f4") for name, shape in SHAPES.items()}
    for rng in map(np.random.default_rng, (0, 1))
)
METHODS_WITH_STATE = [
    "momentum",
    "nesterov",
    "adaptive_gains, momentum",
    "adagrad",
    "adadelta",
    "irprop+",
    "rmsprop, all",
    "adam",
]


def step(method, tx, params, state, gradients, loss):
    updates, state = tx.update(gradients, state, params, **method.extra_args(loss))
    return optax.apply_updates(params, updates), state


@pytest.mark.parametrize("name", METHODS_WITH_STATE)
def test_an_eighth_of_the_state_gives_the_same_numbers(name):
    method, mesh = METHODS[name], replicas()
    tx = method.build()
    params, gradients = jax.device_put((PARAMS, GRADIENTS), whole(mesh))
    shardings = cut(params, mesh)
    layout = of_state(tx, params, shardings, mesh)
    state = jax.jit(tx.init, out_shardings=layout)(params)
    compiled = (
        jax.jit(partial(step, method, tx), out_shardings=(whole(mesh), layout))
        .lower(params, state, gradients, 1.0)
        .compile()
    )
    expected = (jax.tree.map(jnp.asarray, PARAMS), tx.init(PARAMS))
    for t in range(10):
        turned = jax.tree.map(lambda g, t=t: g * np.float32(np.cos(t)), GRADIENTS)
        params, state = compiled(params, state, jax.device_put(turned, whole(mesh)), 1.0 + t)
        expected = step(method, tx, *expected, turned, 1.0 + t)
    chex.assert_trees_all_close((params, state), expected, rtol=1e-5, atol=1e-6)

    scalars = sum(leaf.nbytes for leaf in jax.tree.leaves(state) if leaf.ndim == 0)
    for device in range(mesh.size):
        held = sum(leaf.addressable_data(device).nbytes for leaf in jax.tree.leaves(state))
        assert held == method.bytes_per_weight * (2 * 3 + 3 + 3 + 3 * 5) + scalars
        assert held == gdmethods.state_bytes(tx, PARAMS, shardings)

    moved = re.findall(
        r" (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(", compiled.as_text()
    )
    assert moved == ["all-gather"] * CUT, "only what each device moved goes to the others"
