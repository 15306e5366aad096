"""Which methods are ahead, by how much, and how sure that is.

Two methods are compared seed by seed, since a seed gives both the same first weights and the same
order of the data. The mean of the differences has an interval of Student's t, at a confidence that
is corrected for the number of pairs of methods (Bonferroni): all intervals of a problem hold
together with 95 %. Methods whose interval has 0 in it are not told apart. A bootstrap would be
too sure: with five seeds, its intervals of 95 % hold the truth in 84 % of the cases.

A run that diverges counts as infinitely bad, so that one such seed puts a method behind all that
never diverge. A run that misses the target counts as infinitely slow (as in AlgoPerf).
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from gdmethods.study.outcomes import Outcome, Run
from gdmethods.study.styles import names

CONFIDENCE = 0.95
FEW = 5
"""With fewer seeds, the report says what such a number can and cannot tell."""


class Interval(NamedTuple):
    """A mean and what it may be."""

    mean: float
    low: float
    high: float


NOWHERE = Interval(math.inf, math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a method stands on a problem.

    Attributes:
      outcome: of the method.
      name: for sentences.
      rank: 1 + the number of methods shown to be better; None where it failed.
      behind: by how much it ends worse than the best.
    """

    outcome: Outcome
    name: str
    rank: int | None
    behind: Interval


def ends(outcome: Outcome) -> dict[int, float]:
    """How badly each repeat ends, by its seed; infinite where that is no finite number."""
    on = outcome.problem.reported
    last = {
        run.settings.seed: math.inf if run.diverged else outcome.badness(run.points[-1], on)
        for run in outcome.repeats
    }
    return {seed: end if math.isfinite(end) else math.inf for seed, end in last.items()}


def failed(outcome: Outcome) -> bool:
    """Whether it could not be tried to the end."""
    return outcome.error is not None or not outcome.repeats


def mean_end(outcome: Outcome) -> float:
    """The judge at the end, the mean over the repeats; infinite where one diverged."""
    return outcome.problem.sign * float(np.mean([*ends(outcome).values()]))


def last_loss(run: Run) -> float:
    """Infinite where the run diverged."""
    loss = math.inf if run.diverged else run.points[-1].loss
    return math.inf if math.isnan(loss) else loss


def diverged(outcome: Outcome) -> int:
    """Repeats that end nowhere."""
    return sum(map(math.isinf, ends(outcome).values()))


def learned(outcome: Outcome) -> bool:
    """Whether the loss of the median repeat ends below that before the first step."""
    last = np.median([last_loss(run) for run in outcome.repeats])
    return bool(last < np.median([run.points[0].loss for run in outcome.repeats]))


def difference(outcome: Outcome, other: Outcome, comparisons: int = 1) -> Interval:
    """By how much `outcome` ends worse than `other`.

    The interval is one of so many comparisons, which hold together with `CONFIDENCE`.
    """
    mine, its = ends(outcome), ends(other)
    seeds = sorted(mine.keys() & its.keys())
    pairs = np.array([(mine[seed], its[seed]) for seed in seeds])
    match np.isinf(pairs).any(axis=0).tolist():
        case True, True:
            return Interval(0.0, -math.inf, math.inf)
        case True, False:
            return NOWHERE
        case False, True:
            return Interval(-math.inf, -math.inf, -math.inf)
    differences = pairs[:, 0] - pairs[:, 1]
    mean = float(differences.mean())
    if len(seeds) == 1:
        return Interval(mean, -math.inf, math.inf)
    half = least_seen(len(seeds), comparisons) * float(differences.std(ddof=1))
    return Interval(mean, mean - half, mean + half)


def least_seen(seeds: int, comparisons: int) -> float:
    """The least mean difference that is told from 0, in standard deviations of the differences."""
    quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / comparisons, seeds - 1)
    return float(quantile) / math.sqrt(seeds)


def standings(outcomes: Sequence[Outcome]) -> list[Standing]:
    """Of the methods on one problem: the best mean first, and those that failed last."""
    tried = sorted((outcome for outcome in outcomes if not failed(outcome)), key=_badness)
    spoken = names([outcome.label for outcome in outcomes])
    comparisons = pairs(len(tried))
    ranked = []
    for outcome in tried:
        rank = 1 + sum(difference(outcome, other, comparisons).low > 0 for other in tried)
        behind = difference(outcome, tried[0], comparisons)
        ranked.append(Standing(outcome, spoken[outcome.label], rank, behind))
    return ranked + [
        Standing(outcome, spoken[outcome.label], None, NOWHERE)
        for outcome in outcomes
        if failed(outcome)
    ]


def leaders(ranked: Sequence[Standing]) -> list[Standing]:
    """The best method and those next to it, up to the first that is shown to be worse than one."""
    return list(itertools.takewhile(lambda standing: standing.rank == 1, ranked))


def unsure(ranked: Sequence[Standing]) -> list[Standing]:
    """Methods with a worse mean than one shown to be worse, whose seeds differ too much for it."""
    return [standing for standing in ranked[len(leaders(ranked)) :] if standing.rank == 1]


def pairs(methods: int) -> int:
    """Which are compared: all, as the best is not known beforehand."""
    return max(1, methods * (methods - 1) // 2)


def _badness(outcome: Outcome) -> tuple[int, float]:
    finite = [end for end in ends(outcome).values() if math.isfinite(end)]
    return diverged(outcome), float(np.mean(finite)) if finite else math.inf


def times(outcome: Outcome, unit: Literal["passes", "seconds"]) -> list[float]:
    """Each repeat's time to the target; infinite where it misses it, or there is none."""
    facts = outcome.problem
    if facts.target is None:
        return [math.inf] * len(outcome.repeats)
    enough = facts.sign * facts.target
    return [
        next(
            (
                float(getattr(point, unit))
                for point in run.points[: -1 if run.diverged else None]
                if outcome.badness(point) <= enough
            ),
            math.inf,
        )
        for run in outcome.repeats
    ]


def time(outcome: Outcome, unit: Literal["passes", "seconds"]) -> float:
    """The median repeat's time to the target; infinite where most miss it."""
    return float(np.median(times(outcome, unit))) if outcome.repeats else math.inf


def by_problem(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each problem."""
    problems = dict.fromkeys(outcome.problem.name for outcome in outcomes)
    return {name: [o for o in outcomes if o.problem.name == name] for name in problems}


def profile(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """Of each method: on each problem, how many times as many passes to the target as the fastest.

    A method that fails or misses the target has an infinite ratio. Problems without a target, and
    those on which a method is still to come, do not count.
    """
    labels = dict.fromkeys(outcome.label for outcome in outcomes)
    ratios: dict[str, list[float]] = {label: [] for label in labels}
    for its in by_problem(outcomes).values():
        if its[0].problem.target is None or len(its) < len(labels):
            continue
        passes = {outcome.label: time(outcome, "passes") for outcome in its}
        for label, needed in passes.items():
            ratios[label].append(ratio(needed, min(passes.values())))
    return ratios


def ratio(needed: float, least: float) -> float:
    """How many times as long; 1 for what is as fast as the fastest, infinite for a miss."""
    if needed == least < math.inf:
        return 1.0
    return needed / least if 0 < least < math.inf else math.inf
