"""How a program ends: in one line, and with the status that a shell expects."""

import io
import os
import signal
import sys
import threading
from types import TracebackType
from typing import Any

INTERRUPTED, UNREAD = 130, 141  # a shell's status for SIGINT and SIGPIPE


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
