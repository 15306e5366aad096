"""What a program prints while it works."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import rich.console
import rich.progress

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 20.0


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
            speed_estimate_period=600,  # what is compiled first is slow, and counts for long
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
