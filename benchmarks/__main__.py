"""Measure every method beside Optax and PyTorch: `python -m benchmarks`."""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import compiling, memory, picture, stepping
from benchmarks.layouts import LAYOUTS, MI
from benchmarks.measurements import Measurement, device, measurement, read, versions, write
from benchmarks.peers import METHODS
from benchmarks.picture import ALLOWED

SCALING = "scaling in place"
LEAVES_IN_ALL = 3000  # compiled in all rounds: the largest trees, which take minutes, only once


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    csv = options.out / "bench.csv"
    console = Console()
    console.print(f"{device()}; {versions()}")
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as bar:
        write(csv, _measurements(options, bar))
    measurements = read(csv)
    for table in _tables(measurements):
        console.print(table)
    picture.draw(measurements, options.out / "bench.png")
    console.print(f"Written to {csv} and bench.png beside it.")
    return 0


def _measurements(options: argparse.Namespace, bar: Progress) -> Iterator[Measurement]:
    task = bar.add_task("", total=None)
    for name in options.methods:
        for layout in options.layouts:
            bar.update(task, description=f"{name}: step, {layout}")
            yield from _steps(name, layout, options)
        for leaves in options.leaves:
            bar.update(task, description=f"{name}: compilation, {leaves:,} leaves")
            yield from _compilations(name, leaves, options.rounds)
        bar.update(task, description=f"{name}: memory")
        yield from _memory(name, options.weights)


def _steps(name: str, layout: str, options: argparse.Namespace) -> Iterator[Measurement]:
    method, shapes = METHODS[name], LAYOUTS[layout](options.weights)
    weights = sum(map(math.prod, shapes))
    steps = dict(stepping.contenders(method, shapes)) | {SCALING: stepping.scaling(weights)}
    seconds = stepping.interleaved(steps, options.rounds)
    speeds = [2 * memory.FLOAT32 * weights / s for s in seconds.pop(SCALING)]
    bytes_moved = memory.moved_bytes(method.gdmethods(), weights) * weights
    seconds |= {ALLOWED: [bytes_moved / speed for speed in speeds]}
    for library, taken in seconds.items():
        yield measurement(name, library, layout, "step", "ms", [1e3 * s for s in taken])
    yield measurement(name, SCALING, layout, "bandwidth", "GB/s", [s / 1e9 for s in speeds])


def _compilations(name: str, leaves: int, rounds: int) -> Iterator[Measurement]:
    rounds = max(1, min(rounds, LEAVES_IN_ALL // leaves))
    for library, stages in compiling.interleaved(METHODS[name], leaves, rounds).items():
        for stage, taken in stages.items():
            yield measurement(name, library, f"{leaves:,} leaves", stage, "s", taken)


def _memory(name: str, weights: int) -> Iterator[Measurement]:
    for library, tx in METHODS[name].transformations().items():
        for quantity, of in (
            ("state", memory.state_bytes),
            ("temporaries", memory.temporary_bytes),
            ("moved by a step", memory.moved_bytes),
        ):
            yield measurement(
                name, library, "1 large leaf", quantity, "B a weight", [of(tx, weights)]
            )


def _tables(measurements: Sequence[Measurement]) -> Iterator[Table]:
    """One for each quantity and layout: a row a method, a column a library.

    After ± stands half the distance of the quartiles.
    """
    kinds = dict.fromkeys((m.quantity, m.layout, m.unit) for m in measurements)
    for quantity, layout, unit in sorted(kinds):
        rows = [m for m in measurements if (m.quantity, m.layout) == (quantity, layout)]
        libraries = list(dict.fromkeys(m.library for m in rows))
        table = Table(title=f"{quantity}, {layout} ({unit})", box=SIMPLE_HEAD)
        table.add_column("method")
        for library in libraries:
            table.add_column(library, justify="right")
        against_optax = "optax" in libraries
        if against_optax:
            table.add_column("gdmethods / optax", justify="right")
        for name in dict.fromkeys(m.method for m in rows):
            of = {m.library: m for m in rows if m.method == name}
            cells = [_cell(of[library]) if library in of else "" for library in libraries]
            if against_optax:
                both = "optax" in of and of["optax"].median > 0
                cells.append(f"{of['gdmethods'].median / of['optax'].median:.2f}" if both else "")
            table.add_row(name, *cells)
        yield table


def _cell(m: Measurement) -> str:
    spread = (m.upper_quartile - m.lower_quartile) / 2
    return f"{m.median:.3g}" if m.runs == 1 else f"{m.median:.3g} ± {spread:.1g}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure steps, compilation and memory of every method, side by side with "
        'Optax and, where it is installed, PyTorch. Writes a table and a picture. "Memory '
        'allows" is the time in which the bandwidth of scaling an array in place, measured in the '
        "same run, moves what a step has to read and write.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("results"), help="directory to write to")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD"
    )
    parser.add_argument(
        "--layouts", nargs="*", choices=LAYOUTS, default=list(LAYOUTS), metavar="LAYOUT"
    )
    parser.add_argument("--weights", type=_at_least(64), default=64 * MI, help="of the large leaf")
    parser.add_argument(
        "--leaves",
        nargs="*",
        type=_at_least(1),
        default=[10, 100, 1000, 5000],
        help="of the trees that are compiled",
    )
    parser.add_argument("--rounds", type=_at_least(1), default=9, help="of each measurement")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
