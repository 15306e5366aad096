"""Examples of how to use gdmethods: each module is a program, `python -m examples.NAME`."""

import sys

if sys.argv[0] == "-m":  # Python is about to run one of them
    from gdmethods._programs.endings import start

    start()
