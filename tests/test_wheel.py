"""What a user installs: the package alone, which works in an environment of its dependencies."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STEP = """
import jax.numpy as jnp, gdmethods
w = {"w": jnp.ones(3)}
tx = gdmethods.adam(0.1)
updates, _ = tx.update(w, tx.init(w), w)
print([round(float(u), 4) for u in updates["w"]])
"""


def pip(python: str | Path, *arguments: str | Path) -> None:
    subprocess.run(
        [python, "-m", "pip", *arguments, "--quiet"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
        check=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", ROOT, "--no-deps", "--wheel-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert files == {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gdmethods").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "gdmethods/py.typed" in files


@pytest.mark.proof
def test_the_wheel_takes_a_step_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip(python, "install", wheel)
    step = subprocess.run(
        [python, "-c", STEP], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert step.stdout.strip() == "[-0.1, -0.1, -0.1]"
