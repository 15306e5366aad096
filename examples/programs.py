"""What all programs here share: options, progress, files, and how they end."""

import argparse
import io
import logging
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import rich.console
import rich.progress

T = TypeVar("T")

INTERRUPTED, UNREAD = 130, 141  # a shell's status for SIGINT and SIGPIPE
SECONDS_BETWEEN_LINES = 20.0


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


def take_no_arguments(program: str, description: str | None) -> None:
    """For a script without options; `--help` shows what it does."""
    first, *_ = (description or "").split("\n\n")
    Parser(f"examples.{program}", first).parse_args()


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


def positive_float(text: str) -> float:
    """The value of an option: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and finite")
    return number


class Console(rich.console.Console):
    """Prints until its reader goes away; then `end` ends the program."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that is being handled


class Progress:
    """A bar with the time that is left; without a terminal, a line now and then.

    The bar is on standard output, or on standard error if the output goes to a file. There is none
    if it is `quiet`, as in all processes but one.
    """

    def __init__(self, total: float, *, quiet: bool = False) -> None:
        terminal = sys.stdout.isatty()
        console = Console(file=sys.stdout if terminal else sys.stderr)
        self._bar = rich.progress.Progress(
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.BarColumn(bar_width=16),
            rich.progress.TextColumn("{task.description}"),
            console=console,
            speed_estimate_period=600,  # the first items compile, and are slow
            redirect_stdout=terminal,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)
        self._said = math.inf if quiet else time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._bar.update(self._task, completed=1.0, total=1.0)
        self._bar.stop()

    def tell(self, what: str, *, done: float = 0.0, spared: float = 0.0) -> None:
        """Shows `what` runs now; adds the work `done` since the last call, and work `spared`."""
        task = self._bar.tasks[self._task]
        total = (task.total or 0.0) - spared
        self._bar.update(self._task, description=what, advance=done, total=total)
        if self._bar.disable and time.monotonic() > self._said + SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            remaining = rich.progress.TimeRemainingColumn().render(task)
            print(f"{remaining} left, {what}", file=sys.stderr, flush=True)

    def over(self, items: Iterable[T], name: Callable[[T], str] = str) -> Iterator[T]:
        """Yields each item; it counts as done when the next one is taken."""
        for item in items:
            self.tell(name(item))
            yield item
            self.tell(name(item), done=1)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that then appears at `path`, whole or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    try:
        yield unfinished
        with unfinished.open("r+b") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error})") from error
    finally:
        unfinished.unlink(missing_ok=True)


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


def start() -> None:
    """Called first in a program, so that Ctrl-C ends its imports as cleanly as the rest."""
    sys.excepthook = end
    sys.unraisablehook = interrupt_again
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a line that cannot be written fails in print


def interrupt_again(unraisable: Any) -> None:
    """`sys.unraisablehook` of a program: Ctrl-C may come where Python ignores exceptions.

    In a callback of the garbage collector, for instance: the program would go on
    to its end.
    """
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        main = threading.main_thread().ident
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


def end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """`sys.excepthook` of a program: one line if a traceback would not help its user.

    That is after Ctrl-C, and if the output or a file cannot be written.
    """
    if isinstance(error, KeyboardInterrupt):
        line, status = "Interrupted.", INTERRUPTED
    elif isinstance(error, BrokenPipeError):
        line, status = "Nobody reads the output any more.", UNREAD
    elif isinstance(error, OSError):
        line, status = str(error), 1
    else:
        return sys.__excepthook__(kind, error, traceback)
    print(line, file=sys.stderr, flush=True)
    os._exit(status)  # sys.exit would wait for threads, and write what cannot be written
