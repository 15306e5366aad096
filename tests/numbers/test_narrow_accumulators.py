"""Accumulators in bfloat16: the witness is the same method with float32 accumulators."""

import functools
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from table import METHODS, every_method

import gdmethods
from gdmethods.dialects import keras, lecture, torch

N = 64
STEPS = 512


def options(factory, **more):
    names = inspect.signature(factory).parameters
    return {k: v for k, v in more.items() if k in names}


DIALECTS = {
    f"{dialect.__name__.rpartition('.')[2]}.{name}": factory
    for dialect in (torch, keras, lecture)
    for name, factory in inspect.getmembers(dialect, inspect.isfunction)
    if factory.__module__.startswith(dialect.__name__) and hasattr(factory, "__wrapped__")
}
RATES = {"learning_rate": 0.1, "lr": 0.1, "eta": 0.1, "momentum": 0.9}
MORE = {"centered": True, "amsgrad": True, "weight_decay": 0.1, "maximize": True}
MAKERS = {
    **{name: method.build for name, method in METHODS.items() if method.bytes_per_weight},
    **{
        name: functools.partial(factory, **options(factory, **RATES))
        for name, factory in DIALECTS.items()
    },
    **{
        f"{name}, more": functools.partial(factory, **options(factory, **RATES, **MORE))
        for name, factory in DIALECTS.items()
        if options(factory, **MORE)
    },
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
QUICK = {
    "adam",
    "nesterov",
    "adaptive_gains, momentum",
    "adagrad",
    "adadelta",
    "rprop+",
    "rmsprop, all",
}
each_or_proof = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=() if name in QUICK else pytest.mark.proof)
        for name, make in MAKERS.items()
    ],
)
NARROW = {"accumulator_dtype": jnp.bfloat16}


def narrow_slots(state):
    return {
        name: slot
        for name, slot in state._asdict().items()
        if slot is not None and slot.dtype == jnp.bfloat16
    }


def stepped(tx, state, g, w):
    return tx.update(g, state, w, value=jnp.float32(1))


@each_or_proof
def test_each_slot_is_rounded_to_a_neighbour_and_in_the_mean_not_at_all(make):
    """One update from the same state in 512 runs that differ in the count alone.

    Where a slot follows from another, as ADADELTA's e_x from e_g, its mean over the roundings of
    that one is float32's within a thousandth.
    """
    narrow, wide = make(**NARROW), make()
    rng = np.random.default_rng(0)
    w, g = (jnp.asarray(rng.normal(size=N) + 0.1, jnp.float32) for _ in range(2))

    @jax.jit
    def run(w, g):
        state = narrow.init(w)
        for _ in range(3):
            _, state = stepped(narrow, state, 1.3 * g, w)
        of_wide = gdmethods.convert_state(wide, w, state)
        # The bias of the first steps is corrected by the count: where no step is a first one.
        counts = 1000 + jnp.arange(STEPS)
        _, following = jax.vmap(lambda t: stepped(narrow, optax.tree.set(state, count=t), g, w))(
            counts
        )
        _, expected = stepped(wide, optax.tree.set(of_wide, count=counts[0]), g, w)
        return following, expected

    following, expected = run(w, g)
    assert optax.tree.get(following, "count")[0] == 1001
    slots = narrow_slots(following)
    assert slots
    for name, stored in slots.items():
        x = np.asarray(getattr(expected, name), np.float64)
        stored = np.asarray(stored, np.float64)
        moved = stored.std(axis=0) > 0
        assert np.mean(moved) > 0.3, name
        error = stored.mean(axis=0) - x
        deviation = stored.std(axis=0) / np.sqrt(STEPS)
        assert np.all(np.abs(error) < 6 * deviation + 1e-3 * np.abs(x)), name
        assert np.abs(np.mean(error[moved] / deviation[moved])) < 1.5, name


@every_maker
@pytest.mark.parametrize("dtype", [jnp.float16, "float16", jnp.float8_e4m3fn], ids=str)
def test_other_narrow_dtypes_are_refused(make, dtype):
    """In float16 one gradient of 1e6 makes NaN, and gradients of 1e-4 steps 30 times too long."""
    with pytest.raises(ValueError, match=r"accumulator_dtype.*float.*jnp\.bfloat16"):
        make(accumulator_dtype=dtype)


def test_the_displacement_follows_from_what_is_stored():
    """So that Rprop⁺ takes back what it did, and Nesterov's weights are where they were."""
    w = jnp.ones(N)
    g = jnp.linspace(-1, 1, N)
    tx = gdmethods.momentum(0.1, **NARROW)
    state = tx.init(w)
    for _ in range(3):
        updates, state = tx.update(g, state, w)
        np.testing.assert_array_equal(updates, state.velocity.astype(jnp.float32))
    tx = gdmethods.rprop(0.1, eta_plus=1.3, variant="rprop+", **NARROW)
    state = tx.init(w)
    for _ in range(2):
        updates, state = tx.update(g, state, w)
    back, _ = tx.update(-g, state, w)
    np.testing.assert_array_equal(back, -updates)


def test_nesterovs_weights_move_by_its_velocity():
    """w = y − μΔ of what is stored, and w₊ = w + μΔ₋ − ηg, whatever Δ was rounded to."""
    tx, y = gdmethods.nesterov(0.1, **NARROW), jnp.linspace(1, 2, N)
    state = tx.init(y)
    for _ in range(5):
        w, velocity = gdmethods.nesterov_eval_params(state, y), state.velocity
        g = jnp.sin(y)
        updates, state = tx.update(g, state, y)
        y = y + updates
        expected = w + 0.9 * velocity.astype(jnp.float32) - 0.1 * g
        np.testing.assert_allclose(gdmethods.nesterov_eval_params(state, y), expected, rtol=1e-6)


# Where a weight is and with whom it is computed does not matter, to the bit.


@pytest.fixture(scope="module")
def run():
    """Three updates from the start, and the state, of a tree with gradients of each step."""
    tx = gdmethods.adam(0.1, **NARROW)

    def run(params, gradients):
        state = tx.init(params)
        for g in gradients:
            updates, state = tx.update(g, state, params)
        return updates, state

    rng = np.random.default_rng(1)
    w = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
    gradients = [jnp.asarray(rng.normal(size=(4, 6)), jnp.float32) for _ in range(3)]
    return jax.jit(run), w, gradients


def test_permuted_weights_round_alike(run):
    run, w, gradients = run
    updates, state = run(w, gradients)
    turned = run(w.T, [g.T for g in gradients])
    chex.assert_trees_all_equal(turned, jax.tree.map(jnp.transpose, (updates, state)))


def test_split_leaves_round_alike(run):
    run, w, gradients = run
    _, state = run(w, gradients)
    _, split = run([*w], [[*g] for g in gradients])
    np.testing.assert_array_equal(jnp.stack(split.nu), state.nu)


def test_an_ensemble_rounds_as_its_members_do(run):
    run, w, gradients = run
    together = jax.vmap(run)(w, gradients)
    alone = [run(row, [g[i] for g in gradients]) for i, row in enumerate(w)]
    chex.assert_trees_all_equal(together, jax.tree.map(lambda *xs: jnp.stack(xs), *alone))


def test_the_mirrored_run_is_the_mirror_image(run):
    run, w, gradients = run
    updates, state = run(w, gradients)
    mirrored, of_mirrored = run(-w, [-g for g in gradients])
    np.testing.assert_array_equal(mirrored, -updates)
    np.testing.assert_array_equal(of_mirrored.nu, state.nu)


def test_the_weights_tell_their_slots_apart_where_gradients_do_not(run):
    """Without parameters slots of equal gradients round alike."""
    w = jnp.linspace(1, 2, 1000)
    tx = gdmethods.adam(0.1, **NARROW)
    _, state = tx.update(jnp.ones(1000), tx.init(w), w)
    assert len(set(np.asarray(state.nu))) == 2
    _, state = tx.update(jnp.ones(1000), tx.init(w))
    assert len(set(np.asarray(state.nu))) == 1


def test_a_complex_weight_keeps_complex_slots_in_complex64():
    """Its squares are real, and narrow."""
    z = jnp.array([1 + 2j, 2 + 1j])
    tx = gdmethods.adam(0.1, **NARROW)
    _, state = tx.update(z, tx.init(z), z)
    assert (state.mu.dtype, state.nu.dtype) == (jnp.complex64, jnp.bfloat16)
    np.testing.assert_allclose(state.nu.astype(jnp.float32), 0.005, rtol=2**-7)


def test_a_derivative_by_the_learning_rate_is_float32s():
    """Of a run of ten steps, straight through the roundings."""

    def end(rate, **accumulators):
        tx, w = gdmethods.momentum(rate, 0.5, **accumulators), jnp.float32(1.0)
        state = tx.init(w)
        for _ in range(10):
            updates, state = tx.update(2 * w, state, w)
            w = w + updates
        return w

    slope = jax.grad(end)(0.01)
    assert slope != 0
    np.testing.assert_allclose(jax.grad(lambda r: end(r, **NARROW))(0.01), slope, rtol=0.05)


@every_method(lambda method: method.accumulators + method.squares != ())
def test_bytes_per_weight(method):
    """Half of the accumulators, and the signs as before."""
    w = jax.ShapeDtypeStruct((1000,), jnp.float32)
    wide, narrow = (
        gdmethods.state_bytes(method.build(**dtype), w) // 1000 for dtype in ({}, NARROW)
    )
    assert narrow == wide - 2 * len(method.accumulators + method.squares)


# Long runs.


def walk_of_v(b2, steps, n=1000):
    """v of both formats after so many steps, of gradients as noisy as large; and their squares."""

    def walk(tx):
        def step(state, t):
            noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), t), (n,))
            return tx.update(size * (1 + noise), state, w)[1], None

        return jax.lax.scan(step, tx.init(w), jnp.arange(steps))[0].nu

    w, size = jnp.linspace(1, 2, n), jnp.geomspace(1e-3, 1, n)
    wide, narrow = (
        np.asarray(jax.jit(walk, static_argnums=0)(gdmethods.adam(0.1, b2=b2, **dtype)), float)
        for dtype in ({}, NARROW)
    )
    return wide, narrow


@pytest.mark.proof
@pytest.mark.parametrize(("b2", "steps"), [(0.99, 2000), (0.999, 20_000), (0.9999, 100_000)])
def test_the_noise_of_v_is_what_its_law_says(b2, steps):
    """Of relative variance h E|g²/v − 1| / 2, h the distance of two neighbours in parts of v.

    A step adds (1 − β₂)(g² − v), which is rounded with a variance of its size times that distance,
    as long as it is smaller; a sum of such that fade by β₂ has 1/(1 − β₂²) times their variance.
    """
    wide, narrow = walk_of_v(b2, steps)
    noise = narrow / wide - 1
    h = np.mean(2.0 ** (np.floor(np.log2(wide)) - 7) / wide)
    rng = np.random.default_rng(0)
    law = np.sqrt(h / 2 * np.mean(np.abs((1 + rng.normal(size=100_000)) ** 2 / 2 - 1)))
    assert abs(noise.mean()) < 5 * noise.std() / np.sqrt(len(noise))
    if b2 == 0.99:  # most steps are longer than the distance, and the noise is less
        assert 0 < noise.std() < law
    else:
        np.testing.assert_allclose(noise.std(), law, rtol=0.25)


@pytest.mark.proof
def test_a_million_steps():
    wide, narrow = walk_of_v(0.999, 1_000_000, n=200)
    noise = narrow / wide - 1
    assert abs(noise.mean()) < 5 * noise.std() / np.sqrt(len(noise))
    assert noise.std() < 0.07
