"""Each method chooses a setting on each problem, and repeats it with new seeds.

All methods have the same number of trials, with seed 0. The setting whose trial ends best is
repeated with seeds 1, 2, …. Only the repeats count as the method's result: the best of many trials
owes something to luck, which a repeat does not have.

The first trials are the learning rates. If arguments are tuned, as many trials more are random
points of the grid of the rates and the values given, where the method has such an argument; a
method that has none tries further rates, drawn from the same range. If the best rate is the lowest
or the highest, the rates go on beyond it, once, up to ten times as far.

Methods that come with their learning rates, as `sgd(learning_rate=0.1)`, are repeated at once.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax

import gdmethods
from gdmethods.study.archive import Archive, Memory
from gdmethods.study.dry_step import check
from gdmethods.study.identity import problem_crc32
from gdmethods.study.methods import Method, labels
from gdmethods.study.outcomes import TRIAL_SEED, Facts, Outcome, Results, Run, Settings
from gdmethods.study.problem import Problem, ProblemError
from gdmethods.study.trials import Costs, Prepared, Trainer

Setting = Mapping[str, float]
"""The arguments of a run, by name."""

JUDGE, LOSS = "judge", "loss"
"""What `select` can be."""


class StudyError(ValueError):
    """The options do not go together, or a method cannot train a problem."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is compared, and how: the options of the command, by their names.

    Attributes:
      problems, methods: each with each.
      command: that repeats the study.
      rates: the lowest and the highest learning rate.
      trials: learning rates that each method tries.
      tune: by the name of an argument, its values.
      random: further trials if arguments are tuned; by default as many again.
      seeds: repeats.
      passes: over the training data.
      points: measurements in a pass.
      together: runs that train at once; by default 1 on a CPU, else 8.
      select: what chooses the best trial: the judge, or the loss on the training data.
      target: in place of that of each problem.
    """

    problems: Sequence[Problem]
    methods: Sequence[Method]
    command: str
    rates: tuple[float, float] = (1e-4, 10.0)
    trials: int = 11
    tune: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    random: int | None = None
    seeds: int = 5
    passes: int = 6
    points: int = 2
    together: int | None = None
    select: str = JUDGE
    target: float | None = None

    @property
    def given(self) -> bool:
        """Whether the methods come with their learning rates."""
        return any(method.rate is not None for method in self.methods)


class Estimate(NamedTuple):
    """What a study takes.

    Attributes:
      there: runs in the archive.
      missing: runs that are not; an extended grid adds some.
      seconds: that they take, about; None where nobody knows yet how long a pass is.
    """

    there: int
    missing: int
    seconds: float | None


class Watch(Protocol):
    """Hears of the progress: what goes on, the share of the study that is done, or need not be."""

    def __call__(self, what: str, *, done: float = 0.0, spared: float = 0.0) -> None: ...


class Contest:
    """A plan, with its finished runs in an archive.

    To build it is to check that the parts of each problem fit, and that each method can train:
    a `ProblemError` or a `StudyError` names the first that does not.
    """

    def __init__(self, plan: Plan, archive: Archive | Memory) -> None:
        together = plan.together or (1 if jax.default_backend() == "cpu" else 8)
        self._plan = plan = dataclasses.replace(plan, together=together)
        self._archive = archive
        _check(plan)
        for problem in plan.problems:
            check(problem)
        self._prepared = {
            problem.name: Prepared(problem, points=plan.points, together=together)
            for problem in plan.problems
        }
        self._crc32s = {problem.name: problem_crc32(problem) for problem in plan.problems}
        self._labels = labels(plan.methods)
        self._settings_of = dict(
            zip([m.text for m in plan.methods], _settings_to_try(plan), strict=True)
        )
        self._trainers: dict[tuple[str, str], Trainer | Exception] = {
            (problem.name, method.text): self._trainer(problem, method)
            for problem in plan.problems
            for method in plan.methods
        }
        for method in plan.methods:
            trainers = [self._trainers[problem.name, method.text] for problem in plan.problems]
            errors = [error for error in trainers if isinstance(error, Exception)]
            if len(errors) == len(trainers):
                raise StudyError(
                    f"{method.text} cannot train {plan.problems[0].name}: {_line(errors[0])}"
                ) from errors[0]
        self._shares: dict[str, float] = {}

    def estimate(self) -> Estimate:
        """Looks into the archive, and times a few steps of each problem that is not done yet."""
        plan = self._plan
        there, missing, seconds = 0, 0, 0.0
        weights: dict[str, float] = {}  # the seconds of a run
        for problem in plan.problems:
            runs = [self._known_runs(problem, method) for method in plan.methods]
            lacking = [known.count(None) for known in runs]
            missing += sum(lacking)
            there += sum(map(len, runs)) - sum(lacking)
            if any(lacking):
                costs = self._costs(problem)
                steps = math.nan if costs.steps is None else costs.steps
                points = plan.passes * plan.points + 1
                weight = plan.passes * steps * costs.step + points * costs.measuring
                seconds += sum(lacking) * weight + sum(map(bool, lacking)) * costs.compiling
                weights[problem.name] = weight
        known = [weight for weight in weights.values() if weight > 0]
        usual = sum(known) / len(known) if known else 1.0
        weights = {
            problem.name: weight if (weight := weights.get(problem.name, 0.0)) > 0 else usual
            for problem in plan.problems
        }
        runs_of_a_problem = sum(len(self._planned(method)) + plan.seeds for method in plan.methods)
        total = sum(weights.values()) * runs_of_a_problem
        self._shares = {name: weight / total for name, weight in weights.items()}
        return Estimate(there, missing, None if math.isnan(seconds) else seconds)

    def results(self, outcomes: Sequence[Outcome]) -> Results:
        """All that the tables, pictures and the report need."""
        plan = self._plan
        tuned: dict[str, Any] = {
            "rates": _rates(plan),
            "trials": len(next(iter(self._settings_of.values()))),
            "tune": {name: list(values) for name, values in plan.tune.items()},
            "select": plan.select,
        }
        settings: dict[str, Any] = {
            **({} if plan.given else tuned),
            "seeds": plan.seeds,
            "passes": plan.passes,
            "points": plan.points,
            "together": plan.together,
            "device": _device(),
            "versions": _versions()
            | {
                name: version
                for method in plan.methods
                for name, version in method.versions.items()
            },
        }
        planned = len(plan.problems) * len(plan.methods)
        return Results(plan.command, settings, planned, tuple(outcomes))

    def outcomes(self, watch: Watch) -> Iterator[Outcome]:
        """Each method on each problem, as soon as it is done."""
        for problem, method in itertools.product(self._plan.problems, self._plan.methods):
            yield self._outcome(problem, method, watch)
            del self._trainers[problem.name, method.text]  # and what it has compiled

    def _outcome(self, problem: Problem, method: Method, watch: Watch) -> Outcome:
        trials: list[Run] = []
        repeats: list[Run] = []
        planned, error = self._planned(method), None
        try:
            while wanted := self._next_trials(method, trials):
                for run in self._runs(problem, method, wanted, watch, planned=not trials):
                    trials.append(run)
            chosen, seeds = self._chosen(method, trials), range(1, self._plan.seeds + 1)
            for run in self._runs(problem, method, [chosen] * len(seeds), watch, seeds=seeds):
                repeats.append(run)
        except _Failed as failed:
            left = len(planned) + self._plan.seeds - len(trials) - len(repeats)
            watch(
                self._labels[method.text],
                spared=max(left, 0) * self._shares.get(problem.name, 0.0),
            )
            error, repeats = str(failed), []
        return Outcome(
            self._facts(problem),
            method.text,
            self._labels[method.text],
            tuple(trials),
            tuple(repeats),
            len(trials) > len(planned),
            error,
        )

    def _planned(self, method: Method) -> Sequence[Setting]:
        """The settings of its trials; none where there is only one."""
        settings = self._settings_of[method.text]
        return settings if len(settings) > 1 else []

    def _next_trials(self, method: Method, trials: Sequence[Run]) -> Sequence[Setting]:
        """After these: what is planned, then what lies beyond the edge, if the best is there."""
        planned = self._planned(method)
        if not trials:
            return planned
        return self._beyond(self._best(trials)) if len(trials) == len(planned) else []

    def _chosen(self, method: Method, trials: Sequence[Run]) -> Setting:
        """What is repeated after all trials."""
        if not trials:
            return self._settings_of[method.text][0]
        return self._best(trials).settings.arguments

    def _runs(
        self,
        problem: Problem,
        method: Method,
        arguments: Sequence[Setting],
        watch: Watch,
        *,
        seeds: Sequence[int] | None = None,
        planned: bool = True,
    ) -> Iterator[Run]:
        """Of the archive, or trained now; each is on disk before the next group begins."""
        wanted = [
            self._settings(problem, method, each, seed)
            for each, seed in zip(arguments, seeds or [TRIAL_SEED] * len(arguments), strict=True)
        ]
        together = self._prepared[problem.name].together
        share = self._shares.get(problem.name, 0.0) if planned else 0.0
        for start in range(0, len(wanted), together):
            yield from self._group(wanted[start : start + together], share, watch)

    def _group(self, wanted: Sequence[Settings], share: float, watch: Watch) -> list[Run]:
        first = wanted[0]
        values = ", ".join(f"{value:g}" for value in first.arguments.values())
        what = f"{first.problem}, {first.method.removeprefix('gdmethods.')}, {values}"
        left = share * len(wanted)
        found = [run for settings in wanted if (run := self._archive.load(settings))]
        if len(found) == len(wanted):
            watch(what, spared=left)
            return found
        watch(what)
        per_pass = left / first.passes

        def advanced(passes: float) -> None:
            nonlocal left
            left -= passes * per_pass
            watch(what, done=passes * per_pass)

        trainer = self._trainers[first.problem, first.method]
        if isinstance(trainer, Exception):
            raise _Failed(_line(trainer)) from trainer
        try:
            runs = trainer.train(wanted, advanced)
        except Exception as error:  # whatever a method or a problem from anywhere may raise
            raise _Failed(_line(error)) from error
        for run in runs:
            self._archive.save(run)
        watch(what, spared=max(left, 0.0))  # what a diverged run is spared
        return runs

    def _settings(
        self, problem: Problem, method: Method, arguments: Setting, seed: int
    ) -> Settings:
        plan = self._plan
        trainer = self._trainers[problem.name, method.text]
        return Settings(
            problem=problem.name,
            problem_crc32=self._crc32s[problem.name],
            method=method.text,
            method_crc32=0 if isinstance(trainer, Exception) else trainer.method_crc32,
            arguments=dict(arguments),
            seed=seed,
            passes=plan.passes,
            batch_size=None if problem.batches else problem.batch_size,
            points=plan.points,
            together=self._prepared[problem.name].together,
            device=_device(),
            versions={**_versions(), **method.versions},
        )

    def _trainer(self, problem: Problem, method: Method) -> Trainer | Exception:
        arguments = list(self._settings_of[method.text][0])
        try:
            return Trainer(self._prepared[problem.name], method, arguments)
        except Exception as error:  # whatever a factory from anywhere may raise
            return error

    def _facts(self, problem: Problem) -> Facts:
        target = self._plan.target
        return Facts(
            name=problem.name,
            text=problem.text,
            judge=problem.judge,
            greater_is_better=problem.judge in problem.greater_is_better,
            reported="validation" if problem.test is None else "test",
            target=problem.target if target is None else target,
            batch_size=None if problem.batches else problem.batch_size,
            examples=problem.examples,
        )

    def _best(self, trials: Sequence[Run]) -> Run:
        """That ends best; of several with the same judge, the one with the least loss."""

        def end(run: Run) -> tuple[float, float]:
            point = run.points[-1]
            facts = self._facts(self._prepared[run.settings.problem].problem)
            judge = facts.sign * point.validation[facts.judge]
            ends = (point.loss, judge) if self._plan.select == LOSS else (judge, point.loss)
            return (math.inf, math.inf) if run.diverged or math.isnan(ends[0]) else ends

        return min(trials, key=end)

    def _beyond(self, best: Run) -> list[dict[str, float]]:
        """The best setting with the rates that extend the grid; none unless it is at the edge."""
        rates = _rates(self._plan)
        setting = best.settings.arguments
        rate = setting["learning_rate"]
        if len(rates) < 2 or rate not in (rates[0], rates[-1]):
            return []
        spacing = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1))
        further = max(1, round(math.log(10) / math.log(spacing)))
        spacing = spacing if rate == rates[-1] else 1 / spacing
        return [
            {**setting, "learning_rate": _rounded(rate * spacing**k)}
            for k in range(1, further + 1)
        ]

    def _known_runs(self, problem: Problem, method: Method) -> list[Run | None]:
        """Those that are planned, as far as one knows before all trials are there."""

        def loaded(arguments: Setting, seed: int = TRIAL_SEED) -> Run | None:
            return self._archive.load(self._settings(problem, method, arguments, seed))

        trials: list[Run] = []
        seeds = range(1, self._plan.seeds + 1)
        while wanted := self._next_trials(method, trials):
            runs = [*map(loaded, wanted)]
            trials += filter(None, runs)
            if None in runs:
                return [*trials, *[None] * runs.count(None), *[None] * len(seeds)]
        chosen = self._chosen(method, trials)
        return [*trials, *(loaded(chosen, seed) for seed in seeds)]

    def _costs(self, problem: Problem) -> Costs:
        for method in self._plan.methods:
            trainer = self._trainers[problem.name, method.text]
            if isinstance(trainer, Trainer):
                try:
                    return trainer.costs(self._settings_of[method.text][0])
                except Exception:  # it will be recorded when the method's turn comes
                    continue
        return Costs(0.0, 0.0, 0.0, None)


class _Failed(Exception):
    """A method could not be tried to the end."""


def _check(plan: Plan) -> None:
    lowest, highest = plan.rates
    if not 0 < lowest <= highest < math.inf:
        raise StudyError(f"rates must be the lowest, above 0, and the highest, got {plan.rates}")
    for option in ("trials", "seeds", "passes", "points", "together"):
        if getattr(plan, option) < 1:
            raise StudyError(f"{option} must be 1 or more, got {getattr(plan, option)}")
    if plan.select not in (JUDGE, LOSS):
        raise StudyError(f"select must be {JUDGE!r} or {LOSS!r}, got {plan.select!r}")
    if not plan.problems:
        raise StudyError("name a problem")
    names = [problem.name for problem in plan.problems]
    for name in names:
        if not re.fullmatch(r"\w[\w .=,()+-]*", name):
            raise ProblemError(
                "the name of a problem must be of letters, digits, spaces and .=,()+-, and begin "
                f"with a letter or digit, as it names a folder; got {name!r}"
            )
        if names.count(name) > 1:
            raise ProblemError(f"two problems have the name {name}; give them others with name=")
    if plan.given:
        for method in plan.methods:
            if method.rate is None:
                raise StudyError(
                    f"{method.short} has no learning rate, and other methods come with theirs; "
                    "give each of them one, or none, so that all are tuned alike"
                )
        if plan.tune:
            raise StudyError("methods that come with their learning rates are not tuned: see tune")
    if "learning_rate" in plan.tune:
        raise StudyError("the learning rate is tuned anyway: see rates and trials")
    for name in plan.tune:
        if not any(method.tunable({name: plan.tune[name]}) for method in plan.methods):
            raise StudyError(f"no method has an argument {name!r} that is free to tune")


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


def _rates(plan: Plan) -> list[float]:
    """Evenly spaced on a logarithmic scale, rounded to three digits, and each once."""
    return [*dict.fromkeys(map(_rounded, np.geomspace(*plan.rates, plan.trials)))]


def _settings_to_try(plan: Plan) -> list[list[dict[str, float]]]:
    """The arguments of each method's trials: as many for one as for another."""
    if given := [method.rate for method in plan.methods if method.rate is not None]:
        return [[{"learning_rate": rate}] for rate in given]
    rates = _rates(plan)
    starts = [method.tunable(plan.tune) for method in plan.methods]
    first = [[{"learning_rate": rate, **start} for rate in rates] for start in starts]
    if not plan.tune:
        return first
    grids = [
        [
            point
            for values in itertools.product(rates, *(plan.tune[name] for name in start))
            if (point := dict(zip(["learning_rate", *start], values, strict=True))) not in tried
        ]
        for start, tried in zip(starts, first, strict=True)
    ]
    further = plan.trials if plan.random is None else plan.random
    further = min(
        [further, *(len(grid) for grid, start in zip(grids, starts, strict=True) if start)]
    )
    lowest, highest = map(math.log, plan.rates)
    drawn = np.exp(np.random.default_rng(0).uniform(lowest, highest, further))
    others = [{"learning_rate": _rounded(rate)} for rate in drawn]
    return [
        [*tried, *(_drawn(grid, further) if start else others)]
        for start, tried, grid in zip(starts, first, grids, strict=True)
    ]


def _drawn(grid: Sequence[dict[str, float]], number: int) -> list[dict[str, float]]:
    """Random points of a grid, the same for grids alike."""
    return [grid[i] for i in np.random.default_rng(0).permutation(len(grid))[:number]]


def _device() -> str:
    kind: str = jax.devices()[0].device_kind
    return kind


def _versions() -> dict[str, str]:
    return {package.__name__: package.__version__ for package in (gdmethods, jax, optax)}


def _line(error: Exception) -> str:
    """What an error says, in one line; if it tells of another one's traceback, that one's."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if any("Traceback (most recent call last)" in line for line in lines):
        return lines[-1].strip()
    return ": ".join([type(error).__name__, *lines[:1]])
