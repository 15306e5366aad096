"""A state that does not fit is refused, by the state expected, the one that came, and the slot."""

import re
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from table import every_method

import gdmethods
from gdmethods.dialects import keras, lecture, torch

W = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}


def refuses(error, *words):
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, words)))


class Other(NamedTuple):
    """A state with the fields of another."""

    count: jax.Array
    velocity: jax.Array


# What update is given: transformation, the state, and what the message says.
FOREIGN = {
    "momentum is lost": (
        gdmethods.rmsprop(0.1, momentum=0.9),
        gdmethods.rmsprop(0.1).init(W),
        ["RMSPropState(count, nu)", "keeps RMSPropState(count, nu, velocity)", "nu=state.nu"],
    ),
    "momentum is gone": (
        gdmethods.rmsprop(0.1),
        gdmethods.rmsprop(0.1, momentum=0.9).init(W),
        ["RMSPropState(count, nu, velocity)", "keeps RMSPropState(count, nu)"],
    ),
    "centered": (
        gdmethods.rmsprop(0.1, centered=True),
        gdmethods.rmsprop(0.1).init(W),
        ["RMSPropState(count, nu)", "keeps RMSPropState(count, nu, mu)"],
    ),
    "the gains' momentum": (
        gdmethods.adaptive_gains(0.1, 0.9),
        gdmethods.adaptive_gains(0.1).init(W),
        ["keeps AdaptiveGainsState(count, gains, velocity, sign)"],
    ),
    "AMSGrad's": (
        torch.adam(amsgrad=True),
        torch.adam().init(W),
        ["AdamState", "keeps AMSGradState(count, mu, nu, nu_max)"],
    ),
    "of nesterov": (
        gdmethods.momentum(0.1),
        gdmethods.nesterov(0.1).init(W),
        ["NesterovState(count, velocity, next_momentum)", "keeps MomentumState(count, velocity)"],
    ),
    "of adam": (gdmethods.sgd(0.1), gdmethods.adam(0.1).init(W), ["AdamState", "keeps SGDState"]),
    "of a dialect": (
        gdmethods.rmsprop(0.1, momentum=0.9),
        torch.rmsprop(momentum=0.9).init(W),
        [
            "dialects.torch.RMSPropState(count, nu, vel",
            "keeps gdmethods.RMSPropState(count, nu, v",
        ],
    ),
    "of Optax": (
        gdmethods.adam(0.1),
        optax.adam(0.1).init(W),
        ["a tuple", "keeps AdamState(count, mu, nu)"],
    ),
    "of Optax' core": (
        gdmethods.adam(0.1),
        optax.scale_by_adam().init(W),
        ["ScaleByAdamState(count, mu, nu)", "keeps AdamState(count, mu, nu)"],
    ),
    "like it": (gdmethods.momentum(0.1), Other(jnp.int32(0), W), ["Other", "MomentumState"]),
    "None": (gdmethods.adam(0.1), None, ["None", "AdamState", "tx.update(gradients, state"]),
    "the parameters": (gdmethods.adam(0.1), W, ["a dict", "AdamState"]),
    "init": (gdmethods.adam(0.1), gdmethods.adam(0.1).init, ["the function init (not called)"]),
    "a checkpoint read as a dict": (
        gdmethods.adam(0.1),
        gdmethods.adam(0.1).init(W)._asdict(),
        ["a dict", "AdamState", "flax.serialization.from_state_dict(tx.init(params), state)"],
    ),
    "an object": (gdmethods.adam(0.1), object(), ["an object", "AdamState"]),
    "without its master": (
        gdmethods.with_float32_master(gdmethods.adam(0.1)),
        gdmethods.adam(0.1).init(W),
        ["AdamState", "keeps Float32MasterState(remainder, master, inner_state)"],
    ),
}


@pytest.mark.parametrize(("tx", "state", "words"), FOREIGN.values(), ids=FOREIGN)
def test_another_state(tx, state, words):
    for params in (W, None):
        with refuses(TypeError, "update was given", *words):
            tx.update(W, state, params)


def test_arguments_in_another_order():
    tx = gdmethods.adam(0.1)
    with refuses(TypeError, "a dict", "tx.update(gradients, state, params)"):
        tx.update(tx.init(W), W, W)


def test_the_way_out_of_another_configuration_goes_on():
    """The message's own words make a state that fits, and keeps what both have."""
    plain, tx = gdmethods.rmsprop(0.1), gdmethods.rmsprop(0.1, momentum=0.9)
    _, state = plain.update(W, plain.init(W), W)
    with pytest.raises(TypeError) as caught:
        tx.update(W, state, W)
    (advice,) = re.findall(r"tx\.init\(params\)\._replace\(.*\)", str(caught.value))
    _, following = tx.update(W, eval(advice, {"tx": tx, "params": W, "state": state}), W)
    assert following.count == 2


@every_method(lambda method: method.accumulators + method.squares != ())
def test_another_dtype(method):
    narrow = method.build(accumulator_dtype=jnp.bfloat16)
    field = (method.accumulators + method.squares)[0]
    with refuses(TypeError, "of the state at ['bias']", "bfloat16", "keeps float32"):
        method.build().update(W, narrow.init(W), W, **method.extra_args(1.0))
    with refuses(TypeError, "float32", "keeps bfloat16", "accumulator_dtype"):
        narrow.update(W, method.build().init(W), W, **method.extra_args(1.0))
    assert field in method.build().init(W)._fields


@every_method(lambda method: method.accumulators + method.squares != ())
def test_a_transposed_slot_is_named(method):
    """The gradients and the parameters agree, so that the state is to blame."""
    field = (method.accumulators + method.squares)[0]
    tx = method.build()
    state = tx.init(W)
    turned = {"kernel": getattr(state, field)["kernel"].T, "bias": getattr(state, field)["bias"]}
    with refuses(ValueError, f"state was made for other parameters: in {field}", "['kernel']"):
        tx.update(W, state._replace(**{field: turned}), W, **method.extra_args(1.0))


def test_a_transposed_slot_is_named_without_parameters():
    """The other slot agrees with the gradients."""
    tx = gdmethods.adam(0.1)
    state = tx.init(W)
    for field in ("mu", "nu"):
        turned = getattr(state, field) | {"kernel": getattr(state, field)["kernel"].T}
        with refuses(ValueError, f"made for other parameters: in {field}", "['kernel'] is (3, 2)"):
            tx.update(W, state._replace(**{field: turned}))


def test_an_ensembles_state_without_vmap():
    tx = gdmethods.nesterov(0.1)
    members = jax.tree.map(lambda w: jnp.stack([w, w]), W)
    with refuses(ValueError, "count of the state has shape (2,)", "jax.vmap"):
        tx.update(members, jax.vmap(tx.init)(members), members)


def test_parameters_that_no_gradient_moves():
    tx = gdmethods.adam(0.1)
    for leaf, words in (("x", "a str"), (jnp.tanh, "a function"), (jnp.int32(1), "dtype int32")):
        with refuses(TypeError, "['bias']", words):
            tx.update(W, tx.init(W), W | {"bias": leaf})


def test_forgotten_gradients():
    tx = gdmethods.sgd(0.1)
    with refuses(ValueError, "None for the gradients"):
        tx.update(None, tx.init(W), W)


def test_a_master_of_other_dtypes():
    tx = gdmethods.with_float32_master(gdmethods.sgd(0.1))
    narrow = jax.tree.map(lambda w: w.astype(jnp.bfloat16), W)
    with refuses(TypeError, "keeps no master at ['bias']", "bfloat16"):
        tx.update(narrow, tx.init(W), narrow)
    with refuses(TypeError, "keeps a master at ['bias']", "float32"):
        tx.update(W, tx.init(narrow), W)


def test_parameters_that_differ_from_gradients_and_state():
    tx = gdmethods.adam(0.1)
    params = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(3)}
    with refuses(ValueError, "parameters differ from the gradients", "['kernel'] is (3, 2)"):
        tx.update(W, tx.init(W), params)


@every_method()
def test_a_pair_of_value_and_gradients(method):
    tx = method.build()
    with refuses(ValueError, "a pair", "jax.value_and_grad", "the second"):
        tx.update((jnp.float32(1), W), tx.init(W), W, **method.extra_args(1.0))


def test_a_pair_of_gradients_and_what_else_there_was():
    tx = gdmethods.adam(0.1)
    with refuses(ValueError, "a pair", "has_aux=True", "the first"):
        tx.update((W, 0.5), tx.init(W), W)


def test_a_none_too_many_is_named():
    tx = gdmethods.adam(0.1)
    with refuses(ValueError, "at the top PyTreeDef", "'z'"):
        tx.update(W | {"z": None}, tx.init(W), W)


def test_other_containers_are_named():
    tx, params = gdmethods.adam(0.1), {"layer": [jnp.ones(2), jnp.ones(3)]}
    gradients = {"layer": (jnp.ones(2), jnp.ones(3))}
    with refuses(ValueError, "at ['layer'] a tuple is in the place of a list"):
        tx.update(gradients, tx.init(params), params)


@every_method()
def test_it_costs_no_compilation(method, caplog):
    tx = method.build()
    with jax.log_compiles(), pytest.raises(TypeError):
        tx.update(W, Other(jnp.int32(0), W), W, **method.extra_args(1.0))
    assert [r for r in caplog.records if r.getMessage().startswith("Compiling")] == []


@pytest.mark.proof
@every_method()
def test_numpy_leaves_pass(method):
    """As a checkpoint that was read without JAX has them."""
    tx = method.build()
    state = tx.init(W)
    restored = jax.tree.map(np.asarray, state)
    chex.assert_trees_all_equal(
        tx.update(W, restored, W, **method.extra_args(1.0)),
        tx.update(W, state, W, **method.extra_args(1.0)),
    )


def test_another_transformation_in_an_nnx_optimizer():
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, gdmethods.rmsprop(0.01), wrt=nnx.Param)
    gradients = nnx.grad(lambda model: jnp.sum(model(jnp.ones((1, 2)))))(model)
    optimizer.update(model, gradients)
    optimizer.tx = gdmethods.rmsprop(0.01, momentum=0.9)
    with refuses(TypeError, "RMSPropState(count, nu, velocity)"):
        optimizer.update(model, gradients)


class Model(NamedTuple):
    """A model with a function and a number among its leaves, as Equinox has them."""

    weight: jax.Array
    activation: object
    steps: object


def test_a_model_with_leaves_that_are_no_arrays():
    """Only the gradients' leaves matter, as in Optax; init says how to leave the others out."""
    model = Model(jnp.array([1.0, -2.0]), jnp.tanh, jnp.int32(3))
    arrays = Model(model.weight, None, None)
    for tx in (gdmethods.adam(0.1), gdmethods.sgd(0.1), gdmethods.adamw(0.1), torch.adamw()):
        updates, _ = tx.update(arrays, tx.init(arrays), model)
        expected, _ = tx.update(arrays, tx.init(arrays), arrays)
        chex.assert_trees_all_equal(updates, expected)
        with refuses(TypeError, ".activation is a function", "eqx.filter(model"):
            tx.init(model._replace(steps=None))
    with refuses(TypeError, "['name'] is a str", "eqx.filter"):
        gdmethods.adam(0.1).init({"w": jnp.ones(2), "name": "dense"})


@pytest.mark.parametrize(
    "tx",
    [
        gdmethods.adam(0.1),
        torch.rmsprop(momentum=0.9),
        lecture.rprop(0.1),
        keras.adam(amsgrad=True),
    ],
    ids=["adam", "torch.rmsprop", "lecture.rprop", "keras.adam"],
)
def test_an_exported_step_keeps_its_state(tx):
    """`jax.export` writes the types of the states, too."""
    exported = jax.export.export(jax.jit(tx.update))(W, tx.init(W), W)
    again = jax.export.deserialize(exported.serialize())
    chex.assert_trees_all_equal(again.call(W, tx.init(W), W), jax.jit(tx.update)(W, tx.init(W), W))
