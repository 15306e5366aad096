"""The command line of `identify`."""

import csv
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdmethods._programs.endings import start
from gdmethods._programs.imports import imported
from gdmethods._programs.options import Parser
from gdmethods.testing.identify import identify, identify_updates

UNITS_TO_DOUBT = 30  # rounding may be as many units of the last recorded digit
FEW_DIGITS = 5  # with fewer, the numbers are taken as exact


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(
        "gdmethods.testing.identify",
        "Find the rule that an optimizer's step follows, with its numbers or its wrong term.",
    )
    parser.add_argument(
        "make",
        nargs="?",
        metavar="MODULE:FUNCTION",
        help="a function without arguments that returns step(w, g), step(w, g, lr), "
        "step(w, grad), or an Optax transformation",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="recorded steps instead of a function: a row for each step; the columns g and u, or "
        "g1, u1, g2, u2, …, have the gradients of each weight and what was added to it",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        default="float64",
        help="of the weights and gradients for the function (%(default)s)",
    )
    options = parser.parse_args(arguments)
    if (options.make is None) == (options.csv is None):
        parser.error("name a MODULE:FUNCTION, or a file with --csv FILE")
    if options.csv is not None:
        gradients, updates, tolerance = _recorded(options.csv, parser)
        try:
            answer = identify_updates(gradients, updates, tolerance=tolerance)
        except ValueError as error:
            parser.error(f"--csv {options.csv}: {error}")
    else:
        make = _imported(options.make, parser)
        try:
            answer = identify(make, dtype=options.dtype)
        except (TypeError, ValueError) as error:
            if _of_the_user(error):
                raise
            parser.error(f"{options.make}: {error}")
    print(answer, flush=True)


def _of_the_user(error: Exception) -> bool:
    """Whether the step raised it, so that its traceback is useful."""
    return any(note.startswith("identify called") for note in getattr(error, "__notes__", ()))


def _imported(name: str, parser: Parser) -> Any:
    if ":" not in name:
        parser.error(f"{name} must be a module and a function, as my_module:make")
    sys.path.insert(0, os.getcwd())
    try:
        return imported(name)
    except ImportError as error:
        parser.error(str(error))


def _recorded(path: Path, parser: Parser) -> tuple[Any, Any, float]:
    """The gradients, the updates, and the tolerance for their number of digits."""
    try:
        with path.open(newline="") as file:
            names, *rows = [row for row in csv.reader(file) if row] or [[]]
    except OSError as error:
        parser.error(f"--csv {path} cannot be read ({error.strerror})")
    names = [name.strip() for name in names]
    weights = [name[1:] for name in names if name.startswith("g")]
    wanted = [f"{letter}{weight}" for letter in "gu" for weight in weights]
    if not weights or sorted(names) != sorted(wanted):
        parser.error(f"--csv {path} must have the columns g and u, or g1, u1, g2, u2, …")
    try:
        columns = [[float(row[names.index(name)]) for row in rows] for name in wanted]
    except (ValueError, IndexError):
        parser.error(f"--csv {path} has a row that is not a number for each column")
    gradients, updates = np.split(np.array(columns).reshape(len(wanted), -1).T, 2, axis=1)
    digits = max((_digits(cell) for row in rows for cell in row), default=0)
    tolerance = 1e-8 if digits > 10 else UNITS_TO_DOUBT * math.pow(10, -max(digits, FEW_DIGITS))
    return gradients, updates, tolerance


def _digits(cell: str) -> int:
    """The significant digits of a recorded number."""
    mantissa = cell.lower().partition("e")[0]
    return len("".join(filter(str.isdigit, mantissa)).lstrip("0"))


if __name__ == "__main__":
    start()
    main()
