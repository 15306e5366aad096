"""Train every method of gdmethods on MNIST and compare them: `python -m examples.mnist`."""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import flax
import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

import gdmethods
from examples.mnist import plots, results
from examples.mnist.data import SHIPPED, DataError, Dataset, load
from examples.mnist.options import INTERRUPTED, positive, seed
from examples.mnist.roster import ROSTER, Method
from examples.mnist.study import command as study
from examples.mnist.training import train


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["study"]:
        return study.main(arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        data = load(options.data_dir)
    except DataError as error:
        parser.error(str(error))
    if options.batch_size > len(data.train.labels):
        parser.error(
            f"--batch-size {options.batch_size} is more than the {len(data.train.labels)} "
            f"training images in {options.data_dir}; choose at most as many"
        )
    csv, picture = options.out / "results.csv", options.out / "curves.png"
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        csv.touch()
        picture.unlink(missing_ok=True)
    except OSError as error:
        parser.error(f"--out {options.out} cannot be written ({error}); name another directory")

    console = Console()
    status = 0
    try:
        with _progress(console) as progress:
            results.write(csv, _rows(options, data, progress))
    except KeyboardInterrupt:
        console.print("Interrupted. What was measured so far is kept.")
        status = INTERRUPTED
    runs = results.read(csv)
    if runs:
        console.print(_table(runs))
        plots.draw(csv, picture)
        console.print(f"{csv}\n{picture}", soft_wrap=True)
    return status


def _rows(options: argparse.Namespace, data: Dataset, progress: Progress) -> Iterator[results.Row]:
    size = len(data.train.labels)
    budgets = [
        options.full_batch_epochs if method.full_batch else options.epochs
        for method in options.methods
    ]
    task = progress.add_task("", total=sum(budgets))
    for method, passes in zip(options.methods, budgets, strict=True):
        batch_size = size if method.full_batch else options.batch_size
        progress.update(task, description=f"{method.label}: compiling")
        measurements = train(
            method.optimizer(),
            data,
            passes=passes,
            batch_size=batch_size,
            seed=options.seed,
            eval_params=method.eval_params,
        )
        for measured in measurements:
            progress.update(
                task,
                advance=1 if measured.passes else 0,
                description=f"{method.label}: pass {measured.passes} of {passes}, "
                f"cost {measured.train_cost:.4g}",
            )
            yield results.Row(
                method=method.name,
                label=method.label,
                settings=method.settings_text,
                data="MNIST" if options.data_dir == SHIPPED else options.data_dir.resolve().name,
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


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("passes,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        speed_estimate_period=600,  # a method's first pass waits for its compilation
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.mnist",
        description="Train a network of two tanh layers (500 and 300 units) on MNIST with each "
        "method of gdmethods, from the same first weights on the same minibatches, and compare "
        "them. Writes results.csv, a row as it comes, and curves.png. Ctrl-C ends the run early "
        "and keeps what was measured. "
        "`python -m examples.mnist study` compares any methods, each at a learning rate that was "
        "chosen for it; see its own --help.",
    )
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        type=_methods,
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
        help="images in a minibatch (%(default)s); those left over at the end of a pass are "
        "skipped, others in each pass",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=seed,
        default=0,
        help="for the first weights and the order of the images (%(default)s)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("results"),
        help="where to write results.csv and curves.png, over those that are there (%(default)s)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        default=SHIPPED,
        help="the four IDX files of another data set, such as Fashion-MNIST or KMNIST, plain, "
        ".gz or .xz (MNIST comes with this example)",
    )
    return parser


def _methods(names: str) -> list[Method]:
    chosen = [name.strip() for name in names.split(",")]
    unknown = [name for name in chosen if name not in ROSTER]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(map(repr, unknown))}; the methods are {', '.join(ROSTER)}"
        )
    return [method for name, method in ROSTER.items() if name in chosen]


if __name__ == "__main__":
    sys.exit(main())
