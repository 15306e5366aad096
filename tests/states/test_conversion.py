"""States read as float32, and taken over with another accumulator_dtype."""

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import every_method

import gdmethods

NARROW = {"accumulator_dtype": jnp.bfloat16}
W = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.array(0.3, jnp.bfloat16)}


def after_a_step(tx, w=W, **extra_args):
    return tx.update(w, tx.init(w), w, **extra_args)[1]


@pytest.mark.proof
@every_method(lambda method: method.accumulators + method.squares != ())
def test_a_narrow_state_reads_as_the_wide_one_that_it_is(method):
    narrow, wide = method.build(**NARROW), method.build()
    state = after_a_step(narrow, **method.extra_args(1.0))
    converted = gdmethods.convert_state(wide, W, state)
    chex.assert_trees_all_equal(converted, gdmethods.read_state(state))
    chex.assert_trees_all_equal_dtypes(converted, wide.init(W))
    back = gdmethods.convert_state(narrow, W, converted)
    chex.assert_trees_all_equal(back, state)
    chex.assert_trees_all_equal_dtypes(back, state)


def test_complex_numbers_into_wider_ones():
    w = jnp.array([1.0 + 2.0j, 3.0 - 1.0j])
    state = after_a_step(gdmethods.adam(0.1), w)
    with jax.enable_x64(True):
        wide = gdmethods.adam(0.1, accumulator_dtype=jnp.float64)
        converted = gdmethods.convert_state(wide, w, state)
        chex.assert_trees_all_equal_dtypes(converted, wide.init(w))
        chex.assert_trees_all_close(converted, state, rtol=1e-7)


def test_to_the_nearest():
    """1 − β₂ = 0.001 is between two numbers of bfloat16, and so is 0.1 · 1/3."""
    state = after_a_step(gdmethods.adam(0.1), jnp.full(1000, 1 / 3))
    narrow = gdmethods.convert_state(gdmethods.adam(0.1, **NARROW), jnp.zeros(1000), state)
    np.testing.assert_array_equal(narrow.mu, state.mu.astype(jnp.bfloat16))
    np.testing.assert_array_equal(narrow.nu, state.nu.astype(jnp.bfloat16))


def test_within_chains_and_wrappers():
    def build(**dtype):
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.inject_hyperparams(gdmethods.adam)(0.1, **dtype),
            optax.masked(gdmethods.velocity(0.9, **dtype), {"a": True, "b": False}),
        )

    # By its name, since inject_hyperparams calls jnp.bfloat16 as a schedule, and counts for it.
    state = after_a_step(build(accumulator_dtype="bfloat16"))
    converted = gdmethods.convert_state(build(), W, state)
    chex.assert_trees_all_equal(converted, gdmethods.read_state(state))
    chex.assert_trees_all_equal_shapes_and_dtypes(converted, build().init(W))
    following = build().update(W, converted, W)[1]
    assert optax.tree.get(following, "AdamState").count == 2


def test_states_of_others_are_read_as_they_are():
    state = after_a_step(optax.adam(0.1, mu_dtype=jnp.bfloat16))
    chex.assert_trees_all_equal_dtypes(gdmethods.read_state(state), state)


def test_what_needs_no_change_is_not_copied():
    state = gdmethods.adam(0.1).init(W)
    converted = gdmethods.convert_state(gdmethods.adam(0.2), W, state)
    assert all(map(lambda x, y: x is y, *map(jax.tree.leaves, (converted, state))))


def test_a_run_goes_on_narrow_and_wide_again():
    """A quadratic from 3 and back: half of the steps with either."""
    wide, narrow = gdmethods.momentum(0.01), gdmethods.momentum(0.01, **NARROW)

    def train(tx, w, state):
        def step(carry, _):
            w, state = carry
            updates, state = tx.update(w, state, w)
            return (w + updates, state), None

        return jax.lax.scan(step, (w, state), length=20)[0]

    start = jnp.full(999, 3.0)
    w, state = train(wide, start, wide.init(start))
    expected, _ = train(wide, *train(wide, w, state))
    w, state = train(narrow, w, gdmethods.convert_state(narrow, w, state))
    w, state = train(wide, w, gdmethods.convert_state(wide, w, state))
    assert state.count == 60
    np.testing.assert_allclose(w, expected, atol=0.05)


def test_a_run_goes_on_in_four_bytes_and_in_float32_again():
    """Weights as well, within with_stochastic_rounding; the numbers are as near as a byte has."""
    wide, narrow = (
        gdmethods.with_stochastic_rounding(gdmethods.adam(0.1, accumulator_dtype=dtype))
        for dtype in (jnp.float32, "8bit")
    )
    w = {"w": jnp.array([0.5, -1.0, 2.0])}
    cast = jax.tree.map(lambda w: w.astype(jnp.bfloat16), w)
    state = after_a_step(wide, w)
    converted = gdmethods.convert_state(narrow, cast, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(converted, narrow.init(cast))
    assert converted.inner_state.mu["w"].dtype == jnp.uint8
    updates, following = narrow.update(cast, converted, cast)
    np.testing.assert_allclose(updates["w"], [-0.1, 0.1, -0.1], rtol=0.25)
    back = gdmethods.convert_state(wide, w, following)
    chex.assert_trees_all_equal_shapes_and_dtypes(back, wide.init(w))
    assert back.inner_state.count == back.rounding_count == 2
    _, exact = wide.update(w, state, w)
    for slot, tolerance in (("mu", 0.15), ("nu", 0.4)):
        actual, expected = (getattr(x.inner_state, slot)["w"] for x in (back, exact))
        np.testing.assert_allclose(actual, expected, rtol=tolerance)


@pytest.mark.parametrize(
    ("tx", "params", "error", "message"),
    [
        (gdmethods.adam, W, TypeError, "tx must be a transformation"),
        (gdmethods.momentum(0.1), W, TypeError, "MomentumState"),
        (gdmethods.adam(0.1), {"a": W["a"]}, TypeError, "accumulator_dtype"),
        (gdmethods.adam(0.1), {"a": jnp.ones(6), "b": W["b"]}, ValueError, r"\['a'\].*\(2, 3\)"),
    ],
    ids=["a factory", "another method", "fewer leaves", "another shape"],
)
def test_what_is_no_state_of_tx(tx, params, error, message):
    with pytest.raises(error, match=message):
        gdmethods.convert_state(tx, params, gdmethods.adam(0.1, **NARROW).init(W))


def test_a_slot_of_integers_is_no_accumulator():
    state = gdmethods.adam(0.1).init(W)
    state = state._replace(nu=jax.tree.map(lambda x: x.astype(jnp.int32), state.nu))
    with pytest.raises(TypeError, match=r"nu\['a'\] is int32.*float32"):
        gdmethods.convert_state(gdmethods.adam(0.1), W, state)


@pytest.mark.parametrize(
    "road",
    [
        lambda tx, w, state: gdmethods.read_state(state),
        lambda tx, w, state: gdmethods.state_ranges(state),
        lambda tx, w, state: gdmethods.convert_state(tx, w, state),
        lambda tx, w, state: gdmethods.master_params(state, w),
        lambda tx, w, state: gdmethods.nesterov_eval_params(state, w),
    ],
)
def test_a_state_read_back_as_dicts(road):
    """Its codes would pass for numbers."""
    tx, w = optax.chain(gdmethods.adam(0.1, accumulator_dtype="8bit")), {"w": jnp.ones(2)}
    state = flax.serialization.to_state_dict(tx.init(w))
    with pytest.raises(
        TypeError, match=r"at \['0'\] is a plain dict of count, mu, nu: .*from_state_dict\("
    ):
        road(tx, w, state)
