"""The options of a program; a wrong one is reported in one line."""

import argparse
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """The options of `python -m PROGRAM`; a wrong one is reported in one line."""

    def __init__(self, program: str, description: str) -> None:
        super().__init__(prog=f"python -m {program}", description=description)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")

    def add_directory(self, option: str, default: str, purpose: str) -> None:
        self.add_argument(
            option,
            metavar="DIR",
            type=Path,
            default=Path(default),
            help=f"{purpose} (%(default)s)",
        )

    def make_directory(self, option: str, directory: Path) -> None:
        """Ends at once with an error if nothing can be written in the directory."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            self.error(
                f"{option} {directory} cannot be written ({error.strerror}); "
                "name another directory"
            )


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """The value of an option."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{value} is more than {most}")
        return value

    return number


positive = whole_number(1)
seed = whole_number(0, 2**32 - 1)


def some_of(known: Mapping[str, T]) -> Callable[[str], list[T]]:
    """The values of an option: known names with commas between them, each once."""

    def chosen(text: str) -> list[T]:
        names = [name.strip() for name in text.split(",")]
        unknown = [name for name in names if name not in known]
        if "" in names:
            complaint = f"{text!r} lacks a name"
        elif unknown:
            complaint = f"unknown: {', '.join(map(repr, unknown))}"
        elif len({*names}) < len(names):
            complaint = f"{text!r} has a name twice"
        else:
            return [value for name, value in known.items() if name in names]
        raise argparse.ArgumentTypeError(f"{complaint}; choose from {', '.join(known)}")

    return chosen


def finite_float(text: str) -> float:
    """The value of an option: a finite number."""
    number = _float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return number


def positive_float(text: str) -> float:
    """The value of an option: a finite number above 0."""
    number = _float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
