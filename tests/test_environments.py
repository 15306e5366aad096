"""pyproject.toml says what the code imports and what CI runs on, and the pages say the same."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import gdmethods

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()
VERSIONS = (ROOT / "docs" / "write" / "versions.md").read_text()

# The extra that each folder is run with, by a target of the Makefile or by a user.
FOLDERS = {
    "gdmethods": "",
    "gdmethods/_programs": "study",
    "gdmethods/study": "study",
    "gdmethods/testing": "testing",
    "examples": "examples",
    "benchmarks": "examples",
    "tests": "test",
}


def imported(file: Path) -> Iterator[str]:
    """The top names of all imports but those that the code can do without."""
    tree = ast.parse(file.read_text())
    tried = {inner for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in node.body}
    for node in ast.walk(tree):
        if node in tried:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def installed(extra: str) -> set[str]:
    """The distributions that pip installs with this extra of ours, and whatever they need."""
    needed: set[tuple[str, str]] = set()
    asked = [("gdmethods", extra)]
    while asked:
        name, extra = asked.pop()
        if (name, extra) in needed:
            continue
        needed.add((name, extra))
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                asked += [(requirement.name, each) for each in ("", *requirement.extras)]
    return {name.lower().replace("_", "-") for name, _ in needed}


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_extra_installs_what_its_folder_imports(folder: str) -> None:
    files = [
        file
        for file in (ROOT / folder).rglob("*.py")
        if max(f for f in FOLDERS if file.is_relative_to(ROOT / f)) == folder
    ]
    assert files
    modules = {module for file in files for module in imported(file)}
    ours = {path.stem for path in [*ROOT.iterdir(), *(ROOT / "tests").rglob("*")]}
    providers = importlib.metadata.packages_distributions()
    expected = installed(FOLDERS[folder])
    for module in modules - ours - sys.stdlib_module_names:
        names = {name.lower().replace("_", "-") for name in providers.get(module, [module])}
        assert names & expected, f"{folder} imports {module}, and its extra does not install it"


def test_the_pages_tell_the_oldest_versions() -> None:
    bounds = dict(re.findall(r'"([a-z0-9-]+)>=([0-9.]+)"', (ROOT / "pyproject.toml").read_text()))
    oldest = [bounds[name] for name in ("jax", "optax", "flax", "chex")]
    (row,) = re.findall(r"\| `make oldest` \| 3\.\d+ \| (.*) \|", VERSIONS)
    assert row.split(" | ") == oldest
    assert re.findall(r"(\w+) ≥ ([0-9.]+\d)", README)[1:] == [
        (name, bounds[name]) for name in ("jax", "optax", "flax")
    ]


def test_the_citation_tells_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {gdmethods.__version__}\n" in citation


def test_the_pythons_that_are_named_are_those_that_ci_runs() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (matrix,) = re.findall(r"python: \[(.*)\]", workflow)
    assert re.findall(r"3\.\d+", matrix) == named
    assert PROJECT["requires-python"] == f">={named[0]}"
    for page in (README, VERSIONS):
        assert ", ".join(named[:-1]) + f" and {named[-1]}" in page
    assert set(re.findall(r"\| (3\.\d+) \|", VERSIONS)) == set(named)
