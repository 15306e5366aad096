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
from flax import nnx
from table import every_method
from trajectories import x64

import gdmethods
from gdmethods._numbers.remainder import join
from gdmethods._wrappers.float32_master import _one_after_another, _stored_between

FORMS = pytest.mark.parametrize(
    ("dtype", "remainder"),
    [(jnp.bfloat16, True), (jnp.bfloat16, False), (jnp.float16, True)],
    ids=["remainder", "whole", "float16"],
)
BOTH = pytest.mark.parametrize("remainder", [True, False], ids=["remainder", "whole"])


def rounded(tree, dtype=jnp.bfloat16):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def step(tx, gradients, state, params, **extra_args):
    updates, state = tx.update(gradients, state, params, **extra_args)
    return optax.apply_updates(params, updates), state


def weights(dtype):
    rng = np.random.default_rng(0)
    return {"kernel": jnp.asarray(rng.normal(size=(3, 2)), dtype), "scale": jnp.ones((), dtype)}


def assert_trains_as_float32_does(tx, remainder=True, **extra_args):
    """To the bit, all of its state; and the weights are its rounding."""
    wrapped = gdmethods.with_float32_master(tx, remainder=remainder)
    narrow = weights(jnp.bfloat16)
    wide = rounded(narrow, jnp.float32)
    state, wide_state = wrapped.init(narrow), tx.init(wide)
    for seed in range(4):
        gradients = optax.tree.random_like(jax.random.key(seed), narrow)
        narrow, state = step(wrapped, gradients, state, narrow, **extra_args)
        wide_gradients = rounded(gradients, jnp.float32)
        wide, wide_state = step(tx, wide_gradients, wide_state, wide, **extra_args)
    chex.assert_trees_all_equal(gdmethods.master_params(state, narrow), wide)
    chex.assert_trees_all_equal(state.inner_state, wide_state)
    chex.assert_trees_all_equal_dtypes(state.inner_state, wide_state)
    chex.assert_trees_all_equal(narrow, rounded(wide))


@pytest.mark.proof
@every_method()
def test_the_master_is_what_float32_weights_would_be(method):
    assert_trains_as_float32_does(method.build(), **method.extra_args(jnp.float32(1.0)))


@BOTH
@pytest.mark.parametrize(
    "tx", [optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.adafactor(0.1)]
)
def test_of_optaxs_methods_too(tx, remainder):
    """Whose states take the dtypes of what they are given."""
    assert_trains_as_float32_does(tx, remainder)


LONG = {
    "sgd": gdmethods.sgd(1e-3),
    "momentum": gdmethods.momentum(1e-3),
    "adam": gdmethods.adam(1e-3),
    "rprop": gdmethods.rprop(1e-3),
}


def assert_follows_float32(tx, steps):
    """Of a quadratic with noise, compiled; each gradient is that of the float32 run."""
    wrapped = gdmethods.with_float32_master(tx)
    narrow = optax.tree.random_like(jax.random.key(0), jnp.zeros(512, jnp.bfloat16))
    wide = narrow.astype(jnp.float32)

    @jax.jit
    def run(narrow, wide):
        def body(carry, key):
            narrow, state, wide, wide_state = carry
            g = (wide + jax.random.normal(key, wide.shape)).astype(jnp.bfloat16)
            narrow, state = step(wrapped, g, state, narrow)
            wide, wide_state = step(tx, g.astype(jnp.float32), wide_state, wide)
            return (narrow, state, wide, wide_state), jnp.sign(wide)

        keys = jax.random.split(jax.random.key(1), steps)
        carry = narrow, wrapped.init(narrow), wide, tx.init(wide)
        return jax.lax.scan(body, carry, keys)

    (narrow, state, wide, wide_state), signs = run(narrow, wide)
    assert np.any(signs[1:] != signs[:-1])
    np.testing.assert_array_equal(gdmethods.master_params(state, narrow), wide)
    chex.assert_trees_all_equal(state.inner_state, wide_state)


@pytest.mark.parametrize("name", ["momentum", "rprop"])
def test_many_steps_across_zero(name):
    assert_follows_float32(LONG[name], 300)


@pytest.mark.proof
@pytest.mark.parametrize("tx", LONG.values(), ids=LONG)
def test_ten_thousand_steps_across_zero(tx):
    assert_follows_float32(tx, 10_000)


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


@partial(jax.jit, static_argnames=("dtype", "remainder"))
def moved(w, displacements, *, dtype, remainder):
    """The weights and the masters after each update of an optimizer that passes gradients on."""
    tx = gdmethods.with_float32_master(optax.identity(), remainder=remainder)
    w = w.astype(dtype)

    def body(carry, displacement):
        w, state = step(tx, displacement, carry[1], carry[0])
        return (w, state), (w, gdmethods.master_params(state, w))

    return jax.lax.scan(body, (w, tx.init(w)), displacements)[1]


def finite(largest):
    """Zeros, and sizes from 2⁻¹² up; denormals of float16 among its differences."""
    size = st.floats(2.0**-12, largest, width=32)
    return st.one_of(st.just(0.0), size, size.map(lambda x: -x))


@FORMS
@hypothesis.settings(deadline=None)  # the first call compiles
@hypothesis.given(data=st.data())
def test_masters_are_sums_in_float32_and_weights_their_roundings(dtype, remainder, data):
    """Across zero and through growth; a weight may miss by the rounding of w′ − w in float32.

    So may a master beside a remainder, where the weight falls below 2⁻¹⁶ of what it was.
    """
    arrays = partial(hypothesis.extra.numpy.arrays, np.float32)
    w = data.draw(arrays(16, elements=finite(100.0)))
    displacements = data.draw(arrays((3, 16), elements=finite(100.0)))
    after, masters = moved(w, displacements, dtype=dtype, remainder=remainder)
    m = w.astype(dtype).astype(np.float32)
    for displacement, new, master in zip(displacements, after, masters, strict=True):
        before, m = m, m + displacement
        new, master = np.asarray(new, np.float64), np.asarray(master)
        lost = 2.0**-23 * np.abs(before)
        exact = (dtype == jnp.float16) or not remainder or np.abs(m) > 2.0**-15 * np.abs(before)
        np.testing.assert_array_less(np.abs(master - m), np.where(exact, 1e-45, lost + 1e-45))
        unit = np.maximum(np.abs(master), jnp.finfo(dtype).tiny) * jnp.finfo(dtype).eps / 2
        assert np.all(np.abs(new - master) <= unit + lost)
        m = master


@FORMS
def test_a_weight_that_is_written_by_hand(dtype, remainder):
    """It is taken as it is with a remainder, and goes back to a whole master."""
    tx = gdmethods.with_float32_master(optax.identity(), remainder=remainder)
    w = jnp.ones(2, dtype)
    w, state = step(tx, jnp.full(2, 2.0**-12), tx.init(w), w)
    w, state = step(tx, jnp.zeros(2), state, w.at[0].set(5.0))
    taken = remainder and dtype == jnp.bfloat16
    np.testing.assert_array_equal(w, [5 if taken else 1, 1])
    masters = gdmethods.master_params(state, w)
    np.testing.assert_array_equal(masters, [5 + 2.0**-10 if taken else 1 + 2.0**-12, 1 + 2.0**-12])


@FORMS
def test_overflow(dtype, remainder):
    """A finite master has a finite weight, in float16 from the one end to the other."""
    largest = float(jnp.finfo(dtype).max)
    moves = [[0.6, 0.6], [-0.9, 0.3999], [0.3, -0.6]]
    if dtype == jnp.float16:
        moves = [[0.6, 0.6], [-1.2, 0.6], [1.2, -0.6]]
    displacements = np.float32(np.array(moves) * largest)
    after, masters = moved(jnp.zeros(2), displacements, dtype=dtype, remainder=remainder)
    expected = np.cumsum(displacements, axis=0, dtype=np.float32)
    np.testing.assert_array_equal(masters, expected)
    clipped = np.clip(expected, -largest, largest)
    np.testing.assert_array_equal(after, clipped.astype(dtype))


@BOTH
def test_a_master_of_0_is_no_nan(remainder):
    with jax.disable_jit(), jax.debug_nans(True):
        tx = gdmethods.with_float32_master(gdmethods.sgd(1.0), remainder=remainder)
        w = jnp.array([1.0, 0.0], jnp.bfloat16)
        new, _ = step(tx, w, tx.init(w), w)
    np.testing.assert_array_equal(new, [0, 0])


@FORMS
def test_infinite_masters(dtype, remainder):
    """As in float32, where an infinity stays, and two of different signs make NaN."""
    inf, nan = np.inf, np.nan
    displacements = np.float32([[inf, -inf, inf, nan], [1, -2, -inf, 1], [1, 2, 1, 1]])
    after, masters = moved(jnp.zeros(4), displacements, dtype=dtype, remainder=remainder)
    expected = [[inf, -inf, inf, nan], [inf, -inf, nan, nan], [inf, -inf, nan, nan]]
    np.testing.assert_array_equal(masters, expected)
    np.testing.assert_array_equal(np.asarray(after, np.float32), expected)


@BOTH
def test_a_whole_step_compiled_eager_scanned_and_unrolled(remainder):
    """XLA leaves out casts there and back, within a step or between two of them."""
    inner = gdmethods.momentum(0.1)
    tx = gdmethods.with_float32_master(inner, remainder=remainder)
    w = jnp.asarray(np.random.default_rng(0).normal(size=64), jnp.bfloat16)
    gradients = jnp.asarray(np.random.default_rng(1).normal(size=(3, 64)), jnp.bfloat16)

    def one(carry, g):
        return step(tx, g, carry[1], carry[0]), None

    def unrolled(carry):
        for g in gradients:
            carry, _ = one(carry, g)
        return carry

    start = w, tx.init(w)
    carry = start
    for g in gradients:
        carry, _ = jax.jit(one)(carry, g)
    chex.assert_trees_all_equal(carry, unrolled(start))
    chex.assert_trees_all_equal(carry, jax.jit(unrolled)(start))
    chex.assert_trees_all_equal(carry, jax.lax.scan(one, start, gradients)[0])


def test_the_step_of_a_cpu_and_that_of_accelerators():
    """They differ in what a compiler makes of them, and in nothing else."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=10_000).astype(jnp.bfloat16)
    m = join(w, rng.integers(-(2**15), 2**15, w.shape).astype(np.int16))
    d = np.exp2(rng.uniform(-30, 10, w.shape)).astype(np.float32) * rng.choice([-1, 1], w.shape)
    d[:6] = [np.nan, np.inf, -np.inf, 3.4e38, 0, -0.0]
    one, other = (jax.jit(f)(w, m, d) for f in (_one_after_another, _stored_between))
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@FORMS
def test_derivatives_pass_straight_through(dtype, remainder):
    """With respect to a rate and to where training starts, they are those of float32 weights."""

    def end(tx, rate, w):
        state = tx(rate).init(w)
        for _ in range(3):
            g = jax.grad(lambda w: jnp.sum(jnp.sin(w.astype(jnp.float32)) ** 2))(w)
            w, state = step(tx(rate), g, state, w)
        return jnp.sum(w.astype(jnp.float32) ** 2)

    def wrapped(rate):
        return gdmethods.with_float32_master(gdmethods.momentum(rate), remainder=remainder)

    w = jnp.array([0.5, 1.0, -2.0])
    grad = jax.jit(jax.grad(end, argnums=(1, 2)), static_argnums=0)
    by_rate, by_start = grad(wrapped, 0.1, w.astype(dtype))
    expected = grad(gdmethods.momentum, 0.1, w)
    np.testing.assert_allclose(by_rate, expected[0], rtol=0.05)
    if remainder and dtype == jnp.bfloat16:  # a whole master leads back to where init was
        np.testing.assert_allclose(by_start.astype(jnp.float32), expected[1], rtol=0.05)


MIXED = {
    "narrow": np.ones(3, jnp.bfloat16),
    "half": np.ones((), np.float16),
    "single": np.ones(2, np.float32),
    "double": np.ones(2, np.float64),
    "complex": np.ones(2, np.complex64),
    "none": None,
    "masked": optax.MaskedNode(),
}


@pytest.mark.parametrize(
    "inner", [gdmethods.adam(0.1), optax.adamw(0.1), optax.sgd(0.1)], ids=["ours", "adamw", "sgd"]
)
def test_what_is_kept_of_parameters_of_every_kind(inner):
    """Wide and complex ones are updated as without the wrapper; narrow ones in float32."""
    tx = gdmethods.with_float32_master(inner)
    with x64(np.float64):
        params = jax.tree.map(jnp.asarray, MIXED)
        updates, state = tx.update(params, tx.init(params), params)
        alone, _ = inner.update(params, inner.init(params), params)
    wide = ("single", "double", "complex", "none", "masked")
    chex.assert_trees_all_equal({k: updates[k] for k in wide}, {k: alone[k] for k in wide})
    dtypes = {path[0].key: x.dtype for path, x in jax.tree.leaves_with_path(updates)}
    assert dtypes == {k: x.dtype for k, x in params.items() if k in wide[:3]} | {
        "narrow": jnp.float32,
        "half": jnp.float32,
    }
    absent = optax.MaskedNode()
    leaves = dict.fromkeys(wide[:3], absent) | {"none": None, "masked": absent}
    assert jax.tree.map(lambda x: x.dtype, state.remainder) == leaves | {
        "narrow": jnp.int16,
        "half": absent,
    }
    assert jax.tree.map(lambda x: x.dtype, state.master) == leaves | {
        "narrow": absent,
        "half": jnp.float32,
    }


def in_float64(updates, params):
    return jax.tree.map(lambda u: u.astype(jnp.float64), updates)


@FORMS
@pytest.mark.parametrize(
    "inner",
    [optax.adam(0.1), gdmethods.adam(0.1), optax.stateless(in_float64)],
    ids=["optax", "ours", "wide updates"],
)
def test_float64_gradients_and_updates_widen_nothing(inner, dtype, remainder):
    tx = gdmethods.with_float32_master(inner, remainder=remainder)
    with x64(np.float64):
        w = jnp.ones(2, dtype)
        state = tx.init(w)
        updates, after = tx.update(jnp.ones(2, jnp.float64), state, w)
        assert updates.dtype == jnp.float32
        chex.assert_trees_all_equal_dtypes(after, state)


@BOTH
def test_a_compiled_scan_that_takes_its_buffers(remainder):
    """State and parameters keep their types, share no buffer, and nothing is promoted unasked."""
    tx = gdmethods.with_float32_master(gdmethods.adam(1e-3), remainder=remainder)

    def body(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        # As optax.apply_updates, which relies on promotion.
        added = jax.tree.map(lambda w, u: (w.astype(u.dtype) + u).astype(w.dtype), params, updates)
        return (added, state), None

    params = weights(jnp.bfloat16)
    given = params, tx.init(params)
    gradients = jax.tree.map(lambda w: jnp.ones((5, *w.shape), w.dtype), params)
    train = jax.jit(partial(jax.lax.scan, body), donate_argnums=0)
    with jax.numpy_dtype_promotion("strict"):
        (params, state), _ = train(given, gradients)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    chex.assert_trees_all_equal(params, rounded(gdmethods.master_params(state, params)))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other backends fuse otherwise")
@pytest.mark.parametrize(
    ("remainder", "expected"), [(False, 0), (True, 4 if jax.__version_info__ >= (0, 12) else 8)]
)
def test_temporary_memory(remainder, expected):
    """Bytes a weight for the time of a step; the docstring names them."""
    tx = gdmethods.with_float32_master(gdmethods.adam(0.1), remainder=remainder)
    leaf = jax.ShapeDtypeStruct((2**20,), jnp.bfloat16)
    state = jax.eval_shape(tx.init, leaf)
    compiled = jax.jit(partial(step, tx), donate_argnums=(1, 2)).lower(leaf, state, leaf).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= expected * 2**20 + 4096


def test_map_params_finds_what_is_kept():
    tx = gdmethods.with_float32_master(gdmethods.adam(0.1))
    params = {"narrow": jnp.ones(2, jnp.bfloat16), "wide": jnp.ones(2)}
    names = {"narrow": "n", "wide": "w"}
    marked = optax.tree.map_params(
        tx,
        lambda _, name: name,
        tx.init(params),
        names,
        transform_non_params=lambda _: "other",
        is_leaf=lambda x: isinstance(x, optax.MaskedNode),
    )
    assert marked == (names, names, gdmethods.AdamState("other", names, names))


def test_extra_arguments_reach_the_inner_transformation():
    tx = gdmethods.with_float32_master(gdmethods.rprop(0.1, variant="irprop+"))
    w = jnp.ones(3, jnp.bfloat16)
    _, state = tx.update(w, tx.init(w), w, value=jnp.float32(2.5), unknown="ignored")
    assert state.inner_state.value == 2.5


FLOAT32 = {
    "kernel": np.random.default_rng(0).normal(size=300).astype("f4"),
    "scale": np.ones(2, "f4"),
}


class TestFromFloat32:
    @BOTH
    @pytest.mark.parametrize("jit", [jax.jit, lambda f: f], ids=["jit", "eager"])
    def test_nothing_is_lost(self, jit, remainder):
        tx = optax.chain(
            optax.clip_by_global_norm(1.0),
            gdmethods.with_float32_master(gdmethods.adam(0.1), remainder=remainder),
        )
        w, state = jit(partial(gdmethods.init_from_float32, tx))(FLOAT32)
        assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(w))
        chex.assert_trees_all_equal(gdmethods.master_params(state, w), FLOAT32)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, tx.init(w))

    @BOTH
    @pytest.mark.parametrize(
        "inner",
        [optax.contrib.schedule_free_sgd(0.1), optax.contrib.dog(), optax.contrib.prodigy()],
        ids=["schedule_free", "dog", "prodigy"],
    )
    def test_inner_starts_from_the_masters(self, inner, remainder):
        """These keep the first weights in their state."""
        tx = optax.chain(gdmethods.with_float32_master(inner, remainder=remainder))
        _, (state,) = gdmethods.init_from_float32(tx, FLOAT32)
        chex.assert_trees_all_equal(state.inner_state, inner.init(FLOAT32))

    @BOTH
    @pytest.mark.parametrize(
        "inner", [gdmethods.sgd(0.1), optax.contrib.dog()], ids=["sgd", "dog"]
    )
    def test_the_state_may_be_given_away(self, inner, remainder):
        """Also where `inner` keeps the weights themselves."""
        tx = gdmethods.with_float32_master(inner, remainder=remainder)
        params = jax.tree.map(jnp.array, FLOAT32)
        _, state = gdmethods.init_from_float32(tx, params)
        jax.jit(lambda state: jax.tree.map(jnp.copy, state), donate_argnums=0)(state)
        chex.assert_trees_all_equal(params, FLOAT32)

    def test_a_part(self):
        """As the mask has it; what is left in float32 needs no master."""
        tx = gdmethods.with_float32_master(gdmethods.sgd(0.1))
        mask = {"kernel": True, "scale": False}
        w, state = gdmethods.init_from_float32(tx, FLOAT32, mask)
        assert (w["kernel"].dtype, w["scale"].dtype) == (jnp.bfloat16, jnp.float32)
        chex.assert_trees_all_equal(gdmethods.master_params(state, w), FLOAT32)
        tx = optax.partition({"a": tx, "b": gdmethods.sgd(0.1)}, {"kernel": "a", "scale": "b"})
        w, state = gdmethods.init_from_float32(tx, FLOAT32, mask)
        chex.assert_trees_all_equal(gdmethods.master_params(state, w), FLOAT32)
        with pytest.raises(ValueError, match=r"keeps no master .*\['scale'\].*mask"):
            gdmethods.init_from_float32(tx, FLOAT32)

    def test_master_params_of_other_states(self):
        w = rounded(jax.tree.map(jnp.asarray, FLOAT32))
        with pytest.raises(ValueError, match="holds no Float32MasterState"):
            gdmethods.master_params(gdmethods.sgd(0.1).init(w), w)
        state = gdmethods.with_float32_master(gdmethods.sgd(0.1)).init(w)
        with pytest.raises(ValueError, match=r"other parameters.*\['scale'\]"):
            gdmethods.master_params(state, {"kernel": w["kernel"]})


class TestConversion:
    """Of a state with remainders to one with whole masters, and back."""

    params = np.random.default_rng(0).normal(size=1000).astype("f4")

    def test_there_and_back(self):
        inner = optax.chain(optax.clip_by_global_norm(1.0), gdmethods.adam(0.1))
        tx = optax.chain(gdmethods.with_float32_master(inner))
        other = optax.chain(gdmethods.with_float32_master(inner, remainder=False))
        w, state = gdmethods.init_from_float32(tx, self.params)
        w, state = step(tx, w, state, w)
        whole = gdmethods.convert_state(other, w, state)
        chex.assert_trees_all_equal_shapes_and_dtypes(whole, other.init(w))
        np.testing.assert_array_equal(
            gdmethods.master_params(whole, w), gdmethods.master_params(state, w)
        )
        chex.assert_trees_all_equal(gdmethods.convert_state(tx, w, whole), state)
        # Both go on alike.
        after, state = step(tx, w, state, w)
        also, whole = step(other, w, whole, w)
        np.testing.assert_array_equal(after, also)
        np.testing.assert_array_equal(
            gdmethods.master_params(whole, w), gdmethods.master_params(state, after)
        )

    def test_a_state_of_the_other_form_is_refused(self):
        tx = gdmethods.with_float32_master(gdmethods.sgd(0.1))
        other = gdmethods.with_float32_master(gdmethods.sgd(0.1), remainder=False)
        w = jnp.ones(2, jnp.bfloat16)
        with pytest.raises(TypeError, match=r"keeps a whole master.*convert_state"):
            tx.update(w, other.init(w), w)
        with pytest.raises(TypeError, match=r"keeps the remainder of a master.*convert_state"):
            other.update(w, tx.init(w), w)

    def test_a_remainder_needs_its_weight(self):
        tx = gdmethods.with_float32_master(gdmethods.sgd(0.1))
        other = gdmethods.with_float32_master(gdmethods.sgd(0.1), remainder=False)
        w = jnp.ones(2, jnp.bfloat16)
        shapes = jax.eval_shape(lambda: w)
        chex.assert_trees_all_equal(gdmethods.convert_state(tx, shapes, tx.init(w)), tx.init(w))
        with pytest.raises(TypeError, match="pass convert_state the parameters"):
            gdmethods.convert_state(other, shapes, tx.init(w))


class TestWrongUse:
    w = jnp.ones(3, jnp.bfloat16)
    tx = gdmethods.with_float32_master(gdmethods.sgd(0.1))

    def test_without_parameters(self):
        with pytest.raises(
            ValueError, match=r"with_float32_master.*tx\.update\(grads, state, par"
        ):
            self.tx.update(self.w, self.tx.init(self.w))

    def test_weights_that_a_plain_sum_made_float32(self):
        """As `eqx.apply_updates` does."""
        updates, state = self.tx.update(self.w, self.tx.init(self.w), self.w)
        with pytest.raises(TypeError, match=r"float32.*optax\.apply_updates"):
            self.tx.update(self.w, state, self.w + updates)

    def test_other_parameters(self):
        state = self.tx.init({"a": self.w, "b": self.w})
        with pytest.raises(ValueError, match=r"other parameters.*\['b'\]"):
            self.tx.update({"a": self.w}, state, {"a": self.w})
        params = {"a": self.w, "b": self.w[:2]}
        with pytest.raises(ValueError, match=r"other parameters.*shape \(3,\) at \['b'\].*\(2,\)"):
            self.tx.update(params, state, params)
        with pytest.raises(ValueError, match=r"gradients differ.*\['b'\]"):
            self.tx.update({"a": self.w}, state, {"a": self.w, "b": self.w})

    @pytest.mark.parametrize(
        "inner",
        [gdmethods.with_float32_master, gdmethods.with_stochastic_rounding],
    )
    def test_two_wrappers_of_weights(self, inner):
        tx = gdmethods.with_float32_master(optax.chain(inner(gdmethods.sgd(0.1))))
        with pytest.raises(ValueError, match="with_float32_master is around"):
            tx.init(self.w)

    def test_remainder_is_a_flag(self):
        with pytest.raises(TypeError, match="remainder must be True or False"):
            gdmethods.with_float32_master(gdmethods.sgd(0.1), remainder=2)


class TestComposition:
    w = jnp.array([1.0, -2.0, 3.0], jnp.bfloat16)

    def test_gradients_accumulate_in_float32_inside_of_it(self):
        """Of 1, 2⁻¹⁰ and 2⁻¹⁰ a sum in bfloat16 is 1."""
        inner = optax.MultiSteps(gdmethods.sgd(1.0), 3).gradient_transformation()
        tx = gdmethods.with_float32_master(inner)
        w = jnp.zeros((), jnp.bfloat16)
        state = tx.init(w)
        for g in (1.0, 2.0**-10, 2.0**-10):
            w, state = step(tx, jnp.bfloat16(g), state, w)
        np.testing.assert_allclose(
            gdmethods.master_params(state, w), -(1 + 2.0**-9) / 3, rtol=1e-6
        )

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
        master = gdmethods.master_params(state, params)["a"]
        np.testing.assert_allclose(master, 0.9999 * self.w.astype(jnp.float32), rtol=1e-6)

    def test_inject_hyperparams_inside_of_it(self):
        """It sees float32: 2·10⁻⁴ is not rounded to bfloat16."""
        tx = gdmethods.with_float32_master(
            optax.inject_hyperparams(gdmethods.sgd)(learning_rate=1e-4)
        )
        state = optax.tree.set(tx.init(self.w), learning_rate=jnp.float32(2e-4))
        w, state = step(tx, self.w, state, self.w)
        master = gdmethods.master_params(state, w)
        np.testing.assert_allclose(master, 0.9998 * self.w.astype(jnp.float32), rtol=1e-6)

    def test_nesterov_eval_params(self):
        """From the parameters that are held, or from the masters, which have more digits."""
        tx = gdmethods.with_float32_master(gdmethods.nesterov(0.1))
        y, state = step(tx, self.w, tx.init(self.w), self.w)
        expected = 0.9 * self.w.astype(jnp.float32)
        weights = gdmethods.nesterov_eval_params(state, y)
        assert weights.dtype == jnp.bfloat16
        np.testing.assert_allclose(weights.astype(jnp.float32), expected, rtol=2**-7)
        weights = gdmethods.nesterov_eval_params(state, gdmethods.master_params(state, y))
        np.testing.assert_allclose(weights, expected, rtol=1e-6)

    def test_weight_decay_is_of_the_master(self):
        """λ w of 1 + 2⁻¹⁰, which bfloat16 has as 1."""
        tx = gdmethods.with_float32_master(
            optax.chain(optax.add_decayed_weights(0.5), optax.scale(-1.0))
        )
        w, state = gdmethods.init_from_float32(tx, jnp.float32(1 + 2**-10))
        w, state = step(tx, jnp.zeros((), jnp.bfloat16), state, w)
        assert gdmethods.master_params(state, w) == (1 + 2**-10) / 2

    def test_a_model_with_functions_and_a_weight_without_a_gradient(self):
        arrays = {"w": self.w, "activation": None, "frozen": None}
        model = {"w": self.w, "activation": jnp.tanh, "frozen": jnp.ones(2, jnp.bfloat16)}
        tx = gdmethods.with_float32_master(gdmethods.sgd(1.0))
        updates, _ = tx.update(arrays, tx.init(arrays), model)
        assert jax.tree.map(jnp.shape, updates) == {**arrays, "w": (3,)}
        np.testing.assert_array_equal(updates["w"], -self.w)

    def test_an_ensemble(self):
        """Each member as alone; its masters are read along the leading axis."""
        tx = gdmethods.with_float32_master(gdmethods.adam(1e-3))
        members = jnp.stack([self.w, 2 * self.w])
        state = jax.vmap(tx.init)(members)
        after, state = jax.vmap(partial(step, tx))(members, state, members)
        masters = gdmethods.master_params(state, after)
        for member, w, master in zip(members, after, masters, strict=True):
            alone, alone_state = step(tx, member, tx.init(member), member)
            np.testing.assert_array_equal(w, alone)
            np.testing.assert_array_equal(master, gdmethods.master_params(alone_state, alone))

    def test_flax_nnx(self):
        model = nnx.Linear(2, 3, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
        tx = gdmethods.with_float32_master(gdmethods.sgd(1e-4))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        before = jax.tree.map(jnp.copy, nnx.state(model, nnx.Param))
        optimizer.update(model, jax.tree.map(jnp.ones_like, before))
        after = nnx.state(model, nnx.Param)
        chex.assert_trees_all_equal_dtypes(after, before)
        masters = gdmethods.master_params(optimizer.opt_state, after)
        chex.assert_trees_all_close(
            masters, jax.tree.map(lambda w: w.astype(jnp.float32) - 1e-4, before), rtol=1e-6
        )

    def test_state_bytes(self):
        params = {"narrow": jnp.ones(64, jnp.bfloat16), "half": jnp.ones(8, jnp.float16)}
        for remainder, expected in ((True, 2), (False, 4)):
            tx = gdmethods.with_float32_master(optax.identity(), remainder=remainder)
            assert gdmethods.state_bytes(tx, params) == expected * 64 + 4 * 8
