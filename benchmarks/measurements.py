"""bench.csv: one row for each measurement, with all that is needed to repeat it."""

import contextlib
import csv
import dataclasses
import importlib.metadata
import os
import platform
import statistics
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
import optax

import gdmethods
from gdmethods._programs.files import whole


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The median of `runs` interleaved measurements, and the quartiles around it.

    `layout` names the leaves of a step; for a compilation it is the number of leaves.
    """

    method: str
    library: str
    layout: str
    quantity: str
    unit: str
    median: float
    lower_quartile: float
    upper_quartile: float
    runs: int
    device: str
    versions: str
    xla_flags: str


_TYPES = typing.get_type_hints(Measurement)


def measurement(
    method: str, library: str, layout: str, quantity: str, unit: str, values: Sequence[float]
) -> Measurement:
    quartiles = (
        statistics.quantiles(values, n=4, method="inclusive")
        if len(values) > 1
        else 3 * [values[0]]
    )
    return Measurement(
        method=method,
        library=library,
        layout=layout,
        quantity=quantity,
        unit=unit,
        median=statistics.median(values),
        lower_quartile=quartiles[0],
        upper_quartile=quartiles[2],
        runs=len(values),
        device=device(),
        versions=versions(),
        xla_flags=os.environ.get("XLA_FLAGS", ""),
    )


def device() -> str:
    first = jax.devices()[0]
    if first.platform != "cpu":
        return str(first.device_kind)
    return f"{os.cpu_count()} cores of {_processor()}"


def versions() -> str:
    packages = {m.__name__: m.__version__ for m in (gdmethods, jax, optax)}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        packages["torch"] = importlib.metadata.version("torch")
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def write(path: Path, measurements: Iterable[Measurement]) -> None:
    with whole(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, _TYPES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, measurements))


def read(path: Path) -> list[Measurement]:
    with path.open(newline="") as file:
        return [
            Measurement(**{name: convert(line[name]) for name, convert in _TYPES.items()})
            for line in csv.DictReader(file)
        ]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
