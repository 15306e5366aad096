"""Measure every method, compared with Optax and PyTorch: `python -m benchmarks`."""

import argparse
import math
import re
import statistics
import sys
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks import compiling, memory, picture, stepping
from benchmarks.layouts import LAYOUTS, MI
from benchmarks.measurements import Measurement, device, measurement, versions, write
from benchmarks.peers import METHODS
from benchmarks.picture import ALLOWED, COLORS
from gdmethods._programs.files import whole
from gdmethods._programs.options import Parser, positive, whole_number
from gdmethods._programs.progress import Console, Progress

SCALING = "scaling in place"
LEAVES_IN_ALL = 3000  # compiled in all rounds: the largest trees, which take minutes, only once


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    parser.make_directory("--out", options.out)
    csv = options.out / "bench.csv"
    console = Console()
    console.print(f"{device()}; {versions()}")
    measurements: list[Measurement] = []
    with Progress(len(options.methods) * (len(options.layouts) + len(options.leaves))) as progress:
        for measured in _measurements(options, progress):
            measurements.append(measured)
            write(csv, measurements)
    for table in _tables(measurements):
        console.print(table)
    with whole(options.out / "bench.png") as file:
        picture.draw(measurements, file)
    console.print(f"Written to {csv} and bench.png beside it.")
    return 0


def _measurements(options: argparse.Namespace, progress: Progress) -> Iterator[Measurement]:
    for name in options.methods:
        for layout in progress.over(options.layouts, f"{name}: step, {{}}".format):
            yield from _steps(name, layout, options)
        for leaves in progress.over(options.leaves, f"{name}: compilation, {{:,}} leaves".format):
            yield from _compilations(name, leaves, options.rounds)
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
    method = METHODS[name]
    of_float32 = [(library, tx, jnp.float32) for library, tx in method.transformations().items()]
    of_bfloat16 = [(library, tx, jnp.bfloat16) for library, tx in method.narrow().items()]
    for library, tx, dtype in of_float32 + of_bfloat16:
        for quantity, of in (
            ("state", memory.state_bytes),
            ("temporaries", memory.temporary_bytes),
            ("moved by a step", memory.moved_bytes),
        ):
            yield measurement(
                name, library, "1 large leaf", quantity, "B a weight", [of(tx, weights, dtype)]
            )


def _tables(measurements: Sequence[Measurement]) -> Iterator[Table | str]:
    """A table for each quantity and layout: a row a method, a column a library.

    It has medians, and a line below says how far the quartiles are apart. The last column is
    gdmethods divided by Optax.
    """
    kinds = dict.fromkeys((m.quantity, m.layout, m.unit) for m in measurements)
    for quantity, layout, unit in sorted(kinds):
        rows = [m for m in measurements if (m.quantity, m.layout) == (quantity, layout)]
        libraries = sorted({m.library for m in rows}, key=[*COLORS, ALLOWED, SCALING].index)
        table = Table(
            title=f"{quantity}, {layout} ({unit})",
            box=SIMPLE_HEAD,
            padding=0,
            title_justify="left",
        )
        table.add_column("method", no_wrap=True)
        for library in libraries:
            heading = re.sub("(torch|memory) ", "\\1\n", library.removeprefix("gdmethods "))
            table.add_column(heading, justify="right", no_wrap=True)
        against_optax = "optax" in libraries
        if against_optax:
            table.add_column("÷\noptax", justify="right", no_wrap=True)
        for name in dict.fromkeys(m.method for m in rows):
            of = {m.library: m.median for m in rows if m.method == name}
            cells = [_three_digits(of[it]) if it in of else "" for it in libraries]
            if against_optax:
                both = of.get("optax", 0) > 0
                cells.append(f"{of['gdmethods'] / of['optax']:.2f}" if both else "")
            table.add_row(name, *cells)
        yield table
        yield from _spread(rows)


def _three_digits(number: float) -> str:
    return f"{round(number, 3):.3g}" if number < 99.95 else f"{number:.0f}"


def _spread(rows: Sequence[Measurement]) -> Iterator[str]:
    """A line on how sure a table's medians are, unless each was measured once."""
    spreads = [
        (m.upper_quartile - m.lower_quartile) / 2 / m.median
        for m in rows
        if m.runs > 1 and m.median > 0
    ]
    if spreads:
        typical, most = statistics.median(spreads), max(spreads)
        yield f"± {typical:.0%}, at most {most:.0%} (half the distance of the quartiles)\n"


def _parser() -> Parser:
    parser = Parser(
        "benchmarks",
        "Measure steps, compilation and memory of every method, side by side with Optax and, if "
        'it is installed, PyTorch. Writes a table and a picture. "Memory allows" is the least '
        "time for a step's reads and writes, at the memory bandwidth that scaling an array in "
        "place reaches in the same run.",
    )
    parser.add_directory("--out", "results", "where to write bench.csv and bench.png")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        metavar="METHOD",
        help=f"all by default: {', '.join(METHODS)}",
    )
    parser.add_argument(
        "--layouts",
        nargs="*",
        choices=LAYOUTS,
        default=list(LAYOUTS),
        metavar="LAYOUT",
        help=f"of the leaves, all by default: {', '.join(LAYOUTS)}",
    )
    parser.add_argument(
        "--weights",
        type=whole_number(64),
        default=64 * MI,
        metavar="N",
        help="of the large leaf (%(default)s)",
    )
    parser.add_argument(
        "--leaves",
        nargs="*",
        type=positive,
        default=[10, 100, 1000, 5000],
        metavar="N",
        help="of the trees that are compiled (10 100 1000 5000)",
    )
    parser.add_argument(
        "--rounds", type=positive, default=9, metavar="N", help="of each measurement (%(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
