"""Compile every step for accelerators that are not here: `python -m benchmarks.accelerators`.

The tables show the steps that the devices' compilers produce; nothing was measured on a device.
The command fails if a step of ours moves more than it must.
"""

import concurrent.futures
import importlib.metadata
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import gdmethods
from benchmarks.accelerators import picture, rows, scale
from benchmarks.accelerators.picture import Bar
from benchmarks.accelerators.rows import Row
from benchmarks.peers import EIGHT_BITS
from gdmethods import StepBytes
from gdmethods._programs.files import whole
from gdmethods._programs.options import Parser, some_of
from gdmethods._programs.progress import Progress

DEVICES = ("v5e", "v5p", "v6e", "h100")
DTYPES = ("float32", "bfloat16")
SHAPE = (16384, 8192)  # more than any cache holds
GROUPS: Mapping[str, Mapping[str, Row]] = {
    "methods": rows.METHODS,
    "cores": rows.CORES,
    "dialects": rows.DIALECTS,
    "wrappers": rows.WRAPPERS,
    "narrow": rows.NARROW,
    "masters": rows.MASTERS,
    "eight_bits": rows.EIGHT_BITS,
    "rules": rows.RULES,
    "reductions": rows.REDUCTIONS,
    "optax": rows.OPTAX,
}
HELD = {name for group in GROUPS.keys() - {"reductions", "optax"} for name in GROUPS[group]}
"""The groups of our steps without a reduction over all gradients."""


class Step(NamedTuple):
    """A step to compile: its name, its dtype or cluster, and the device."""

    name: str
    on: str
    device: str


Compiled = dict[Step, StepBytes]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(
        "benchmarks.accelerators",
        "Compile every step for accelerators that are not here, and count what it moves.",
    )
    parser.add_argument(
        "--groups",
        metavar="NAMES",
        type=some_of({name: name for name in [*GROUPS, "scale"]}),
        default=[*GROUPS, "scale"],
        help=f"of {', '.join(GROUPS)}, scale (all)",
    )
    parser.add_directory("--out", "results", "where to write bytes.png, if its groups are chosen")
    options = parser.parse_args(arguments)
    groups = options.groups
    drawn = {"methods", "eight_bits", "optax"} <= {*groups}
    if drawn:
        parser.make_directory("--out", options.out)
    jobs = _jobs(groups)
    results: Compiled = {}
    with Progress(len(jobs)) as progress, _each_device_in_a_thread(jobs) as finished:
        for step, result in finished:
            results[step] = result
            progress.tell(f"{step.name}, {step.on}, {step.device}", done=1)
    compiled = {step: results[step] for step in jobs}  # in the table's order
    versions = f"jax {jax.__version__}, libtpu {importlib.metadata.version('libtpu')}"
    print(f"{versions}\n")
    print("\n".join(tables(groups, compiled)))
    if drawn:
        with whole(options.out / "bytes.png") as file:
            picture.draw(bars(compiled), f"{versions}, optax {optax.__version__}", file)
    complaints = list(too_much(compiled))
    print("\n".join(complaints), file=sys.stderr)
    return 1 if complaints else 0


def _jobs(groups: Sequence[str]) -> dict[Step, Callable[[], StepBytes]]:
    def of(row: Row, dtype: str, device: str) -> Callable[[], StepBytes]:
        w = jax.ShapeDtypeStruct(SHAPE, jnp.dtype(dtype))
        return lambda: gdmethods.step_bytes(row.tx, w, device=device, **row.extra_args)

    def at_scale(row: Row, cluster: scale.Cluster) -> Callable[[], StepBytes]:
        return lambda: scale.step(row, cluster)

    jobs = {
        Step(name, dtype, device): of(row, dtype, device)
        for group, members in GROUPS.items()
        if group in groups
        for name, row in members.items()
        for dtype in DTYPES
        for device in DEVICES
    }
    if "scale" in groups:
        jobs |= {
            Step(name, on, cluster.device): at_scale(row, cluster)
            for on, cluster in scale.CLUSTERS.items()
            for name, row in scale.ROWS.items()
        }
    return jobs


@contextmanager
def _each_device_in_a_thread(
    jobs: Mapping[Step, Callable[[], StepBytes]],
) -> Iterator[Iterator[tuple[Step, StepBytes]]]:
    """All results as they come; each device's compiler works on one step at a time."""
    pools = {device: concurrent.futures.ThreadPoolExecutor(1) for device in DEVICES}
    futures = {pools[step.device].submit(job): step for step, job in jobs.items()}
    try:
        done = concurrent.futures.as_completed(futures)
        yield ((futures[future], future.result()) for future in done)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def too_much(compiled: Compiled) -> Iterator[str]:
    """A line for each step of ours that exceeds a limit."""
    for step, it in compiled.items():
        if step.on in scale.CLUSTERS:
            exceeds = it.moved > it.least or it.temporaries > scale.MOST_TEMPORARIES
            if exceeds or it.communicated:
                yield (
                    f"{step.name} for {step.on} moves {it.moved / scale.GIB:.2f} GiB, limit "
                    f"{it.least / scale.GIB:.2f}; communicates {it.communicated} bytes, limit 0; "
                    f"{it.temporaries / scale.GIB:.2f} GiB of temporaries, limit "
                    f"{scale.MOST_TEMPORARIES / scale.GIB:.2f}."
                )
        elif step.name in HELD and (
            (it.kernels, it.moved, it.communicated) != (1, it.least, 0) or _has_temporaries(it)
        ):
            yield (
                f"{step.name} in {step.on} on {step.device}: {_each(it.moved)} bytes a weight, "
                f"limit {_each(it.least)}; {it.kernels} kernels, limit 1; {_each(it.temporaries)} "
                "bytes of temporaries a weight, limit 0."
            )


def bars(compiled: Compiled) -> list[Bar]:
    """Of the picture: each method in float32, in four bytes a weight, and Optax'."""

    def bar(method: str, library: str, name: str, dtype: str) -> Bar:
        steps = {device: compiled[Step(name, dtype, device)] for device in DEVICES}
        least = steps[DEVICES[0]].least / math.prod(SHAPE)
        moved = {device: it.moved / math.prod(SHAPE) for device, it in steps.items()}
        return Bar(method, library, least, moved)

    return [
        bar(method, library, name, dtype)
        for method in rows.BESIDE_OPTAX
        for library, name, dtype in (
            ("gdmethods", method, "float32"),
            (EIGHT_BITS, rows.IN_FOUR_BYTES.get(method), "bfloat16"),
            ("optax", rows.BESIDE_OPTAX[method], "float32"),
        )
        if name is not None
    ]


def tables(groups: Sequence[str], compiled: Compiled) -> Iterator[str]:
    """The tables in Markdown."""
    if names := [name for group in groups for name in GROUPS.get(group, {})]:
        yield from _table(
            ["bytes a weight", *DTYPES],
            [[name, *(_cell(name, dtype, compiled) for dtype in DTYPES)] for name in names],
        )
    if "scale" in groups:
        yield ""
        yield from _table(
            [
                "70 B in bfloat16",
                *(cell for on in scale.CLUSTERS for cell in (on, "fits", "more")),
            ],
            [[name, *_cells_at_scale(name, compiled)] for name in scale.ROWS],
        )


def _cell(name: str, dtype: str, compiled: Compiled) -> str:
    """What most devices move, the least if they move more, and the devices that differ."""
    steps = {device: compiled[Step(name, dtype, device)] for device in DEVICES}
    moved = {device: _moved(step) for device, step in steps.items()}
    most = statistics.mode(moved.values())
    least = _each(steps[DEVICES[0]].least)
    others = [f", {device} {it}" for device, it in moved.items() if it != most]
    return most + (f" of {least}" if most != least else "") + "".join(others)


def _moved(step: StepBytes) -> str:
    return _each(step.moved) + (f"+{_each(step.temporaries)}" if _has_temporaries(step) else "")


def _has_temporaries(step: StepBytes) -> bool:
    """Whether a step has temporaries that are more than scalars."""
    return step.temporaries > math.prod(SHAPE) / 100


def _each(bytes: int) -> str:
    return f"{round(bytes / math.prod(SHAPE), 2):g}"


def _cells_at_scale(name: str, compiled: Compiled) -> Iterator[str]:
    for on, cluster in scale.CLUSTERS.items():
        gib = scale.kept(scale.ROWS[name], cluster)
        yield f"{gib:.2f}"
        yield "yes" if gib <= cluster.memory else "no"
        yield f"{compiled[Step(name, on, cluster.device)].temporaries / scale.GIB:.2f}"


def _table(header: list[str], body: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    for cells in [header, ["-" * width for width in widths], *body]:
        yield f"| {' | '.join(map(str.ljust, cells, widths))} |"


if __name__ == "__main__":
    sys.exit(main())
