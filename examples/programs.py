"""What some of the examples share."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdmethods._programs.options import Parser


def take_no_arguments(program: str, description: str | None) -> None:
    """For a script without options; `--help` shows what it does."""
    first, *_ = (description or "").split("\n\n")
    Parser(f"examples.{program}", first).parse_args()


@contextmanager
def orbax_writes(directory: Path) -> Iterator[None]:
    """Makes a full disk an OSError; Orbax raises a ValueError for it, and logs tracebacks."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except ValueError as error:
        if "No space left" not in str(error):
            raise
        raise OSError(f"{directory} cannot be written (No space left on device)") from error
    finally:
        log.setLevel(level)
