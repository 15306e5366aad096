"""Each example prints what its docstring says, to the letter."""

import ast
import runpy
from pathlib import Path

import jax
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


LONGER = ("flax_nnx", "flax_linen", "layers", "monitoring")


@pytest.mark.parametrize(
    "name", ["quickstart", *(pytest.param(name, marks=pytest.mark.proof) for name in LONGER)]
)
def test_an_example_prints_its_docstring(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [name])
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text())) or ""
    _, command, stated = docstring.partition(f"$ python -m examples.{name}\n")
    assert command
    assert stated.count("\n") >= 1
    with jax.enable_x64(False):
        runpy.run_module(f"examples.{name}", run_name="__main__")
    assert capsys.readouterr().out == f"{stated}\n"
