"""The command line of the study."""

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gdmethods._programs.endings import INTERRUPTED
from gdmethods._programs.imports import imported
from gdmethods._programs.options import Parser, finite_float, positive, positive_float
from gdmethods._programs.progress import Console, Progress
from gdmethods.study import methods, tables
from gdmethods.study.archive import Archive, ArchiveError
from gdmethods.study.contest import JUDGE, LOSS, Contest, Plan, StudyError
from gdmethods.study.outcomes import Outcome
from gdmethods.study.problem import Problem, ProblemError
from gdmethods.study.studies import Study


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "gdmethods.study", *arguments])
    return compare(_plan(options, command), options.out, parser)


def compare(plan: Plan, out: Path, parser: Parser) -> int:
    """Train, print, and write the report; what is wrong ends `parser`'s program in one line."""
    console = Console(highlight=False)
    outcomes: list[Outcome] = []
    status = 0
    try:
        try:
            contest = Contest(plan, Archive(out / "runs"))
            parser.make_directory("--out", out)
            console.print(_what_is_left(contest), soft_wrap=True)
            with Progress(total=1.0) as progress:
                for outcome in contest.outcomes(progress.tell):
                    outcomes.append(outcome)
                    tables.write(out, contest.results(outcomes))
        except KeyboardInterrupt:
            if not any((out / "runs").rglob("*.json")):
                raise
            console.print("Interrupted. The same command goes on from here.")
            status = INTERRUPTED
        if outcomes:
            results = contest.results(outcomes)
            console.print(tables.render(results))
            for path in Study(results).write(out):
                console.print(path, soft_wrap=True)
    except (ProblemError, StudyError, ArchiveError) as error:
        parser.error(str(error))
    return status


def _what_is_left(contest: Contest) -> str:
    there, missing, seconds = contest.estimate()
    if not missing:
        return f"All {there} runs are there already."
    kept = f" ({there} are there already)" if there else ""
    if seconds is None:
        return f"{missing} runs{kept}. How long they take shows after the first."
    about = "" if seconds < 1 else "about "
    return f"{missing} runs{kept}, {about}{tables.duration(seconds)}."


def _plan(options: argparse.Namespace, command: str) -> Plan:
    return Plan(
        problems=[
            dataclasses.replace(problem, batch_size=options.batch_size or problem.batch_size)
            for problem in options.problems
        ],
        methods=options.methods,
        command=command,
        rates=tuple(options.rates),
        trials=options.trials,
        tune=dict(options.tune),
        random=options.random,
        seeds=options.seeds,
        passes=options.passes,
        points=options.points,
        together=options.together,
        select=options.select,
        target=options.target,
    )


def _parser() -> Parser:
    parser = Parser(
        "gdmethods.study",
        "Compare methods on problems of your own, all tuned equally: each tries the same learning "
        "rates, and repeats the one that ends best with new seeds. Writes a report, and saves "
        "every finished run at once. After Ctrl-C or a kill, the same command goes on where it "
        f"was. By default each method has {Plan.trials + Plan.seeds} runs on each problem, and a "
        "few more if the best rate is at the edge of the range. First it says about how long "
        "all take.",
    )
    parser.add_argument(
        "problems",
        metavar="MODULE:PROBLEM",
        nargs="+",
        type=_problem,
        help="a gdmethods.study.Problem in an importable module, such as my_problem:problem, or a "
        "function that makes one",
    )
    parser.add_argument(
        "--methods",
        metavar="FACTORIES",
        type=_methods,
        default=methods.parse(methods.DEFAULT),
        help="importable factories that take a learning_rate, with arguments if need be, such as "
        '"adam, optax.adamw(weight_decay=0.01), my_rules:lion"; if all have a learning rate, as '
        f"adam(learning_rate=0.001), nothing is tuned ({methods.DEFAULT})",
    )
    parser.add_argument(
        "--rates",
        metavar=("LOWEST", "HIGHEST"),
        nargs=2,
        type=positive_float,
        default=Plan.rates,
        help="the range of learning rates ({:g} {:g}); if the best one is at its edge, the range "
        "goes on beyond it, once".format(*Plan.rates),
    )
    parser.add_argument(
        "--trials",
        metavar="N",
        type=positive,
        default=Plan.trials,
        help="learning rates in it that each method tries, evenly on a log scale (%(default)s)",
    )
    parser.add_argument(
        "--tune",
        metavar="NAME=VALUES",
        type=_tuned,
        action="append",
        default=[],
        help="another argument to tune, such as momentum=0.5,0.9,0.99; may be given several times",
    )
    parser.add_argument(
        "--random",
        metavar="N",
        type=positive,
        help="further trials with --tune: random points of the grid of rates and values, or "
        "further rates for a method without such an argument (as many as --trials)",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=positive,
        default=Plan.seeds,
        help="repeats of the best trial (%(default)s)",
    )
    parser.add_argument(
        "--select",
        choices=(JUDGE, LOSS),
        default=Plan.select,
        help="what chooses the best trial: the judge, which is the first metric, on the "
        "validation data, or the loss on the training data (%(default)s)",
    )
    parser.add_argument(
        "--passes",
        metavar="N",
        type=positive,
        default=Plan.passes,
        help="passes over the training data (%(default)s)",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=positive,
        default=Plan.points,
        help="measurements in a pass (%(default)s)",
    )
    parser.add_argument(
        "--target",
        metavar="VALUE",
        type=finite_float,
        help="a value of the judge on the validation data; measures how long each method takes to "
        "reach it (the problem's)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        help="examples in a batch, in place of what each problem prescribes",
    )
    parser.add_argument(
        "--together",
        metavar="N",
        type=positive,
        help="runs that train at once, under jax.vmap (1 on a CPU, else 8)",
    )
    parser.add_directory("--out", "results/study", "where the runs and the report go")
    return parser


def _problem(text: str) -> Problem:
    module, _, attribute = text.partition(":")
    if not attribute:
        raise argparse.ArgumentTypeError(f"{text!r} must be as my_problem:problem")
    try:
        problem: Any = imported(text)
        if not isinstance(problem, Problem) and callable(problem):
            problem = problem()
    except (ImportError, ProblemError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(problem, Problem):
        raise argparse.ArgumentTypeError(
            f"{text} must be a gdmethods.study.Problem, but is a {type(problem).__name__}"
        )
    name = module.rpartition(".")[2] if attribute == "problem" else attribute
    return problem if problem.name else dataclasses.replace(problem, name=name)


def _methods(text: str) -> list[methods.Method]:
    try:
        return methods.parse(text)
    except methods.MethodError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _tuned(text: str) -> tuple[str, list[float]]:
    name, _, values = text.partition("=")
    try:
        return name, [float(value) for value in values.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a name and numbers, such as momentum=0.5,0.9,0.99"
        ) from None
