"""Train every method of gdmethods on MNIST and compare them: `python -m examples.mnist`."""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence

import flax
import jax
from rich.box import SIMPLE_HEAD
from rich.table import Table

import gdmethods
from examples.mnist import data, plots, results
from examples.mnist.roster import ROSTER
from examples.mnist.training import train
from gdmethods._programs.endings import INTERRUPTED
from gdmethods._programs.options import Parser, positive, seed, some_of
from gdmethods._programs.progress import Console, Progress


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        dataset = data.load(options.data)
    except data.DataError as error:
        parser.error(str(error))
    if options.batch_size > len(dataset.train.labels):
        parser.error(
            f"--batch-size {options.batch_size} is more than the {len(dataset.train.labels)} "
            f"training images in {options.data}; choose at most as many"
        )
    parser.make_directory("--out", options.out)
    csv, picture = options.out / "results.csv", options.out / "curves.png"

    budgets = [
        options.full_batch_epochs if method.full_batch else options.epochs
        for method in options.methods
    ]
    console = Console()
    status = 0
    rows: list[results.Row] = []
    try:
        with Progress(sum(budgets)) as progress:
            for row in _rows(options, budgets, dataset, progress):
                if not rows:
                    picture.unlink(missing_ok=True)  # it shows another run
                rows.append(row)
                results.write(csv, rows)
    except KeyboardInterrupt:
        if not rows:
            raise
        console.print("Interrupted. What was measured so far is kept.")
        status = INTERRUPTED
    console.print(_table(results.read(csv)))
    plots.draw(csv, picture)
    console.print(f"{csv}\n{picture}", soft_wrap=True)
    return status


def _rows(
    options: argparse.Namespace, budgets: Sequence[int], dataset: data.Dataset, progress: Progress
) -> Iterator[results.Row]:
    size = len(dataset.train.labels)
    for method, passes in zip(options.methods, budgets, strict=True):
        batch_size = size if method.full_batch else options.batch_size
        progress.tell(f"{method.label}: compiling")
        measurements = train(
            method.optimizer(),
            dataset,
            passes=passes,
            batch_size=batch_size,
            seed=options.seed,
            eval_params=method.eval_params,
        )
        for measured in measurements:
            progress.tell(
                f"{method.label}: pass {measured.passes} of {passes}, "
                f"cost {measured.train_cost:.4g}",
                done=1 if measured.passes else 0,
            )
            yield results.Row(
                method=method.name,
                label=method.label,
                settings=method.settings_text,
                data=dataset.name,
                batch_size=batch_size,
                steps_per_pass=size // batch_size,
                seed=options.seed,
                passes=measured.passes,
                train_cost=measured.train_cost,
                test_error_percent=measured.test_error_percent,
                seconds=measured.seconds,
                compile_seconds=measured.compile_seconds,
                state_bytes_per_weight=measured.state_bytes_per_weight,
                gdmethods=gdmethods.__version__,
                jax=jax.__version__,
                flax=flax.__version__,
            )


def _table(runs: list[list[results.Row]]) -> Table:
    seed, data = runs[0][0].seed, runs[0][0].data
    table = Table(title=f"{data}, seed {seed}", box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("method", overflow="fold")
    table.add_column("settings", no_wrap=True)
    for heading in (
        "passes",
        "training\ncost",
        "test\nerror",
        "seconds\na pass",
        "seconds\ncompile",
        "state\nbytes a\nweight",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for rows in runs:
        last = rows[-1]
        diverged = last.train_cost != last.train_cost
        table.add_row(
            last.label,
            last.settings.replace(", ", "\n"),
            str(last.passes),
            "[red]diverged[/]" if diverged else f"{last.train_cost:.4g}",
            f"{last.test_error_percent:.2f} %",
            f"{statistics.median(row.seconds for row in rows[1:]):.2f}" if rows[1:] else "",
            f"{last.compile_seconds:.1f}",
            f"{last.state_bytes_per_weight:.1f}",
        )
    return table


def _parser() -> Parser:
    parser = Parser(
        "examples.mnist",
        "Train a network of two tanh layers (500 and 300 units) on MNIST with each "
        "method of gdmethods, from the same first weights on the same minibatches, and compare "
        "them. Writes results.csv row by row, and curves.png. Ctrl-C ends the run early and keeps "
        "the measurements. "
        "`python -m gdmethods.study examples.mnist.problems:zeiler` compares any methods on the "
        "same network, each at its best learning rate.",
    )
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        type=some_of(ROSTER),
        default=list(ROSTER.values()),
        help=f"the methods to compare, such as adam,rprop; all by default: {', '.join(ROSTER)}",
    )
    parser.add_argument(
        "--epochs",
        metavar="N",
        type=positive,
        default=6,
        help="passes over the training set for each method on minibatches (%(default)s)",
    )
    parser.add_argument(
        "--full-batch-epochs",
        metavar="N",
        type=positive,
        default=15,
        help="passes for a method on full batches, where a pass is a single step (%(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=100,
        help="images in a minibatch (%(default)s); each pass skips the rest that fills no "
        "minibatch, other images each time",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=seed,
        default=0,
        help="for the first weights and the order of the images (%(default)s)",
    )
    parser.add_directory(
        "--out",
        "results",
        "where to write results.csv and curves.png; existing ones are overwritten",
    )
    data.add_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
