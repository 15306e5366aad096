"""What a study finds out: runs and their points, outcomes, and all that a report needs.

The order of the rooms is the way of the data: a problem is trained in trials, which an archive
keeps; their outcomes are compared, and shown in tables, pictures and a report.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

TRIAL_SEED = 0
"""The seed of all trials; repeats have 1, 2, …."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that the numbers of a run depend on; two runs with the same settings are the same.

    Attributes:
      problem: its name.
      problem_crc32: of its data and of what its functions compute.
      method: the expression of the factory.
      arguments: that the factory is called with besides: the learning rate, and what is tuned.
      seed: of the first weights, the order of the data and whatever the loss draws.
      passes: over the training data.
      batch_size: examples in a minibatch.
      points: measurements in a pass.
      together: runs that train at once; sums may round otherwise.
      device: what trains.
      versions: of the packages.
      method_crc32: of what the method computes.
    """

    problem: str
    problem_crc32: int
    method: str
    arguments: Mapping[str, float]
    seed: int
    passes: int
    batch_size: int | None
    points: int
    together: int
    device: str
    versions: Mapping[str, str]
    method_crc32: int = 0


@dataclasses.dataclass(frozen=True)
class Point:
    """How far a run has come.

    Attributes:
      steps: taken so far.
      passes: over the training data.
      seconds: of training so far, without measuring and compiling. Of several runs at once, each
        has its share.
      loss: the mean over the training data, or over a sample of them; NaN when diverged.
      validation: each metric on the validation data, by its name.
      test: each metric on the test data; empty where a problem has none.
    """

    steps: int
    passes: float
    seconds: float
    loss: float
    validation: Mapping[str, float]
    test: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
      settings: of the run.
      diverged: a weight or the loss has become NaN or infinite; the last point is the first that
        shows it.
      weights: of the parameters.
      state_bytes_per_weight: that the optimizer keeps.
      compile_seconds: that the method's compilation took, on this problem.
      points: the first before the first step.
    """

    settings: Settings
    diverged: bool
    weights: int
    state_bytes_per_weight: float
    compile_seconds: float
    points: tuple[Point, ...]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the tables, pictures and the report say of a problem.

    Attributes:
      name: on the command line and of the files.
      text: a line that says what it is; may be empty.
      judge: the metric that chooses and compares.
      greater_is_better: whether more of the judge is better.
      reported: "test" where the problem has test data, else "validation".
      target: the value of the judge on the validation data until which time is measured; None
        without a target.
      batch_size: examples in a minibatch; None where the problem makes its own batches.
      examples: how many train; None where it is not known.
    """

    name: str
    text: str
    judge: str
    greater_is_better: bool
    reported: str
    target: float | None
    batch_size: int | None
    examples: int | None

    @property
    def sign(self) -> int:
        """That turns the judge's values so that less is better; and turns them back."""
        return -1 if self.greater_is_better else 1


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a method on a problem.

    Attributes:
      problem: which.
      method: the expression of the factory.
      label: the same, shorter: gdmethods' own have no prefix.
      trials: a run for each setting that was tried, with seed 0.
      repeats: a run for each further seed, with the setting whose trial ended best; empty where
        the method failed.
      extended: the best learning rate was at the edge of its grid, which was extended once.
      error: why the method could not be tried to the end, or None.
    """

    problem: Facts
    method: str
    label: str
    trials: tuple[Run, ...]
    repeats: tuple[Run, ...]
    extended: bool = False
    error: str | None = None

    @property
    def arguments(self) -> Mapping[str, float]:
        """The setting that ended best."""
        return self.repeats[0].settings.arguments

    @property
    def at_the_edge(self) -> bool:
        """Whether the best rate is the lowest or highest tried: a better one may lie beyond."""
        tried = [run.settings.arguments["learning_rate"] for run in self.trials]
        return len(set(tried)) > 1 and self.arguments["learning_rate"] in (min(tried), max(tried))

    def badness(self, point: Point, on: str = "validation") -> float:
        """The judge's value with its sign turned where more is better; infinite for NaN."""
        badness: float = self.problem.sign * getattr(point, on)[self.problem.judge]
        return math.inf if math.isnan(badness) else badness


@dataclasses.dataclass(frozen=True)
class Results:
    """A study, finished or not: all that tables, pictures and the report show.

    Attributes:
      command: that repeats it.
      settings: that hold for all problems, for the report: learning rates, seeds, passes, points,
        device, versions, what is tuned.
      planned: outcomes that there will be.
      outcomes: those that are there.
    """

    command: str
    settings: Mapping[str, Any]
    planned: int
    outcomes: tuple[Outcome, ...]
