"""The words of others are refused in a sentence that says what to write."""

import re

import jax.numpy as jnp
import optax
import pytest

import gdmethods
from gdmethods.dialects import keras, lecture, torch

SLIPS = [
    (lambda: gdmethods.adam(lr=0.1), "adam has no option 'lr', which is learning_rate here."),
    (lambda: gdmethods.adam(0.1, betas=(0.9, 0.99)), "'betas', which are b1 and b2 here."),
    (lambda: gdmethods.adam(0.1, beta_2=0.99), "'beta_2', which is b2 here."),
    (lambda: gdmethods.adam(0.1, epsilon=1e-7), "'epsilon', which is eps here."),
    (lambda: gdmethods.adam(0.1, mu_dtype=jnp.bfloat16), "which is accumulator_dtype here."),
    (
        lambda: gdmethods.adam(0.1, nesterov=True),
        "since gdmethods.nesterov is a method of its own",
    ),
    (lambda: gdmethods.adam(0.1, weight_decay=0.1), "which gdmethods.adamw has"),
    (lambda: gdmethods.adam(0.1, amsgrad=True), "gdmethods.dialects.torch.adam"),
    (
        lambda: gdmethods.rmsprop(0.1, eps_in_sqrt=True),
        "since each method has its own place for",
    ),
    (lambda: gdmethods.rmsprop(0.1, alpha=0.99), "'alpha', which is decay here."),
    (
        lambda: gdmethods.rmsprop(0.1, initial_accumulator_value=0.1),
        "which is initial_scale here.",
    ),
    (lambda: gdmethods.rprop(0.1, etas=(0.5, 1.2)), "which are eta_minus and eta_plus here."),
    (lambda: gdmethods.sgd(0.1, momentum=0.9), "since gdmethods.momentum is a method, and"),
    (lambda: gdmethods.sgd(0.1, clipnorm=1.0), "clips each gradient by its own norm"),
    (lambda: gdmethods.momentum(0.1, learning_rte=0.1), "'learning_rte', but learning_rate."),
    (lambda: gdmethods.velocity(xyz=0.1), "and its options are momentum, accumulator_dtype."),
    (
        lambda: torch.adam(learning_rate=0.1),
        "torch.adam has no option 'learning_rate', which is lr",
    ),
    (lambda: torch.adam(b1=0.9), "'b1', which is betas here."),
    (lambda: torch.adam(foreach=True), "which sets how PyTorch runs"),
    (lambda: keras.adam(lr=0.1), "which is learning_rate here."),
    (lambda: lecture.adam(learning_rate=0.1), "lecture.adam has no option 'learning_rate', which"),
    (lambda: gdmethods.adamw(0.1, decoupled_weight_decay=True), "since adamw always decouples"),
    (lambda: gdmethods.rprop(betas=0.9), "and its options are learning_rate, eta_minus"),
    (lambda: torch.adam(global_clipnorm=1.0), "is optax.clip_by_global_norm before it"),
    (lambda: torch.sgd(jnp.ones(2), lr=0.1), "does not take the parameters"),
    (lambda: torch.sgd({"w": 1}.values()), "does not take the parameters"),
    (lambda: torch.adam(betas=0.9), "betas must be a pair of numbers, got 0.9."),
    (lambda: torch.rprop(etas=0.5), "etas must be a pair of numbers, got 0.5."),
    (lambda: torch.rprop(step_sizes=[1, 2, 3]), "step_sizes must be a pair of numbers, got [1, 2"),
    (lambda: torch.sgd(iter([1]), lr=0.1), "does not take the parameters: tx.init(params)"),
    (lambda: torch.sgd([1], 0.1), "Write tx = gdmethods.dialects.torch.sgd(lr=…)."),
    (lambda: gdmethods.adam({"w": 1}, 0.1), "Write tx = gdmethods.adam(learning_rate=…)."),
    (lambda: gdmethods.adam("0.1"), "a number in [0, inf) or a schedule, got '0.1'."),
    (
        lambda: gdmethods.adam(0.1, b1=lambda t: 0.9),
        "b1 must be a number in [0, 1), got a function.",
    ),
    (lambda: torch.sgd(momentum=lambda t: 0.9), "momentum must be a number in [0, 1], got a func"),
    (
        lambda: gdmethods.with_float32_master(gdmethods.adam),
        "inner must be a transformation, with",
    ),
]


@pytest.mark.parametrize(("slip", "words"), SLIPS, ids=[words for _, words in SLIPS])
def test_a_slip_is_told_what_to_write(slip, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        slip()


def test_positions_mean_what_they_mean_in_optax():
    """optax.adagrad(0.1, 0.5) is an initial accumulator; it is no eps."""
    for factory in (gdmethods.adagrad, gdmethods.scale_by_rss):
        with pytest.raises(TypeError, match="positional argument"):
            factory(*[0.1, 0.5][: 2 if factory is gdmethods.adagrad else 1])


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("scale_by_adagrad", "scale_by_rss"),
        ("scale_by_rmsprop", "scale_by_rms"),
        ("scale_by_momentum", "velocity"),
        ("trace", "velocity"),
    ],
)
def test_other_names_of_the_cores(name, ours):
    with pytest.raises(AttributeError, match=rf"gdmethods\.{name} is gdmethods\.{ours}"):
        getattr(gdmethods, name)
    with pytest.raises(AttributeError, match="no attribute 'lion'"):
        _ = gdmethods.lion


def test_gains_start_within_their_limits():
    for limits in ({"min_gain": 2.0}, {"max_gain": 0.5}):
        with pytest.raises(ValueError, match="the gain at the start"):
            gdmethods.adaptive_gains(0.1, **limits)


def test_a_loss_that_is_no_number():
    tx, w = gdmethods.rprop(variant="irprop+"), jnp.ones(2)
    with pytest.raises(TypeError, match=r"value must be the loss, a number, got '0\.1'"):
        tx.update(w, tx.init(w), w, value="0.1")


def test_schedules_pass_where_they_may():
    gdmethods.momentum(optax.constant_schedule(0.1), optax.constant_schedule(0.9))
    gdmethods.rmsprop(0.1, momentum=optax.constant_schedule(0.9))
    gdmethods.adaptive_gains(0.1, optax.constant_schedule(0.9))
