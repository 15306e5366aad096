"""Beside transformations that want value, grad and value_fn, which then reach the methods too."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
from table import METHODS, every_method

START = {"x": jnp.array([1.0, -2.0]), "y": jnp.array(3.0)}


def bowl(params):
    return jnp.sum(jnp.array([1.0, 5.0]) * params["x"] ** 2) + params["y"] ** 2


def walk(tx, steps, extra_args):
    """The parameters after so many steps, where `extra_args(loss, gradients)` goes to update."""
    params, state = START, tx.init(START)
    for _ in range(steps):
        loss, gradients = jax.value_and_grad(bowl)(params)
        updates, state = tx.update(gradients, state, params, **extra_args(loss, gradients))
        params = optax.apply_updates(params, updates)
    return params


@every_method()
def test_line_search(method):
    """The method gives the direction, and `optax.scale_by_backtracking_linesearch` its length."""
    tx = optax.chain(
        method.build(), optax.scale_by_backtracking_linesearch(max_backtracking_steps=2)
    )
    jax.eval_shape(
        lambda: walk(tx, 2, lambda loss, g: {"value": loss, "grad": g, "value_fn": bowl})
    )


def test_a_line_search_shortens_a_rate_that_is_too_long():
    """At a rate of 1 the bowl's step is 10 times too long across; the search makes it descend."""
    tx = METHODS["sgd"].build(learning_rate=1.0)
    searched = optax.chain(tx, optax.scale_by_backtracking_linesearch(max_backtracking_steps=15))
    end = walk(searched, 5, lambda loss, g: {"value": loss, "grad": g, "value_fn": bowl})
    assert bowl(end) < 0.5 * bowl(START)
    assert bowl(walk(tx, 5, lambda loss, g: {})) > bowl(START)


@pytest.mark.parametrize("name", ["rprop-", "irprop+", "adam"])
def test_plateau(name):
    """`optax.contrib.reduce_on_plateau` takes the loss, and so does "irprop+" beside it."""
    tx = optax.chain(METHODS[name].build(), optax.contrib.reduce_on_plateau(patience=1))
    end = walk(tx, 3, lambda loss, gradients: {"value": loss})
    alone = walk(METHODS[name].build(), 3, lambda loss, gradients: {"value": loss})
    chex.assert_trees_all_close(end, alone)
