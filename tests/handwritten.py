"""Optimizers as people write them, each a rule Δ(s, g, η) over any kind of arrays, and its name.

`s` is what the rule keeps: every field is 0 at first. `x` has the functions of the arrays, which
are those of NumPy, JAX, PyTorch, or of plain numbers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

Rule = Callable[[Any, Any, Any, Any], Any]


class Kept(SimpleNamespace):
    def __getattr__(self, name: str) -> Any:
        return 0.0


NUMBERS = SimpleNamespace(
    sqrt=math.sqrt,
    abs=abs,
    sign=lambda v: math.copysign(1.0, v) if v else 0.0,
    maximum=max,
    where=lambda condition, one, other: one if condition else other,
)


@dataclass(frozen=True)
class Written:
    """A rule, what it should be called, and with which numbers."""

    rule: Rule
    exact: str | None
    numbers: Mapping[str, float] = field(default_factory=dict)
    rate: float = 0.01
    wrong: str = ""


# What is kept, in the papers' lines.


def sgd(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return -rate * g


def momentum(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v - rate * g
    return s.v


def momentum_outside(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.b = 0.5 * s.b + g
    return -rate * s.b


def dampened(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.b = g if s.t == 1 else 0.9 * s.b + (1 - 0.3) * g
    return -rate * s.b


def nesterov_by_old_velocity(s: Any, g: Any, rate: Any, x: Any) -> Any:
    before = s.v
    s.v = 0.9 * s.v - rate * g
    return -0.9 * before + 1.9 * s.v


def nesterov_by_gradient(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v - rate * g
    return 0.9 * s.v - rate * g


def nesterov_outside(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.b = 0.9 * s.b + g
    return -rate * (g + 0.9 * s.b)


def gains(s: Any, g: Any, rate: Any, x: Any) -> Any:
    gain = 1.0 if s.t == 1 else s.gain
    agrees = x.sign(g) * s.sign > 0
    changed = x.where(agrees, gain + 0.05, gain * 0.95)
    if s.t > 1:
        gain = x.where(changed > 10, 10 + 0 * g, x.where(changed < 0.1, 0.1 + 0 * g, changed))
    s.gain, s.sign = gain + 0 * g, x.sign(g)
    return -rate * s.gain * g


def gains_by_velocity(s: Any, g: Any, rate: Any, x: Any) -> Any:
    gain = 1.0 + 0 * g if s.t == 1 else s.gain
    gain = x.where(x.sign(g) * x.sign(s.v + 0 * g) < 0, gain + 0.2, gain * 0.8)
    s.gain = x.where(gain < 0.01, 0.01 + 0 * g, gain)
    s.v = 0.5 * s.v - rate * s.gain * g
    return s.v


def gains_of_tsne(s: Any, g: Any, rate: Any, x: Any) -> Any:
    gain = 1.0 + 0 * g if s.t == 1 else s.gain
    gain = x.where((g > 0) != (s.v + 0 * g > 0), gain + 0.2, gain * 0.8)
    s.gain = x.where(gain < 0.01, 0.01 + 0 * g, gain)
    s.v = 0.5 * s.v - rate * s.gain * g
    return s.v


def adagrad(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = s.s + g * g
    return -rate * g / (x.sqrt(s.s) + 1e-8)


def adagrad_inside(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = s.s + g * g
    return -rate * g / x.sqrt(s.s + 1e-6)


def adagrad_from(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = (0.1 if s.t == 1 else s.s) + g * g
    return -rate * g / (x.sqrt(s.s) + 1e-8)


def adagrad_falling(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = s.s + g * g
    return -rate / (1 + 0.01 * (s.t - 1)) * g / (x.sqrt(s.s) + 1e-10)


def adadelta(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.a = 0.9 * s.a + 0.1 * g * g
    delta = x.sqrt(s.b + 1e-6 + 0 * g) / x.sqrt(s.a + 1e-6) * g
    s.b = 0.9 * s.b + 0.1 * delta * delta
    return -rate * delta


def adadelta_that_is_sgd(s: Any, g: Any, rate: Any, x: Any) -> Any:
    delta = x.sqrt(s.b + 1e-6 + 0 * g) / x.sqrt(s.a + 1e-6 + 0 * g) * g  # a before its update,
    s.a = 0.9 * s.a + 0.1 * g * g  # so that a is b, and δ is g
    s.b = 0.9 * s.b + 0.1 * delta * delta
    return -rate * delta


def rprop(turned: str) -> Rule:
    def rule(s: Any, g: Any, rate: Any, x: Any) -> Any:
        d, sign = rate + 0 * g if s.t == 1 else s.d, x.sign(g)
        agree = sign * s.sign
        longer, shorter = d * 1.3, d * 0.6
        longer = x.where(longer > 20, 20 + 0 * g, longer)
        shorter = x.where(shorter < 1e-5, 1e-5 + 0 * g, shorter)
        s.d = x.where(agree > 0, longer, x.where(agree < 0, shorter, d))
        move = -sign * s.d
        if turned != "moves":
            move = x.where(agree < 0, -s.move + 0 * g if turned == "returns" else 0 * g, move)
            sign = x.where(agree < 0, 0 * g, sign)
        s.sign, s.move = sign, move
        return move

    return rule


def rprop_of_the_lecture(s: Any, g: Any, rate: Any, x: Any) -> Any:
    gain = 1.0 + 0 * g if s.t == 1 else s.gain
    if s.t > 1:
        gain = x.where(x.sign(g) * s.sign > 0, 1.2 * gain, 0.5 * gain)
    s.gain, s.sign = gain, x.sign(g)
    return -rate * gain * s.sign


def rmsprop(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v + 0.1 * g * g
    return -rate * g / (x.sqrt(s.v) + 1e-6)


def rmsprop_inside(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.95 * s.v + 0.05 * g * g
    return -rate * g / x.sqrt(s.v + 1e-7)


def rmsprop_centered(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v + 0.1 * g * g
    s.m = 0.9 * s.m + 0.1 * g
    variance = s.v - s.m * s.m
    return -rate * g / (x.sqrt(x.where(variance < 0, 0 * g, variance)) + 1e-6)


def rmsprop_with_velocity(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v + 0.1 * g * g
    s.d = 0.8 * s.d - rate * g / (x.sqrt(s.v) + 1e-6)
    return s.d


def rmsprop_of_graves(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.n = 0.95 * s.n + 0.05 * g * g
    s.g = 0.95 * s.g + 0.05 * g
    s.d = 0.9 * s.d - rate * g / x.sqrt(s.n - s.g * s.g + 1e-4)
    return s.d


def means(s: Any, g: Any, b1: float = 0.9, b2: float = 0.999) -> None:
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g * g


def adam(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    return -rate * (s.m / (1 - 0.9**s.t)) / (x.sqrt(s.v / (1 - 0.999**s.t)) + 1e-8)


def adam_with_other_numbers(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g, 0.8, 0.97)
    return -rate * (s.m / (1 - 0.8**s.t)) / (x.sqrt(s.v / (1 - 0.97**s.t)) + 3e-5)


def adam_of_section_2(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    rate = rate * math.sqrt(1 - 0.999**s.t) / (1 - 0.9**s.t)
    return -rate * s.m / (x.sqrt(s.v) + 1e-7)


def adam_of_the_lecture(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g, b2=0.99)
    return -rate * (s.m / 0.1) / x.sqrt(s.v / 0.01 + 1e-8)


def amsgrad(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    s.most = x.maximum(s.most + 0 * g, s.v)
    return -rate * (s.m / (1 - 0.9**s.t)) / (x.sqrt(s.most / (1 - 0.999**s.t)) + 1e-8)


def amsgrad_after_correction(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    s.most = x.maximum(s.most + 0 * g, s.v / (1 - 0.999**s.t))
    return -rate * (s.m / (1 - 0.9**s.t)) / (x.sqrt(s.most) + 1e-8)


def adamax(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.m = 0.9 * s.m + 0.1 * g
    s.u = x.maximum(0.999 * s.u + 0 * g, x.abs(g) + 1e-8)
    return -rate / (1 - 0.9**s.t) * s.m / s.u


def nadam(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    ahead = 0.9 * s.m / (1 - 0.9 ** (s.t + 1)) + 0.1 * g / (1 - 0.9**s.t)
    return -rate * ahead / (x.sqrt(s.v / (1 - 0.999**s.t)) + 1e-8)


def lion(s: Any, g: Any, rate: Any, x: Any) -> Any:
    direction = x.sign(0.9 * s.m + 0.1 * g)
    s.m = 0.98 * s.m + 0.02 * g
    return -rate * direction


def sign_descent(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return -rate * x.sign(g)


BETAS = {"b1": 0.9, "b2": 0.999}
GAINS = {"increase": 0.2, "decrease": 0.8, "min_gain": 0.01, "momentum": 0.5}
STEPS = {"eta_plus": 1.3, "eta_minus": 0.6, "min_step_size": 1e-5, "max_step_size": 20.0}

RIGHT: Mapping[str, Written] = {
    "SGD": Written(sgd, "sgd"),
    "momentum": Written(momentum, "momentum", {"momentum": 0.9}),
    "momentum, η outside": Written(momentum_outside, "momentum", {"momentum": 0.5}),
    "dampening": Written(dampened, "torch.sgd", {"momentum": 0.9, "dampening": 0.3}),
    "Nesterov, old velocity": Written(nesterov_by_old_velocity, "nesterov", {"momentum": 0.9}),
    "Nesterov, Keras'": Written(nesterov_by_gradient, "nesterov", {"momentum": 0.9}),
    "Nesterov, PyTorch's": Written(nesterov_outside, "nesterov", {"momentum": 0.9}),
    "gains": Written(gains, "adaptive_gains", {"increase": 0.05, "max_gain": 10.0}),
    "gains by velocity": Written(gains_by_velocity, "adaptive_gains", GAINS),
    "AdaGrad": Written(adagrad, "adagrad", {"eps": 1e-8}),
    "AdaGrad, ε inside": Written(adagrad_inside, "keras.adagrad", {"eps": 1e-6}),
    "AdaGrad from 0.1": Written(adagrad_from, "adagrad", {"initial_accumulator_value": 0.1}),
    "AdaGrad, PyTorch's": Written(adagrad_falling, "torch.adagrad", {"lr_decay": 0.01}),
    "ADADELTA": Written(adadelta, "adadelta", {"rho": 0.9, "eps": 1e-6}, 1.0),
    "ADADELTA, a before": Written(adadelta_that_is_sgd, "sgd", {}, 1.0),
    "Rprop−": Written(rprop("moves"), "rprop", STEPS, 0.1),
    "Rprop+": Written(rprop("returns"), "rprop", STEPS, 0.1),
    "iRprop−": Written(rprop("stays"), "rprop", STEPS, 0.1),
    "Rprop, the lecture's": Written(rprop_of_the_lecture, "lecture.rprop"),
    "RMSProp": Written(rmsprop, "rmsprop", {"decay": 0.9, "eps": 1e-6}),
    "RMSProp, ε inside": Written(rmsprop_inside, "keras.rmsprop", {"decay": 0.95, "eps": 1e-7}),
    "RMSProp, centered": Written(rmsprop_centered, "rmsprop", {"decay": 0.9, "eps": 1e-6}),
    "RMSProp, velocity": Written(rmsprop_with_velocity, "rmsprop", {"momentum": 0.8}),
    "RMSProp, Graves'": Written(rmsprop_of_graves, "keras.rmsprop", {"eps": 1e-4}, 1e-4),
    "Adam": Written(adam, "adam", {**BETAS, "eps": 1e-8}, 1e-3),
    "Adam, other numbers": Written(
        adam_with_other_numbers, "adam", {"b1": 0.8, "b2": 0.97, "eps": 3e-5}, 2e-3
    ),
    "Adam, ε̂": Written(adam_of_section_2, "keras.adam", {**BETAS, "eps": 1e-7}, 1e-3),
    "Adam, the lecture's": Written(adam_of_the_lecture, "lecture.adam", {"b2": 0.99}, 1e-3),
    "AMSGrad": Written(amsgrad, "amsgrad", BETAS, 1e-3),
    "AMSGrad, Optax'": Written(amsgrad_after_correction, "optax.amsgrad", BETAS, 1e-3),
    "Adamax": Written(adamax, "adamax", BETAS, 2e-3),
    "NAdam": Written(nadam, "nadam", BETAS, 2e-3),
    "Lion": Written(lion, "lion", {"b1": 0.9, "b2": 0.98}, 1e-4),
    "sign descent": Written(sign_descent, "sign_sgd"),
}


# One term is wrong.


def adam_from_0(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    one, two = 1 - np.float64(0.9) ** (s.t - 1), 1 - np.float64(0.999) ** (s.t - 1)
    return -rate * (s.m / one) / (x.sqrt(s.v / two) + 1e-8)


def adam_corrected_by(first: Any, second: Any) -> Rule:
    def rule(s: Any, g: Any, rate: Any, x: Any) -> Any:
        means(s, g)
        return -rate * (s.m / first(0.9, s.t)) / (x.sqrt(s.v / second(0.999, s.t)) + 1e-8)

    return rule


def power(b: float, t: int) -> float:
    return 1 - b**t


def nothing(b: float, t: int) -> float:
    return 1.0


def adam_before(s: Any, g: Any, rate: Any, x: Any) -> Any:
    before = s.m
    means(s, g)
    return -rate * (before / (1 - 0.9**s.t)) / (x.sqrt(s.v / (1 - 0.999**s.t)) + 1e-8)


def adam_inside(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    return -rate * (s.m / (1 - 0.9**s.t)) / x.sqrt(s.v / (1 - 0.999**s.t) + 1e-8)


def adam_kept(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    s.m, s.v = s.m / (1 - 0.9**s.t), s.v / (1 - 0.999**s.t)
    return -rate * s.m / (x.sqrt(s.v) + 1e-8)


def nadam_of_blogs(s: Any, g: Any, rate: Any, x: Any) -> Any:
    means(s, g)
    ahead = (0.9 * s.m + 0.1 * g) / (1 - 0.9**s.t)
    return -rate * ahead / (x.sqrt(s.v / (1 - 0.999**s.t)) + 1e-8)


def adamax_beside(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.m = 0.9 * s.m + 0.1 * g
    s.u = x.maximum(0.999 * s.u, x.abs(g))
    return -rate / (1 - 0.9**s.t) * s.m / (s.u + 1e-8)


def rmsprop_without_root(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v + 0.1 * g * g
    return -rate * g / (s.v + 1e-8)


def rmsprop_before(s: Any, g: Any, rate: Any, x: Any) -> Any:
    before = s.v
    s.v = 0.9 * s.v + 0.1 * g * g
    return -rate * g / (x.sqrt(before + 0 * g) + 1e-8)


def rmsprop_shared(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v + 0.1 * x.mean(g * g)
    return -rate * g / (x.sqrt(s.v) + 1e-8)


def adagrad_forgets(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return -rate * g / (x.sqrt(g * g) + 1e-8)


def of_the_norm(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return -rate * g / (x.sqrt((g * g).sum()) + 1e-12)


def adagrad_of_g(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = s.s + g
    return -rate * g / (x.sqrt(s.s) + 1e-8)


def adagrad_of_size(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = s.s + x.abs(g)
    return -rate * g / (x.sqrt(s.s) + 1e-8)


def adagrad_without_epsilon(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.s = s.s + g * g
    return -rate * g / x.sqrt(s.s)


def adadelta_each(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.a = 0.95 * s.a + 0.05 * g * g
    delta = (x.sqrt(s.b) + 1e-6) / (x.sqrt(s.a) + 1e-6) * g
    s.b = 0.95 * s.b + 0.05 * delta * delta
    return -rate * delta


def adadelta_with_rate(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.a = 0.9 * s.a + 0.1 * g * g
    delta = rate * x.sqrt(s.b + 1e-6) / x.sqrt(s.a + 1e-6) * g
    s.b = 0.9 * s.b + 0.1 * delta * delta
    return -delta


def adadelta_after(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.a = 0.9 * s.a + 0.1 * g * g
    delta = x.sqrt(s.b + 1e-6) / x.sqrt(s.a + 1e-6) * g
    s.b = 0.9 * s.b + 0.1 * delta * delta
    return -rate * x.sqrt(s.b + 1e-6) / x.sqrt(s.a + 1e-6) * g


def rprop_remembers(s: Any, g: Any, rate: Any, x: Any) -> Any:
    d, sign = rate + 0 * g if s.t == 1 else s.d, x.sign(g)
    agree = sign * s.sign
    s.d = x.where(agree > 0, x.minimum(d * 1.2, 50), d)
    s.d = x.where(agree < 0, x.maximum(d * 0.5, 1e-6), s.d)
    s.sign = sign
    return -x.where(agree < 0, 0 * g, sign) * s.d


def late(rule: Rule) -> Rule:
    def delayed(s: Any, g: Any, rate: Any, x: Any) -> Any:
        before = s.held + 0 * g
        s.held = rule(s, g, rate, x)
        return before

    return delayed


def climbing(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v - rate * g
    return -s.v


def swapped(s: Any, g: Any, rate: Any, x: Any) -> Any:
    before = s.v
    s.v = 0.9 * s.v - rate * g
    return -0.9 * s.v + 1.9 * before


WRONG: Mapping[str, Written] = {
    "t from 0": Written(adam_from_0, None, {}, 1e-3, "correction of m and v counts steps from 0"),
    "no correction of v": Written(
        adam_corrected_by(power, nothing), None, BETAS, 1e-3, "v has no bias correction"
    ),
    "no correction of m": Written(
        adam_corrected_by(nothing, power), None, BETAS, 1e-3, "m has no bias correction"
    ),
    "no correction": Written(
        adam_corrected_by(nothing, nothing), None, BETAS, 1e-3, "m and v have no bias correction"
    ),
    "t counts by 2": Written(
        adam_corrected_by(lambda b, t: 1 - b ** (2 * t), lambda b, t: 1 - b ** (2 * t)),
        None,
        BETAS,
        1e-3,
        "advances by 2 a step",
    ),
    "t from 2": Written(
        adam_corrected_by(lambda b, t: 1 - b ** (t + 1), lambda b, t: 1 - b ** (t + 1)),
        None,
        BETAS,
        1e-3,
        "counts steps from 2",
    ),
    "m before": Written(adam_before, None, BETAS, 1e-3, "m is used before its update"),
    "ε inside": Written(adam_inside, None, {"eps": 1e-8}, 1e-3, "ε stands inside of the root"),
    "m̂ kept": Written(adam_kept, None, {}, 1e-3, "m and v are stored after bias correction"),
    "NAdam of blogs": Written(nadam_of_blogs, None, BETAS, 1e-3, "divided by 1 − β₁ᵗ, not by"),
    "Adamax, ε beside": Written(adamax_beside, None, BETAS, 2e-3, "ε is added to the maximum"),
    "no root": Written(rmsprop_without_root, None, {"decay": 0.9}, 0.01, "square root is missing"),
    "ν before": Written(rmsprop_before, None, {"decay": 0.9}, 0.01, "ν is used before its update"),
    "ν shared": Written(rmsprop_shared, None, {"decay": 0.9}, 0.01, "one accumulator is shared"),
    "s forgotten": Written(adagrad_forgets, None, {}, 0.01, "only the last g² counts"),
    "g summed": Written(adagrad_of_g, None, {}, 0.01, "g is summed and not g²"),
    "|g| summed": Written(adagrad_of_size, None, {"eps": 1e-8}, 0.01, "|g| is summed and not g²"),
    "of the norm": Written(of_the_norm, None, {"eps": 1e-12}, 0.01, "it sums g² over all weights"),
    "no ε": Written(adagrad_without_epsilon, None, {"eps": 0.0}, 0.01, "it gives inf or NaN"),
    "ε outside of both roots": Written(adadelta_each, None, {"rho": 0.95}, 1.0, "of each root"),
    "η in b": Written(adadelta_with_rate, None, {"rho": 0.9}, 0.1, "gathers η δ, not δ"),
    "b after": Written(adadelta_after, None, {"rho": 0.9}, 1.0, "b is used after its update"),
    "the turn remembered": Written(rprop_remembers, None, {}, 0.1, "is not forgotten"),
    "t-SNE's zero": Written(gains_of_tsne, None, GAINS, 0.01, "0 counts as a minus sign"),
    "a step late": Written(
        late(momentum), None, {}, 0.01, "the update is that of the step before"
    ),
    "Adam late": Written(late(adam), None, BETAS, 1e-3, "the update is that of the step before"),
    "climbing": Written(climbing, None, {"momentum": 0.9}, 0.01, "it climbs"),
    "velocities swapped": Written(swapped, None, {"momentum": 0.9}, 0.01, "are swapped"),
}


# No rule that is known.


def clipped(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return adam(s, x.clip(g, -1, 1), rate, x)


def restarted(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * x.where(s.v * g > 0, 0 * g, s.v + 0 * g) - rate * g
    return s.v


def adabelief(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.m = 0.9 * s.m + 0.1 * g
    s.v = 0.999 * s.v + 0.001 * (g - s.m) ** 2 + 1e-16
    return -rate * (s.m / (1 - 0.9**s.t)) / (x.sqrt(s.v / (1 - 0.999**s.t)) + 1e-16)


def yogi(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.m = 0.9 * s.m + 0.1 * g
    s.v = s.v - 0.001 * x.sign(s.v - g * g) * g * g
    return -rate * s.m / (x.sqrt(s.v) + 1e-3)


def smorms3(s: Any, g: Any, rate: Any, x: Any) -> Any:
    memory = 1.0 if s.t == 1 else s.memory
    r = 1 / (memory + 1)
    s.m, s.v = (1 - r) * s.m + r * g, (1 - r) * s.v + r * g * g
    part = s.m * s.m / (s.v + 1e-16)
    s.memory = 1 + memory * (1 - part)
    return -g * x.minimum(rate, part) / (x.sqrt(s.v) + 1e-16)


def saturating(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return -rate * x.tanh(g)


def cubic(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.v = 0.9 * s.v + g**3
    return -rate * s.v


def quasi_hyperbolic(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.m = 0.999 * s.m + 0.001 * g
    return -rate * (0.3 * g + 0.7 * s.m)


def two_velocities(s: Any, g: Any, rate: Any, x: Any) -> Any:
    s.fast, s.slow = 0.5 * s.fast + g, 0.99 * s.slow + g
    return -rate * (s.fast + s.slow) / 2


def warmed(s: Any, g: Any, rate: Any, x: Any) -> Any:
    return min(1.0, s.t / 7) * adam(s, g, rate, x)


UNKNOWN: Mapping[str, Rule] = {
    "Adam of clipped gradients": clipped,
    "momentum that restarts": restarted,
    "AdaBelief": adabelief,
    "Yogi": yogi,
    "SMORMS3": smorms3,
    "tanh": saturating,
    "cubes": cubic,
    "quasi-hyperbolic momentum": quasi_hyperbolic,
    "two velocities": two_velocities,
    "Adam that warms up": warmed,
}


# The styles in which a rule is written.


def returned(rule: Rule, rate: float, x: Any = np) -> Callable[[], Any]:
    def make() -> Any:
        s = Kept(t=0)

        def step(w: Any, g: Any) -> Any:
            s.t += 1
            return w + rule(s, g, rate, x)

        return step

    return make


def in_place(rule: Rule, rate: float, x: Any = np) -> Callable[[], Any]:
    def make() -> Any:
        s = Kept(t=0)

        def step(w: Any, g: Any) -> None:
            s.t += 1
            w += rule(s, g, rate, x)

        return step

    return make


def with_argument(rule: Rule, rate: float, x: Any = np) -> Callable[[], Any]:
    def make() -> Any:
        s = Kept(t=0)

        def step(w: Any, g: Any, lr: Any) -> Any:
            s.t += 1
            return w + rule(s, g, lr, x)

        return step

    return make


def by_function(rule: Rule, rate: float, x: Any = np) -> Callable[[], Any]:
    def make() -> Any:
        s = Kept(t=0)

        def step(w: Any, grad: Any) -> Any:
            s.t += 1
            return w + rule(s, grad(w), rate, x)

        return step

    return make


def of_numbers(rule: Rule, rate: float) -> Callable[[], Any]:
    return returned(rule, rate, NUMBERS)


def in_float32(rule: Rule, rate: float) -> Callable[[], Any]:
    def make() -> Any:
        s = Kept(t=0)

        def step(w: Any, g: Any) -> Any:
            s.t += 1
            return w.astype(np.float32) + rule(s, g.astype(np.float32), np.float32(rate), np)

        return step

    return make
