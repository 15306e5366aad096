"""What floating point does to the methods: gradients of any size, and those that are no number.

A displacement that its dtype can hold is finite, whatever finite gradients came before.
"""

from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
from table import every_method

from gdmethods._arithmetic import one_minus_power, sign

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
STEPS, WEIGHTS = 6, 8
LARGEST = float(np.finfo(np.float32).max)
CORNERS = (0.0, 1e-45, 1e-38, 1e-30, 1e-19, 1.0, 1.8e19, 1e20, 1e30, LARGEST)

settings = hypothesis.settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
gradients_of_any_size = arrays(
    np.float32,
    (STEPS, WEIGHTS),
    elements=strategies.sampled_from(CORNERS + tuple(-x for x in CORNERS))
    | strategies.floats(width=32, allow_nan=False, allow_infinity=False),
    fill=strategies.nothing(),
)


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


def walk(method, gradients):
    """The updates for stacked gradients, stacked."""
    tx = method.build()

    def update(state, inputs):
        gradient, loss = inputs
        updates, state = tx.update(gradient, state, params, **method.extra_args(loss))
        return state, updates

    params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), gradients)
    losses = jnp.arange(len(jax.tree.leaves(gradients)[0]), dtype=jnp.float32)
    return jax.lax.scan(update, tx.init(params), (gradients, losses))[1]


def assert_finite(updates, gradients):
    for name, update in updates.items():
        broken = np.argwhere(~np.isfinite(np.asarray(update, np.float64)))
        for t, i in broken:
            course = np.asarray(gradients[name], np.float64)[: t + 1, i]
            raise AssertionError(f"{name} gradients {course} make an update of {update[t, i]}")


@every_method()
def test_finite_gradients_make_finite_updates(method):
    compiled = jax.jit(partial(walk, method))

    @settings
    @hypothesis.given(gradients_of_any_size)
    def search(gradients):
        gradients = in_every_dtype(gradients, share(method))
        assert_finite(compiled(gradients), gradients)

    search()


@every_method()
def test_the_corners_one_operation_at_a_time(method):
    """What a compiler fuses may round and overflow elsewhere than the rule as it is written."""
    corners = np.array(CORNERS, np.float32)
    gradients = in_every_dtype(np.stack([corners, corners, -corners]), share(method))
    gradients = {"float32": gradients["float32"]}
    with jax.disable_jit():
        assert_finite(walk(method, gradients), gradients)


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
@pytest.mark.parametrize("broken", [np.inf, -np.inf, np.nan])
def test_infinite_and_nan_gradients(method, broken):
    """They are the business of their own weight, as each docstring says."""
    usual = np.ones((5, 2), np.float32) * [[1], [1], [1], [0.5], [1]]
    gradients = usual.copy()
    gradients[1, 0] = broken
    with jax.disable_jit():
        updates, others = walk(method, gradients), walk(method, usual)
    np.testing.assert_array_equal(updates[:, 1], others[:, 1])
    kinds = [kind(x) for x in updates[:, 0]]
    now, later = method.after_nan if np.isnan(broken) else method.after_inf
    # Rprop's variants may stand still for a step after a sign has turned.
    allowed = {"finite": {"finite", "zero"}}
    assert kinds[1] in allowed.get(now, {now})
    assert set(kinds[2:]) <= allowed.get(later, {later})
    assert "finite" in kinds[2:] or later != "finite"


@every_method(lambda method: method.squares and "velocity" not in method.accumulators)
def test_a_square_that_overflows_stops_its_weight(method):
    gradients = np.array([[1, 1], [1, 1e20], [1, 1], [1, -1]], np.float32)
    updates = walk(method, gradients)
    assert np.all(updates[1:, 1] == 0)
    assert np.all(updates[1:, 0] != 0)
