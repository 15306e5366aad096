"""Each Python block of each page runs alone, and prints what the page says that it prints.

The pages are those of docs/, and the READMEs of the examples, which the site shows too.

A reader pastes a block into a new program, so each has a namespace of its own. A ```text block
that follows at once is its output: compared as doctest does, with `...` for what varies.

    ```python                    runs
    ```python proof              runs in `make proofs`, since it takes long
    ```python raises=ValueError  must raise, and its ```text is "ValueError: …"
    ```python no-run             is shown alone
"""

import contextlib
import doctest
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
WORDS = {"proof", "no-run"}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: str, text: str) -> Iterator[Any]:
    """The blocks of a page that run: line, code, what it raises, what is shown as its output."""
    tokens = MarkdownIt().parse(text)
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        language, *words = token.info.split() or [""] if token.type == "fence" else [""]
        assert (
            language == "python" or "```python" not in token.content or token.type == "inline"
        ), f"{page}: Python in a container of ````, where no test sees it. Take :::."
        if language != "python" or "no-run" in words:
            continue
        assert token.map is not None
        line, code = token.map[0] + 2, token.content
        where = f"{page}:{line}"
        assert not code.startswith(">>>"), f"{where}: a reader cannot paste prompts"
        raises = next((word[7:] for word in words if word.startswith("raises=")), None)
        unknown = set(words) - WORDS - {f"raises={raises}"}
        assert not unknown, f"{where}: no block is {unknown}"
        shown = after.content if after and after.type == "fence" and after.info == "text" else None
        marks = [pytest.mark.proof] if "proof" in words else []
        yield pytest.param(where, line, code, raises, shown, id=where, marks=marks)


def run(where: str, line: int, code: str, raises: str | None, shown: str | None) -> None:
    program = compile("\n" * (line - 1) + code, where, "exec")  # errors name the page's line
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), jax.numpy_rank_promotion("allow"):
        try:
            exec(program, {"__name__": "__main__"})
            assert raises is None, f"{raises} was not raised"
        except Exception as error:
            if type(error).__name__ != raises:
                raise
            print(f"{raises}: {error}")
    checker, got = doctest.OutputChecker(), printed.getvalue()
    if shown is None:
        assert raises or not got, f"it prints what the page does not show: {got}"
    elif not checker.check_output(shown, got, OPTIONS):
        example = doctest.Example(code, shown)
        pytest.fail(checker.output_difference(example, got, OPTIONS), pytrace=False)


FILES = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("README.md")]
PAGES = {str(page.relative_to(ROOT)): page for page in sorted(FILES)}


@pytest.mark.parametrize(
    ("where", "line", "code", "raises", "shown"),
    [block for name, page in PAGES.items() for block in blocks(name, page.read_text("utf-8"))],
)
def test_block(where, line, code, raises, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(where, line, code, raises, shown)


PAGE = """
```python{words}
{code}
```
```text
{shown}
```
"""


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        ("", "print(1)", "1"),
        ("", "print(0.123)", "0.1..."),
        (" raises=ValueError", "raise ValueError('x < 0')", "ValueError: x < 0"),
    ],
)
def test_a_right_block_passes(words, code, shown):
    ((parameters),) = blocks("page", PAGE.format(words=words, code=code, shown=shown))
    run(*parameters.values)


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        ("", "print(1)", "2"),
        ("", "pass", "2"),
        ("", "numpy.ones(3)", "1"),  # not imported
        (" raises=ValueError", "print(1)", "1"),
        (" raises=ValueError", "raise ValueError('x < 0')", "ValueError: y < 0"),
        (" raises=ValueError", "raise TypeError('x < 0')", "ValueError: x < 0"),
    ],
)
def test_a_wrong_block_fails(words, code, shown):
    ((parameters),) = blocks("page", PAGE.format(words=words, code=code, shown=shown))
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(*parameters.values)


def test_output_that_is_not_shown_fails():
    ((parameters),) = blocks("page", "```python\nprint(1)\n```")
    with pytest.raises(AssertionError, match="does not show: 1"):
        run(*parameters.values)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("```python fast\n1\n```", "no block is {'fast'}"),
        ("```python\n>>> 1\n```", "cannot paste prompts"),
        ("````{note}\n```python\n1\n```\n````", "Take :::"),
    ],
)
def test_a_page_that_no_test_could_see_fails(page, says):
    with pytest.raises(AssertionError, match=says):
        [*blocks("page", page)]


def test_a_long_block_is_a_proof():
    ((parameters),) = blocks("page", "```python proof\n1\n```")
    assert [mark.name for mark in parameters.marks] == ["proof"]
