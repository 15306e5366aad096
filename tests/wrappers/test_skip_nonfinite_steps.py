"""Skipped steps: the witness is the wrapped optimizer, which is never given a bad gradient."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trajectories import x64

import gdmethods

BAD = (np.nan, np.inf, -np.inf)


def halving(count):
    return 0.1 * 0.5**count


def step(tx, gradients, state, params, **extra_args):
    updates, state = tx.update(gradients, state, params, **extra_args)
    return optax.apply_updates(params, updates), state


@partial(jax.jit, static_argnums=0)
def run(tx, params, gradients):
    def body(carry, g):
        params, state = carry
        loss = jnp.sum(g["kernel"] ** 2).astype(jnp.float32)
        return step(tx, g, state, params, value=loss), None

    return jax.lax.scan(body, (params, tx.init(params)), gradients)[0]


CHAINS = {
    "adam, schedule": gdmethods.adam(halving),
    "irprop+": gdmethods.rprop(0.1, variant="irprop+"),  # keeps the loss
    "gains": gdmethods.adaptive_gains(0.1, momentum=0.9),
    "inject_hyperparams": optax.inject_hyperparams(gdmethods.nesterov)(halving, momentum=0.5),
    "MultiSteps": optax.MultiSteps(gdmethods.momentum(0.1), 2).gradient_transformation(),
    "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(halving)),
}


def params_of(dtype):
    return {"kernel": jnp.asarray([[1.0, -2.0], [-0.0, 3.0]], dtype), "bias": jnp.ones((), dtype)}


def gradients_of(dtype, steps):
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.normal(size=(steps, *shape)), dtype)
        for name, shape in (("kernel", (2, 2)), ("bias", ()))
    }


def assert_skipping_leaves_no_trace(tx, dtype):
    """Of seven steps the second, fourth and fifth are bad, in one entry each."""
    good, taken = gradients_of(dtype, 4), np.array([0, 2, 5, 6])
    mixed = jax.tree.map(lambda g: jnp.ones((7, *g.shape[1:]), dtype).at[taken].set(g), good)
    for at, bad in zip((1, 3, 4), BAD, strict=True):
        mixed["kernel"] = mixed["kernel"].at[at, 1, 0].set(bad)
    skipping = gdmethods.skip_nonfinite_steps(tx, 2)
    params, state = run(skipping, params_of(dtype), mixed)
    assert (state.notfinite_count, state.total_notfinite) == (0, 3)
    # XLA fuses, and so rounds, otherwise without the choice.
    expected, expected_state = run(tx, params_of(dtype), good)
    chex.assert_trees_all_close(params, expected, rtol=1e-6)
    chex.assert_trees_all_close(state.inner_state, expected_state, rtol=1e-6, atol=1e-9)
    expected, expected_state = run(skipping, params_of(dtype), good)
    chex.assert_trees_all_equal(params, expected)
    chex.assert_trees_all_equal(state.inner_state, expected_state.inner_state)


@pytest.mark.parametrize("tx", CHAINS.values(), ids=CHAINS)
def test_training_goes_on_as_if_the_step_had_not_been_tried(tx):
    assert_skipping_leaves_no_trace(tx, jnp.float32)


@pytest.mark.parametrize("inner", [gdmethods.adam(halving), gdmethods.nesterov(halving)])
def test_around_a_float32_master(inner):
    assert_skipping_leaves_no_trace(gdmethods.with_float32_master(inner), jnp.bfloat16)


def test_the_counts_and_the_limit():
    """Of bad steps in a row the third is taken, and the fourth, until one is finite."""
    tx = gdmethods.skip_nonfinite_steps(gdmethods.sgd(1.0), 2)
    patient = gdmethods.skip_nonfinite_steps(gdmethods.sgd(1.0), None)
    bad = np.array([0, 1, 1, 0, 1, 1, 1, 1, 0, 1])

    @partial(jax.jit, static_argnums=0)
    def history(tx):
        def body(state, g):
            update, state = tx.update(g, state, g)
            return state, (update, state)

        return jax.lax.scan(body, tx.init(jnp.zeros(())), jnp.where(bad, jnp.nan, 1.0))[1]

    updates, state = history(tx)
    np.testing.assert_array_equal(state.notfinite_count, [0, 1, 2, 0, 1, 2, 3, 4, 0, 1])
    np.testing.assert_array_equal(state.total_notfinite, np.cumsum(bad))
    n = np.nan
    np.testing.assert_array_equal(updates, [-1, 0, 0, -1, 0, 0, n, n, -1, 0])
    np.testing.assert_array_equal(state.inner_state.count, [1, 1, 1, 2, 2, 2, 3, 4, 5, 5])

    updates, state = history(patient)
    np.testing.assert_array_equal(updates, -1.0 * (1 - bad))
    np.testing.assert_array_equal(state.notfinite_count, [0, 1, 2, 0, 1, 2, 3, 4, 0, 1])


@pytest.mark.parametrize("jit", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_an_update_that_overflows(jit):
    """A finite gradient of 6·10⁴ at a rate of 10 is infinite in float16, and in its sum."""
    w, g = jnp.ones(2, jnp.float16), jnp.array([1.0, 6e4], jnp.float16)
    inner = gdmethods.sgd(10.0)
    for check_updates in (False, True):
        tx = gdmethods.skip_nonfinite_steps(inner, 1, check_updates=check_updates)
        new, state = jit(partial(step, tx))(g, tx.init(w), w)
        np.testing.assert_array_equal(new, [1, 1] if check_updates else [-9, -np.inf])
        assert state.total_notfinite == state.notfinite_count == check_updates
        assert state.inner_state.count == 1 - check_updates


EVERY_KIND = {
    "narrow": np.array([1.0, -0.0, 0.0], jnp.bfloat16),
    "half": np.array([1.0, -0.0, 0.0], np.float16),
    "single": np.array([1.0, -0.0, np.nan], np.float32),
    "double": np.array([[1.0, -0.0, np.inf]], np.float64),
    "complex": np.array([complex(-0.0, 0.0), complex(0.0, -0.0), complex(-0.0, -0.0)]),
    "integer": np.array([0, 7], np.int32),
    "none": None,
    "masked": optax.MaskedNode(),
    "empty": {},
}


def bits(tree):
    return jax.tree.map(lambda x: np.asarray(x).tobytes(), tree)


@pytest.mark.parametrize("bad", sorted(EVERY_KIND.keys() - {"integer", "none", "masked", "empty"}))
def test_parameters_of_every_kind_stay_to_the_bit(bad):
    """The sign of a zero, too."""
    with x64(np.float64):
        params = jax.tree.map(jnp.asarray, EVERY_KIND)
        gradients = jax.tree.map(jnp.ones_like, params)
        floats = jax.tree.map(lambda x: jnp.issubdtype(x.dtype, jnp.inexact), params)
        inner = optax.masked(optax.trace(0.9), floats)
        tx = gdmethods.skip_nonfinite_steps(inner, 1)
        state = tx.init(params)
        params_after, _ = step(tx, gradients, state, params)
        assert bits(params_after) != bits(params)
        gradients[bad] *= np.nan
        params_after, state_after = step(tx, gradients, state, params)
        assert bits(params_after) == bits(params)
        assert bits(state_after.inner_state) == bits(state.inner_state)
        chex.assert_trees_all_equal_dtypes(params_after, params)


def test_gradients_of_integers_and_trees_without_leaves():
    def loss(w):
        return w["float"] * jnp.sum(w["integer"])

    tx = gdmethods.skip_nonfinite_steps(optax.identity(), 1)
    params = {"float": jnp.ones(()), "integer": jnp.ones(3, jnp.int32)}
    gradients = jax.grad(loss, allow_int=True)(params)
    updates, state = jax.jit(tx.update)(gradients, tx.init(params), params)
    chex.assert_trees_all_equal(updates, gradients)
    for tree in ({}, None, (None, optax.MaskedNode())):
        updates, state = tx.update(tree, tx.init(tree), tree)
        assert updates == tree
        assert state.total_notfinite == 0


def test_a_random_key_stays():
    tx = gdmethods.skip_nonfinite_steps(optax.add_noise(1.0, 0.5, key=jax.random.key(0)), 1)
    w = jnp.ones(())
    state = tx.init(w)
    _, after = jax.jit(tx.update)(jnp.nan * w, state, w)
    chex.assert_trees_all_equal(
        *(jax.random.key_data(s.inner_state.rng_key) for s in (after, state))
    )
    update, after = jax.jit(tx.update)(w, state, w)
    assert update != w
    assert after.inner_state.rng_key != state.inner_state.rng_key


def test_updates_wider_than_the_gradients():
    widen = optax.stateless(lambda g, _: jax.tree.map(lambda x: x.astype(jnp.float32), g))
    tx = gdmethods.skip_nonfinite_steps(widen, 1)
    for g in (jnp.ones(2, jnp.bfloat16), jnp.full(2, jnp.nan, jnp.bfloat16)):
        update, _ = jax.jit(tx.update)(g, tx.init(g), g)
        assert update.dtype == jnp.float32


def test_each_member_of_an_ensemble_skips_for_itself():
    tx = gdmethods.skip_nonfinite_steps(gdmethods.adam(0.1), 1)
    w = jnp.ones((3, 2))
    g = w.at[1, 0].set(jnp.inf)
    new, state = jax.jit(jax.vmap(partial(step, tx)))(g, jax.vmap(tx.init)(w), w)
    np.testing.assert_array_equal(new == w, [[False] * 2, [True] * 2, [False] * 2])
    np.testing.assert_array_equal(state.notfinite_count, [0, 1, 0])
    np.testing.assert_array_equal(state.inner_state.count, [1, 0, 1])


@pytest.mark.parametrize("bad", [jnp.inf, jnp.nan])
def test_a_skipped_step_has_no_derivative(bad):
    """That of a run is that of the same run without the step."""

    def end(rate, gradients):
        tx = gdmethods.skip_nonfinite_steps(gdmethods.adam(rate), 5)
        w = jnp.array([1.0, 2.0])
        state = tx.init(w)
        for g in gradients:
            w, state = step(tx, g, state, w)
        return jnp.sum(w**2)

    first, last = jnp.array([1.0, 2.0]), jnp.array([1.0, -2.0])
    expected = jax.grad(end)(0.1, [first, last])
    assert expected != 0
    skipped = jnp.array([bad, 1.0])
    actual = jax.grad(end)(0.1, [first, skipped, last])
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("leaves", [1, 5])
def test_one_choice_for_each_array_and_no_branch(leaves):
    """Of gradients, slots and updates; one a count, one in each sum of them, a tie a slot."""
    tx = gdmethods.skip_nonfinite_steps(optax.trace(0.9), 1)
    w = [jnp.ones(2)] * leaves
    with jax.disable_jit():  # so that all is written out
        program = str(jax.make_jaxpr(tx.update)(w, tx.init(w), w))
    assert program.count(" = select_n ") == 3 * leaves + 4 + leaves
    compiled = jax.jit(tx.update).lower(w, tx.init(w), w).compile().as_text()
    assert not any(word in compiled for word in ("conditional(", "while(", "custom-call("))


def test_buffers_are_given_away():
    tx = gdmethods.skip_nonfinite_steps(gdmethods.momentum(0.1), 1)
    w = jnp.ones(3)
    state = tx.init(w)
    jax.jit(tx.update, donate_argnums=1)(w, state, w)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_map_params_finds_the_state_of_inner():
    tx = gdmethods.skip_nonfinite_steps(gdmethods.momentum(0.1), 1)
    state = optax.tree.map_params(tx, jnp.negative, tx.init(jnp.ones(2)))
    assert state.inner_state.velocity.shape == (2,)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (TypeError, (gdmethods.adam, 1), r"inner must be a transformation.*adam\(1e-3\)"),
        (TypeError, (gdmethods.sgd(1.0), 1.5), "max_consecutive_errors must be a whole number"),
        (TypeError, (gdmethods.sgd(1.0), True), "max_consecutive_errors must be a whole number"),
        (ValueError, (gdmethods.sgd(1.0), -1), "max_consecutive_errors must not be negative"),
        (TypeError, (gdmethods.sgd(1.0), 1, 1), "check_updates must be True or False"),
    ],
)
def test_arguments(error, arguments, message):
    *positional, check_updates = arguments if len(arguments) == 3 else (*arguments, False)
    with pytest.raises(error, match=message):
        gdmethods.skip_nonfinite_steps(*positional, check_updates=check_updates)


def test_the_state_of_another():
    tx = gdmethods.skip_nonfinite_steps(gdmethods.sgd(1.0), 1)
    with pytest.raises(TypeError, match=r"given SGDState.*keeps SkipNonfiniteStepsState"):
        tx.update(jnp.ones(()), gdmethods.sgd(1.0).init(jnp.ones(())))
