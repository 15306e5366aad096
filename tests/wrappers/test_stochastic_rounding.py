"""Weights rounded stochastically: the witness is the wrapped optimizer on float32 weights."""

import functools

import chex
import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from table import every_method
from trajectories import x64

import gdmethods

PASS_ON = optax.identity()


def step(tx, gradients, state, params, **extra_args):
    updates, state = tx.update(gradients, state, params, **extra_args)
    return optax.apply_updates(params, updates), state


def neighbours(x):
    """The bfloat16 on either side of float32 numbers, or twice the number itself."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    nearer = (bits & np.uint32(0xFFFF0000)).view(np.float32)
    farther = ((bits + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)).view(np.float32)
    return nearer, farther


@functools.partial(jax.jit, static_argnames="counts")
def moved(w, displacement, counts=1):
    """The new weights by each of so many counts, as optax.apply_updates makes them."""
    tx = gdmethods.with_stochastic_rounding(PASS_ON)
    w = w.astype(jnp.bfloat16)
    state = tx.init(w)

    def by(count):
        return step(tx, displacement, state._replace(rounding_count=count), w)[0]

    return jax.vmap(by)(jnp.arange(counts)).astype(jnp.float32)


SIZES = st.floats(2.0**-60, 2.0**60, width=32)
NUMBERS = st.one_of(st.just(0.0), SIZES, SIZES.map(lambda x: -x))


@hypothesis.settings(deadline=None)  # the first call compiles
@hypothesis.given(data=st.data())
def test_where_the_weights_land(data):
    """On a neighbour of w + Δ in float32, exactly, however far w moves, and across zero."""
    arrays = functools.partial(hypothesis.extra.numpy.arrays, np.float32, 32)
    w = data.draw(arrays(elements=NUMBERS)).astype(jnp.bfloat16).astype(np.float32)
    near = np.float32(-1) + data.draw(arrays(elements=st.floats(-(2.0**-7), 2.0**-7, width=32)))
    anywhere = data.draw(arrays(elements=NUMBERS))
    displacement = np.where(np.arange(32) % 2, w * near, anywhere)  # half of them to about 0
    (new,) = np.asarray(moved(w, displacement))
    nearer, farther = neighbours(w + displacement)
    assert np.all((new == nearer) | (new == farther))


def test_the_mean_over_counts_is_the_float32_weight():
    """Of updates that are small, and of some that double the weight or cross zero."""
    n, counts = 64, 4096
    rng = np.random.default_rng(0)
    w = rng.normal(size=n).astype(jnp.bfloat16).astype(np.float32)
    displacement = (rng.normal(size=n) * 10.0 ** rng.uniform(-4, 1, n)).astype(np.float32)
    new = np.asarray(moved(w, displacement, counts), np.float64)
    nearer, farther = (x.astype(np.float64) for x in neighbours(w + displacement))
    x = (w + displacement).astype(np.float64)
    spread = np.sqrt(np.abs((x - nearer) * (farther - x)))
    error = (new.mean(axis=0) - x) * np.sqrt(counts)
    assert np.all(np.abs(error) <= 5 * spread + 1e-9)
    np.testing.assert_allclose(new.std(axis=0), spread, rtol=0.2, atol=1e-9)
    assert abs(np.sum(error) / np.sqrt(np.sum(spread**2))) < 4


@every_method(lambda method: not method.claims)
def test_the_inner_transformation_sees_float32(method):
    """Its state is that of float32 weights, given the weights and gradients of each step."""
    tx, inner = gdmethods.with_stochastic_rounding(method.build()), method.build()
    extra_args = method.extra_args(jnp.float32(1))
    rng = np.random.default_rng(0)
    w = jnp.asarray(rng.normal(size=8), jnp.bfloat16)
    state, expected = tx.init(w), inner.init(w.astype(jnp.float32))
    for t in range(2):
        g = jnp.cos(w + t)
        _, expected = inner.update(
            g.astype(jnp.float32), expected, w.astype(jnp.float32), **extra_args
        )
        w, state = step(tx, g, state, w, **extra_args)
        assert w.dtype == jnp.bfloat16
    chex.assert_trees_all_equal(state.inner_state, expected)
    chex.assert_trees_all_equal_dtypes(state.inner_state, expected)
    assert state.rounding_count == 2


@pytest.mark.parametrize("tx", [optax.adamw(1e-3), optax.sgd(1e-3, momentum=0.9)])
def test_small_updates_of_optaxs_methods_add_up(tx):
    """In the mean over 4,000 weights as in float32; rounded to the nearest they stand still."""

    # In no order, so that few weights are equal in bfloat16 to another with the same gradient.
    g = jnp.asarray(np.random.default_rng(0).permutation(np.linspace(0.005, 0.015, 4000)), "f4")

    def end(tx, dtype, dtype_of_g=jnp.float32):
        w = jnp.linspace(1, 2, 4000).astype(jnp.bfloat16).astype(dtype)

        def body(carry, _):
            w, state = carry
            return step(tx, g.astype(dtype_of_g), state, w), None

        (w, _), _ = jax.jit(lambda c: jax.lax.scan(body, c, length=200))((w, tx.init(w)))
        return np.asarray(w, np.float64)

    start = np.linspace(1, 2, 4000).astype(jnp.bfloat16).astype(np.float64)
    expected = np.mean(end(tx, jnp.float32) - start)
    error = end(gdmethods.with_stochastic_rounding(tx), jnp.bfloat16) - start - expected
    assert abs(np.mean(error)) < 0.02 * abs(expected) + 4 * error.std() / np.sqrt(4000)
    assert abs(np.mean(end(tx, jnp.bfloat16, jnp.bfloat16) - start)) < 0.6 * abs(expected)


def test_equal_weights_with_equal_gradients_stay_equal():
    """A layer that starts alike is rounded alike, as it would move alike in float32."""
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.001))
    w = jnp.ones((8, 8), jnp.bfloat16)
    state = tx.init(w)
    for _ in range(20):
        w, state = step(tx, jnp.ones((8, 8)), state, w)
    assert len(np.unique(np.asarray(w))) == 1


WIDE = {
    "single": np.ones(2, np.float32),
    "double": np.ones(2, np.float64),
    "complex": np.ones(2, np.complex64),
    "none": None,
    "masked": optax.MaskedNode(),
}


def test_an_infinite_weight_stays():
    w = jnp.array([jnp.inf, -jnp.inf, 1.0], jnp.bfloat16)
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1))
    for gradient in (0.0, 1.0):
        updates, _ = tx.update(jnp.full(3, gradient, jnp.bfloat16), tx.init(w), w)
        np.testing.assert_array_equal(optax.apply_updates(w, updates)[:2], w[:2])


def test_wide_and_complex_parameters_are_updated_directly():
    inner = gdmethods.adam(0.1)
    tx = gdmethods.with_stochastic_rounding(inner)
    with x64(np.float64):
        params = jax.tree.map(jnp.asarray, WIDE | {"narrow": np.ones(3, jnp.bfloat16)})
        updates, _ = tx.update(params, tx.init(params), params)
        alone, _ = inner.update(params, inner.init(params), params)
        chex.assert_trees_all_equal({k: updates[k] for k in WIDE}, {k: alone[k] for k in WIDE})
        assert updates["narrow"].dtype == jnp.float32
        chex.assert_trees_all_equal_dtypes(optax.apply_updates(params, updates), params)


def test_float64_gradients_of_bfloat16_weights():
    with x64(np.float64):
        tx = gdmethods.with_stochastic_rounding(optax.sgd(0.5))
        w = jnp.ones(3, jnp.bfloat16)
        updates, _ = tx.update(jnp.ones(3, np.float64), tx.init(w), w)
    assert updates.dtype == jnp.float32
    np.testing.assert_array_equal(updates, [-0.5, -0.5, -0.5])


def test_a_compiled_scan_that_takes_its_buffers_is_the_loop():
    tx = gdmethods.with_stochastic_rounding(gdmethods.adam(1e-3, accumulator_dtype=jnp.bfloat16))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train(params, state):
        def body(carry, _):
            params, state = carry
            return step(tx, params, state, params), None

        return jax.lax.scan(body, (params, state), length=5)[0]

    def start():
        rng = np.random.default_rng(0)
        w = {
            "kernel": jnp.asarray(rng.normal(size=(3, 2)), jnp.bfloat16),
            "scale": jnp.bfloat16(1),
        }
        return w, tx.init(w)

    given = start()
    scanned = train(*given)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    w, state = start()
    jitted = jax.jit(lambda w, state: step(tx, w, state, w))
    for _ in range(5):
        w, state = jitted(w, state)
    chex.assert_trees_all_equal(scanned, (w, state))


def test_a_derivative_passes_straight_through():
    """By the learning rate, through three steps on w²/2, that of float32."""

    def end(rate, wrap):
        tx, w = wrap(gdmethods.sgd(rate)), jnp.bfloat16(1.0)
        state = tx.init(w)
        for _ in range(3):
            updates, state = tx.update(w, state, w)
            w = (w + updates).astype(jnp.bfloat16)
        return w.astype(jnp.float32)

    slope = jax.grad(end)(0.1, gdmethods.with_stochastic_rounding)
    np.testing.assert_allclose(slope, -3 * 0.9**2, rtol=0.02)


# Refused.

W = jnp.array([1.0, -2.0, 3.0], jnp.bfloat16)
WRAPPERS = [gdmethods.with_stochastic_rounding, gdmethods.with_float32_master]


def test_weights_that_have_become_float32():
    """As w + u makes them, which eqx.apply_updates returns."""
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1))
    updates, state = tx.update(W, tx.init(W), W)
    w = W + updates
    with pytest.raises(TypeError, match=r"all of the par.*none are now.*optax\.apply_updates"):
        tx.update(w, state, w)


def test_weights_that_have_become_bfloat16():
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1))
    state = tx.init(W.astype(jnp.float32))
    with pytest.raises(TypeError, match=r"none of the par.*all are now.*convert_state\(tx"):
        tx.update(W, state, W)
    tx.update(W, gdmethods.convert_state(tx, W, state), W)


def test_one_of_two_weights_that_has_become_float32():
    """If all were rounded; where some are, the others may be any."""
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1))
    params = {"a": W, "b": W}
    state = tx.init(params)
    mixed = params | {"b": W.astype(jnp.float32)}
    with pytest.raises(TypeError, match=r"all of the par.*some are now.*optax\.apply_updates"):
        tx.update(params, state, mixed)
    updates, _ = tx.update(params, gdmethods.convert_state(tx, mixed, state), mixed)
    assert optax.apply_updates(mixed, updates)["b"].dtype == jnp.float32
    _, of_mixed = tx.update(mixed, tx.init(mixed), mixed)
    with pytest.raises(TypeError, match=r"some of the par.*none are now"):
        tx.update(mixed, of_mixed, jax.tree.map(lambda w: w.astype(jnp.float32), mixed))
    without = {"a": W, "b": None}
    tx.update(without, of_mixed._replace(inner_state=tx.init(without).inner_state), mixed)


def test_float16_weights():
    with pytest.raises(TypeError, match=r"\['a'\] is float16.*with_float32_master"):
        gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1)).init({"a": jnp.float16(1)})


def test_a_model_with_functions_and_a_weight_without_a_gradient():
    """Its arrays with gradients are rounded, and the rest is left alone."""
    arrays = {"w": W, "activation": None, "frozen": None}
    model = {"w": W, "activation": jnp.tanh, "frozen": jnp.ones(2, jnp.bfloat16)}
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(1.0))
    updates, _ = tx.update(arrays, tx.init(arrays), model)
    np.testing.assert_array_equal(optax.apply_updates(arrays, updates)["w"], jnp.zeros_like(W))
    assert updates["activation"] is updates["frozen"] is None


def test_without_parameters():
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1))
    with pytest.raises(
        ValueError, match=r"with_stochastic_rounding.*tx\.update\(grads, state, par"
    ):
        tx.update(W, tx.init(W))


def test_another_state():
    tx = gdmethods.with_stochastic_rounding(gdmethods.sgd(0.1))
    with pytest.raises(TypeError, match="StochasticRoundingState"):
        tx.update(W, gdmethods.sgd(0.1).init(W), W)


def test_no_transformation():
    with pytest.raises(TypeError, match=r"inner must be a transformation.*adam\(1e-3\)"):
        gdmethods.with_stochastic_rounding(gdmethods.adam)


@pytest.mark.parametrize("wrap", WRAPPERS, ids=lambda wrap: wrap.__name__)
def test_a_second_wrapper_of_weights_within(wrap):
    tx = optax.chain(optax.clip(1.0), wrap(gdmethods.sgd(0.1)))
    with pytest.raises(ValueError, match=r"with_stochastic_rounding is around.*one wrapper"):
        gdmethods.with_stochastic_rounding(tx).init(W)


class TestComposition:
    """What works inside, and what outside."""

    def test_counts_are_told_apart(self):
        tx = gdmethods.with_stochastic_rounding(gdmethods.adam(0.1))
        _, state = step(tx, W, tx.init(W), W)
        assert optax.tree.get(state, "count") == 1
        assert optax.tree.get(state, "rounding_count") == 1

    def test_inject_hyperparams_inside_sees_float32(self):
        """A decay of 0.999 is 1 in bfloat16, and no decay."""
        tx = gdmethods.with_stochastic_rounding(
            optax.inject_hyperparams(gdmethods.rmsprop)(0.1, decay=0.999)
        )
        state = tx.init(W)
        assert optax.tree.get(state, "decay") == jnp.float32(0.999)
        step(tx, W, state, W)

    @pytest.mark.parametrize(
        "skipping",
        [optax.apply_if_finite, gdmethods.skip_nonfinite_steps],
        ids=lambda skipping: skipping.__name__,
    )
    def test_a_step_that_is_skipped_moves_nothing(self, skipping):
        tx = gdmethods.with_stochastic_rounding(skipping(gdmethods.adam(0.1), 3))
        state = tx.init(W)
        w, state = jax.jit(functools.partial(step, tx))(jnp.nan * W, state, W)
        np.testing.assert_array_equal(w, W)

    def test_skip_nonfinite_steps_outside(self):
        tx = gdmethods.skip_nonfinite_steps(
            gdmethods.with_stochastic_rounding(gdmethods.adam(0.1)), 3
        )
        w, state = jax.jit(functools.partial(step, tx))(jnp.nan * W, tx.init(W), W)
        np.testing.assert_array_equal(w, W)
        assert optax.tree.get(state, "rounding_count") == 0

    def test_gradients_accumulate_in_float32_inside(self):
        """Of 1, 2⁻¹⁰ and 2⁻¹⁰ a sum in bfloat16 is 1; weights move with the third."""
        inner = optax.MultiSteps(gdmethods.sgd(3.0), 3).gradient_transformation()
        tx = gdmethods.with_stochastic_rounding(inner)
        w = jnp.zeros((), jnp.bfloat16)
        state = tx.init(w)
        for g in (1.0, 2.0**-10, 2.0**-10):
            assert w == 0
            updates, state = tx.update(jnp.bfloat16(g), state, w)
            w = optax.apply_updates(w, updates)
        assert w in (jnp.bfloat16(-1), jnp.bfloat16(-1 - 2.0**-7))

    def test_masked_and_partition_outside(self):
        rounding = gdmethods.with_stochastic_rounding(gdmethods.sgd(1.0))
        params = {"a": W, "b": jnp.ones(2)}
        for tx in (
            optax.partition({"r": rounding, "s": gdmethods.sgd(0.5)}, {"a": "r", "b": "s"}),
            optax.masked(rounding, {"a": True, "b": False}),
        ):
            new, _ = step(tx, params, tx.init(params), params)
            np.testing.assert_array_equal(new["a"], jnp.zeros(3, jnp.bfloat16))

    def test_flax_nnx(self):
        """Its optimizer adds by optax.apply_updates: the model's weights stay bfloat16."""
        model = nnx.Linear(3, 2, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
        tx = gdmethods.with_stochastic_rounding(gdmethods.adam(0.1))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        before = model.kernel[...]
        for _ in range(2):
            gradients = nnx.grad(lambda model: jnp.mean(model(jnp.ones((4, 3))) ** 2))(model)
            optimizer.update(model, gradients)
        assert model.kernel[...].dtype == jnp.bfloat16
        assert jnp.all(model.kernel[...] != before)

    def test_nesterov_eval_params(self):
        tx = gdmethods.with_stochastic_rounding(gdmethods.nesterov(0.1))
        y, state = step(tx, W, tx.init(W), W)
        weights = gdmethods.nesterov_eval_params(state, y)
        expected = 0.9 * W.astype(jnp.float32)
        np.testing.assert_allclose(weights.astype(jnp.float32), expected, rtol=2**-6)

    def test_map_params_and_state_bytes(self):
        """Adam with moments in bfloat16 at 6 bytes a weight, 2 of them the weight's."""
        inner = gdmethods.adam(0.1, accumulator_dtype=jnp.bfloat16)
        tx = gdmethods.with_stochastic_rounding(inner)
        marked = optax.tree.map_params(
            tx, lambda _, name: name, tx.init(W), "w", transform_non_params=lambda _: "other"
        )
        assert marked == gdmethods.StochasticRoundingState(
            "other", "other", gdmethods.AdamState("other", "w", "w")
        )
        w = jax.ShapeDtypeStruct((1000,), jnp.bfloat16)
        assert gdmethods.state_bytes(tx, w) == 4 * 1000 + 4 + 2 + 4

    def test_extra_arguments_reach_the_inner_transformation(self):
        tx = gdmethods.with_stochastic_rounding(gdmethods.rprop(0.1, variant="irprop+"))
        _, state = tx.update(W, tx.init(W), W, value=jnp.float32(2.5), unknown="ignored")
        assert state.inner_state.value == 2.5

    def test_read_and_convert_through_it(self):
        wide, narrow = (
            gdmethods.with_stochastic_rounding(gdmethods.adam(0.1, accumulator_dtype=dtype))
            for dtype in (None, jnp.bfloat16)
        )
        _, state = step(narrow, W, narrow.init(W), W)
        converted = gdmethods.convert_state(wide, W, state)
        chex.assert_trees_all_equal(converted, gdmethods.read_state(state))
        chex.assert_trees_all_equal_dtypes(converted, wide.init(W))
