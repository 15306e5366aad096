"""What holds on a mesh of eight devices.

JAX counts its devices when it starts, so each file of `eight_devices` has a process of its own, in
which it is an ordinary file of tests:

XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m pytest \
tests/distributed/eight_devices/sharding.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FLAGS = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"  # quick
SECONDS = 600


@pytest.mark.parametrize(
    "file", sorted((HERE / "eight_devices").glob("*.py")), ids=lambda p: p.stem
)
def test_eight_devices(file: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", str(file)],
        cwd=HERE.parents[1],
        env=os.environ | {"XLA_FLAGS": FLAGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert process.returncode == 0, process.stdout
