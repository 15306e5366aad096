"""What holds on a mesh of eight devices.

JAX counts its devices when it starts, so the files of `eight_devices` have a process of their own,
in which they are ordinary files of tests:

XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m pytest \
tests/distributed/eight_devices/*.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"  # quick
SECONDS = 600


@pytest.mark.proof
def test_eight_devices() -> None:
    files = sorted(map(str, (HERE / "eight_devices").glob("*.py")))
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *files],
        cwd=HERE.parents[1],
        env=os.environ | {"XLA_FLAGS": FLAGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert process.returncode == 0, process.stdout
