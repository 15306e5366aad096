"""The command line of the study."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

import jax

from examples.mnist import data
from examples.mnist.study import methods, pictures, report, tables
from examples.mnist.study.archive import Archive, ArchiveError
from examples.mnist.study.problems import PROBLEMS, split
from examples.mnist.study.study import SELECT, Outcome, Plan, Study, StudyError, rates
from gdmethods._programs.endings import INTERRUPTED
from gdmethods._programs.options import Parser, positive, positive_float, some_of
from gdmethods._programs.progress import Console, Progress


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "examples.mnist", "study", *arguments])
    console = Console()
    outcomes: list[Outcome] = []
    status = 0
    try:
        try:
            plan, study = _study(options, parser)
            with Progress(total=1.0) as progress:
                for outcome in study.outcomes(progress.tell):
                    outcomes.append(outcome)
                    tables.write(options.out, plan, command, outcomes)
        except KeyboardInterrupt:
            if not any((options.out / "runs").rglob("*.json")):
                raise
            console.print("Interrupted. The same command goes on from here.")
            status = INTERRUPTED
        if outcomes:
            _report(console, options.out, plan, command, outcomes)
    except (data.DataError, StudyError, ArchiveError) as error:
        parser.error(str(error))
    return status


def _report(
    console: Console, out: Path, plan: Plan, command: str, outcomes: Sequence[Outcome]
) -> None:
    console.print(tables.table(outcomes))
    drawn = pictures.write(out, outcomes)
    html = out / "report.html"
    report.write(html, plan, command, outcomes, drawn)
    paths = [path for its in drawn.values() for path in its.values()]
    for path in (out / "points.csv", out / "summary.json", *paths, html):
        console.print(path, soft_wrap=True, highlight=False)


def _study(options: argparse.Namespace, parser: Parser) -> tuple[Plan, Study]:
    lowest, highest = options.rates
    if lowest > highest:
        raise StudyError(f"--rates {lowest} {highest}: the lowest comes first")
    if options.target > 100:
        raise StudyError(f"--target {options.target} is more than 100 percent")
    dataset = data.load(options.data)
    size = len(dataset.train.labels)
    validation = size // 6 if options.validation_size is None else options.validation_size
    if validation >= size:
        raise StudyError(
            f"--validation-size {validation} leaves none of the {size} training images in "
            f"{options.data} to train with"
        )
    for problem in options.problems:
        batch_size = options.batch_size or problem.batch_size
        batches = (size - validation) // batch_size
        if batches < options.points:
            raise StudyError(
                f"{problem.name} has {batches} minibatches of {batch_size} in its "
                f"{size - validation} images, too few to measure --points {options.points} times "
                "a pass; choose a smaller --batch-size or fewer --points"
            )
    parser.make_directory("--out", options.out)
    plan = Plan(
        data=dataset.name,
        problems=options.problems,
        methods=options.methods,
        rates=rates(lowest, highest, options.trials),
        seeds=options.seeds,
        passes=options.passes,
        points=options.points,
        batch_size=options.batch_size,
        together=options.together or (1 if jax.default_backend() == "cpu" else 8),
        select=options.select,
        target=100 - options.target,
    )
    return plan, Study(plan, split(dataset, validation), Archive(options.out / "runs"))


def _parser() -> Parser:
    parser = Parser(
        "examples.mnist study",
        "Compare methods, each tuned equally: all try the same learning rates, and "
        "repeat the one that ends best with new seeds. Every finished run is on disk at once; "
        "after Ctrl-C, or a kill, the same command goes on where it was.",
    )
    parser.add_argument(
        "--problems",
        metavar="NAMES",
        type=some_of(PROBLEMS),
        default=[PROBLEMS["zeiler"]],
        help="the networks to train: "
        + "; ".join(f"{problem.name}: {problem.text}" for problem in PROBLEMS.values())
        + " (zeiler)",
    )
    parser.add_argument(
        "--methods",
        metavar="FACTORIES",
        type=_methods,
        default=methods.parse(methods.DEFAULT),
        help="importable factories that take a learning_rate, with arguments if need be: "
        f'"optax.lion, gdmethods.momentum(momentum=0.99)" ({methods.DEFAULT})',
    )
    parser.add_argument(
        "--rates",
        metavar=("LOWEST", "HIGHEST"),
        nargs=2,
        type=positive_float,
        default=[1e-4, 10.0],
        help="the range of learning rates (1e-4 10)",
    )
    parser.add_argument(
        "--trials",
        metavar="N",
        type=positive,
        default=11,
        help="learning rates in it that each method tries, evenly on a log scale (%(default)s)",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=positive,
        default=5,
        help="repeats at the best learning rate (%(default)s)",
    )
    parser.add_argument(
        "--select",
        choices=SELECT,
        default="validation-error",
        help="what the best learning rate has the lowest of, at the end (%(default)s)",
    )
    parser.add_argument(
        "--passes",
        metavar="N",
        type=positive,
        default=6,
        help="passes over the images that train (%(default)s)",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=positive,
        default=2,
        help="measurements in a pass (%(default)s)",
    )
    parser.add_argument(
        "--target",
        metavar="PERCENT",
        type=positive_float,
        default=97.0,
        help="validation accuracy that the time is taken to (%(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        help="images in a minibatch, in place of what each problem prescribes",
    )
    parser.add_argument(
        "--validation-size",
        metavar="N",
        type=positive,
        help="training images set aside to choose the learning rate (a sixth)",
    )
    parser.add_argument(
        "--together",
        metavar="N",
        type=positive,
        help="runs that train at once, under jax.vmap (1 on a CPU, else 8)",
    )
    parser.add_directory("--out", "results/study", "where the runs and the report go")
    data.add_option(parser)
    return parser


def _methods(text: str) -> list[methods.Method]:
    try:
        return methods.parse(text)
    except methods.MethodError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
