"""A study in one call, for notebooks, and what came of it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gdmethods._programs.progress import Progress
from gdmethods.study import comparison, pictures, report, tables
from gdmethods.study.archive import Archive, Memory
from gdmethods.study.contest import Contest, Plan
from gdmethods.study.methods import DEFAULT, parse
from gdmethods.study.outcomes import Results
from gdmethods.study.problem import Problem


@dataclasses.dataclass(frozen=True)
class Study:
    """What came of a study.

    Attributes:
      results: all runs, as outcomes of each method on each problem.
    """

    results: Results

    def __str__(self) -> str:
        return "\n".join(self.answer)

    @property
    def answer(self) -> list[str]:
        """Which methods are ahead, in sentences."""
        return comparison.answer(self.results)

    @property
    def tables(self) -> dict[str, Any]:
        """NumPy's structured arrays: `points`, of all runs, and `outcomes`, of each method."""
        return tables.arrays(self.results)

    @property
    def figures(self) -> dict[str, Any]:
        """Matplotlib's figures, by problem and then by name, as `["bowl"]["loss"]`."""
        return pictures.figures(self.results)

    def write(self, directory: str | Path) -> list[Path]:
        """Leave `points.csv`, `summary.json`, the pictures and `report.html` in a directory."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tables.write(directory, self.results)
        drawn = pictures.write(directory, self.results)
        html = directory / "report.html"
        report.write(html, self.results, drawn)
        paths = [path for its in drawn.values() for path in its.values()]
        return [directory / "points.csv", directory / "summary.json", *paths, html]


def study(
    problems: Problem | Sequence[Problem],
    *,
    methods: str | Sequence[str | Callable[..., Any]] = DEFAULT,
    rates: tuple[float, float] = Plan.rates,
    trials: int = Plan.trials,
    tune: Mapping[str, Sequence[float]] | None = None,
    random: int | None = Plan.random,
    seeds: int = Plan.seeds,
    passes: int = Plan.passes,
    points: int = Plan.points,
    target: float | None = Plan.target,
    select: str = Plan.select,
    together: int | None = Plan.together,
    out: str | Path | None = None,
    quiet: bool = False,
) -> Study:
    """Compare methods on problems, each tuned equally and repeated with new seeds.

    The same as `python -m gdmethods.study`, with the same options.

    Arguments:
      problems: one, or some with different names.
      methods: expressions such as `"adam, optax.adamw(weight_decay=0.01)"`, or
        a list of such expressions and of factories that take a
        `learning_rate`. By default, the methods of gdmethods.
      rates: the lowest and the highest learning rate.
      trials: learning rates that each method tries, evenly on a log scale.
      tune: by the name of an argument, values to try; see `random`.
      random: further trials if arguments are tuned: random points of the grid
        of rates and values for a method that has such an argument, further
        rates for another. By default as many as `trials`.
      seeds: repeats of the setting whose trial ends best.
      passes: over the training data.
      points: measurements in a pass.
      target: a value of the judge on the validation data; the time until it is
        reached is measured. By default that of each problem.
      select: what chooses the best trial: the "judge", on the validation data,
        or the "loss", on the training data.
      together: runs that train at once, under `jax.vmap`; by default 1 on a
        CPU, else 8.
      out: where the finished runs are kept. The same call goes on from there.
      quiet: say nothing of the progress.

    Raises:
      ValueError: the parts of a problem do not fit, a method is missing or
        cannot train, or the options do not fit together; nothing was trained.
        A file of a finished run in `out` is damaged.

    The bowl ½ (w₁² + 100 w₂²), which SGD descends at rates below 2 / 100:

    >>> import jax, jax.numpy as jnp
    >>> from gdmethods.study import Problem, study
    >>> def bowl(w, batch, key):
    ...     return (w[0] ** 2 + 100 * w[1] ** 2) / 2 + 0 * batch.sum()
    >>> problem = Problem(
    ...     lambda key: jax.random.normal(key, 2), bowl, train=jnp.zeros(30),
    ...     validation=jnp.zeros(1), batch_size=1, name="bowl",
    ... )
    >>> done = study(problem, methods="sgd", rates=(1e-3, 0.1), trials=5, quiet=True)
    >>> done.results.outcomes[0].arguments
    {'learning_rate': 0.01}
    """
    if isinstance(problems, Problem):
        problems = [problems]
    named = [
        problem if problem.name else dataclasses.replace(problem, name=f"problem {number}")
        for number, problem in enumerate(problems, 1)
    ]
    plan = Plan(
        problems=named,
        methods=parse(methods),
        command="gdmethods.study.study(…)",
        rates=rates,
        trials=trials,
        tune=tune or {},
        random=random,
        seeds=seeds,
        passes=passes,
        points=points,
        target=target,
        select=select,
        together=together,
    )
    contest = Contest(plan, Memory() if out is None else Archive(Path(out) / "runs"))
    contest.estimate()
    with Progress(total=1.0, quiet=quiet) as progress:
        outcomes = list(contest.outcomes(progress.tell))
    return Study(contest.results(outcomes))
