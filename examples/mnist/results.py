"""results.csv: one row for each method and pass."""

import csv
import dataclasses
import typing
from collections.abc import Iterable
from pathlib import Path

from gdmethods._programs.files import whole


@dataclasses.dataclass(frozen=True)
class Row:
    """A measurement, and all that is needed to repeat it.

    `passes` counts the passes over the training set, 0 before the first step. `seconds` is the
    time of the last pass. The `train_cost` of a method that has diverged is NaN.
    """

    method: str
    label: str
    settings: str
    data: str
    batch_size: int
    steps_per_pass: int
    seed: int
    passes: int
    train_cost: float
    test_error_percent: float
    seconds: float
    compile_seconds: float
    state_bytes_per_weight: float
    gdmethods: str
    jax: str
    flax: str


_TYPES = typing.get_type_hints(Row)


def write(path: Path, rows: Iterable[Row]) -> None:
    with whole(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, _TYPES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))


def read(path: Path) -> list[list[Row]]:
    """The rows of each method, in the order in which they were written."""
    runs: dict[str, list[Row]] = {}
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            row = Row(**{name: convert(line[name]) for name, convert in _TYPES.items()})
            runs.setdefault(row.method, []).append(row)
    return list(runs.values())
