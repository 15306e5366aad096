"""The costs of gdmethods, compared with Optax and PyTorch: `python -m benchmarks`."""

import sys

if sys.argv[0] == "-m":  # Python is about to run it
    from gdmethods._programs.endings import start

    start()
