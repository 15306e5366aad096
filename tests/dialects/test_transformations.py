"""A dialect is an ordinary transformation: its contract, schedules and injection as everywhere."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdmethods.dialects import keras, lecture, torch
from gdmethods.testing import assert_contract

DECAYS = {"allow": {"zero_gradient": "weight decay moves a weight that has no gradient"}}
SIGNS = {"claims": ["scale_invariance"]}
DIALECTS: dict[str, tuple[Callable[[], optax.GradientTransformationExtraArgs], Any]] = {
    "torch.sgd": (torch.sgd, {}),
    "torch.sgd, all": (
        lambda: torch.sgd(0.1, momentum=0.9, dampening=0.1, weight_decay=0.1, maximize=True),
        DECAYS,
    ),
    "torch.adagrad": (lambda: torch.adagrad(lr_decay=0.1, weight_decay=0.1), DECAYS),
    "torch.adadelta": (torch.adadelta, {}),
    "torch.rprop": (torch.rprop, SIGNS),
    "torch.rmsprop": (lambda: torch.rmsprop(momentum=0.9, centered=True), {}),
    "torch.adam": (lambda: torch.adam(amsgrad=True, weight_decay=0.1), DECAYS),
    "keras.sgd": (lambda: keras.sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.1), DECAYS),
    "keras.adagrad": (keras.adagrad, {}),
    "keras.adadelta": (keras.adadelta, {}),
    "keras.rmsprop": (
        lambda: keras.rmsprop(momentum=0.9, centered=True, weight_decay=0.1),
        DECAYS,
    ),
    "keras.adam": (lambda: keras.adam(amsgrad=True, weight_decay=0.1), DECAYS),
    "lecture.momentum": (lambda: lecture.momentum(0.1), {}),
    "lecture.nesterov": (lambda: lecture.nesterov(0.1), {}),
    "lecture.adaptive_gains": (lambda: lecture.adaptive_gains(0.1), {}),
    "lecture.adagrad": (lambda: lecture.adagrad(0.1), {}),
    "lecture.adadelta": (lambda: lecture.adadelta(0.1), {}),
    "lecture.rprop": (lambda: lecture.rprop(0.1), SIGNS),
    "lecture.rmsprop": (lecture.rmsprop, {}),
    "lecture.adam": (lecture.adam, {}),
}


# One with options around a rule; make proofs holds the others to it too.
QUICK = {"torch.sgd, all"}


@pytest.mark.parametrize(
    ("build", "promises"),
    [
        pytest.param(*row, id=name, marks=[] if name in QUICK else pytest.mark.proof)
        for name, row in DIALECTS.items()
    ],
)
def test_the_contract(
    build: Callable[[], optax.GradientTransformationExtraArgs], promises: Any
) -> None:
    assert_contract(build, **promises)


@pytest.mark.parametrize(
    ("build", "rate"),
    [
        (torch.sgd, "lr"),
        (torch.adagrad, "lr"),
        (torch.adadelta, "lr"),
        (torch.rmsprop, "lr"),
        (torch.adam, "lr"),
        (keras.sgd, "learning_rate"),
        (keras.adagrad, "learning_rate"),
        (keras.adadelta, "learning_rate"),
        (keras.rmsprop, "learning_rate"),
        (keras.adam, "learning_rate"),
        (lecture.rprop, "eta"),
        (lecture.adam, "eta"),
    ],
)
def test_a_rate_may_be_swept_and_injected(build: Callable[..., Any], rate: str) -> None:
    """The first displacement is in proportion to the rate, decay of the weights included."""
    params = jnp.array([1.0, -2.0])

    def first(tx: optax.GradientTransformation) -> jax.Array:
        return tx.update(params, tx.init(params), params)[0]

    with jax.disable_jit():
        swept = jax.vmap(lambda r: first(build(**{rate: r})))(jnp.array([0.1, 0.2]))
        injected = first(optax.inject_hyperparams(build)(**{rate: 0.1}))
    np.testing.assert_allclose(2 * swept[0], swept[1], rtol=1e-5)
    np.testing.assert_allclose(injected, swept[0], rtol=1e-5)


@pytest.mark.proof
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize(
    "build",
    [
        lambda beta, amsgrad: keras.adam(0.1, beta_1=beta, amsgrad=amsgrad),
        lambda beta, amsgrad: keras.adam(0.1, beta_2=beta, amsgrad=amsgrad),
        lambda beta, amsgrad: torch.adam(0.1, (beta, 0.999), amsgrad=amsgrad),
        lambda beta, amsgrad: torch.adam(0.1, (0.9, beta), amsgrad=amsgrad),
    ],
    ids=["keras.beta_1", "keras.beta_2", "torch.betas[0]", "torch.betas[1]"],
)
def test_a_beta_of_zero_has_a_derivative(build: Callable[..., Any], amsgrad: bool) -> None:
    """That of a parabola through 0, h and 2h, since none is below 0."""

    def moved(beta: jax.Array) -> Any:
        tx = build(beta, amsgrad)
        state, total = tx.init(jnp.zeros(2)), 0.0
        for g in (1.0, -0.5, 2.0):
            updates, state = tx.update(jnp.array([g, 0.0]), state)
            total += updates[0]
        return total

    h = 1e-6
    with jax.enable_x64(True):
        values = jax.vmap(moved)(jnp.array([0.0, h, 2 * h]))
        slope = (4 * values[1] - values[2] - 3 * values[0]) / (2 * h)
        np.testing.assert_allclose(jax.grad(moved)(0.0), slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: torch.sgd(lr=-1.0), "lr must be in"),
        (lambda: torch.sgd(nesterov=True), "nesterov=True needs a momentum > 0 and dampening=0"),
        (lambda: torch.adam(betas=(0.9, 1.0)), r"betas\[1\] must be in \[0, 1\)"),
        (lambda: torch.rmsprop(alpha=1.0), "alpha must be in"),
        (lambda: torch.rprop(etas=(0.5, 0.9)), r"etas\[1\] must be in \(1, inf\)"),
        (lambda: torch.rprop(step_sizes=(1.0, 0.5)), r"step_sizes\[0\] must not exceed"),
        (lambda: keras.adam(beta_2=1.0), "beta_2 must be in"),
        (lambda: keras.rmsprop(rho=2.0), "rho must be in"),
        (lambda: keras.adam(epsilon=-1.0), "epsilon must be in"),
        (lambda: keras.adam(weight_decay=-1.0), "weight_decay must be in"),
    ],
)
def test_errors_are_in_the_words_of_the_peer(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_what_a_dialect_does_not_have_is_refused_with_the_reason() -> None:
    with pytest.raises(TypeError, match=r"torch\.adam has no option 'foreach', which sets how"):
        torch.adam(foreach=True)
    with pytest.raises(TypeError, match=r"keras\.adam has no option 'clipvalue', .* optax\.clip"):
        keras.adam(clipvalue=1.0)
    with pytest.raises(TypeError, match="no option 'learningrate', but learning_rate"):
        keras.adam(learningrate=1.0)
    with pytest.raises(TypeError, match="cannot be a schedule"):
        torch.rprop(lambda count: 0.1)


def test_nothing_is_promoted_in_silence() -> None:
    w = {"w": jnp.ones(2, jnp.bfloat16)}
    with jax.numpy_dtype_promotion("strict"):
        for build, _ in DIALECTS.values():
            tx = build()
            tx.update(w, tx.init(w), w)


def test_pairs_may_be_arrays() -> None:
    for betas in ((0.9, 0.99), [0.9, 0.99], np.array([0.9, 0.99]), jnp.array([0.9, 0.99])):
        torch.adam(betas=betas)
    torch.rprop(etas=np.array([0.5, 1.2]))


def test_weight_decay_asks_for_the_parameters() -> None:
    tx = torch.sgd(0.1, weight_decay=0.1)
    w = jnp.ones(2)
    with pytest.raises(ValueError, match=r"tx\.update\(grads, state, params\)"):
        tx.update(w, tx.init(w))
