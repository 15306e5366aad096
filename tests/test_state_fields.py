"""A state's fields by name, as `optax.tree.get` and `optax.tree.set` find them."""

import inspect

import chex
import jax.numpy as jnp
import optax
from table import every_method

PARAMS = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}


@every_method()
def test_each_field_is_found_and_replaced(method):
    """In a chain, beside states of others."""
    tx = optax.chain(optax.clip_by_global_norm(1.0), method.build(), optax.scale(2.0))
    state = tx.init(PARAMS)
    for name, value in state[1]._asdict().items():
        chex.assert_trees_all_equal(optax.tree.get(state, name), value)
        marked = optax.tree.set(state, **{name: "another"})
        assert marked == (state[0], state[1]._replace(**{name: "another"}), state[2])


@every_method()
def test_no_field_has_the_name_of_an_argument(method):
    """Or `optax.tree.set` would write both, the state's and the one to inject."""
    fields = method.build().init(PARAMS)._fields
    assert not set(fields) & set(inspect.signature(method.factory).parameters)
