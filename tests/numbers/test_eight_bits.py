"""Squares by their fourth root and running means relative to it, in 8 bits.

The oracle of the format is NumPy in float64, from its definition: levels of 8 an octave.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from chance import independent
from table import METHODS, every_method

import gdmethods
from gdmethods._numbers.eight_bits import ratio_code, ratio_of, root_of, square_code
from gdmethods.dialects import keras, lecture, torch

EIGHT = {"accumulator_dtype": "8bit"}
CODES = np.arange(256, dtype=np.uint8)
N = 64


def levels(first, count):
    """An octave has 8 levels with even spacing: 1, 9/8, … 15/8."""
    k = np.arange(count)
    return first * 2.0 ** (k // 8) * (1 + k % 8 / 8)


FOURTH_ROOTS = np.concatenate([[0.0], levels(2.0**-20, 253), [np.inf, np.nan]])
RATIOS = levels(2.0**-10, 128) - 2.0**-10
EVERY_NOISE = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)


def test_what_each_code_is():
    np.testing.assert_array_equal(root_of(CODES), FOURTH_ROOTS**2)
    np.testing.assert_array_equal(ratio_of(CODES), np.concatenate([RATIOS, -RATIOS]))


@jax.jit
def again(codes, noise):
    """Of levels that were read and are stored again: of v and of m = r √v."""
    root = root_of(codes)
    ratios = ratio_of(codes)
    return square_code(root**2, noise), ratio_code(ratios, noise)


def test_a_level_comes_back_whatever_the_noise():
    for noise in [None, *(np.full(256, bits) for bits in EVERY_NOISE)]:
        square, ratio = again(jnp.asarray(CODES), noise)
        np.testing.assert_array_equal(square, CODES)
        zero = CODES & 0x7F == 0  # −0 is 0
        np.testing.assert_array_equal(ratio, np.where(zero, 0, CODES))


def test_as_many_noises_round_up_as_the_part_that_is_cut_off():
    """p of the 2²⁰ noises, and no noise skips a level, at the last that does not and the first."""
    rng = np.random.default_rng(0)
    r = np.float32(rng.uniform(0, 1, 4096) * 2.0 ** rng.uniform(-12, 5, 4096))
    shifted = np.float64(r + np.float32(2.0**-10))
    below = np.searchsorted(RATIOS + 2.0**-10, shifted, side="right") - 1
    low, high = RATIOS[below] + 2.0**-10, RATIOS[below + 1] + 2.0**-10
    p = (shifted - low) / (high - low)
    first = np.round(2**20 * (1 - p)).astype(np.int64)
    assert 0.4 < p.mean() < 0.6
    for noise, expected in ((first - 1, below), (first, below + 1)):
        there = (noise >= 0) & (noise < 2**20)
        bits = jnp.asarray(np.clip(noise, 0, 2**20 - 1) << 12, jnp.uint32)
        np.testing.assert_array_equal(ratio_code(r, bits)[there], expected[there])
        np.testing.assert_array_equal(ratio_code(-r, bits)[there], 0x80 + expected[there])


def test_a_square_goes_to_a_neighbour_of_its_fourth_root_and_in_the_mean_nowhere():
    rng = np.random.default_rng(1)
    v = np.float32(2.0 ** rng.uniform(-78, 45, 512))
    t = np.float64(v) ** 0.25
    noise = jnp.asarray(rng.integers(0, 2**32, (4096, 512)), jnp.uint32)
    codes = np.asarray(square_code(jnp.broadcast_to(v, noise.shape), noise))
    below = np.searchsorted(FOURTH_ROOTS[:254], t, side="right") - 1
    assert np.all((codes == below) | (codes == below + 1))
    stored = FOURTH_ROOTS[codes]
    deviation = stored.std(axis=0) / np.sqrt(len(codes))
    assert np.all(np.abs(stored.mean(axis=0) - t) < 5 * deviation + 1e-6 * t)


@pytest.mark.parametrize("bits", EVERY_NOISE)
def test_the_ends_of_the_range(bits):
    v = jnp.array([0.0, 1e-37, 2.0**-90, 2.0**60, 3e38, np.inf, np.nan, -np.nan])
    codes = square_code(v, jnp.full(v.shape, bits))
    np.testing.assert_array_equal(codes, [0, 1, 1, 253, 253, 254, 255, 255])
    r = jnp.array([0.0, 1e3, -1e3, np.inf, 1e-30])
    codes = ratio_code(r, jnp.full(r.shape, bits))
    np.testing.assert_array_equal(codes[:4], [0, 127, 255, 127])
    assert codes[4] <= 1


# What a method keeps in 8 bits, and what not.


KEPT = {
    "adam": (gdmethods.adam(0.1, **EIGHT), {"mu": "uint8", "nu": "uint8"}),
    "adamw": (gdmethods.adamw(0.1, **EIGHT), {"mu": "uint8", "nu": "uint8"}),
    "b1 beyond": (gdmethods.adam(0.1, 0.96, **EIGHT), {"mu": "bfloat16", "nu": "uint8"}),
    "b1 of JAX": (gdmethods.adam(0.1, jnp.array(0.9), **EIGHT), {"mu": "bfloat16", "nu": "uint8"}),
    "|m| beyond 60 √v": (
        gdmethods.adam(0.1, 0.0, 0.9999, **EIGHT),
        {"mu": "bfloat16", "nu": "uint8"},
    ),
    "rmsprop": (gdmethods.rmsprop(0.1, **EIGHT), {"nu": "uint8"}),
    "rmsprop, all": (
        gdmethods.rmsprop(0.1, momentum=0.9, centered=True, **EIGHT),
        {"nu": "uint8", "mu": "bfloat16", "velocity": "bfloat16"},
    ),
    "adagrad": (gdmethods.adagrad(0.1, **EIGHT), {"sum_of_squares": "uint8"}),
    "adadelta": (gdmethods.adadelta(**EIGHT), {"e_g": "bfloat16", "e_x": "bfloat16"}),
    "momentum": (gdmethods.momentum(0.1, **EIGHT), {"velocity": "bfloat16"}),
    "nesterov": (gdmethods.nesterov(0.1, **EIGHT), {"velocity": "bfloat16"}),
    "gains": (gdmethods.adaptive_gains(0.1, **EIGHT), {"gains": "bfloat16", "sign": "int8"}),
    "rprop": (gdmethods.rprop(0.1, **EIGHT), {"step_sizes": "bfloat16", "sign": "int8"}),
    "torch.adam": (torch.adam(**EIGHT), {"mu": "uint8", "nu": "uint8"}),
    "torch.rmsprop": (torch.rmsprop(**EIGHT), {"nu": "uint8"}),
    "torch.adagrad": (torch.adagrad(**EIGHT), {"sum_of_squares": "uint8"}),
    "torch.sgd": (torch.sgd(momentum=0.9, **EIGHT), {"velocity": "bfloat16"}),
    "torch.rprop": (torch.rprop(**EIGHT), {"step_sizes": "bfloat16", "sign": "int8"}),
    "keras.adam": (keras.adam(**EIGHT), {"mu": "uint8", "nu": "uint8"}),
    "keras.sgd": (keras.sgd(momentum=0.9, **EIGHT), {"velocity": "bfloat16"}),
    "keras.sgd, nesterov": (
        keras.sgd(momentum=0.9, nesterov=True, **EIGHT),
        {"velocity": "bfloat16"},
    ),
    "lecture.adam": (lecture.adam(**EIGHT), {"mu": "uint8", "nu": "uint8"}),
    "lecture.adadelta": (lecture.adadelta(0.1, **EIGHT), {"nu": "uint8"}),
    "lecture.rprop": (lecture.rprop(0.1, **EIGHT), {"gains": "bfloat16", "sign": "int8"}),
}


@pytest.mark.parametrize(("tx", "expected"), KEPT.values(), ids=KEPT)
def test_what_is_kept_in_8_bits(tx, expected):
    """And a step computes with it, whatever the dtype of the weight."""
    state = jax.eval_shape(tx.init, jnp.ones(3))
    slots = {name: x for name, x in state._asdict().items() if x is not None and x.shape}
    kept = {name: str(x.dtype) for name, x in slots.items()}
    assert kept == expected
    for dtype in (jnp.float32, jnp.bfloat16):
        w = jax.ShapeDtypeStruct((3,), dtype)
        state = jax.eval_shape(tx.init, w)
        updates, new = jax.eval_shape(tx.update, w, state, w)
        assert updates.dtype == dtype
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


def test_a_complex_weight_keeps_its_mean_in_complex64():
    z = jnp.array([1 + 2j, 2 + 1j, 0])
    tx = gdmethods.adam(0.1, **EIGHT)
    updates, state = tx.update(z, tx.init(z), z)
    assert (state.mu.dtype, state.nu.dtype) == (jnp.complex64, jnp.uint8)
    np.testing.assert_allclose(np.abs(updates), [0.1, 0.1, 0], rtol=0.3)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: torch.adam(amsgrad=True, **EIGHT), ValueError, "amsgrad.*bfloat16"),
        (lambda: keras.adamw(amsgrad=True, **EIGHT), ValueError, "amsgrad.*bfloat16"),
        (lambda: gdmethods.adam(0.1, eps=1e-15, **EIGHT), ValueError, "eps must be 0 or at least"),
        (lambda: gdmethods.rmsprop(0.1, eps_root=1e-30, **EIGHT), ValueError, "eps_root must be"),
        (
            lambda: gdmethods.adagrad(0.1, initial_accumulator_value=1e-30, **EIGHT),
            ValueError,
            "initial_accumulator_value must be",
        ),
        (lambda: gdmethods.adam(0.1, accumulator_dtype=jnp.uint8), TypeError, 'Write "8bit"'),
        (lambda: gdmethods.adam(0.1, accumulator_dtype="8bits"), TypeError, "8bit"),
    ],
    ids=["torch", "keras", "eps", "eps_root", "s₀", "uint8", "8bits"],
)
def test_what_8_bits_cannot_do(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_an_update_without_the_weights():
    tx, w = gdmethods.adam(0.1, **EIGHT), jnp.ones(3)
    with pytest.raises(ValueError, match="needs the parameters for its rounding"):
        tx.update(w, tx.init(w))


def test_a_state_with_other_accumulators():
    w = jnp.ones(3)
    state = gdmethods.adam(0.1).init(w)
    with pytest.raises(TypeError, match=r"keeps uint8.*convert_state"):
        gdmethods.adam(0.1, **EIGHT).update(w, state, w)


def test_a_derivative_through_the_state():
    """By the rate of one step it is −Δ/η; through the state of two it would be wrong."""

    def end(rate, steps):
        tx, w = gdmethods.adam(rate, **EIGHT), jnp.ones(3)
        state = tx.init(w)
        for _ in range(steps):
            updates, state = tx.update(w, state, w)
            w = w + updates
        return w.sum()

    np.testing.assert_allclose(jax.grad(end)(0.1, 1), (end(0.1, 1) - 3) / 0.1, rtol=1e-5)
    with pytest.raises(TypeError, match="State in 8 bits has no derivative"):
        jax.grad(end)(0.1, 2)


@pytest.mark.parametrize("start", [0.0, 0.1, 3.0])
def test_a_start_is_the_nearest(start):
    """Of the fourth roots, whose levels are at most an eighth apart."""
    for tx in (
        gdmethods.rmsprop(0.1, initial_scale=start, **EIGHT),
        gdmethods.adagrad(0.1, initial_accumulator_value=start, **EIGHT),
    ):
        state = gdmethods.read_state(tx.init(jnp.ones(2)))
        square = state.nu if hasattr(state, "nu") else state.sum_of_squares
        np.testing.assert_allclose(square**0.25, start**0.25, rtol=1 / 16)


def test_injected_hyperparameters():
    """β₁ is a number of the state then, so that m is in bfloat16."""
    tx = optax.inject_hyperparams(gdmethods.adam)(0.1, b1=0.9, **EIGHT)
    w = jnp.linspace(1, 2, N)
    updates, state = jax.jit(tx.update)(w, tx.init(w), w)
    assert optax.tree.get(state, "mu").dtype == jnp.bfloat16
    np.testing.assert_allclose(updates, -0.1, rtol=0.3)


@pytest.mark.parametrize(
    "tx",
    [gdmethods.adam(0.1, **EIGHT), gdmethods.rmsprop(0.1, **EIGHT), gdmethods.adagrad(1, **EIGHT)],
    ids=["adam", "rmsprop", "adagrad"],
)
def test_nan_infinite_and_no_gradients(tx):
    """As in float32: NaN stays with its weight, infinity is clipped, no gradient is no step."""
    w = jnp.ones(5)
    state, update = tx.init(w), jax.jit(tx.update)
    for g in ([1.0, np.nan, np.inf, 0.0, -np.inf], [1.0] * 5):
        updates, state = update(jnp.array(g), state, w)
        wrong = np.isnan(updates)
        np.testing.assert_array_equal(wrong, [False, True, False, False, False])
        assert (updates[3] == 0) == (g[3] == 0)
    state = gdmethods.read_state(state)
    for slot in (state.nu, state.mu) if hasattr(state, "mu") else (state[1],):
        if slot is not None:
            np.testing.assert_array_equal(np.isnan(slot), wrong)


def test_a_step_lowers_for_every_platform():
    tx, w = gdmethods.adam(0.1, **EIGHT), jax.ShapeDtypeStruct((3,), jnp.float32)
    platforms = ["cpu", "cuda", "tpu"]
    step = jax.export.export(jax.jit(tx.update), platforms=platforms)
    assert list(step(w, jax.eval_shape(tx.init, w), w).platforms) == platforms


def test_an_infinite_sum_stays_infinite():
    w, tx = jnp.ones(2), gdmethods.adagrad(0.1)
    state = tx.init(w)._replace(sum_of_squares=jnp.array([np.inf, 1.0]))
    tx = gdmethods.adagrad(0.1, **EIGHT)
    updates, state = tx.update(w, gdmethods.convert_state(tx, w, state), w)
    np.testing.assert_array_equal(state.sum_of_squares == 254, [True, False])
    assert updates[0] == 0 > updates[1]


# A step of what is stored, and stored at the next levels.


def test_steps_are_bounded_whatever_the_gradients():
    """As float32's are, but for the root, which may be rounded down by 8/9 squared.

    RMSProp's |g|/√ν ≤ 1/√(1 − decay), AdaGrad's ≤ 1, and Adam's as the ratio of its slots is.
    """
    rng = np.random.default_rng(2)
    g = rng.normal(size=(60, 999)) * 10.0 ** rng.uniform(-20, 20, (60, 999))
    g[:, ::3] *= rng.uniform(size=(60, 333)) < 0.1
    g[:, 1::3] = np.sort(np.abs(g[:, 1::3]), axis=0)
    g = jnp.asarray(g, jnp.float32)
    down = (9 / 8) ** 2
    largest = {
        gdmethods.rmsprop(1.0, eps=0.0, **EIGHT): down / np.sqrt(0.1),
        gdmethods.adagrad(1.0, eps=0.0, **EIGHT): down,
        gdmethods.adam(1.0, eps=0.0, **EIGHT): 7.3 * down,
    }
    for tx, bound in largest.items():
        assert np.max(np.abs(walk(tx, g))) < bound * 1.0001


def walk(tx, gradients):
    """The updates along gradients, at weights that stay."""
    w = jnp.linspace(1, 2, gradients.shape[1])

    def step(state, g):
        updates, state = tx.update(g, state, w)
        return state, updates

    _, updates = jax.jit(lambda g: jax.lax.scan(step, tx.init(w), g))(gradients)
    return np.asarray(updates, np.float64)


def test_steps_are_those_of_float32_in_distribution():
    """Over gradients of six decades: their mean to 1 %, their spread to 3 %."""
    rng = np.random.default_rng(3)
    g = jnp.asarray(rng.normal(size=(300, 2048)) * 10.0 ** rng.uniform(-6, 0, 2048), jnp.float32)
    for make in (gdmethods.adam, gdmethods.rmsprop, gdmethods.adagrad):
        wide, coded = (walk(make(1.0, **dtype), g)[100:] for dtype in ({}, EIGHT))
        np.testing.assert_allclose(np.abs(coded).mean(), np.abs(wide).mean(), rtol=0.01)
        np.testing.assert_allclose(coded.std(), wide.std(), rtol=0.03)
        assert np.corrcoef(coded.sum(axis=0), wide.sum(axis=0))[0, 1] > 0.96


@pytest.mark.proof
def test_all_scales_of_gradients_train_alike():
    """From 2⁻³⁵ to 2²⁰: mean, spread and largest step, without an ε."""
    scales = np.arange(-35, 21)
    rng = np.random.default_rng(8)
    g = rng.normal(size=(1000, len(scales) * 512)) * np.repeat(2.0**scales, 512)
    u = walk(gdmethods.adam(1.0, eps=0.0, **EIGHT), jnp.asarray(g, jnp.float32))[300:]
    u = np.abs(u.reshape(len(u), len(scales), 512)).transpose(1, 0, 2).reshape(len(scales), -1)
    np.testing.assert_allclose(u.mean(axis=1), 0.183, rtol=0.05)
    np.testing.assert_allclose(u.std(axis=1), u.std(), rtol=0.05)
    assert np.all(u.max(axis=1) < 2.5)


@pytest.mark.proof
def test_a_million_steps():
    """√v and AdaGrad's √s are still float32's in the mean over weights, and none has run away."""
    w = jnp.asarray(np.random.default_rng(9).normal(size=256), jnp.float32)
    makers = gdmethods.adam, gdmethods.rmsprop, gdmethods.adagrad
    coded, wide = ([make(0.1, **dtype) for make in makers] for dtype in (EIGHT, {}))

    def step(states, t):
        g = 1 + 0.5 * jax.random.normal(jax.random.fold_in(jax.random.key(0), t), w.shape)
        both = zip([*coded, *wide], states, strict=True)
        return [tx.update(g, state, w)[1] for tx, state in both], None

    start = [tx.init(w) for tx in (*coded, *wide)]
    states, _ = jax.jit(lambda c: jax.lax.scan(step, c, jnp.arange(1_000_000)))(start)
    for state, exact in zip(states[:3], states[3:], strict=True):
        assert state.count == 1_000_000
        name = "nu" if "nu" in state._fields else "sum_of_squares"
        share = np.float64(getattr(gdmethods.read_state(state), name)) / getattr(exact, name)
        np.testing.assert_allclose(np.mean(share**-0.5), 1, atol=0.05)
        assert 0.2 < share.min() < share.max() < 5


@pytest.mark.proof
@pytest.mark.parametrize("b2", [0.9, 0.99, 0.999, 0.9999])
def test_the_noise_of_v_is_a_law(b2):
    """std(v)/v = √(h E|g²/v − 1| / 2), h the distance of v's levels, and no bias of 1/√v.

    A step moves v by (1 − β₂)(g² − v). Rounding that to levels h v apart adds a variance of
    h v (1 − β₂) |g² − v|, and the decay takes off 2 (1 − β₂) of what has gathered. h is four times
    that of the fourth root, 1/8 of its mantissa, in the mean over an even logarithm. Steps that
    are not small beside h, as at β₂ = 0.9, make less noise.
    """
    rng = np.random.default_rng(4)
    steps = int(min(20_000, max(400, 6 / (1 - b2))))
    w = jnp.asarray(rng.normal(size=4096), jnp.float32)
    scale = jnp.asarray(10.0 ** rng.uniform(-3, 0, 4096), jnp.float32)
    tx, wide = gdmethods.adam(0.1, 0.9, b2, **EIGHT), gdmethods.adam(0.1, 0.9, b2)

    def step(carry, key):
        (state, of_wide), g = carry, scale * jax.random.normal(key, w.shape)
        return (tx.update(g, state, w)[1], wide.update(g, of_wide, w)[1]), None

    start = tx.init(w), wide.init(w)
    keys = jax.random.split(jax.random.key(0), steps)
    (state, of_wide), _ = jax.jit(lambda c: jax.lax.scan(step, c, keys))(start)
    share = np.float64(gdmethods.read_state(state).nu) / np.float64(of_wide.nu)
    h = 4 / 8 * (1 - 1 / 2) / np.log(2)
    law = np.sqrt(h * np.mean(np.abs(rng.normal(size=100_000) ** 2 - 1)) / 2)
    np.testing.assert_allclose(4 * np.std(share**0.25), law, rtol=0.05 if b2 > 0.9 else 0.2)
    np.testing.assert_allclose(np.mean(share**-0.5), 1, atol=0.01)


# Where a weight is and with whom it is computed does not matter, to the bit.


@pytest.fixture(scope="module")
def run():
    tx = gdmethods.adam(0.1, **EIGHT)

    def run(params, state, gradients):
        for g in gradients:
            updates, state = tx.update(g, state, params)
        return updates, state

    rng = np.random.default_rng(5)
    w = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
    gradients = [jnp.asarray(rng.normal(size=(4, 6)), jnp.float32) for _ in range(3)]
    return jax.jit(run), tx.init(w), w, gradients


def test_permuted_and_split_weights_round_alike(run):
    run, state, w, gradients = run
    expected = run(w, state, gradients)
    turned = jax.tree.map(jnp.transpose, (w, state, gradients))
    chex.assert_trees_all_equal(run(*turned), jax.tree.map(jnp.transpose, expected))
    split = state._replace(mu=[*state.mu], nu=[*state.nu])
    _, alone = run([*w], split, [[*g] for g in gradients])
    np.testing.assert_array_equal(jnp.stack(alone.nu), expected[1].nu)
    np.testing.assert_array_equal(jnp.stack(alone.mu), expected[1].mu)


@pytest.mark.parametrize("dtype", ["8bit", jnp.bfloat16])
def test_weights_move_alone_as_in_a_leaf(dtype):
    """But for the last digits, in which two compiled steps differ: they do not reach the noise."""
    tx = gdmethods.adamw(0.01, accumulator_dtype=dtype)
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=128), rng.normal(0.3, size=(40, 128))

    @jax.jit
    def run(w, gradients):
        def step(carry, g):
            w, state = carry
            updates, state = tx.update(g, state, w)
            return (optax.apply_updates(w, updates), state), None

        return jax.lax.scan(step, (w, tx.init(w)), gradients)[0][0]

    w, gradients = jnp.asarray(w, jnp.float32), jnp.asarray(gradients, jnp.float32)
    alone = [run(w[k : k + 1], gradients[:, k : k + 1]) for k in range(128)]
    np.testing.assert_allclose(jnp.concatenate(alone), run(w, gradients), rtol=1e-5, atol=1e-7)


def test_an_ensemble_rounds_as_its_members_do(run):
    run, state, w, gradients = run
    expected = run(w, state, gradients)
    axes = state._replace(count=None, mu=0, nu=0)
    together = jax.vmap(run, (0, axes, 0), (0, axes))(w, state, gradients)
    chex.assert_trees_all_equal(together, expected)


def test_the_mirrored_run_is_the_mirror_image(run):
    run, state, w, gradients = run
    updates, expected = run(w, state, gradients)
    mirrored, of_mirrored = run(-w, state, [-g for g in gradients])
    np.testing.assert_array_equal(mirrored, -updates)
    np.testing.assert_array_equal(of_mirrored.nu, expected.nu)


def test_a_resumed_run_goes_on_to_the_bit(run):
    run, state, w, gradients = run
    _, half = run(w, state, gradients)
    expected = run(w, half, gradients)
    resumed = jax.tree.map(lambda x: jnp.asarray(np.asarray(x).tolist(), x.dtype), half)
    chex.assert_trees_all_equal(run(w, resumed, gradients), expected)


def test_the_slots_of_a_weight_round_each_by_itself():
    """m is right in the mean of the steps in which v went up, and of those in which it did not.

    The steps are 4,096 from one state that differ in the count alone.
    """
    tx, w = gdmethods.adam(0.1, bias_correction=False, **EIGHT), jnp.linspace(1, 2, N)
    g = jnp.linspace(0.5, 1.5, N)

    @jax.jit
    def following(state):
        state = tx.update(1.7 * g, state, w)[1]
        m = 0.9 * gdmethods.read_state(state).mu + 0.1 * g
        steps = jax.vmap(lambda t: tx.update(g, state._replace(count=t), w)[1])
        new = steps(jnp.arange(4096))
        return m, new.nu, gdmethods.read_state(new).mu

    m, codes, stored = map(np.asarray, following(tx.init(w)))
    for up in (codes > codes.min(axis=0), codes == codes.min(axis=0)):
        several = up.sum(axis=0) > 300
        assert several.sum() > N / 4
        mean = np.nanmean(np.where(up, stored, np.nan)[:, several], axis=0)
        np.testing.assert_allclose(mean, m[several], rtol=0.012)


def test_rows_without_gradients_decay_each_by_itself():
    """Their mean is float32's within 6 standard errors: the weights take part in the noise."""
    w = jnp.asarray(np.random.default_rng(6).normal(size=50_000), jnp.float32)
    tx = gdmethods.rmsprop(0.1, **EIGHT)

    def step(state, g):
        return tx.update(g, state, w)[1], None

    g = jnp.concatenate([jnp.ones((1, 50_000)), jnp.zeros((40, 50_000))])
    state, _ = jax.jit(lambda g: jax.lax.scan(step, tx.init(w), g))(g)
    t = np.asarray(gdmethods.read_state(state).nu, np.float64) ** 0.25
    error = t.mean() - (0.1 * 0.9**40) ** 0.25
    assert abs(error) < 6 * t.std() / np.sqrt(independent(w))


def test_an_injected_b1_keeps_m_in_bfloat16():
    """And a static one in 8 bits: 3 bytes a weight, or 2."""
    for static, expected in (((), jnp.bfloat16), (("b1", "b2"), jnp.uint8)):
        tx = optax.inject_hyperparams(gdmethods.adam, static_args=static)(0.1, **EIGHT)
        inner = tx.init(jnp.ones(2)).inner_state
        assert (inner.mu.dtype, inner.nu.dtype) == (expected, jnp.uint8)


# States: to look at, to take over, to carry about.


W = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.array(0.3, jnp.bfloat16)}


@pytest.mark.parametrize("build", [gdmethods.adam, gdmethods.rmsprop, gdmethods.adagrad])
def test_a_state_reads_as_the_wide_one_that_it_is(build):
    coded, wide = build(0.1, **EIGHT), build(0.1)

    @jax.jit
    def run(w):
        state, exact = (tx.update(w, tx.init(w), w)[1] for tx in (coded, wide))
        converted = gdmethods.convert_state(wide, w, state)
        back = gdmethods.convert_state(coded, w, converted)
        return state, gdmethods.read_state(state), converted, back, exact

    state, read, converted, back, exact = run(W)
    chex.assert_trees_all_equal(converted, read)
    chex.assert_trees_all_equal_dtypes(converted, exact)
    chex.assert_trees_all_close(converted, exact, rtol=0.7)
    chex.assert_trees_all_equal(back, state)
    chex.assert_trees_all_equal_dtypes(back, state)


def test_convert_state_goes_to_the_nearest():
    wide, coded = gdmethods.adam(0.1), gdmethods.adam(0.1, **EIGHT)
    w = jnp.asarray(np.random.default_rng(7).normal(size=999), jnp.float32)
    _, exact = wide.update(w, wide.init(w), w)
    state = jax.jit(lambda state: gdmethods.convert_state(coded, w, state))(exact)
    t, read = np.float64(exact.nu) ** 0.25, gdmethods.read_state(state)
    nearest = np.abs(t[:, None] - FOURTH_ROOTS[:254]).argmin(axis=1)
    np.testing.assert_array_equal(state.nu, nearest)
    np.testing.assert_allclose(read.mu, exact.mu, rtol=0.07)


def test_within_chains_and_wrappers():
    def build(**dtype):
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.partition(
                {"x": gdmethods.adam(0.1, **dtype), "y": gdmethods.rmsprop(0.1, **dtype)},
                {"a": "x", "b": "y"},
            ),
            optax.masked(gdmethods.velocity(0.9, **dtype), {"a": True, "b": False}),
        )

    coded = build(**EIGHT)

    @jax.jit
    def run(w):
        _, state = coded.update(w, coded.init(w), w)
        converted = gdmethods.convert_state(build(), w, state)
        back = gdmethods.convert_state(coded, w, converted)
        return state, gdmethods.read_state(state), converted, back

    state, read, converted, back = run(W)
    chex.assert_trees_all_equal(converted, read)
    chex.assert_trees_all_equal_shapes_and_dtypes(converted, build().init(W))
    chex.assert_trees_all_equal(back, state)


def keeps_slots(method):
    return method.accumulators + method.squares != ()


@every_method(keeps_slots)
def test_a_state_in_8_bits_is_an_ordinary_one(method):
    """Shaped like the parameters, found by its names, and kept by a step, within wrappers too."""
    tx = method.build(**EIGHT)
    state = jax.eval_shape(tx.init, W)
    marked = optax.tree.map_params(
        tx, lambda _: "w", state, transform_non_params=lambda _: "other"
    )
    for name in method.accumulators + method.squares:
        slot = optax.tree.get(state, name)
        chex.assert_trees_all_equal_shapes(slot, W)
        assert {str(x.dtype) for x in slot.values()} in ({"uint8"}, {"bfloat16"})
        assert getattr(marked, name) == {"a": "w", "b": "w"}
        assert getattr(optax.tree.set(state, **{name: "another"}), name) == "another"
    for wrapped in (tx, *within(tx)):
        assert_kept(wrapped, method)


def within(tx):
    yield optax.masked(tx, {"a": True, "b": False})
    yield optax.partition({"x": tx, "y": gdmethods.sgd(0.1)}, {"a": "x", "b": "y"})
    yield optax.MultiSteps(tx, 2).gradient_transformation()


def assert_kept(tx, method):
    state = jax.eval_shape(tx.init, W)
    updates, following = jax.eval_shape(
        lambda g, s, w: tx.update(g, s, w, **method.extra_args(1.0)), W, state, W
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(following, state)
    chex.assert_trees_all_equal_shapes(updates, W)


@every_method(lambda method: keeps_slots(method) and not any(map(callable, method.flags.values())))
def test_injected_hyperparameters_change_no_slot_but_m(method):
    """β₁ is a number of the state then, so that Adam's m is in bfloat16."""
    injected = optax.inject_hyperparams(method.factory)(
        **method.hyperparameters, **method.flags, **EIGHT
    )
    assert_kept(injected, method)
    state = jax.eval_shape(injected.init, W).inner_state
    expected = jax.eval_shape(method.build(**EIGHT).init, W)
    if "b1" in method.hyperparameters:
        wide = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), expected.mu)
        expected = expected._replace(mu=wide)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, expected)


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "rmsprop, centered"])
def test_within_wrappers_the_numbers_are_the_same(name):
    """To the bit, of the leaf that all of them leave to the method."""
    tx = METHODS[name].build(**EIGHT)
    alone, *others = tx, *within(tx)
    gradients = [jax.tree.map(lambda w, t=t: jnp.cos(w + t), W) for t in range(3)]

    @jax.jit
    def ends(w):
        def end(tx, times=1):
            state = tx.init(w)
            for g in gradients:
                for _ in range(times):
                    updates, state = tx.update(g, state, w)
            return updates["a"]

        return [end(alone), *(end(x, times) for x, times in zip(others, (1, 1, 2), strict=True))]

    expected, *ends = ends(W)
    for end in ends:
        np.testing.assert_array_equal(end, expected)


def test_state_ranges():
    tx = gdmethods.adam(0.1, **EIGHT)
    g = {"a": jnp.array([0.0, 1e-15, 1e30, 1.0]), "b": jnp.array([1.0, 0.0])}
    chain = optax.chain(optax.clip(1e30), tx, optax.trace(0.9))
    state = chain.init(g)
    _, state = jax.jit(chain.update)(g, state, g)
    found = jax.jit(gdmethods.state_ranges)(state)
    assert jax.tree.leaves((found[0], found[2])) == []
    assert found[1].count is None
    np.testing.assert_array_equal(jnp.stack(found[1].nu["a"]), [0.25, 0.25, 0.0])
    np.testing.assert_array_equal(jnp.stack(found[1].nu["b"]), [0.5, 0.0, 0.0])
    np.testing.assert_array_equal(found[1].mu["b"].zero, 0.5)
    signed = state[1]._replace(mu=jnp.array([0x80, 0x81, 0xFF, 0x05], jnp.uint8))
    assert gdmethods.state_ranges(signed).mu == (0.25, 0.25, 0.25)
    beyond = gdmethods.rmsprop(0.1, 0.0, **EIGHT)
    _, state = beyond.update(g, beyond.init(g), g)
    assert gdmethods.state_ranges(state).nu["a"].top == 0.25


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gdmethods.adam(0.1, **EIGHT), 2),
        (gdmethods.rmsprop(0.1, **EIGHT), 1),
        (gdmethods.adagrad(0.1, **EIGHT), 1),
        (gdmethods.with_stochastic_rounding(gdmethods.adam(0.1, **EIGHT)), 2),
    ],
)
def test_bytes_per_weight(tx, expected):
    w = jax.ShapeDtypeStruct((1000,), jnp.bfloat16)
    assert gdmethods.state_bytes(tx, w) // 1000 == expected


def test_bfloat16_weights_in_4_bytes_train():
    """A quadratic that bfloat16 weights alone do not follow, since 0.001 is below their digits."""
    target = jnp.linspace(0.5, 1, 256)
    tx = gdmethods.with_stochastic_rounding(gdmethods.adam(1e-3, **EIGHT))

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(w - target, state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.full(256, 0.25, jnp.bfloat16)
    (w, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, length=3000))((w, tx.init(w)))
    assert w.dtype == jnp.bfloat16
    np.testing.assert_allclose(w.astype(jnp.float32), target, atol=0.03)


def test_the_ranges_of_an_empty_leaf():
    state = gdmethods.adam(0.1, **EIGHT).init({"a": jnp.ones((0, 3)), "b": jnp.zeros(4)})
    ranges = gdmethods.state_ranges(state).nu
    assert ranges["a"] == (0, 0, 0)
    assert ranges["b"] == (1, 0, 0)
