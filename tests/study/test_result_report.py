"""report.html: one file, in the order in which it is read, with the numbers of summary.json."""

import dataclasses
import html.parser
import json
import math
import re
from pathlib import Path
from typing import Any

import made_results as made
import pytest

from gdmethods.study import pictures, report, tables

NAN = math.nan
STRANGE = "package.factory(name='<b>&\"')"
OUTCOMES = [
    made.outcome("adam", [1.0, 1.5, 1.2]),
    made.outcome("optax.lion(b1=0.95)", [4.0, 2.9, 5.0], rate=0.1),
    made.outcome(STRANGE, [10.0, 11.0, 12.0], loss=8.56),
    made.outcome("momentum", [2.0, NAN, 2.5], rate=0.001, lost=(0.01, 0.1)),
    made.outcome("rprop", [], error="TypeError: no <i>"),
]
RESULTS = made.results(*OUTCOMES)


class Page(html.parser.HTMLParser):
    """Its tags and their attributes, its text, its tables, and that all tags are closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: list[list[list[tuple[str, dict[str, str | None]]]]] = []
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "wbr"):
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append(("", dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & {*self._open}:
            self.texts.append(data)
        if {"td", "th"} & {*self._open}:
            text, attributes = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = text + data, attributes


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("study")
    tables.write(directory, RESULTS)
    drawn = pictures.write(directory, RESULTS)
    report.write(directory / "report.html", RESULTS, drawn)
    return directory


@pytest.fixture(scope="module")
def page(directory: Path) -> Page:
    return Page(directory / "report.html")


@pytest.fixture(scope="module")
def summary(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "summary.json").read_text())
    return content


def test_begins_with_the_answer(page: Page, summary: dict[str, Any]) -> None:
    answer = " ".join(summary["answer"]["digits"].split())
    order = [answer, "27 runs", "Ranking", "Pictures", "Numbers", "To repeat it"]
    places = [page.text.index(part) for part in order]
    assert places == sorted(places)
    assert page.text.startswith(f"Which method? digits Which method? {answer}")


def test_ranking_has_the_ties(page: Page) -> None:
    heading, *rows = page.tables[0]
    assert [text.split("\n")[0] for text, _ in heading] == [
        "rank",
        "method",
        "rate",
        "error",
        "behind",
    ]
    assert [row[0][0].strip() for row in rows] == ["1=", "1=", "3", "4", "—"]
    assert [row[2][0].strip() for row in rows] == ["0.01", "0.1*", "0.01", "0.001*", "—"]


def test_star_and_all_else_is_explained_in_the_open(page: Page) -> None:
    hidden = page.source[page.source.index("<details>") : page.source.index("</details>")]
    assert "* optax.lion: the best learning rate, 0.1, is the highest tried." in page.text
    assert "is the highest tried" not in hidden
    assert "package.factory does not learn: at its best learning rate" in page.text
    assert "the training loss ends at 8.56" in page.text
    assert "RPROP failed: TypeError: no <i>" in page.text
    assert "So few seeds show large differences only" in page.text
    assert "quartile" not in page.text


def test_numbers_are_those_of_the_summary(page: Page, summary: dict[str, Any]) -> None:
    heading, *rows = page.tables[1]
    columns = tables.columns(OUTCOMES[0].problem)
    assert len(heading) == len(columns)
    assert len(rows) == len(OUTCOMES)
    for row, figures in zip(rows, summary["outcomes"], strict=True):
        known = figures | figures["arguments"]
        for (text, attributes), column in zip(row, columns, strict=True):
            key, figure = attributes["data-sort"], known.get(column.figure)
            assert key == ("" if figure is None else str(figure))
            shown = re.match(r"[\d.]+", text.strip())
            if shown and figure is not None and column.figure != "behind":
                assert float(shown[0]) == pytest.approx(figure, rel=0.05), column.figure
    assert [tag for tag, _ in page.tags].count("button") == len(columns)


def test_needs_no_other_file_and_no_network(page: Page) -> None:
    assert "http" not in page.source
    assert "@import" not in page.source
    references = re.findall(r'(?:href="|url\()([^")]+)', page.source)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {reference.removeprefix("#") for reference in references} <= {*names}
    assert all(reference.startswith("#") for reference in references)
    assert len(names) == len({*names})
    assert not [attributes for _, attributes in page.tags if "src" in attributes]


def test_pictures_are_drawn_in_the_page(page: Page) -> None:
    views = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(views) == [tag for tag, _ in page.tags].count("figcaption") == 5
    for attributes in views:
        assert "viewbox" in attributes
        assert "width" not in attributes
    assert "#ffffff" not in page.source
    assert "optax.lion(b1=0.95)" in page.source[page.source.index("<svg") :]


def test_is_made_for_dark_rooms_and_narrow_screens(page: Page) -> None:
    assert "color-scheme: light dark" in page.source
    assert "prefers-color-scheme: dark" in page.source
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        page.tags
    )
    cells = page.tables[1][1]
    assert all(attributes["data-name"] for _, attributes in cells)  # the name in a card


def test_what_a_method_is_called_is_text(page: Page) -> None:
    assert "<b>" not in page.source
    assert "<i>" not in page.source
    assert STRANGE in "".join(page.texts).replace("\n", "").replace("  ", "")


def test_can_be_repeated(page: Page) -> None:
    assert RESULTS.command in page.text
    for part in ("0.001, 0.01, 0.1", "gdmethods 0.9, jax 0.10", "batches of 32", "00000abc"):
        assert part in page.text
    assert "1,000 training examples" in page.text
    assert "27 runs: 3.7 minutes of training, 7.5 seconds of compilation" in page.text


def test_profile_follows_several_problems(directory: Path, tmp_path: Path) -> None:
    other = [dataclasses.replace(o, problem=made.facts("other")) for o in OUTCOMES[:2]]
    results = made.results(*OUTCOMES[:2], *other)
    profile = {"profile": directory / "digits-loss.svg"}
    report.write(tmp_path / "report.html", results, {pictures.ALL: profile})
    text = Page(tmp_path / "report.html").text
    assert text.index("On digits, ") < text.index("On other, ") < text.index("Ranking")
    assert text.index("Performance profile.") < text.index("To repeat it")


@pytest.mark.parametrize("outcomes", [[], OUTCOMES[-1:], OUTCOMES[:1]])
def test_unfinished_study_has_a_report(tmp_path: Path, outcomes: list[made.Outcome]) -> None:
    results = made.results(*outcomes, planned=8)
    report.write(tmp_path / "report.html", results, {})
    text = Page(tmp_path / "report.html").text
    assert f"Unfinished: {len(outcomes)} of 8 results are here." in text
    assert ("no result yet" in text) == (not outcomes)
