"""Families of rules: each a rule of one weight in the papers' lines, with switches.

A rule gets the gradient, its slots, which start at 0, its numbers and its
switches, and returns the displacement against the gradient. Numbers may be
arrays of shape (n, 1), which walks n rules of different numbers at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gdmethods.testing.identify._probes import Array

Numbers = Mapping[str, Any]
Settings = Mapping[str, Any]


class Slots:
    """What a rule keeps between two steps; each slot is 0 until it is written."""

    t: int
    inner: float
    outer: float

    def __getattr__(self, name: str) -> Any:
        return 0.0

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...


@dataclass(frozen=True)
class Rule:
    """A family and the switches that are not at their default.

    Attributes:
      family: its name in `FAMILIES`.
      switches: pairs of a switch and its value.
    """

    family: str
    switches: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def settings(self) -> Settings:
        """All its switches."""
        return {**FAMILIES[self.family].defaults, **dict(self.switches)}

    def __getitem__(self, switch: str) -> Any:
        return self.settings[switch]

    def having(self, **switches: Any) -> "Rule":
        defaults = FAMILIES[self.family].defaults
        set_ = {k: v for k, v in {**self.settings, **switches}.items() if v != defaults[k]}
        return Rule(self.family, tuple(set_.items()))

    def differences(self, other: "Rule") -> tuple[str, ...]:
        """The switches that are set otherwise."""
        return tuple(k for k in FAMILIES[self.family].defaults if self[k] != other[k])

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of its numbers, other than the learning rate."""
        return FAMILIES[self.family].numbers(self)


@dataclass(frozen=True)
class Family:
    """Attributes:
    step: the rule of one weight.
    defaults: its switches.
    edits: the values to try for each switch.
    numbers: the names of a rule's numbers.
    """

    step: Callable[[Array, Slots, Numbers, Settings], Any]
    defaults: Mapping[str, Any]
    edits: Mapping[str, tuple[Any, ...]]
    numbers: Callable[[Rule], tuple[str, ...]]


def moves(
    rule: Rule,
    p: Numbers,
    gradients: Array,
    rates: Array | None = None,
    inside: bool = True,
    decay: Any = 0.0,
) -> Array:
    """The displacements that the gradients get; shape (steps, n, weights), or (steps, weights).

    `rates` are the learning rates of the steps, inside or outside of a velocity; `decay` is λ w,
    which is added to each gradient.
    """
    s, step, settings, held = Slots(), FAMILIES[rule.family].step, rule.settings, 0.0
    shape = np.broadcast_shapes(gradients[0].shape, *(np.shape(value) for value in p.values()))
    out = np.empty((len(gradients), *shape))
    with np.errstate(all="ignore"):
        for t, g in enumerate(gradients, 1):
            rate = 1.0 if rates is None else rates[t - 1]
            s.t, s.inner, s.outer = t, rate if inside else 1.0, 1.0 if inside else rate
            move = step(g + decay, s, p, settings)
            if settings["lag"]:
                move, held = held, move
            out[t - 1] = move
    return -out


def linear(g: Array, s: Slots, p: Numbers, r: Settings) -> Any:
    if r["velocity"] == "none":
        return s.inner * s.outer * g
    mu, before = p["momentum"], s.velocity
    x = (1 - p["dampening"]) * g if r["dampening"] and s.t > 1 else g
    s.velocity = mu * s.velocity + s.inner * x
    return (
        s.outer
        * {
            "velocity": lambda: s.velocity,
            "nesterov": lambda: mu * s.velocity + s.inner * x,
            "swapped": lambda: (1 + mu) * before - mu * s.velocity,
        }[r["velocity"]]()
    )


SQUARES: Mapping[str, Callable[[Any], Any]] = {
    "square": lambda g: g * g,
    "abs": np.abs,
    "raw": lambda g: g,
}
CORRECTIONS: Mapping[str, Callable[[Any, int], Any]] = {
    "none": lambda b, t: 1.0,
    "power": lambda b, t: 1 - b**t,
    "first": lambda b, t: 1 - b,
    "t-1": lambda b, t: 1 - b ** (t - 1),
    "t+1": lambda b, t: 1 - b ** (t + 1),
    "2t": lambda b, t: 1 - b ** (2 * t),
    "kept": lambda b, t: 1 - b**t,
}


def root(g: Array, s: Slots, p: Numbers, r: Settings) -> Any:
    b1, b2, eps = p.get("b1", 0.0), p.get("b2", 0.0), p["eps"]
    square = SQUARES[r["of"]](g)
    if r["shared"] != "no":
        square = getattr(np, r["shared"])(square, axis=-1, keepdims=True)
    if s.t == 1:
        s.v = p.get("s0", 0.0)
    m_before, v_before = s.m, s.v
    s.m = b1 * s.m + (1 - b1) * g
    s.v = {
        "mean": lambda: b2 * s.v + (1 - b2) * square,
        "sum": lambda: s.v + square,
        "last": lambda: square,
        "norm": lambda: np.maximum(b2 * s.v, np.abs(g) + (eps if r["eps"] == "inside" else 0.0)),
    }[r["v"]]()
    correction1 = CORRECTIONS[r["correction1"]](b1, s.t)
    correction2 = CORRECTIONS[r["correction2"]](b2, s.t)

    v = v_before if r["before"] else s.v
    if r["largest"] == "v":
        v = s.largest = np.maximum(s.largest, v)
    v = v / correction2
    if r["largest"] == "v̂":
        v = s.largest = np.maximum(s.largest, v)
    if r["correction2"] == "kept":
        s.v = v
    if r["centered"]:
        s.mean = b2 * s.mean + (1 - b2) * g
        v = np.maximum(v - s.mean * s.mean, 0)
    below = v + eps if r["eps"] == "inside" and r["v"] != "norm" else v
    if r["root"] and r["v"] != "norm":
        below = np.sqrt(below)
    below = {
        "inside": lambda: below,
        "outside": lambda: below + eps,
        "hat": lambda: below + eps / np.sqrt(correction2),
        "max": lambda: np.maximum(below, eps),
        "after": lambda: below,
    }[r["eps"]]()

    ahead1 = CORRECTIONS["t+1"](b1, s.t) if r["next"] else correction1
    above = {
        "g": lambda: g,
        "m": lambda: s.m / correction1,
        "m before": lambda: m_before / correction1,
        "nadam": lambda: b1 * s.m / ahead1 + (1 - b1) * g / correction1,
    }[r["above"]]()
    if r["correction1"] == "kept":
        s.m = s.m / correction1
    x = above / below
    if r["eps"] == "after":
        x = x + eps
    if r["falling"]:
        x = x / (1 + (s.t - 1) * p["lr_decay"])
    if r["velocity"] == "none":
        return s.inner * s.outer * x
    s.velocity = p["momentum"] * s.velocity + s.inner * x
    ahead = r["velocity"] == "nesterov"
    return s.outer * (p["momentum"] * s.velocity + s.inner * x if ahead else s.velocity)


def adadelta(g: Array, s: Slots, p: Numbers, r: Settings) -> Any:
    rho, eps, a_before = p["rho"], p["eps"], s.a
    s.a = rho * s.a + (1 - rho) * g * g
    a = a_before if r["before"] else s.a

    def over_root(b: Any) -> Any:
        if r["eps"] == "outside":
            return (np.sqrt(b) + eps) / (np.sqrt(a) + eps) * g
        return np.sqrt(b + eps) / np.sqrt(a + eps) * g

    x = over_root(s.b)
    s.b = rho * s.b + (1 - rho) * (p.get("eta", 1.0) * x) ** 2
    return s.inner * s.outer * (over_root(s.b) if r["b"] == "after" else x)


def rprop(g: Array, s: Slots, p: Numbers, r: Settings) -> Any:
    if s.t == 1:
        s.d = 1.0 + 0.0 * g
    sign = np.sign(g)
    agrees = sign * s.sign
    if s.t == 1 and r["first"] != "keep":
        agrees = 1.0 if r["first"] == "grow" else -1.0
    longer = np.minimum(s.d * p["up"], p.get("most", np.inf))
    shorter = np.maximum(s.d * p["down"], p.get("least", 0.0))
    d = np.where(agrees > 0, longer, np.where(agrees < 0, shorter, s.d))
    if r["zero"] == "shorten" and (s.t > 1 or r["first"] != "keep"):
        d = np.where(agrees == 0, shorter, d)
    turned = (agrees < 0) & (s.t > 1)
    move = (g if r["size"] == "g" else sign) * (s.d if r["before"] else d)
    s.sign, s.d = sign, d
    if r["turned"] != "moves":
        move = np.where(turned, 0.0 if r["turned"] == "stays" else -s.move, move)
        if r["forgets"]:
            s.sign = np.where(turned, 0.0, sign)
    s.move, before = move, s.move
    return s.outer * (np.where(turned, 0.0, before) if r["late"] else move)


def gains(g: Array, s: Slots, p: Numbers, r: Settings) -> Any:
    if s.t == 1:
        s.gain = 1.0 + 0.0 * g
    by_gradient = r["agreement"] == "gradient"
    agrees = g * (s.sign if by_gradient else np.sign(s.velocity))
    if r["zero"] == "minus":
        agrees = np.where((g > 0) != (-s.velocity > 0), 1.0, -1.0)
    if r["turned"]:
        agrees = -agrees
    larger = s.gain + p["increase"] if r["grows"] == "add" else s.gain * (1 + p["increase"])
    gain = np.where(agrees > 0, larger, s.gain * p["decrease"])
    gain = np.clip(gain, p.get("least", 0.0), p.get("most", np.inf))
    if s.t == 1 and by_gradient and r["first"] == "keep":
        gain = s.gain
    used = s.gain if r["before"] else gain
    s.velocity = p.get("momentum", 0.0) * s.velocity + s.inner * used * g
    s.sign, s.gain = np.sign(g), gain
    return s.outer * s.velocity


def signs(g: Array, s: Slots, p: Numbers, r: Settings) -> Any:
    b1, b2 = p.get("b1", 0.0), p.get("b2", 0.0)
    if r["memory"] == "none":
        return s.inner * s.outer * np.sign(g)
    mixed = b1 * s.m + (1 - b1) * g
    s.m = b2 * s.m + (1 - b2) * g
    return s.inner * s.outer * np.sign(mixed)


def _root_numbers(r: Rule) -> tuple[str, ...]:
    names = {
        "b1": r["above"] != "g",
        "b2": r["v"] in ("mean", "norm") or r["centered"],
        "eps": True,
        "momentum": r["velocity"] != "none",
        "s0": r["starts"],
        "lr_decay": r["falling"],
    }
    return tuple(name for name, has in names.items() if has)


KINDS = ("none", "power", "t-1", "t+1", "2t", "kept")  # "first" is another rate and ε
FAMILIES: Mapping[str, Family] = {
    "linear": Family(
        linear,
        {"velocity": "none", "dampening": False, "lag": False},
        {"velocity": ("velocity", "nesterov", "swapped"), "dampening": (True,), "lag": (True,)},
        lambda r: ("momentum",) * (r["velocity"] != "none") + ("dampening",) * r["dampening"],
    ),
    "root": Family(
        root,
        {
            "above": "g",
            "next": True,
            "of": "square",
            "v": "mean",
            "starts": False,
            "correction1": "none",
            "correction2": "none",
            "largest": "no",
            "before": False,
            "centered": False,
            "root": True,
            "eps": "outside",
            "falling": False,
            "velocity": "none",
            "shared": "no",
            "lag": False,
        },
        {
            "above": ("g", "m", "m before", "nadam"),
            "next": (False,),
            "of": ("abs", "raw"),
            "v": ("mean", "sum", "last", "norm"),
            "starts": (True,),
            "correction1": KINDS,
            "correction2": KINDS,
            "largest": ("v", "v̂"),
            "before": (True,),
            "centered": (True,),
            "root": (False,),
            "eps": ("outside", "inside", "hat", "max", "after"),
            "falling": (True,),
            "velocity": ("velocity", "nesterov"),
            "lag": (True,),
        },
        _root_numbers,
    ),
    "adadelta": Family(
        adadelta,
        {"eps": "inside", "b": "of δ", "before": False, "lag": False},
        {"eps": ("outside",), "b": ("of ηδ", "after"), "before": (True,), "lag": (True,)},
        lambda r: ("rho", "eps") + ("eta",) * (r["b"] == "of ηδ"),
    ),
    "rprop": Family(
        rprop,
        {
            "turned": "stays",
            "forgets": True,
            "zero": "keeps",
            "first": "keep",
            "size": "sign",
            "before": False,
            "late": False,
            "lag": False,
        },
        {
            "turned": ("stays", "returns", "moves"),
            "forgets": (False,),
            "zero": ("keeps", "shorten"),
            "first": ("grow", "shrink"),
            "size": ("g",),
            "before": (True,),
            "late": (True,),
            "lag": (True,),
        },
        lambda r: ("up", "down"),
    ),
    "gains": Family(
        gains,
        {
            "agreement": "gradient",
            "zero": "disagrees",
            "turned": False,
            "grows": "add",
            "first": "keep",
            "velocity": "none",
            "before": False,
            "lag": False,
        },
        {
            "agreement": ("gradient", "velocity"),
            "zero": ("minus",),
            "turned": (True,),
            "grows": ("multiply",),
            "first": ("adapts",),
            "velocity": ("none", "velocity"),
            "before": (True,),
            "lag": (True,),
        },
        lambda r: ("increase", "decrease") + ("momentum",) * (r["velocity"] != "none"),
    ),
    "signs": Family(
        signs,
        {"memory": "none", "lag": False},
        {},
        lambda r: () if r["memory"] == "none" else ("b1", "b2"),
    ),
}


def edits(rule: Rule) -> Iterator[Rule]:
    """The rules that are one edit away."""
    for switch, values in FAMILIES[rule.family].edits.items():
        for value in values:
            if value == rule[switch]:
                continue
            if switch == "correction1" and rule["above"] == "g":
                continue
            if switch == "next" and rule["above"] != "nadam":
                continue
            if switch == "correction1" and rule["correction1"] == rule["correction2"]:
                yield rule.having(correction1=value, correction2=value)  # one counter for both
            yield rule.having(**{switch: value})
