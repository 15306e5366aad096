"""The slides' dialect against literal loops of the slides, and against the published methods."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import lecture as slide

import gdmethods
from dialects.gradients import GRADIENTS, STEPS
from gdmethods.dialects import lecture


def displacements(tx: optax.GradientTransformation, gradients: np.ndarray) -> np.ndarray:
    def step(state: Any, gradient: jax.Array) -> Any:
        updates, state = tx.update(gradient, state)
        return state, updates

    with jax.enable_x64(True):
        gradients = jnp.asarray(gradients)
        return np.asarray(jax.lax.scan(step, tx.init(gradients[0]), gradients)[1])


SLIDES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[float, ...]]] = {
    "momentum": (lecture.momentum, slide.momentum, (0.1, 0.7)),
    "gains": (lecture.adaptive_gains, slide.adaptive_gains, (0.1, 0.1, 10.0)),
    "wide gains": (lecture.adaptive_gains, slide.adaptive_gains, (0.1, 0.01, 100.0)),
    "adagrad": (lecture.adagrad, slide.adagrad, (0.1, 1e-8)),
    "adadelta": (lecture.adadelta, slide.adadelta, (0.1, 0.8, 1e-6)),
    "rprop": (lecture.rprop, slide.rprop, (0.1,)),
    "rmsprop": (lecture.rmsprop, slide.rmsprop, (1e-3, 0.9, 1e-8)),
    "adam": (lecture.adam, slide.adam, (1e-3, 0.9, 0.99, 1e-8)),
    "adam, other numbers": (lecture.adam, slide.adam, (0.1, 0.5, 0.8, 0.1)),
}


@pytest.mark.parametrize("name", SLIDES)
def test_the_numbers_of_the_slide(name: str) -> None:
    ours, theirs, numbers = SLIDES[name]
    expected = np.transpose([theirs(column.tolist(), *numbers) for column in GRADIENTS.T])
    np.testing.assert_allclose(displacements(ours(*numbers), GRADIENTS), expected, rtol=1e-10)


def test_nesterov_looks_ahead_and_descends() -> None:
    """The slide's own step on E = w²/2, whose gradient at w + γΔ is that; with a minus."""
    eta, gamma = 0.1, 0.8
    w, delta, expected = 1.0, 0.0, []
    for _ in range(20):
        delta = gamma * delta - eta * (w + gamma * delta)
        w += delta
        expected.append(w)
    with jax.enable_x64(True):
        tx, y, actual = lecture.nesterov(eta, gamma), jnp.array(1.0), []
        state = tx.init(y)
        for _ in range(20):
            update, state = tx.update(y, state, y)
            y += update
            actual.append(float(gdmethods.nesterov_eval_params(state, y)))
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    assert abs(expected[-1]) < 0.1


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        (lecture.momentum(0.1, 0.9), gdmethods.momentum(0.1, 0.9)),
        (lecture.nesterov(0.1, 0.9), gdmethods.nesterov(0.1, 0.9)),
        (lecture.adaptive_gains(0.1), gdmethods.adaptive_gains(0.1)),
    ],
    ids=["momentum", "nesterov", "adaptive_gains"],
)
def test_equal_to_the_published_method_where_the_slide_is_right(ours: Any, published: Any) -> None:
    np.testing.assert_array_equal(
        displacements(ours, GRADIENTS), displacements(published, GRADIENTS)
    )


def test_epsilon_inside_of_the_root_damps_small_gradients() -> None:
    """|g| = √ε: g/√(g² + ε) = 1/√2, where the published rule has 1/(1 + √ε) and nearly 1."""
    small = np.array([[1e-4]])
    for ours, published in (
        (lecture.adagrad(1.0, 1e-8), gdmethods.adagrad(1.0, eps=1e-8)),
        (lecture.rmsprop(1.0, 0.0, 1e-8), gdmethods.rmsprop(1.0, 0.0, 1e-8)),
    ):
        np.testing.assert_allclose(displacements(ours, small), -(0.5**0.5), rtol=1e-12)
        np.testing.assert_allclose(displacements(published, small), -1.0, rtol=2e-4)


def test_what_the_slide_calls_adadelta_is_rmsprop_and_no_adadelta() -> None:
    ours = displacements(lecture.adadelta(0.1, 0.95, 1e-6), GRADIENTS)
    rmsprop = displacements(lecture.rmsprop(0.1, 0.95, 1e-6), GRADIENTS)
    np.testing.assert_array_equal(ours, rmsprop)
    assert not np.allclose(ours, displacements(gdmethods.adadelta(0.1, 0.95, 1e-6), GRADIENTS))


def test_rprop_has_no_limits_and_halves_on_a_zero_product() -> None:
    signs = np.array([[1.0], [1.0], [0.0], [1.0], [-1.0]])  # gain 1, 1.2, .6, .3, .15
    np.testing.assert_allclose(
        displacements(lecture.rprop(0.1), signs)[:, 0], [-0.1, -0.12, 0, -0.03, 0.015], rtol=1e-12
    )
    up = displacements(lecture.rprop(0.1), np.ones((STEPS, 1)))
    np.testing.assert_allclose(up[-1, 0], -0.1 * 1.2 ** (STEPS - 1), rtol=1e-12)
    assert abs(up[-1, 0]) > 50


@pytest.mark.parametrize("size", [1e-45, 1e-30, np.inf])
def test_rprop_sees_the_sign_of_gradients_of_any_size(size: float) -> None:
    signs = np.random.default_rng(2).choice([-1.0, 1.0], (50, 8)).astype(np.float32)
    of_size = displacements(lecture.rprop(0.1), signs * np.float32(size))
    np.testing.assert_array_equal(of_size, displacements(lecture.rprop(0.1), signs))


def test_rprop_makes_no_nan_of_an_infinite_gradient_after_none() -> None:
    gradients = np.array([[0.0], [np.inf], [1.0]])
    with jax.disable_jit(), jax.debug_nans(True):
        path = displacements(lecture.rprop(0.1), gradients)
    np.testing.assert_allclose(path[:, 0], [0.0, -0.05, -0.06], rtol=1e-6)


def test_adam_agrees_in_the_first_step_and_overshoots_to_2_13_eta_at_step_13() -> None:
    ones = np.ones((2000, 1))
    ours = -displacements(lecture.adam(1.0), ones)[:, 0]
    published = -displacements(gdmethods.adam(1.0, b2=0.99), ones)[:, 0]
    np.testing.assert_allclose(ours[0], published[0], rtol=1e-7)
    np.testing.assert_allclose(published, 1.0, rtol=1e-7)
    assert ours.argmax() == 12
    assert round(ours.max(), 2) == 2.13
    np.testing.assert_allclose(ours[-1], 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lecture.momentum,
        lecture.nesterov,
        lecture.adaptive_gains,
        lecture.adagrad,
        lecture.adadelta,
        lecture.rprop,
        lecture.rmsprop,
        lecture.adam,
    ],
)
def test_eta_may_be_a_schedule(build: Callable[..., Any]) -> None:
    """Half as large a displacement and less, once η has fallen to 0 after five updates."""
    constant = displacements(build(0.1), np.ones((10, 1)))
    halved = displacements(build(lambda count: 0.1 * (count < 5)), np.ones((10, 1)))
    np.testing.assert_array_equal(halved[:5], constant[:5])
    assert abs(halved[9, 0]) < 0.6 * abs(constant[9, 0])


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: lecture.momentum(-1.0), "eta"),
        (lambda: lecture.momentum(0.1, gamma=1.5), "gamma"),
        (lambda: lecture.rmsprop(0.1, beta=1.0), "beta"),
        (lambda: lecture.adagrad(0.1, eps=-1.0), "eps"),
        (lambda: lecture.adam(0.1, beta1=1.0), "beta1"),
        (lambda: lecture.adam(0.1, beta2=1.0), "beta2"),
    ],
)
def test_errors_are_in_the_letters_of_the_slide(call: Callable[[], Any], argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be in "):
        call()
