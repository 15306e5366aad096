"""Finished runs on disk, a file each: `runs/PROBLEM/METHOD, ARGUMENTS, seed SEED, CRC.json`.

A file appears whole or not at all, so that a study that was killed goes on where it was. The
name's end is a checksum of all settings: a run with others has another file, and none is lost.
"""

import dataclasses
import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

from gdmethods._programs.files import whole
from gdmethods.study.outcomes import Point, Run, Settings


class ArchiveError(ValueError):
    """A file among the runs is not a run."""


class Memory:
    """The runs of a study that nobody wants on disk."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def save(self, run: Run) -> None:
        self._runs.append(run)

    def load(self, settings: Settings) -> Run | None:
        return next((run for run in self._runs if run.settings == settings), None)


class Archive:
    """The runs below a directory, which need not be there yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, run: Run) -> None:
        """Put the run on disk; infinite costs become NaN, which JSON has as null."""
        path = self._path(run.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(without_nan(dataclasses.asdict(run)), indent=1, allow_nan=False)
        with whole(path) as file:
            file.write_text(text)

    def load(self, settings: Settings) -> Run | None:
        """The run with these settings, if it has finished."""
        path = self._path(settings)
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ArchiveError(f"{path} is no run ({error}); delete it to train again") from None
        points = tuple(Point(**_with_nan(point)) for point in content.pop("points"))
        return Run(**content | {"settings": Settings(**content["settings"]), "points": points})

    def _path(self, settings: Settings) -> Path:
        crc = zlib.crc32(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())
        method = re.sub(r"[^\w.=,()-]", "", settings.method)[:100]
        arguments = " ".join(f"{value:g}" for value in settings.arguments.values())
        name = f"{method}, {arguments}, seed {settings.seed}, {crc:08x}.json"
        return self._directory / settings.problem / name


def without_nan(value: Any) -> Any:
    """The same with None for each number that is not finite, at any depth."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_nan(entry) for name, entry in value.items()}
    return math.nan if value is None else value
