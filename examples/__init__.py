"""What a user does with gdmethods: each module is a program, `python -m examples.NAME`."""

import sys
from io import TextIOWrapper

if sys.argv[0] == "-m":  # Python is about to run one of them, and not to import a part
    from examples import programs

    sys.excepthook = programs.end
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that a line that fails does so in print
