"""The question and its answer: probe, laws, search, certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gdmethods.testing.identify._answer import Answer
from gdmethods.testing.identify._decay import NO_DECAY, Decay, decay_of
from gdmethods.testing.identify._families import FAMILIES
from gdmethods.testing.identify._fit import Fit, Record, differences, largest
from gdmethods.testing.identify._laws import laws
from gdmethods.testing.identify._limits import limits, limits_of
from gdmethods.testing.identify._probes import Probe, held_out, probe, together
from gdmethods.testing.identify._search import (
    Search,
    families,
    near,
    nearest_convention,
    where,
)
from gdmethods.testing.identify._signs import betas
from gdmethods.testing.identify._subject import RATE, Subject
from gdmethods.testing.identify._verdict import Rate, Verdict, unknown

TOLERANCE = {False: 1e-8, True: 3e-4}  # in float64 and in float32, relative to an update
FEW = ("random", "turning", "starting late", "one impulse", "alternating", "wild")
FEW_SIZES = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0)


def identify(make: Callable[[], Any], *, dtype: Any = "float64") -> Answer:
    """The rule that a step follows, with its numbers or its wrong term.

    `make` returns a step with a new state: `step(w, g)`, a function of weights
    and gradient; or `step(w, g, lr)`; or `step(w, grad)`, where `grad` is a
    function of the weights; or an Optax transformation. The step returns the
    new weights, or changes them in place. Weights are NumPy arrays, JAX arrays,
    PyTorch tensors or numbers: the first of these that the step takes.

    The weights are put back before each step, so that the updates depend only
    on the gradients. A rule is found if it gives all updates. A factory is
    named if it gave the same updates on gradients that were held out. Known are
    the rules of gdmethods and its dialects, AMSGrad, Adamax, NAdam, Lion, sign
    descent, and rules that differ from one of these in one term.

    Arguments:
      make: takes no argument and builds the step; it is called several times.
      dtype: of the weights and gradients that the step is given.

    Returns:
      The answer. It prints as a paragraph; `exact` is for tests.

    Raises:
      TypeError: `make` is no function that builds a step.
      ValueError: equal gradients get different updates, or the step returns
        another shape than the weights'. Errors of the step itself get a note on
        how it was called.

    Example:
      >>> from gdmethods.testing import identify
      >>> def make():
      ...     v = 0.0
      ...     def step(w, g):
      ...         nonlocal v
      ...         v = 0.9 * v + 0.1 * g**2
      ...         return w - 0.001 * g / (v + 1e-7) ** 0.5
      ...     return step
      >>> answer = identify(make)
      >>> answer.exact
      'keras.rmsprop'
    """
    return _Question(make, dtype).answer()


class _Question:
    """The search for one step's rule."""

    def __init__(self, make: Any, dtype: Any) -> None:
        self.probe = probe()
        self.subject = Subject(make, dtype, self.probe)
        self.weights = self.probe.gradients.shape[1]
        self.walk = self.subject.walk(self.probe)
        self.subject.refuse_noise(self.probe, self.walk)
        self.subject.single = self.subject.in_float32(self.probe)
        self.tolerance = TOLERANCE[self.subject.single]
        self.elsewhere = np.resize([1.0, -2.0, 0.5], self.weights)
        self.laws = laws(self.subject, self.probe, self.walk)

    def answer(self) -> Answer:
        record = self.walk.record
        if not self.laws.alone:
            record = self.subject.walk(together(self.weights)).record
        finite = record.updates[np.isfinite(record.updates)]
        if not finite.any():
            return Answer(properties=self._unmoved(len(finite) > 0))
        search = Search(
            record,
            self.probe.among(FEW, FEW_SIZES),
            families(record, self.laws),
            self.tolerance,
            shared=not self.laws.alone,
            memory=self.laws.memory,
            limits=limits(self.subject, self.weights),
        )
        if search.families == ["signs"] and self.laws.memory:
            hit = betas(self.subject, float(np.nanmax(np.abs(record.updates))), self.weights)
        else:
            hit = search.found()
        decay = self._decay(hit) if hit and self.laws.sees_weights else NO_DECAY
        if hit is None:
            return unknown(search.nearest(), self.laws, self._held_out())
        if decay is None:
            return self._elsewhere(hit)
        return self._known(hit, decay)

    def _unmoved(self, finite: bool) -> tuple[str, ...]:
        """What can be said of a step whose updates show no rule."""
        if not finite:
            return ("it gives inf or NaN always",)
        if self.laws.sees_weights:
            return ("it does not move weights that are 0", *self.laws.sentences())
        return ("it does not move the weights",)

    def _held_out(self, weights: Any = 0.0) -> Record:
        return self.subject.walk(held_out(self.weights), weights).record

    def _known(self, hit: Fit, decay: Decay) -> Answer:
        w = self.elsewhere if decay != NO_DECAY else np.zeros(self.weights)
        kept_out = self._held_out(w)
        theirs = decay.updates(hit, kept_out.gradients, w)
        off = kept_out.off(theirs)
        if largest(off) > self.tolerance:
            return unknown(near(hit, kept_out, self.tolerance), self.laws, kept_out)
        verdict = Verdict(hit, decay, self._looks_ahead(), self._rate(hit), self._seen())
        return verdict.answer(kept_out, w, self.tolerance)

    def _elsewhere(self, hit: Fit) -> Answer:
        """The answer if the rule is known for weights of 0, but no decay explains others."""
        kept_out = self._held_out(self.elsewhere)
        return unknown(near(hit, kept_out, self.tolerance), self.laws, kept_out)

    def _decay(self, hit: Fit) -> Decay | None:
        """How the weights enter: a decay beside the update, or one added to the gradient."""
        sizes = tuple(size for _, size in self.probe.courses if 1e-2 <= size <= 1e2)
        mid = self.probe.among(tuple(name for name, _ in self.probe.courses), sizes)
        few = Probe(self.probe.name, self.probe.gradients[:20], self.probe.courses)
        updates = self.subject.walk(few, self.elsewhere).updates
        record = Record(few.gradients[:, mid], updates[:, mid])
        return decay_of(hit, record, self.elsewhere[mid], self.subject.single)

    def _rate(self, hit: Fit) -> Rate:
        """Where a learning rate that is an argument enters, from a walk in which it drops."""
        if not self.subject.takes_rate:
            return Rate()
        few = Probe(self.probe.name, self.probe.gradients[:24], self.probe.courses)
        factors = np.where(np.arange(24) < 10, 1.0, 0.25)
        updates = self.subject.walk(few, rates=RATE * factors).updates
        fits = [
            inside
            for inside in (True, False)
            if largest(
                differences(updates, hit.updates(few.gradients, rates=factors, inside=inside))
            )
            < self.tolerance
        ]
        multiple = float(f"{hit.rate / RATE:.6g}")
        return Rate(multiple, fits[0] if len(fits) == 1 else None, unlike=not fits)

    def _looks_ahead(self) -> float | None:
        """μ, if the step calls grad at w + μ Δ; 0 if at w, and NaN if elsewhere."""
        if self.walk.ahead is None:
            return None
        asked, moved = self.walk.ahead[1:], self.walk.updates[:-1]
        if largest(np.abs(asked)) == 0:
            return 0.0
        parts = asked[moved != 0] / moved[moved != 0]
        constant = np.ptp(parts) < 1e3 * self.tolerance * np.abs(parts).max()
        return float(f"{np.median(parts):.9g}") if constant else np.nan

    def _seen(self) -> tuple[str, ...]:
        """Updates that are no numbers."""
        bad = ~np.isfinite(self.walk.updates)
        if not bad.any():
            return ()
        g = self.probe.gradients
        first = int(np.argmax(bad.any(1)))
        if bad[first].all() and not bad[first + 1 :].any():
            return (f"step {first + 1} gives inf or NaN for every weight",)
        return (f"it gives inf or NaN {where(bad, g)}",)


def identify_updates(
    gradients: ArrayLike, updates: ArrayLike, *, tolerance: float = 1e-8
) -> Answer:
    """`identify` from recorded steps, where the step cannot be called.

    The rule is found from the first two thirds of the steps and judged by the
    others. A term that has no effect on these updates is not found, such as an
    ε if all gradients are large. `notes` has other rules with the same updates.

    Arguments:
      gradients: of all steps; shape (steps, weights), or (steps,).
      updates: what the step added to the weights, of the same shape.
      tolerance: the relative difference up to which two updates count as equal;
        at least that of the recorded digits.

    Returns:
      The answer, with no properties.

    Raises:
      ValueError: the shapes differ, or there are fewer than 6 steps.

    Example:
      >>> from gdmethods.testing import identify_updates
      >>> gradients = [1.0, 2.0, 0.5, -3.0, 1.0, -1.0, 2.0, 0.3, 1.0]
      >>> answer = identify_updates(gradients, [-0.1 * g for g in gradients])
      >>> answer.exact
      'sgd'
    """
    g, u = (np.atleast_2d(np.asarray(x, float).T).T for x in (gradients, updates))
    if g.shape != u.shape or g.ndim != 2:
        raise ValueError(f"gradients and updates must have one shape, got {g.shape}, {u.shape}.")
    if len(g) < 6:
        raise ValueError(f"6 steps at least are needed, got {len(g)}.")
    steps = 2 * len(g) // 3
    whole = Record(g, u, 1e-3 if tolerance < 1e-6 else 1.0)  # few digits do not tell small updates
    seen = whole.part(steps)
    search = Search(seen, slice(0, 40), list(FAMILIES), tolerance, limits=limits_of(seen))
    hit = search.found()
    if hit is None:
        return unknown(search.nearest(), None, whole)
    if largest(whole.off(hit.updates(g))[steps:]) > tolerance:
        return unknown(near(hit, whole, tolerance), None, whole)
    answer = Verdict(hit).answer(whole, np.zeros(g.shape[1]), tolerance, steps)
    titles = {nearest_convention(other.rule)[0].title for other in search.alike()}
    notes = [
        f"these gradients do not tell it from {title}" for title in sorted(titles - {answer.title})
    ]
    if answer.numbers.get("eps") == 0:
        notes.append("no ε shows beside these gradients")
    return replace(answer, notes=(*answer.notes, *notes))
