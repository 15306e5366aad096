"""The program prints what its docstring says: a quarter of the state, and the same numbers."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ZERO1 = REPOSITORY / "examples" / "zero1.py"
BYTES = re.compile(r"state (\w+): (\d+) bytes on each device, cost ([\d.]+)")
WEIGHTS = 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10


@pytest.mark.proof
def test_zero1_prints_its_docstring() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "examples.zero1"],
        cwd=REPOSITORY,
        env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    stated = BYTES.findall(ast.get_docstring(ast.parse(ZERO1.read_text())) or "")
    printed = BYTES.findall(process.stdout)
    assert [(name, held) for name, held, _ in printed] == [
        ("whole", str(8 * WEIGHTS + 4)),
        ("cut", str(8 * ((WEIGHTS - 10) // 4 + 10) + 4)),  # four do not divide the ten last biases
    ]
    assert [line[:2] for line in stated] == [line[:2] for line in printed]
    costs = [float(cost) for _, _, cost in stated + printed]
    assert max(costs) - min(costs) < 2e-3
    (difference,) = re.findall(r"differ by at most (\S+)", process.stdout)
    assert float(difference) < 1e-4
