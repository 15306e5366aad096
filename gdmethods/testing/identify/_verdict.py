"""From what was found to an answer: the name, the wrong terms, and the factories that were run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdmethods.testing.identify._answer import Answer
from gdmethods.testing.identify._certificate import Certificate, HeldOut
from gdmethods.testing.identify._conventions import CONVENTIONS, Convention
from gdmethods.testing.identify._decay import NO_DECAY, Decay
from gdmethods.testing.identify._factories import Call, Found, calls
from gdmethods.testing.identify._families import Rule
from gdmethods.testing.identify._fit import Fit, Record, largest
from gdmethods.testing.identify._laws import Laws
from gdmethods.testing.identify._search import Near, nearest_convention
from gdmethods.testing.identify._subject import RATE
from gdmethods.testing.identify._words import lines, named, number, terms

MOMENTUM = Rule("linear").having(velocity="velocity")


@dataclass(frozen=True)
class Rate:
    """Where the learning rate enters.

    Attributes:
      multiple: the rule's rate divided by the argument; None if the rate is not
        an argument.
      inside: whether it is inside of the velocity; None if unknown.
      unlike: whether the rule's updates are not in proportion to it.
    """

    multiple: float | None = None
    inside: bool | None = None
    unlike: bool = False


@dataclass(frozen=True)
class Verdict:
    """A rule that gives all updates of the probe, and what else is known of the step.

    Attributes:
      hit: the rule, with its numbers.
      decay: of the weights.
      ahead: μ, if the step calls grad at w + μ Δ; NaN if elsewhere, None if the
        gradient is given.
      rate: where the learning rate enters.
      seen: updates that are no numbers.
    """

    hit: Fit
    decay: Decay = NO_DECAY
    ahead: float | None = None
    rate: Rate = Rate()
    seen: tuple[str, ...] = ()

    @property
    def by_look_ahead(self) -> bool:
        """Whether it is Nesterov's method: momentum, and gradients at the look-ahead points."""
        if self.hit.rule != MOMENTUM or not self.ahead:
            return False
        return abs(self.ahead - self.hit.numbers["momentum"]) < 1e-5

    @property
    def returns_update(self) -> bool:
        return self.decay.takes_all(self.hit.rate)

    def wrong(self, switches: tuple[str, ...]) -> Iterator[str]:
        yield from terms(self.hit.rule, switches)
        if self.returns_update:
            yield "it returns the update and not the new weights"
        if self.hit.rate < 0:
            yield "it climbs: the sign of the update is turned"
        if self.ahead is not None and np.isnan(self.ahead):
            yield "the gradient is taken at points that are not w + μ Δ"
        elif self.ahead and not self.by_look_ahead:
            yield f"the gradient is taken at w + {number(self.ahead)} Δ"
        if self.by_look_ahead and self.rate.inside is False:
            yield "the learning rate is outside of the velocity"
        if self.rate.unlike:
            yield "the updates are not in proportion to the learning rate that is given"
        yield from self.seen

    def answer(self, record: Record, weights: Any, tolerance: float, first: int = 0) -> Answer:
        """The answer, judged by the updates of a record from step `first` on."""
        convention, switches = self._convention()
        wrong = tuple(self.wrong(switches))
        theirs = self.decay.updates(self.hit, record.gradients, weights)
        held_out = HeldOut(record, weights, first, self._rate_shown())
        same = self._same(held_out, tolerance)
        same.sort(key=lambda c: c.factory != convention.factory)
        near = [] if same and not wrong else [(convention, self._turned(convention))]
        for other in CONVENTIONS if not wrong else ():
            if other.method == convention.method and other is not convention:
                near.append((other, self._turned(other)))
        differs, ran = self._differing(held_out, near, same, tolerance, explained=not wrong)
        name, title = convention.name, convention.title
        decoupled = self.decay.decoupled and not self.returns_update
        title += "W" if convention.method == "adam" and decoupled else ""
        if same and same[0].factory != convention.factory:
            name = same[0].factory.removeprefix("gdmethods.")
        return Answer(
            exact=name if same and not wrong and not switches else None,
            title=title,
            wrong=wrong,
            lines=(*lines(self.hit.rule, self.absolute()), *self.said()),
            numbers=self.numbers(),
            same=tuple(c.text for c in same),
            differs=differs,
            difference=largest(record.off(theirs)[first:]),
            steps=int(np.isfinite(record.updates[first:]).sum()),
            notes=tuple(self._notes()),
            certificates=(*same, *ran),
        )

    def _convention(self) -> tuple[Convention, tuple[str, ...]]:
        if self.ahead and self.hit.rule == MOMENTUM:
            return next(c for c in CONVENTIONS if c.name == "nesterov"), ()
        return nearest_convention(self.hit.rule)

    def absolute(self) -> dict[str, float]:
        """The numbers; Rprop's limits are those of its steps."""
        limits = {"least", "most"} if self.hit.rule.family == "rprop" else set()
        return {
            name: float(f"{value * abs(self.hit.rate):.9g}") if name in limits else value
            for name, value in self.hit.numbers.items()
        }

    def found(self, rule: Rule) -> Found:
        numbers, rate = self.absolute(), abs(self.hit.rate)
        return Found(rule, rate, numbers, self.rate.inside, self.decay.l2, self.decay.decoupled)

    def _same(self, held_out: HeldOut, tolerance: float) -> list[Certificate]:
        elsewhere = self.ahead and not self.by_look_ahead
        outside = self.by_look_ahead and self.rate.inside is False
        if self.hit.rate < 0 or self.returns_update or elsewhere or outside:
            return []
        if self.by_look_ahead:
            found = [held_out.by_look_ahead(abs(self.hit.rate), self.hit.numbers["momentum"])]
        else:
            found = held_out.certificates(calls(self.found(self.hit.rule)))
        return [c for c in found if c.difference < tolerance]

    def _turned(self, convention: Convention) -> Rule:
        """The rule with this convention's terms instead of its own."""
        rule = self.hit.rule
        return rule.having(
            **{switch: convention.rule[switch] for switch in convention.differences(rule)}
        )

    def _differing(
        self,
        held_out: HeldOut,
        near: list[tuple[Convention, Rule]],
        same: list[Certificate],
        tolerance: float,
        explained: bool,
    ) -> tuple[dict[str, str], list[Certificate]]:
        """Near factories with the same numbers, run as well, and how each differs."""
        wanted: dict[str, tuple[Convention, Rule]] = {}
        asked: list[Call] = []
        for convention, rule in near:
            if set(rule.numbers) <= set(self.hit.numbers):
                own = sorted(calls(self.found(rule)), key=lambda c: c[0] != convention.factory)
                for call in own[:1]:
                    asked.append(call)
                    wanted[call[0]] = convention, rule
        texts = {c.text for c in same}
        ran = [
            c
            for c in held_out.certificates(asked)
            if c.text not in texts and c.difference > tolerance
        ]
        said = {}
        for certificate in ran:
            _, rule = wanted[certificate.factory]
            how = "; ".join(terms(rule, self.hit.rule.differences(rule)))
            said[certificate.text] = _by(certificate) + (f": {how}" if how and explained else "")
        return said, ran

    def _rate_shown(self) -> dict[float, str]:
        multiple = self.rate.multiple
        if multiple is None:
            return {}
        return {abs(self.hit.rate): "lr" if multiple == 1 else f"{number(multiple)} * lr"}

    def numbers(self) -> dict[str, float]:
        numbers = named(self.hit.rule, self.absolute())
        decay = 0.0 if self.returns_update else self.decay.l2 or self.decay.decoupled
        if self.rate.multiple is None:
            numbers = {"learning_rate": self.hit.rate, **numbers}
        return numbers | ({"weight_decay": decay} if decay else {})

    def said(self) -> Iterator[str]:
        multiple = self.rate.multiple
        if self.rate.unlike:
            yield f"learning rate {number(self.hit.rate)} where {number(RATE)} is given"
        elif multiple is None:
            yield f"learning rate {number(self.hit.rate)}"
        elif multiple == 1:
            yield "the learning rate is the argument"
        else:
            yield f"the learning rate is {number(multiple)} times the argument"
        if self.rate.inside is not None:
            velocity = ("inside of the velocity", "outside of the velocity")
            steps = ("as the first step size", "times each step")
            inside, outside = steps if self.hit.rule.family == "rprop" else velocity
            yield inside if self.rate.inside else outside
        if self.decay.l2:
            yield f"weight decay {number(self.decay.l2)}, added to the gradient"
        if self.decay.decoupled and not self.returns_update:
            yield f"weight decay {number(self.decay.decoupled)}, beside the update"
        if self.by_look_ahead:
            yield "the gradient is taken at w + μ Δ"

    def _notes(self) -> Iterator[str]:
        p, rate = self.hit.numbers, self.hit.rate
        if p.get("b1", 0.0) > p.get("b2", 1.0):
            yield "β₁ is above β₂: are they swapped?"
        if self.hit.rule.family == "signs" and "b1" in p and p["b1"] == p["b2"]:
            yield "β₁ = β₂: it is the sign of the running mean"
        if p.get("b2", 1.0) < 0.5:
            yield f"β₂ is {number(p['b2'])}: are it and 1 − β₂ swapped?"
        if self.hit.rule == MOMENTUM and not self.ahead and self.rate.multiple is None:
            mean = rate / (1 - p["momentum"])
            if len(f"{mean:.6g}") <= len(f"{rate:.6g}"):
                yield (
                    f"the same is a running mean of gradients, μ m + (1 − μ) g, at the learning "
                    f"rate {number(mean)}"
                )


def unknown(near: Near | None, laws: Laws | None, record: Record) -> Answer:
    """What can be said of a rule that was not found."""
    properties = laws.sentences() if laws else ()
    if near is None:
        return Answer(properties=properties)
    verdict = Verdict(near.fit)
    called = calls(verdict.found(near.fit.rule))
    own = [call for call in called if call[0] == near.convention.factory]
    ran = HeldOut(record).certificates(own)
    return Answer(
        title=near.convention.title,
        where=near.where,
        lines=(*lines(near.fit.rule, verdict.absolute()), *verdict.said()),
        numbers=verdict.numbers(),
        differs={c.text: _by(c) for c in ran},
        share=near.share,
        properties=properties,
        certificates=tuple(ran),
    )


def _by(certificate: Certificate) -> str:
    if certificate.difference > 1e3:
        return "by more than 1,000 times an update"
    return f"by up to {certificate.difference:.2g} of an update"
