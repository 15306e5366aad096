"""Float32 master weights: the witness is the wrapped optimizer on weights that were float32."""

from functools import partial

import chex
import hypothesis
import hypothesis.extra.numpy
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import every_method
from trajectories import x64

import gdmethods

NARROW = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=str)


def rounded(tree, dtype=jnp.bfloat16):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def step(tx, gradients, state, params, **extra_args):
    updates, state = tx.update(gradients, state, params, **extra_args)
    return optax.apply_updates(params, updates), state


def weights(dtype):
    rng = np.random.default_rng(0)
    return {"kernel": jnp.asarray(rng.normal(size=(3, 2)), dtype), "scale": jnp.ones((), dtype)}


def assert_trains_as_float32_does(tx, **extra_args):
    """And the weights are its rounding, in steps that are too small for one to cross zero."""
    tx = optax.chain(tx, optax.scale(1e-3))
    wrapped = gdmethods.with_float32_master(tx)
    narrow = weights(jnp.bfloat16)
    wide = rounded(narrow, jnp.float32)
    state, wide_state = wrapped.init(narrow), tx.init(wide)
    for seed in range(4):
        gradients = optax.tree.random_like(jax.random.key(seed), narrow)
        narrow, state = step(wrapped, gradients, state, narrow, **extra_args)
        wide_gradients = rounded(gradients, jnp.float32)
        wide, wide_state = step(tx, wide_gradients, wide_state, wide, **extra_args)
    chex.assert_trees_all_equal(state, gdmethods.Float32MasterState(wide, wide_state))
    chex.assert_trees_all_equal_dtypes(state.inner_state, wide_state)
    chex.assert_trees_all_equal(narrow, rounded(wide))


@every_method()
def test_the_master_is_what_float32_weights_would_be(method):
    assert_trains_as_float32_does(method.build(), **method.extra_args(jnp.float32(1.0)))


@pytest.mark.parametrize(
    "tx", [optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.adafactor(0.1)]
)
def test_of_optaxs_methods_too(tx):
    """Whose states take the dtypes of what they are given."""
    assert_trains_as_float32_does(tx)


def test_updates_below_half_a_unit_in_the_last_place_are_not_lost():
    """1,000 steps of −10⁻⁴ from 1: bfloat16 alone has no number between 0.99609375 and 1."""

    def end(tx):
        def body(carry, _):
            w, state = carry
            return step(tx, jnp.ones((), w.dtype), state, w), None

        w = jnp.ones((), jnp.bfloat16)
        (w, _), _ = jax.lax.scan(body, (w, tx.init(w)), length=1000)
        return w

    assert end(gdmethods.sgd(1e-4)) == 1
    assert end(gdmethods.with_float32_master(gdmethods.sgd(1e-4))) == jnp.bfloat16(0.9)


@partial(jax.jit, static_argnames="dtype")
def moved(w, displacement, *, dtype):
    """The weights and the master after one update of an optimizer that passes gradients on."""
    tx = gdmethods.with_float32_master(optax.identity())
    w = w.astype(dtype)
    new, state = step(tx, displacement, tx.init(w), w)
    return w, new, state.master


def finite(largest):
    """Zeros, and sizes from 2⁻¹² up; denormals of float16 among its differences."""
    size = st.floats(2.0**-12, largest, width=32)
    return st.one_of(st.just(0.0), size, size.map(lambda x: -x))


@NARROW
@hypothesis.settings(deadline=None)  # the first call compiles
@hypothesis.given(data=st.data())
def test_where_the_weights_land(dtype, data):
    """On the master's rounding, if that is within a factor of two of where they were; else by it.

    u is q − w rounded, so that it misses by the unit roundoff of the move, 2⁻⁸ for 8 bits of
    significand; and the sum is rounded again, to a number that is no farther from it than q is.
    """
    arrays = partial(hypothesis.extra.numpy.arrays, np.float32, 32)
    before = data.draw(arrays(elements=finite(100.0)))
    # To anywhere, and, in the other half, to the weight's neighbourhood.
    factor = data.draw(arrays(elements=st.floats(-0.75, 1.5, width=32)))
    anywhere = data.draw(arrays(elements=finite(100.0)))
    displacement = np.where(np.arange(32) % 2, before * factor, anywhere)

    w, new, master = (np.asarray(x) for x in moved(before, displacement, dtype=dtype))
    w, new, q = (x.astype(np.float64) for x in (w, new, master.astype(dtype)))
    np.testing.assert_array_equal(master, w.astype(np.float32) + displacement)
    near = (np.abs(w) <= 2 * np.abs(q)) & (np.abs(q) <= 2 * np.abs(w)) & (w * q >= 0)
    np.testing.assert_array_equal(new[near], q[near])
    assert np.all(np.abs(new - q) <= 2 * (jnp.finfo(dtype).eps / 2) * np.abs(q - w))


@NARROW
def test_a_weight_beside_the_master_is_taken_there_by_the_next_update(dtype):
    """1 − 0.749 is 0.251, and as 8 bits of 0.749 are too few, w lands beside it."""
    tx = gdmethods.with_float32_master(optax.identity())
    w = jnp.ones(1000, dtype)
    state = tx.init(w)
    w, state = step(tx, -jnp.linspace(0.5, 1.4, 1000), state, w)
    assert jnp.any(w != state.master.astype(dtype))
    for _ in range(2):
        w, state = step(tx, jnp.zeros(1000), state, w)
    chex.assert_trees_all_equal(w, state.master.astype(dtype))


MIXED = {
    "narrow": np.ones(3, jnp.bfloat16),
    "half": np.ones((), np.float16),
    "single": np.ones(2, np.float32),
    "double": np.ones(2, np.float64),
    "complex": np.ones(2, np.complex64),
    "none": None,
    "masked": optax.MaskedNode(),
}


def mixed():
    return jax.tree.map(jnp.asarray, MIXED)


@pytest.mark.parametrize(
    "inner", [gdmethods.adam(0.1), optax.adamw(0.1), optax.sgd(0.1)], ids=["ours", "adamw", "sgd"]
)
def test_wide_and_complex_parameters_keep_no_copy(inner):
    tx = gdmethods.with_float32_master(inner)
    with x64(np.float64):
        params = mixed()
        updates, state = tx.update(params, tx.init(params), params)
        alone, _ = inner.update(params, inner.init(params), params)
    wide = ("single", "double", "complex", "none", "masked")
    chex.assert_trees_all_equal({k: updates[k] for k in wide}, {k: alone[k] for k in wide})
    chex.assert_trees_all_equal_dtypes(updates, params)
    absent = optax.MaskedNode()
    assert {k: state.master[k] for k in ("single", "double", "complex")} == dict.fromkeys(
        ("single", "double", "complex"), absent
    )
    assert {k: state.master[k].dtype for k in ("narrow", "half")} == dict.fromkeys(
        ("narrow", "half"), jnp.float32
    )


@pytest.mark.parametrize("gradient_dtype", [jnp.bfloat16, jnp.float32], ids=str)
def test_a_compiled_scan_that_takes_its_buffers(gradient_dtype):
    """State and parameters keep their types, share no buffer, and nothing is promoted unasked."""
    tx = gdmethods.with_float32_master(gdmethods.adam(1e-3))

    @partial(jax.jit, donate_argnums=(0, 1))
    def train(params, state):
        def body(carry, _):
            params, state = carry
            return step(tx, rounded(params, gradient_dtype), state, params), None

        return jax.lax.scan(body, (params, state), length=5)[0]

    params = weights(jnp.bfloat16)
    given = params, tx.init(params)
    with jax.numpy_dtype_promotion("strict"):
        params, state = train(*given)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    chex.assert_trees_all_equal(params, rounded(state.master))


def test_map_params_finds_the_master():
    tx = gdmethods.with_float32_master(gdmethods.adam(0.1))
    params = {"narrow": jnp.ones(2, jnp.bfloat16), "wide": jnp.ones(2)}
    marked = optax.tree.map_params(
        tx,
        lambda _, name: name,
        tx.init(params),
        {"narrow": "n", "wide": "w"},
        transform_non_params=lambda _: "other",
        is_leaf=lambda x: isinstance(x, optax.MaskedNode),
    )
    names = {"narrow": "n", "wide": "w"}
    assert marked == (names, gdmethods.AdamState("other", names, names))


def test_extra_arguments_reach_the_inner_transformation():
    tx = gdmethods.with_float32_master(gdmethods.rprop(0.1, variant="irprop+"))
    w = jnp.ones(3, jnp.bfloat16)
    _, state = tx.update(w, tx.init(w), w, value=jnp.float32(2.5), unknown="ignored")
    assert state.inner_state.value == 2.5


def test_without_parameters():
    tx = gdmethods.with_float32_master(gdmethods.sgd(0.1))
    w = jnp.ones(3, jnp.bfloat16)
    with pytest.raises(ValueError, match=r"with_float32_master.*tx\.update\(grads, state, params"):
        tx.update(w, tx.init(w))


class TestComposition:
    w = jnp.array([1.0, -2.0, 3.0], jnp.bfloat16)

    def test_apply_if_finite_around_it(self):
        """Its branch for a refused step returns gradients' dtypes, which are the updates'."""
        tx = optax.apply_if_finite(gdmethods.with_float32_master(gdmethods.adam(0.1)), 3)
        state = tx.init(self.w)
        updates, following = jax.jit(tx.update)(jnp.nan * self.w, state, self.w)
        assert not jnp.any(updates)
        chex.assert_trees_all_equal(following.inner_state, state.inner_state)
        updates, _ = jax.jit(tx.update)(self.w, state, self.w)
        assert jnp.all(updates)

    def test_gradients_accumulate_in_float32_inside_of_it(self):
        """Of 1, 2⁻¹⁰ and 2⁻¹⁰ a sum in bfloat16 is 1."""
        inner = optax.MultiSteps(gdmethods.sgd(1.0), 3).gradient_transformation()
        tx = gdmethods.with_float32_master(inner)
        w = jnp.zeros((), jnp.bfloat16)
        state = tx.init(w)
        for g in (1.0, 2.0**-10, 2.0**-10):
            w, state = step(tx, jnp.bfloat16(g), state, w)
        np.testing.assert_allclose(state.master, -(1 + 2.0**-9) / 3, rtol=1e-6)

    def test_partition(self):
        tx = optax.partition(
            {
                "narrow": gdmethods.with_float32_master(gdmethods.sgd(1e-4)),
                "wide": gdmethods.sgd(0.5),
            },
            {"a": "narrow", "b": "wide"},
        )
        params = {"a": self.w, "b": jnp.ones(2)}
        params, state = step(tx, params, tx.init(params), params)
        chex.assert_trees_all_equal(params["b"], jnp.full(2, 0.5))
        master = optax.tree.get(state, "master")["a"]
        np.testing.assert_allclose(master, 0.9999 * self.w.astype(jnp.float32), rtol=1e-6)

    def test_inject_hyperparams_inside_of_it(self):
        tx = gdmethods.with_float32_master(
            optax.inject_hyperparams(gdmethods.sgd)(learning_rate=1e-4)
        )
        state = optax.tree.set(tx.init(self.w), learning_rate=jnp.float32(2e-4))
        _, state = step(tx, self.w, state, self.w)
        np.testing.assert_allclose(state.master, 0.9998 * self.w.astype(jnp.float32), rtol=1e-6)

    def test_nesterov_eval_params(self):
        """From the parameters that are held, or from the master, which has more digits."""
        tx = gdmethods.with_float32_master(gdmethods.nesterov(0.1))
        y, state = step(tx, self.w, tx.init(self.w), self.w)
        expected = 0.9 * self.w.astype(jnp.float32)
        weights = gdmethods.nesterov_eval_params(state, y)
        assert weights.dtype == jnp.bfloat16
        np.testing.assert_allclose(weights.astype(jnp.float32), expected, rtol=2**-7)
        weights = gdmethods.nesterov_eval_params(state, state.master)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)

    def test_weight_decay_is_of_the_master(self):
        """λ w of 1 + 2⁻¹⁰, which bfloat16 has as 1."""
        tx = gdmethods.with_float32_master(
            optax.chain(optax.add_decayed_weights(0.5), optax.scale(-1.0))
        )
        w = jnp.ones((), jnp.bfloat16)
        state = optax.tree.set(tx.init(w), master=jnp.float32(1 + 2**-10))
        _, state = step(tx, jnp.zeros((), jnp.bfloat16), state, w)
        assert state.master == (1 + 2**-10) / 2
