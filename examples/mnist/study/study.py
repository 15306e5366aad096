"""The study: each method chooses a learning rate on each problem, and repeats it with new seeds.

All methods try the same rates, with seed 0. The rate whose trial ends best is repeated with seeds
1, 2, …. Only the repeats count as the method's result: the best of many trials owes something to
luck, which a repeat does not have.
"""

import dataclasses
import itertools
import math
import statistics
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import flax
import jax
import numpy as np
import optax

import gdmethods
from examples.mnist.study.archive import Archive
from examples.mnist.study.methods import Method
from examples.mnist.study.problems import Problem, Splits
from examples.mnist.study.runs import Point, Run, Settings, Trainer

SELECT: dict[str, Callable[[Point], float]] = {
    "validation-error": lambda point: point.validation_error_percent,
    "train-cost": lambda point: point.train_cost,
}


class StudyError(Exception):
    """The options do not go together, or a method cannot train a network."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is compared, and how: the options of the command, by their names."""

    data: str
    problems: Sequence[Problem]
    methods: Sequence[Method]
    rates: Sequence[float]
    seeds: int
    passes: int
    points: int
    batch_size: int | None
    together: int
    select: str
    target: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a method on a problem.

    Attributes:
      problem, method: which.
      trials: a run for each learning rate, with seed 0.
      repeats: a run for each further seed, at the rate that ended best.
      target: the validation error, in percent, that the time is taken to.
    """

    problem: Problem
    method: Method
    trials: tuple[Run, ...]
    repeats: tuple[Run, ...]
    target: float

    @property
    def learning_rate(self) -> float:
        return self.repeats[0].settings.learning_rate

    @property
    def data(self) -> str:
        return self.repeats[0].settings.data

    @property
    def at_the_edge(self) -> bool:
        """Whether the best rate is the lowest or highest tried: a better may lie beyond."""
        tried = [run.settings.learning_rate for run in self.trials]
        return len(tried) > 1 and self.learning_rate in (min(tried), max(tried))

    @property
    def near_best(self) -> int:
        """Rates whose trials end within a percent point of the best one's validation error."""
        ends = [run.points[-1].validation_error_percent for run in self.trials if not run.diverged]
        return sum(end <= min(ends) + 1 for end in ends)

    @property
    def step_seconds(self) -> float:
        """The median over the stretches between two points, of all runs."""
        return statistics.median(
            (after.seconds - before.seconds) / (after.steps - before.steps)
            for run in (*self.trials, *self.repeats)
            for before, after in itertools.pairwise(run.points)
        )

    def last(self, column: str) -> tuple[float, float]:
        """Mean and standard deviation over the repeats, of a column of their last points."""
        ends = [getattr(run.points[-1], column) for run in self.repeats]
        return float(np.mean(ends)), float(np.std(ends, ddof=1)) if len(ends) > 1 else math.nan

    def to_target(self, column: str) -> list[float]:
        """Of each repeat that reaches the target, `passes` or `seconds` until it does."""
        firsts = (
            next(
                (point for point in run.points if point.validation_error_percent <= self.target),
                None,
            )
            for run in self.repeats
        )
        return [getattr(point, column) for point in firsts if point is not None]


def rates(lowest: float, highest: float, trials: int) -> list[float]:
    """Evenly spaced on a logarithmic scale, and rounded to three digits."""
    return [float(f"{rate:.3g}") for rate in np.geomspace(lowest, highest, trials)]


class Watch(Protocol):
    """Hears of the progress: what goes on, the share of the study that is done, or need not be."""

    def __call__(self, what: str, *, done: float = 0.0, spared: float = 0.0) -> None: ...


class Study:
    """A plan on data, with its finished runs in an archive.

    To build it is to check that each method can train each network; a `StudyError` names the
    first that cannot.
    """

    def __init__(self, plan: Plan, splits: Splits, archive: Archive) -> None:
        self._plan = plan
        self._splits = splits
        self._archive = archive
        self._data_crc32 = 0
        for array in jax.tree.leaves((splits.train, splits.validation, splits.test)):
            self._data_crc32 = zlib.crc32(np.asarray(array).tobytes(), self._data_crc32)
        self._trainers = {
            (problem.name, method.text): self._trainer(problem, method)
            for problem in plan.problems
            for method in plan.methods
        }
        work = {
            problem.name: self._trainers[problem.name, plan.methods[0].text].flops()
            for problem in plan.problems
        }
        runs = len(plan.methods) * (len(plan.rates) + plan.seeds)
        self._share = {name: flops / sum(work.values()) / runs for name, flops in work.items()}

    def outcomes(self, watch: Watch) -> Iterator[Outcome]:
        """Each method on each problem, as soon as it is done."""
        plan = self._plan
        for problem, method in itertools.product(plan.problems, plan.methods):
            trials = self._runs(
                [self._settings(problem, method, rate, 0) for rate in plan.rates], watch
            )
            best = min(trials, key=self._end).settings.learning_rate
            seeds = range(1, plan.seeds + 1)
            repeats = self._runs(
                [self._settings(problem, method, best, seed) for seed in seeds], watch
            )
            yield Outcome(problem, method, trials, repeats, plan.target)

    def _runs(self, wanted: Sequence[Settings], watch: Watch) -> tuple[Run, ...]:
        together = self._plan.together
        groups = (wanted[start : start + together] for start in range(0, len(wanted), together))
        return tuple(run for group in groups for run in self._group(group, watch))

    def _group(self, wanted: Sequence[Settings], watch: Watch) -> list[Run]:
        """Of runs that train at once; each is on disk before the next group begins."""
        first = wanted[0]
        what = f"{first.problem}, {first.method}, {first.learning_rate:g}"
        share = self._share[first.problem] * len(wanted)
        found = [run for settings in wanted if (run := self._archive.load(settings))]
        if len(found) == len(wanted):
            watch(what, spared=share)
            return found
        watch(what)
        points = first.passes * first.points
        left = share

        def advanced() -> None:
            nonlocal left
            left -= share / points
            watch(what, done=share / points)

        trainer = self._trainers[first.problem, first.method]
        for run in trainer.train(wanted, advanced):
            self._archive.save(run)
        watch(what, spared=left)  # what a diverged run is spared
        return [run for settings in wanted if (run := self._archive.load(settings))]

    def _settings(
        self, problem: Problem, method: Method, learning_rate: float, seed: int
    ) -> Settings:
        plan = self._plan
        packages = {"gdmethods": gdmethods, "jax": jax, "flax": flax, "optax": optax}
        return Settings(
            problem=problem.name,
            method=method.text,
            learning_rate=learning_rate,
            seed=seed,
            passes=plan.passes,
            batch_size=plan.batch_size or problem.batch_size,
            points=plan.points,
            together=plan.together,
            data=plan.data,
            data_crc32=self._data_crc32,
            validation_size=len(self._splits.validation.labels),
            device=jax.devices()[0].device_kind,
            versions=method.versions | {name: p.__version__ for name, p in packages.items()},
        )

    def _trainer(self, problem: Problem, method: Method) -> Trainer:
        plan = self._plan
        try:
            return Trainer(
                problem,
                method,
                self._splits,
                batch_size=plan.batch_size or problem.batch_size,
                points=plan.points,
                together=plan.together,
            )
        except Exception as error:  # whatever a factory from anywhere may raise
            raise StudyError(f"{method.text} cannot train {problem.name}: {error}") from error

    def _end(self, run: Run) -> float:
        end = SELECT[self._plan.select](run.points[-1])
        return math.inf if run.diverged or math.isnan(end) else end
