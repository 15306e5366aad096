"""The page has each message that gdmethods raises, and none that it does not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "use" / "troubleshooting.md"
# What a law or a report says of somebody's optimizer is an answer, and no mistake in a call.
ANSWERS = ("laws", "_differences.py", "_report.py")
MODULES = [
    path for path in sorted((ROOT / "gdmethods").rglob("*.py")) if not {*path.parts} & {*ANSWERS}
]


def template(node: ast.expr) -> str:
    """The words of a text, with … for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"


def texts(tree: ast.AST) -> set[str]:
    kinds = ast.JoinedStr, ast.Constant
    return {template(node) for node in ast.walk(tree) if isinstance(node, kinds)}


def raised(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            yield template(node.exc.args[0])


def pattern(message: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part.strip()) for part in message.split("…")), re.DOTALL)


def messages() -> list[str]:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall("`([^`]+)`", row.split(" | ")[0])]


TREES = {path: ast.parse(path.read_text("utf-8")) for path in MODULES}
TEXTS = set[str]().union(*map(texts, TREES.values()))


def test_each_error_has_its_row():
    patterns = [pattern(message) for message in messages()]
    lacking = [
        f"{path.relative_to(ROOT)}: {text}"
        for path, tree in TREES.items()
        for text in raised(tree)
        if len(re.findall(r"\w+", text)) > 4 and not any(p.search(text) for p in patterns)
    ]
    assert not lacking, "\n".join(lacking)


@pytest.mark.parametrize("message", messages())
def test_each_row_is_a_message(message):
    assert any(map(pattern(message).search, TEXTS))
