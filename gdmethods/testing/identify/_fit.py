"""The numbers of a rule, from the updates that it gave: least squares, in logarithms.

The starts and the small changes that make the derivatives are all walked at
once, as rules of different numbers along one axis. The learning rate enters
each update as a factor, so it is solved for and not searched.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gdmethods.testing.identify._families import Numbers, Rule, moves
from gdmethods.testing.identify._probes import Array

BOUNDED = {"b1", "b2", "momentum", "dampening", "rho", "decrease"}  # in (0, 1); the others above 0
STARTS: Mapping[str, tuple[float, ...]] = {
    "b1": (0.9, 0.5),
    "b2": (0.999, 0.95),
    "eps": (1e-8, 1e-5, 1e-2),
    "momentum": (0.9, 0.5),
    "s0": (0.1,),
    "lr_decay": (1e-3,),
    "dampening": (0.5,),
    "rho": (0.9, 0.99),
    "eta": (0.5, 0.01),
    "increase": (0.1,),
    "decrease": (0.9, 0.5),
}
CHANGE = 1e-6


@dataclass(frozen=True)
class Record:
    """Gradients and the updates that they got.

    Attributes:
      gradients: shape (steps, weights).
      updates: of the same shape.
      least: differences are relative to the update, but at least to this share
        of its weight's largest update so far.
    """

    gradients: Array
    updates: Array
    least: float = 1e-3

    def part(self, steps: int, weights: Any = slice(None)) -> "Record":
        return Record(self.gradients[:steps, weights], self.updates[:steps, weights], self.least)

    def off(self, others: Array) -> Array:
        """How far other updates are from these."""
        return differences(self.updates, others, self.least)


@dataclass(frozen=True)
class Fit:
    """A rule with its numbers.

    Attributes:
      rule: the rule.
      rate: the learning rate; below 0 for one that climbs.
      numbers: by name.
      cost: the mean square of the residuals.
      error: the largest difference, as `differences` measures it.
    """

    rule: Rule
    rate: float
    numbers: Mapping[str, float]
    cost: float = np.inf
    error: float = np.inf

    def updates(self, gradients: Array, **options: Any) -> Array:
        return self.rate * moves(self.rule, self.numbers, gradients, **options)

    def judged(self, record: Record) -> "Fit":
        return replace(self, error=largest(record.off(self.updates(record.gradients))))


def sizes(updates: Array, least: float) -> Array:
    """What differences are relative to: an update, but at least `least` of the largest so far."""
    magnitude = np.where(np.isfinite(updates), np.abs(updates), 0.0)
    return np.maximum(magnitude, least * np.maximum.accumulate(magnitude, 0)) + 1e-300


def differences(updates: Array, others: Array, least: float = 1e-3) -> Array:
    """Relative to `sizes`; infinite where only one of the two is finite."""
    finite, other = np.isfinite(updates), np.isfinite(others)
    with np.errstate(all="ignore"):
        error = np.abs(updates - others) / sizes(updates, least)
    return np.where(finite & other, error, np.where(finite == other, 0.0, np.inf))


def largest(errors: Array) -> float:
    return float(errors.max(initial=0.0))


def fit(
    rule: Rule,
    record: Record,
    *,
    first: Iterable[Numbers] | None = None,
    starts: int = 3,
    iterations: int = 30,
    robust: bool = False,
) -> Fit:
    """The best numbers that a search finds from `first`, or from the usual ones.

    With `robust`, updates that are far off have little weight, so that the
    numbers fit most updates.
    """
    names = rule.numbers
    target = _Target(rule, record, robust)
    if first is None:
        first = [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*(STARTS[name] for name in names))
        ]
    first = list(first)
    x = np.array([[_free(name, p[name]) for name in names] for p in first])
    x = x.reshape(len(first), len(names))
    if len(x) > starts:
        x = x[np.argsort(_costs(target(x)[0]))[:starts]]
    x, residuals, rates = _descended(target, x, iterations)
    best = int(np.argmin(_costs(residuals)))
    numbers = {name: float(_bound(name, v)) for name, v in zip(names, x[best], strict=True)}
    return Fit(rule, float(rates[best]), numbers, float(_costs(residuals)[best]))


class _Target:
    """The residuals of many sets of numbers, each with its best learning rate."""

    def __init__(self, rule: Rule, record: Record, robust: bool) -> None:
        self.rule, self.gradients, self.robust = rule, record.gradients, robust
        self.seen = np.isfinite(record.updates)
        self.sizes = sizes(record.updates, 0.1)
        self.y = (record.updates / self.sizes)[self.seen]

    def __call__(self, x: Array) -> tuple[Array, Array]:
        p = {name: _bound(name, x[:, k])[:, None] for k, name in enumerate(self.rule.numbers)} or {
            "": np.zeros((len(x), 1))
        }
        with np.errstate(all="ignore"):
            h = moves(self.rule, p, self.gradients) / self.sizes[:, None]
            h = np.moveaxis(h, 1, 0)[:, self.seen]
            h = np.clip(np.nan_to_num(h, nan=0.0, posinf=1e30, neginf=-1e30), -1e30, 1e30)
            rate = _ratio(h, self.y, 1.0)
            for _ in range(4 if self.robust else 2):  # what is far off does not set the rate
                off = np.abs(rate[:, None] * h - self.y)
                rate = _ratio(h, self.y, 1 / (1e-4 + off) if self.robust else 1 / (1 + off))
            off = rate[:, None] * h - self.y
            return (off / np.sqrt(1e-6 + np.abs(off)) if self.robust else np.arcsinh(off)), rate


def _ratio(h: Array, y: Array, weights: Any) -> Array:
    weighted = weights * h
    below: Array = np.einsum("nk,nk->n", weighted, h)
    return np.where(below > 0, weighted @ y / np.where(below > 0, below, 1), 0.0)


def _costs(residuals: Array) -> Array:
    cost: Array = np.einsum("...k,...k->...", residuals, residuals) / residuals.shape[-1]
    return np.where(np.isfinite(cost), cost, np.inf)


def _descended(target: _Target, x: Array, iterations: int) -> tuple[Array, Array, Array]:
    """Levenberg's and Marquardt's steps from each row of x, until none improves."""
    n, k = x.shape
    shifts = np.concatenate([np.zeros((1, k)), CHANGE * np.eye(k)])

    def around(x: Array) -> tuple[Array, Array, Array]:
        residuals, rates = target((x[:, None] + shifts).reshape(n * (k + 1), k))
        residuals = residuals.reshape(n, k + 1, -1)
        return (
            residuals[:, 0],
            (residuals[:, 1:] - residuals[:, :1]) / CHANGE,
            rates.reshape(n, k + 1)[:, 0],
        )

    r, slopes, rates = around(x)
    if not k:
        return x, r, rates
    damping, history = np.full(n, 1e-2), [_costs(r).min()]
    for _ in range(iterations):
        squares = slopes @ slopes.swapaxes(1, 2)
        ridge = damping[:, None] * np.maximum(np.einsum("nkk->nk", squares), 1e-12)
        downhill = (slopes @ r[:, :, None])[:, :, 0]
        step = np.linalg.solve(squares + ridge[:, :, None] * np.eye(k), -downhill[:, :, None])
        tried = x + np.clip(np.nan_to_num(step[:, :, 0]), -3, 3)
        r_tried, slopes_tried, rates_tried = around(tried)
        better = _costs(r_tried) < _costs(r)
        x = np.where(better[:, None], tried, x)
        r = np.where(better[:, None], r_tried, r)
        slopes = np.where(better[:, None, None], slopes_tried, slopes)
        rates = np.where(better, rates_tried, rates)
        damping = np.clip(np.where(better, damping / 10, damping * 5), 1e-14, 1e8)
        history.append(_costs(r).min())
        stuck = len(history) > 4 and history[-1] > 0.5 * history[-5]
        if stuck or history[-1] < 1e-30:
            break
    return x, r, rates


def _free(name: str, value: float) -> float:
    value = float(np.clip(value, 1e-25, 1 - 1e-12 if name in BOUNDED else np.inf))
    return float(np.log(value) - (np.log1p(-value) if name in BOUNDED else 0.0))


def _bound(name: str, x: Any) -> Any:
    x = np.clip(x, -60, 60)
    return 1 / (1 + np.exp(-x)) if name in BOUNDED else np.exp(x)


def rounded(found: Fit, record: Record, least: float) -> Fit:
    """The fit with the shortest numbers that are as good, or good to `least`."""
    exact = found.judged(record)
    if "eps" in found.numbers:
        without = replace(found, numbers={**found.numbers, "eps": 0.0}).judged(record)
        if without.error <= max(exact.error, least):  # nothing shows it
            found = exact = without
    best = exact
    for digits in (1, 2, 3, 4, 5, 6, 8):
        numbers = {name: _short(name, v, digits) for name, v in found.numbers.items()}
        short = replace(found, numbers=numbers, rate=_significant(found.rate, digits))
        short = short.judged(record)
        if short.error <= max(3 * exact.error, least):
            return short
        if short.error < best.error:
            best = short
    return best


def _significant(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def _short(name: str, value: float, digits: int) -> float:
    """The number with so many digits; in (0, 1) they may be of its distance from 1."""
    if name in BOUNDED and value > 0.5:
        return round(1 - _significant(1 - value, digits), 12)
    return 0.0 if value < 1e-20 else _significant(value, digits)
