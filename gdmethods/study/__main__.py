"""Which method for *your* problem: `python -m gdmethods.study my_problem:problem`."""

import sys

from gdmethods._programs.endings import start

start()  # before the rest is imported

from gdmethods.study.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
