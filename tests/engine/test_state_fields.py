"""A state's fields by name, as `optax.tree.get` and `optax.tree.set` find them."""

import inspect

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
from table import METHODS, every_method

import gdmethods
from gdmethods.dialects import keras, lecture, torch

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


FACTORIES = {
    **{f"gdmethods.{m.factory.__name__}": m.factory for m in METHODS.values()},
    **{
        f"{dialect.__name__.partition('.')[2]}.{name}": factory
        for dialect in (torch, keras, lecture)
        for name, factory in inspect.getmembers(dialect, inspect.isfunction)
        if factory.__module__.startswith(dialect.__name__) and hasattr(factory, "__wrapped__")
    },
}
every_factory = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
RATES = {"learning_rate": 0.1, "lr": 0.1, "eta": 0.1}
EVERYTHING = {
    "momentum": 0.9,
    "weight_decay": 0.1,
    "lr_decay": 0.1,
    "centered": True,
    "amsgrad": True,
    "maximize": True,
}


def build(factory, wrap=lambda factory: factory, **options):
    """With a learning rate, and with those of the options that the factory has."""
    names = inspect.signature(factory).parameters
    return wrap(factory)(**{k: v for k, v in (RATES | options).items() if k in names})


def test_the_factories_are_all():
    factories = {name for name in gdmethods.__all__ if name.islower()}
    others = {
        "convert_state",
        "init_from_float32",
        "master_params",
        "from_optax",
        "nesterov_eval_params",
        "read_state",
        "scale_by_learning_rate",
        "skip_nonfinite_steps",
        "state_bytes",
        "state_ranges",
        "step_bytes",
        "sutskever_momentum_schedule",
        "with_float32_master",
        "with_stochastic_rounding",
    }
    assert {f"gdmethods.{name}" for name in factories - others} <= set(FACTORIES)
    assert len(FACTORIES) == 17 + 8 + 6 + 8


@every_factory
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_each_field_of_a_factory_is_one(factory, options):
    """Whatever it is chained of, a name finds one value, and sets that alone."""
    state = build(factory, **options).init(PARAMS)
    fields = {name: value for name, value in state._asdict().items() if value is not None}
    for name, value in fields.items():
        chex.assert_trees_all_equal(optax.tree.get(state, name), value)
        assert optax.tree.set(state, **{name: "another"}) == state._replace(**{name: "another"})


@every_factory
def test_each_field_is_found_beside_what_is_injected(factory):
    """Optax keeps a count there, too: the state's own is in the state, which has a name."""
    tx = build(factory, optax.inject_hyperparams, **{"momentum": 0.9})
    state = tx.init(PARAMS)
    inner = optax.tree.get(state, type(state.inner_state).__name__)
    assert inner == state.inner_state
    for name, value in inner._asdict().items():
        if name != "count" and value is not None:
            chex.assert_trees_all_equal(optax.tree.get(state, name), value)


@every_factory
def test_injection_keeps_the_same_state(factory):
    """A default that means none stays none: no slot is kept for what may not come."""
    plain = build(factory).init(PARAMS)
    injected = build(factory, optax.inject_hyperparams).init(PARAMS).inner_state
    chex.assert_trees_all_equal_shapes_and_dtypes(injected, plain)


def test_injection_of_a_look_ahead():
    tx = optax.inject_hyperparams(torch.sgd)(momentum=0.9, nesterov=True)
    jax.jit(tx.update)(PARAMS, tx.init(PARAMS), PARAMS)


@every_method()
def test_no_field_has_the_name_of_an_argument(method):
    """Or `optax.tree.set` would write both, the state's and the one to inject."""
    fields = method.build().init(PARAMS)._fields
    assert not set(fields) & set(inspect.signature(method.factory).parameters)
