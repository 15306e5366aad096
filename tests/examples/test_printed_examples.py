"""Each example prints what its docstring says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NUMBER = re.compile(r"\d+\.\d+(?:e[+-]\d+)?")


@pytest.mark.parametrize("name", ["quickstart", "flax_nnx", "flax_linen", "layers", "monitoring"])
def test_an_example_prints_its_docstring(name: str) -> None:
    """The words and the steps to the letter, and the numbers nearly: other machines round."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", f"examples.{name}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    source = (REPOSITORY / "examples" / f"{name}.py").read_text()
    docstring = ast.get_docstring(ast.parse(source)) or ""
    _, command, stated = docstring.partition(f"examples.{name}\n")
    assert command
    assert stated.count("\n") >= 1
    assert NUMBER.split(process.stdout.strip()) == NUMBER.split(stated)
    for printed, expected in zip(
        NUMBER.findall(process.stdout), NUMBER.findall(stated), strict=True
    ):
        assert float(printed) == pytest.approx(float(expected), rel=0.1, abs=2e-5)
