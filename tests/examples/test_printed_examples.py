"""The quickstart prints what its docstring says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
QUICKSTART = REPOSITORY / "examples" / "quickstart.py"
LINE = re.compile(r"step +(\d+): loss ([\d.]+)")


def test_quickstart_prints_its_docstring() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "examples.quickstart"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    stated = LINE.findall(ast.get_docstring(ast.parse(QUICKSTART.read_text())) or "")
    printed = LINE.findall(process.stdout)
    assert [step for step, _ in printed] == [step for step, _ in stated]
    assert len(printed) == 6
    for (_, loss), (_, expected) in zip(printed, stated, strict=True):
        assert float(loss) == pytest.approx(float(expected), rel=0.1, abs=2e-5)
