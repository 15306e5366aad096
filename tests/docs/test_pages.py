"""What pages link to is there, and their tables of bytes are those of the code."""

import ast
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import gdmethods

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
INLINE = r'\]\(([^)\s]+)(?: "([^"]*)")?\)'
REFERENCE = r'^\[[^\]]+\]: (\S+)(?: "([^"]*)")?$'


def text(page: Path) -> str:
    """Without its code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[tuple[str, str]]:
    """The relative ones, with their titles."""
    found = re.findall(INLINE, text(page)) + re.findall(REFERENCE, text(page), re.MULTILINE)
    return [(link, title) for link, title in found if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page):
    for link, title in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        if title.startswith("test_"):
            functions = ast.walk(ast.parse(target.read_text("utf-8")))
            assert title in {f.name for f in functions if isinstance(f, ast.FunctionDef)}, title


def test_links_are_seen():
    assert len(links(ROOT / "README.md")) > 25
    held = {title for page in PAGES for _, title in links(page) if title.startswith("test_")}
    assert len(held) > 25


ACCUMULATORS: dict[str, Any] = {"float32": None, "bfloat16": jnp.bfloat16, '"8bit"': "8bit"}
WRAPPERS: dict[str, Any] = {
    "`with_float32_master`": gdmethods.with_float32_master,
    "`with_stochastic_rounding`": gdmethods.with_stochastic_rounding,
}
SHAPE = 1024, 1024


def kept_and_moved(weights: str, accumulators: str) -> tuple[int, int]:
    """A step reads gradient, weight and state, and writes weight and state; bytes a weight."""
    w = jax.ShapeDtypeStruct(SHAPE, jnp.float32 if weights == "float32" else jnp.bfloat16)
    tx = gdmethods.adam(1e-3, accumulator_dtype=ACCUMULATORS[accumulators])
    tx = WRAPPERS.get(weights, lambda tx: tx)(tx)
    state = round(gdmethods.state_bytes(tx, w) / w.size)
    return w.dtype.itemsize + state, 3 * w.dtype.itemsize + 2 * state


@pytest.mark.parametrize(("page", "count"), [("README.md", 4), ("docs/use/fewer-bytes.md", 9)])
def test_bytes_of_adam(page, count):
    row = r'^\| ([^|]+) \| (float32|bfloat16|"8bit") \| (\d+) \| (\d+) \|'
    rows = re.findall(row, (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert len(rows) == count
    for weights, accumulators, kept, moved in rows:
        assert kept_and_moved(weights, accumulators) == (int(kept), int(moved)), weights


def test_costs_stand_alike_where_they_stand_twice():
    """The four rows of the README are those of the page on narrow formats, without their seeds."""
    page = (ROOT / "docs" / "evidence" / "narrow-formats.md").read_text("utf-8")
    row = r'^\| (.+?) \| (float32|"8bit") \| (\d+) \| \d+ \| ([+−\d.]+)'
    rows = re.findall(row, (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 4
    for weights, accumulators, kept, cost in rows:
        assert re.search(rf"\| {weights}.* \| {accumulators} \| {kept} \| {re.escape(cost)}", page)
