"""From updates to a rule: first the rules that have a name, then rules that are one edit away.

A rule is found if it gives all updates that were seen. Few steps of few weights
are enough to discard a wrong rule.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gdmethods.testing.identify._conventions import CONVENTIONS, Convention
from gdmethods.testing.identify._families import FAMILIES, Rule, edits
from gdmethods.testing.identify._fit import (
    Fit,
    Record,
    fit,
    rounded,
)
from gdmethods.testing.identify._laws import Laws
from gdmethods.testing.identify._probes import Array, Flags

SCREENED = {"linear": 8, "root": 7, "adadelta": 9, "rprop": 6, "gains": 3, "signs": 8}
STRUCTURE = {"above", "v", "largest", "velocity", "centered", "agreement"}
CHEAP = {"linear", "rprop", "gains"}  # families of few rules
CLOSEST = 5  # of the rules with a name, whose edits are tried first
LEAST_SHARE = 0.3  # of the updates that agree, for "nearest" to be said
BETTER = 0.03  # that a later rule, which has more numbers, must agree on


@dataclass(frozen=True)
class Near:
    """The convention that most updates agree with.

    Attributes:
      convention: that one.
      fit: with its numbers.
      share: the share of updates that agree, of those that are not 0.
      where: the condition under which the others differ.
    """

    convention: Convention
    fit: Fit
    share: float
    where: str


def families(record: Record, laws: Laws) -> list[str]:
    """The families that could have this rule."""
    if not laws.alone:
        return ["root"]
    if laws.signs:
        steps = np.abs(record.updates[np.isfinite(record.updates) & (record.updates != 0)])
        constant = len(steps) > 0 and np.ptp(steps) < 1e-5 * steps.max()
        return ["signs"] if constant else ["rprop", "root"]
    if laws.linear:
        return ["linear"]
    return ["gains", "linear"] if laws.homogeneous else ["root", "adadelta"]


class Search:
    """The search among families for the rule of a record."""

    def __init__(
        self,
        record: Record,
        few: Any,
        families: list[str],
        tolerance: float,
        *,
        shared: bool = False,
        memory: bool = True,
        limits: Callable[[Fit], Fit] = lambda hit: hit,
    ) -> None:
        self.record, self.few, self.families = record, few, families
        self.tolerance, self.shared, self.memory = tolerance, shared, memory
        self.limits = limits
        self.tried: dict[Rule, Fit] = {}
        self.hits: list[Fit] = []

    def found(self) -> Fit | None:
        """The simplest rule that gives all updates."""
        self._try(rule for c in self._conventions() for rule in self._rules(c))
        if not self.hits:
            closest = sorted(self.tried, key=lambda rule: self.tried[rule].cost)[:CLOSEST]
            self._try(edit for rule in closest for edit in edits(rule))
        if not self.hits:
            bases = [
                base
                for c in self._conventions()
                for rule in (c.rules() if c.rule.family in CHEAP else [c.rule])
                for base in self._sharing(rule)
            ]
            self._try(edit for base in bases for edit in edits(base))
        for hit in tuple(self.hits):  # the same terms may be wrong in a simpler rule
            _, switches = nearest_convention(hit.rule)
            terms = {switch: hit.rule[switch] for switch in switches}
            self._try(
                c.rule.having(**terms)
                for c in self._conventions()
                if terms and c.rule.family == hit.rule.family
            )
        self.hits = sorted(self.hits, key=self._rank)
        return self.hits[0] if self.hits else None

    def alike(self) -> list[Fit]:
        """The other rules that gave all updates, with no more numbers."""
        return [
            hit for hit in self.hits[1:] if len(hit.rule.numbers) <= len(self.hits[0].rule.numbers)
        ]

    def _conventions(self) -> Iterator[Convention]:
        for family in self.families:
            yield from (c for c in CONVENTIONS if c.rule.family == family)

    def _rules(self, convention: Convention) -> Iterator[Rule]:
        for rule in convention.rules():
            yield from self._sharing(rule)

    def _sharing(self, rule: Rule) -> Iterator[Rule]:
        if not self.shared:
            yield rule
        elif rule.family == "root":
            yield rule.having(shared="mean")
            yield rule.having(shared="sum")

    def _try(self, rules: Iterable[Rule]) -> None:
        for rule in rules:
            if rule not in self.tried and (self.memory or not remembers(rule)):
                candidate = self.tried[rule] = self._screened(rule)
                if candidate.cost < max(self.tolerance**2, 1e-16) * 1e2:
                    hit = self._verified(candidate)
                    if hit is not None:
                        self.hits.append(hit)

    def _rank(self, hit: Fit) -> tuple[Any, ...]:
        """The order of rules: exact before nearly exact, near to a convention, then simple."""
        best = min(h.error for h in self.hits)
        _, away = nearest_convention(hit.rule)
        return (
            hit.error > 100 * max(best, 1e-13),
            _away(hit.rule, away),
            len(hit.numbers),
            sum(len(f"{value:.9g}") for value in (hit.rate, *hit.numbers.values())),
            len(hit.rule.switches),
        )

    def _screened(self, rule: Rule) -> Fit:
        few = slice(None) if self.shared else self.few
        part = self.record.part(SCREENED[rule.family], few)
        if rule.family == "rprop":
            return _rprop(rule, self.record, part)
        if rule.family == "signs":
            return fit(rule, self.record, first=_betas(rule), starts=1, iterations=0)
        if rule.family == "gains":
            return fit(rule, part, first=_gains(rule, self.record), starts=6)
        named = not nearest_convention(rule)[1]
        return fit(rule, part, starts=6 if named else 3)  # patience with those that have a name

    def _verified(self, candidate: Fit) -> Fit | None:
        """The rule on all updates, with refined numbers; None if some updates differ."""
        hit, few = candidate, slice(None) if self.shared else self.few
        if hit.rule.family == "gains":  # the limits are reached later
            hit = self.limits(self._short(hit, self.record.part(SCREENED["gains"])))
        elif hit.rule.family == "rprop":
            hit = self.limits(self._short(hit, self.record.part(SCREENED["rprop"])))
        elif hit.rule.family == "signs":
            hit = replace(hit, numbers={k: round(v, 6) for k, v in hit.numbers.items()})
        elif hit.rule.numbers:
            part = self.record.part(30, few)
            hit = self._short(fit(hit.rule, part, first=[hit.numbers], iterations=12), self.record)
        else:
            hit = self._short(hit, self.record)
        hit = simpler(hit, self.record).judged(self.record)
        return hit if hit.error < self.tolerance else None

    def _short(self, hit: Fit, record: Record) -> Fit:
        return rounded(hit, record, self.tolerance / 3 if self.tolerance > 1e-7 else 1e-13)

    def nearest(self) -> Near | None:
        """The convention that gives most of the updates, if enough of them."""
        best: Near | None = None
        if not self.shared and "linear" not in self.families:
            self.families = ["linear", *self.families]
        for convention in self._conventions():
            if not self.memory and remembers(convention.rule):
                continue
            for tried in self._partly(convention.rule):
                if simpler(tried, self.record).rule != tried.rule:
                    continue  # it is this rule by name only
                found = near(tried, self.record, max(1e-6, self.tolerance), convention)
                if found and (best is None or found.share > best.share + BETTER):
                    best = found
        return best

    def _partly(self, rule: Rule) -> Iterator[Fit]:
        """Fits to weights with small gradients, with large ones, with one sign, and to most."""
        if rule.family == "signs":
            return
        g = self.record.gradients
        biggest = np.abs(g).max(0)
        groups = {
            "small": biggest < 1e-3,
            "large": (biggest > 1e-3) & (biggest < 0.9),
            "of one sign": (g >= 0).all(0) & (biggest > 0),
        }
        steps = 12 if rule.family != "gains" else 4
        for weights in groups.values():
            if weights.sum() > 3 and weights.sum() < len(weights):
                part = self.record.part(steps, weights)
                tried = fit(rule, part) if rule.family != "rprop" else _rprop(rule, part, part)
                yield self._short(tried, part)
        if rule.family != "rprop":
            part = self.record.part(steps, self.few)
            yield self._short(fit(rule, part, robust=True), part)


def near(
    hit: Fit, record: Record, tolerance: float, convention: Convention | None = None
) -> Near | None:
    """How much of a record a rule explains; None if too little."""
    moved = np.isfinite(record.updates) & (record.updates != 0)
    off = record.off(hit.updates(record.gradients)) > tolerance
    share = float((moved & ~off).sum() / max(moved.sum(), 1))
    if share < LEAST_SHARE:
        return None
    convention = convention or nearest_convention(hit.rule)[0]
    return Near(convention, hit, share, where(off, record.gradients))


def remembers(rule: Rule) -> bool:
    """Whether earlier gradients count for it."""
    forgetful = {
        "linear": ("velocity", "none"),
        "signs": ("memory", "none"),
        "root": ("v", "last"),
    }
    switch, value = forgetful.get(rule.family, ("lag", None))
    return bool(rule[switch] != value)


def nearest_convention(rule: Rule) -> tuple[Convention, tuple[str, ...]]:
    """The convention that differs in the fewest terms, and the switches that differ."""
    same = [c for c in CONVENTIONS if c.rule.family == rule.family]
    return min(((c, c.differences(rule)) for c in same), key=lambda pair: _away(rule, pair[1]))


def _away(rule: Rule, switches: tuple[str, ...]) -> float:
    """How many terms differ; one counter for both corrections is one term."""
    both = {"correction1", "correction2"} <= set(switches)
    together = both and rule["correction1"] == rule["correction2"]
    return len(switches) - together + 0.5 * len(STRUCTURE.intersection(switches))


def simpler(hit: Fit, record: Record) -> Fit:
    """The rule without the terms whose numbers make them vanish."""
    rule, p = hit.rule, hit.numbers
    changes: dict[str, Any] = {}
    if p.get("momentum", 1.0) < 1e-7 and "velocity" in FAMILIES[rule.family].defaults:
        changes["velocity"] = "none"
    if p.get("dampening", 1.0) < 1e-7:
        changes["dampening"] = False
    if p.get("lr_decay", 1.0) < 1e-9:
        changes["falling"] = False
    if p.get("s0", 1.0) < 1e-18:
        changes["starts"] = False
    if p.get("b1", 1.0) < 1e-6 and rule["above"] == "m":
        changes |= {"above": "g", "correction1": "none"}
    if p.get("b2", 1.0) < 1e-6 and rule["v"] in ("mean", "norm"):
        changes |= {"v": "last", "correction2": "none"}
        changes |= {"eps": "outside"} if rule["v"] == "norm" else {}
    if not changes:
        return hit
    rule = rule.having(**changes)
    gone = set(hit.rule.numbers) - set(rule.numbers)
    kept = {name: value for name, value in p.items() if name not in gone}
    return replace(hit, rule=rule, numbers=kept).judged(record)


def _rprop(rule: Rule, record: Record, part: Record) -> Fit:
    """Rprop's factors are ratios of two moves, and its first step is the first move."""
    steps = np.abs(record.updates)
    moved = [column[np.isfinite(column) & (column > 0)][:20] for column in steps.T]
    ratios = np.concatenate([each[1:] / each[:-1] for each in moved])
    up = _usual(ratios[ratios > 1 + 1e-5], 1.2)[0]
    downs = _usual(ratios[ratios < 1 - 1e-5], 0.5)
    first = _usual(np.array([each[0] for each in moved if len(each)]), 1.0)[0]
    sign = -1.0 if np.nansum(record.updates * np.sign(record.gradients)) > 0 else 1.0

    def tried(down: float) -> Fit:
        factor = {"keep": 1.0, "grow": up, "shrink": down}[rule["first"]]
        fit = Fit(rule, sign * first / factor, {"up": up, "down": down})
        error = part.off(fit.updates(part.gradients))
        return replace(fit, cost=float(np.mean(np.minimum(error, 1.0) ** 2)))

    downs += [down / up for down in downs]  # a turn, and a step that lengthens at once
    return min(map(tried, downs), key=lambda fit: fit.cost)


def _gains(rule: Rule, record: Record) -> list[dict[str, float]]:
    """Usual changes of a gain, and the momentum of moves without a gradient."""
    begin = record.part(20)
    before, after = begin.updates[:-1], begin.updates[1:]
    on = (begin.gradients[1:] == 0) & (before != 0) & (after != 0)
    momenta = _usual(np.clip(after[on] / before[on], 0.0, 1.0), 0.9)[:1]
    return [
        {"increase": increase, "decrease": decrease, "momentum": momentum}
        for increase in (0.05, 0.2)
        for decrease in (0.95, 0.8, 0.5)
        for momentum in momenta
    ]


def _betas(rule: Rule) -> list[dict[str, float]]:
    """Usual numbers; a sign hides how near others are."""
    usual = (0.9, 0.95, 0.99, 0.98, 0.999, 0.5, 0.8)
    pairs = [(b1, b2) for b1 in usual for b2 in usual] if rule["memory"] != "none" else [(0, 0)]
    return [{"b1": b1, "b2": b2} for b1, b2 in pairs]


def _usual(values: Array, otherwise: float) -> list[float]:
    """The most common values, the commonest first."""
    kept = np.array([float(f"{v:.5e}") for v in values])
    distinct, counts = np.unique(kept, return_counts=True)
    common = distinct[np.argsort(-counts)][:3]
    return [float(np.median(values[kept == value])) for value in common] or [otherwise]


CONDITIONS: dict[str, Any] = {
    "at the first step": lambda g, t: t == 0,
    "from the second step on": lambda g, t: t > 0,
    "where the sign has just turned": lambda g, t: _after(g[1:] * g[:-1] < 0),
    "where the gradient is 0": lambda g, t: g == 0,
    "where a gradient was 0 before": lambda g, t: _after(np.cumsum(g == 0, 0)[:-1] > 0),
    "from the first turn of the sign on": lambda g, t: _after(
        np.cumsum(np.sign(g[1:]) * np.sign(g[:-1]) < 0, 0) > 0
    ),
    "where |g| has stayed below 1e-5": lambda g, t: np.maximum.accumulate(abs(g), 0) < 1e-5,
    "where |g| has stayed below 1e-2": lambda g, t: np.maximum.accumulate(abs(g), 0) < 1e-2,
    "where |g| is above 1e-3": lambda g, t: abs(g) > 1e-3,
    "where |g| is above 1": lambda g, t: abs(g) > 1,
    "once |g| has been above 1": lambda g, t: np.maximum.accumulate(abs(g), 0) > 1,
    "once |g| has been above 10": lambda g, t: np.maximum.accumulate(abs(g), 0) > 10,
}


def _after(later: Flags) -> Flags:
    return np.concatenate([np.zeros((1, later.shape[1]), bool), later])


def where(off: Flags, gradients: Array) -> str:
    """The narrowest condition that all of these updates satisfy."""
    if not off.any():
        return ""
    t = np.arange(len(gradients))[:, None] + np.zeros(gradients.shape)
    step = f"from step {int(np.argmax(off.any(1))) + 1} on"
    best = None
    for name, condition in CONDITIONS.items():
        inside = condition(gradients, t)
        if not (off & ~inside).any() and (best is None or inside.sum() < best[0]):
            best = (inside.sum(), name)
    if best is None or best[0] > 0.95 * off.size:
        return f"{step}, in {off.any(0).mean():.0%} of the weights"
    return best[1] if "step" in best[1] else f"{step}, only {best[1]}"
