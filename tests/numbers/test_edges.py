"""What floating point does to the methods: gradients of any size, and those that are no number.

A displacement that its dtype can hold is finite, whatever finite gradients came before.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.adadelta import adadelta
from oracles.adagrad import adagrad
from oracles.adam import adam
from oracles.rmsprop import rmsprop
from table import every_method, stands_for_its_rule
from trajectories import x64

import gdmethods
from gdmethods._numbers.arithmetic import one_minus_power, sign
from gdmethods.dialects import keras, lecture, torch

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
STEPS, WEIGHTS = 6, 1000
LARGEST = float(np.finfo(np.float32).max)
CORNERS = (0.0, 1e-45, 1e-38, 1e-30, 1e-19, 1.0, 1.8e19, 1e20, 1e30, LARGEST)


def gradients_of_any_size():
    """Of random bits, at a corner, or those of the step before; a course for each weight."""
    rng, shape = np.random.default_rng(0), (STEPS, WEIGHTS)
    gradients = rng.integers(2**32, size=shape, dtype=np.uint32).view(np.float32)
    corners = rng.choice([-1, 1], shape) * rng.choice(np.array(CORNERS, np.float32), shape)
    at_a_corner = rng.random(shape) < 0.5
    gradients = np.where(at_a_corner | ~np.isfinite(gradients), corners, gradients)
    for t in range(1, STEPS):
        gradients[t] = np.where(rng.random(WEIGHTS) < 0.3, gradients[t - 1], gradients[t])
    return gradients


def in_every_dtype(gradients, share):
    """A leaf of each dtype, with gradients of at most that share of its largest number."""

    def rounded(dtype):
        limit = share * float(jnp.finfo(dtype).max)
        return np.clip(gradients.astype(np.float64), -limit, limit).astype(dtype)

    return {jnp.dtype(dtype).name: rounded(dtype) for dtype in DTYPES}


def share(method):
    """Of the largest number, the gradients whose displacements in so few steps are below it.

    With a rate of 0.1 no method moves by more than its gradient. Without one a velocity is up to
    five times as large, and centered a constant gradient is divided by eps alone.
    """
    arguments = {**method.hyperparameters, **method.flags}
    return 1.0 if "learning_rate" in arguments and "centered" not in arguments else 1 / 8


def stepped(tx, gradients, extra_args=lambda loss: {}):
    """The updates for stacked gradients, stacked, one step at a time; the loss rises."""
    params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), gradients)
    state, update, path = tx.init(params), jax.jit(tx.update), []
    for t in range(len(jax.tree.leaves(gradients)[0])):
        gradient = jax.tree.map(lambda g, t=t: jnp.asarray(g[t]), gradients)
        updates, state = update(gradient, state, params, **extra_args(jnp.float32(t)))
        path.append(updates)
    return jax.tree.map(lambda *updates: np.stack(updates), *path)


def walk(method, gradients):
    return stepped(method.build(), gradients, method.extra_args)


def assert_finite(updates, gradients):
    for name, update in updates.items():
        broken = np.argwhere(~np.isfinite(np.asarray(update, np.float64)))
        for t, i in broken:
            course = np.asarray(gradients[name], np.float64)[: t + 1, i]
            raise AssertionError(f"{name} gradients {course} make an update of {update[t, i]}")


def assert_finite_gradients_make_finite_updates(method):
    gradients = in_every_dtype(gradients_of_any_size(), share(method))
    assert_finite(walk(method, gradients), gradients)


@every_method()
def test_finite_gradients_make_finite_updates(method):
    """One operation at a time, as the rule is written."""
    with jax.disable_jit():
        assert_finite_gradients_make_finite_updates(method)


@every_method(stands_for_its_rule)
def test_finite_gradients_make_finite_updates_compiled(method):
    """What a compiler fuses may round and overflow elsewhere."""
    assert_finite_gradients_make_finite_updates(method)


@pytest.mark.proof
@every_method(lambda method: not stands_for_its_rule(method))
def test_finite_gradients_make_finite_updates_of_the_other_rows_compiled(method):
    assert_finite_gradients_make_finite_updates(method)


@pytest.mark.parametrize("base", [0.0, 0.25, 0.999])
def test_one_minus_a_power_and_its_derivatives(base):
    """1 − bᵉ, −e bᵉ⁻¹ and −e (e − 1) bᵉ⁻²."""
    value, slope = one_minus_power, jax.grad(one_minus_power)
    bend = jax.grad(slope)
    with jax.enable_x64(True):
        for e in range(1, 5):
            b, exponent = jnp.asarray(base), jnp.asarray(e, jnp.int32)
            np.testing.assert_allclose(value(b, exponent), 1 - base**e, rtol=1e-12)
            np.testing.assert_allclose(slope(b, exponent), -e * base ** (e - 1), rtol=1e-12)
            second = -e * (e - 1) * base ** max(e - 2, 0)
            np.testing.assert_allclose(bend(b, exponent), second, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signs_of_all_numbers(dtype):
    least = np.finfo(dtype).smallest_subnormal
    positive = np.array([least, np.finfo(dtype).tiny, 1.0, np.finfo(dtype).max, np.inf], dtype)
    zeros = np.array([0.0, -0.0, np.nan, -np.nan], dtype)
    with jax.enable_x64(dtype == np.float64):
        for f in (sign, jax.jit(sign)):
            np.testing.assert_array_equal(f(positive), np.ones(5, dtype))
            np.testing.assert_array_equal(f(-positive), -np.ones(5, dtype))
            np.testing.assert_array_equal(f(zeros), np.zeros(4, dtype))


def kind(x):
    if np.isnan(x):
        return "nan"
    return "inf" if np.isinf(x) else "zero" if x == 0 else "finite"


@every_method()
def test_infinite_and_nan_gradients(method):
    """They are the business of their own weight, as each docstring says."""
    broken = [np.inf, -np.inf, np.nan]
    usual = np.ones((STEPS, WEIGHTS), np.float32)
    usual[3] = 0.5
    gradients = usual.copy()
    gradients[1, :3] = broken
    with jax.disable_jit():
        updates, others = walk(method, gradients), walk(method, usual)
    np.testing.assert_array_equal(updates[:, 3:], others[:, 3:])
    for gradient, course in zip(broken, updates.T, strict=False):
        kinds = [kind(x) for x in course]
        now, later = method.after_nan if np.isnan(gradient) else method.after_inf
        # Rprop's variants may stand still for a step after a sign has turned.
        allowed = {"finite": {"finite", "zero"}}
        assert kinds[1] in allowed.get(now, {now}), gradient
        assert set(kinds[2:]) <= allowed.get(later, {later}), gradient
        assert "finite" in kinds[2:] or later != "finite", gradient


@every_method(lambda method: bool(method.squares))
def test_a_gradient_whose_square_overflows_counts_as_one_whose_square_does_not(method):
    gradients = np.array([[1, 1e20, 1, -1], [1, -1e30, 1, -1], [1, np.inf, 1, -1]], np.float32).T
    clipped = np.clip(gradients, -(2.0**62), 2.0**62)
    updates, expected = np.split(walk(method, np.hstack([gradients, clipped])), 2, axis=1)
    np.testing.assert_array_equal(updates, expected)


EDGES = {
    "adam, b1 = 0": gdmethods.adam(0.1, b1=0.0),
    "adam, b1 = 0.5": gdmethods.adam(0.1, b1=0.5),
    "adam, b2 = 0": gdmethods.adam(0.1, b2=0.0),
    "adam, b2 = 0, eps = 0": gdmethods.adam(0.1, b2=0.0, eps=0.0),
    "adam, b1 = b2 = 0": gdmethods.adam(0.1, b1=0.0, b2=0.0),
    "adam, b1 = b2 = 0 as arrays": gdmethods.adam(0.1, b1=jnp.array(0.0), b2=jnp.array(0.0)),
    "adam, eps = 1e-30": gdmethods.adam(0.1, eps=1e-30),
    "adagrad, eps = 0": gdmethods.adagrad(0.1, eps=0.0),
    "adadelta, rho = 0": gdmethods.adadelta(0.1, rho=0.0),
    "adadelta, eps = 0": gdmethods.adadelta(0.1, eps=0.0),
    "rmsprop, decay = 0": gdmethods.rmsprop(0.1, decay=0.0),
    "rmsprop, decay = 0, as an array": gdmethods.rmsprop(0.1, decay=jnp.array(0.0)),
    "rmsprop, decay = 0, momentum": gdmethods.rmsprop(0.1, decay=0.0, momentum=0.5),
    "rmsprop, decay = 0, corrected": gdmethods.rmsprop(0.1, decay=0.0, bias_correction=True),
    "rmsprop, decay = 0, centered": gdmethods.rmsprop(0.1, decay=0.0, centered=True),
    "torch.adam, amsgrad": torch.adam(0.1, betas=(0.5, 0.0), amsgrad=True),
    "torch.rmsprop": torch.rmsprop(0.1, alpha=0.0, momentum=0.5, centered=True),
    "keras.adam": keras.adam(0.1, beta_2=0.0),
    "keras.rmsprop": keras.rmsprop(0.1, rho=0.0, centered=True),
    "lecture.adam": lecture.adam(0.1, beta2=0.0),
    "lecture.adadelta": lecture.adadelta(0.1, beta=0.0),
    "lecture.rprop": lecture.rprop(0.1),
}


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("tx", EDGES.values(), ids=EDGES)
def test_at_the_edges_of_their_options_too(tx, jit):
    """Any three sizes one after the other, of either sign, and a gradient of 1 after them."""
    sizes = [*CORNERS, *(-x for x in CORNERS)]
    gradients = np.array([(*three, 1.0) for three in itertools.product(sizes, repeat=3)]).T
    with jax.disable_jit(not jit):
        updates = stepped(tx, gradients.astype(np.float32))
    assert_finite({"float32": updates}, {"float32": gradients})


# The smallest and the largest gradients that each docstring says are seen as they are.
RANGES = {
    "adagrad": (gdmethods.adagrad(0.1, eps=0.0), adagrad, {"eps": 0.0}, 1.1e-19, 1.5e18),
    "adadelta": (gdmethods.adadelta(0.1), adadelta, {}, 1e-36, 4e16),
    "rmsprop": (gdmethods.rmsprop(0.1, eps=0.0), rmsprop, {"eps": 0.0}, 3.5e-19, 4.6e18),
    "adam": (gdmethods.adam(0.1, eps=0.0), adam, {"eps": 0.0}, 3.5e-18, 4.6e18),
}


@pytest.mark.parametrize(("tx", "oracle", "options", "least", "most"), RANGES.values(), ids=RANGES)
def test_gradients_are_seen_as_they_are_from_here_to_there(tx, oracle, options, least, most):
    """Signs and sizes vary, as long as all are in the range."""
    rng = np.random.default_rng(7)
    sizes = np.geomspace(2 * least, most, 60)
    gradients = rng.choice([-1, 1], (8, 60)) * rng.uniform(0.5, 1, (8, 60)) * sizes
    gradients = gradients.astype(np.float32)
    expected = oracle(list(gradients.astype(np.float64)), 0.1, **options)
    scale = np.maximum.accumulate(np.abs(expected))
    np.testing.assert_allclose(stepped(tx, gradients) / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize(("tx", "oracle", "options", "least", "most"), RANGES.values(), ids=RANGES)
def test_smaller_gradients_move_their_weight_less(tx, oracle, options, least, most):
    """Never more than the formulas say, and by nothing where there is none."""
    gradients = np.array([0.0, *np.geomspace(1e-37, least, 50)]) * np.ones((4, 1))
    expected = np.abs(oracle(list(gradients), 0.1, **options))
    updates = np.abs(stepped(tx, gradients.astype(np.float32)))
    assert np.all(updates <= expected * (1 + 1e-5))
    assert np.all(updates[:, 0] == 0)
    assert np.all(np.diff(updates[:, 1:]) >= -1e-6 * updates[:, 2:])


WIDE = {
    "sgd": (gdmethods.sgd(1e-5), [1e40], [-1e35]),
    "momentum": (gdmethods.momentum(1e-5, 0.5), [1e40, 0.0], [-1e35, -5e34]),
    "nesterov": (gdmethods.nesterov(1e-5, 0.5), [1e40], [-1.5e35]),
    "adaptive_gains": (gdmethods.adaptive_gains(1e-5), [1e40, 1e-300], [-1e35, 0.0]),
    "rprop": (gdmethods.rprop(0.1), [1e300, -1e-300], [-0.1, 0.0]),
    "adam": (gdmethods.adam(0.1), [1e300, 1e-300], [-0.1, -0.0670]),
    "adagrad": (gdmethods.adagrad(0.1), [1e300, 0.0], [-0.1, 0.0]),
    "torch.sgd": (torch.sgd(1e-5, momentum=0.5), [1e40], [-1e35]),
}


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(("tx", "gradients", "expected"), WIDE.values(), ids=WIDE)
def test_float64_gradients_of_float32_weights(tx, gradients, expected, jit):
    """They are computed with as they are, or clipped as documented, and rounded afterwards."""
    with x64(np.float64):
        w = jnp.ones(1, jnp.float32)
        update, state = jax.jit(tx.update) if jit else tx.update, tx.init(w)
        for g, wanted in zip(gradients, expected, strict=True):
            displacement, state = update(jnp.array([g]), state, w)
            assert displacement.dtype == jnp.float32
            np.testing.assert_allclose(displacement, [wanted], rtol=1e-3)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("variant", ["rprop-", "rprop+", "irprop-"])
def test_step_sizes_without_limits_neither_overflow_nor_vanish(variant, dtype):
    """After a thousand agreements they shrink at a turn, and after a thousand turns they grow."""
    tx = gdmethods.rprop(
        min_step_size=0.0, max_step_size=jnp.inf, variant=variant, accumulator_dtype=dtype
    )
    assert_factors_stay(tx, lambda state: state.step_sizes)


def test_gains_without_limits_neither_overflow_nor_vanish():
    assert_factors_stay(lecture.rprop(1.0), lambda state: state.gains)


def assert_factors_stay(tx, factors):
    signs = np.array([1.0] * 1000 + [-1.0] * 3 + [1.0, 0.0, -1.0, 0.0] * 1000 + [1.0] * 9)

    params = jnp.zeros(1, jnp.float32)

    def step(state, g):
        update, state = tx.update(g, state, params)
        return state, (update[0], factors(state)[0].astype(jnp.float32))

    updates, sizes = jax.lax.scan(step, tx.init(params), jnp.asarray(signs)[:, None])[1]
    assert np.all(np.isfinite(updates))
    assert np.all(sizes > 0)
    assert sizes[1002] < sizes[999]
    assert sizes[-1] > sizes[-9]
