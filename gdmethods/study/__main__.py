"""Which method for *your* problem: `python -m gdmethods.study my_problem:problem`."""

import sys

if __name__ == "__main__":
    from gdmethods._programs.endings import start

    start()  # before the rest is imported
    from gdmethods.study.command import main

    sys.exit(main(sys.argv[1:]))
