"""What a study writes of its outcomes: tables, pictures and the report.

The outcomes are made by hand: `STEADY` reaches the target with each of its three seeds, `SLOW`
with one, `NEVER` with none; a seed of `BROKEN` and two of its trials diverge.
"""

import base64
import csv
import dataclasses
import html.parser
import io
import json
import math
from pathlib import Path
from typing import Any

import matplotlib.colors
import matplotlib.image
import numpy as np
import optax
import pytest
from rich.console import Console

from examples.mnist import plots
from examples.mnist.study import pictures, report, tables
from examples.mnist.study.methods import Method
from examples.mnist.study.problems import PROBLEMS
from examples.mnist.study.runs import Point, Run, Settings
from examples.mnist.study.study import Outcome, Plan

START = 2.3
RATES = (0.001, 0.01, 0.1)
PASSES, POINTS = 3, 2
STEADY, SLOW, NEVER, BROKEN = (
    "gdmethods.adam",
    "optax.lion(b1=0.95)",
    "package.factory(name='<b>&\"')",
    "gdmethods.momentum(momentum=gdmethods.sutskever_momentum_schedule())",
)
COMMAND = "python -m examples.mnist study --methods '<i>&'"


def run(method: str, rate: float, seed: int, error: float, *, diverges: bool = False) -> Run:
    """Ends with this validation error; one that diverges does so at the fourth point."""
    settings = Settings(
        problem="zeiler",
        method=method,
        learning_rate=rate,
        seed=seed,
        passes=PASSES,
        batch_size=100,
        points=POINTS,
        together=1,
        data="MNIST",
        data_crc32=0xABC,
        validation_size=1000,
        device="cpu",
        versions={"gdmethods": "0.9", "jax": "0.10"}
        | ({"optax": "0.2"} if method == SLOW else {}),
    )
    points = [
        Point(
            steps=50 * i,
            passes=i / POINTS,
            seconds=(1 + seed / 10) * i,
            train_cost=math.nan if diverges and i == 3 else START * (error / 90) ** (i / 6),
            validation_error_percent=90 * (error / 90) ** (i / 6),
            test_error_percent=91 * (error / 90) ** (i / 6),
        )
        for i in range(4 if diverges else PASSES * POINTS + 1)
    ]
    return Run(settings, diverges, 1000, 8.004, 1.5, tuple(points))


def outcome(
    method: str, errors: list[float], *, rate: float = 0.01, broken: bool = False
) -> Outcome:
    """With a repeat for each of the errors."""
    return Outcome(
        PROBLEMS["zeiler"],
        Method(method, optax.sgd, {}),
        tuple(
            run(method, r, 0, errors[0] * (1 if r == rate else 4), diverges=broken and r > rate)
            for r in RATES
        ),
        tuple(
            run(method, rate, seed, error, diverges=broken and seed == 2)
            for seed, error in enumerate(errors, 1)
        ),
        target=3.0,
    )


OUTCOMES = [
    outcome(STEADY, [1.0, 1.5, 1.2]),
    outcome(SLOW, [4.0, 2.9, 5.0], rate=0.1),
    outcome(NEVER, [10.0, 11.0, 12.0]),
    outcome(BROKEN, [2.0, 2.0, 2.5], rate=0.001, broken=True),
]
METHODS = [o.method.text for o in OUTCOMES]
PLAN = Plan(
    data="MNIST",
    problems=[PROBLEMS["zeiler"]],
    methods=[o.method for o in OUTCOMES],
    rates=RATES,
    seeds=3,
    passes=PASSES,
    points=POINTS,
    batch_size=None,
    together=1,
    select="validation-error",
    target=3.0,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("study")
    tables.write(directory, PLAN, COMMAND, OUTCOMES)
    drawn = pictures.write(directory, OUTCOMES)
    report.write(directory / "report.html", PLAN, COMMAND, OUTCOMES, drawn)
    return directory


def shows(picture: Path | io.BytesIO, color: str) -> bool:
    image = np.rint(255 * matplotlib.image.imread(picture)[..., :3])
    rgb = np.rint(255 * np.array(matplotlib.colors.to_rgb(color)))
    return bool((image == rgb).all(axis=-1).any())


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_points_have_a_row_each_with_all_settings(written: Path) -> None:
    with (written / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    runs = [
        (s, r)
        for o in OUTCOMES
        for s, rs in (("trial", o.trials), ("repeat", o.repeats))
        for r in rs
    ]
    expected = [(stage, r, point) for stage, r in runs for point in r.points]
    assert len(rows) == len(expected)
    for row, (stage, r, point) in zip(rows, expected, strict=True):
        settings = dataclasses.asdict(r.settings)
        versions = {"optax": ""} | settings.pop("versions")
        settings["passes_in_all"] = settings.pop("passes")
        measured = {
            "stage": stage,
            **settings,
            **dataclasses.asdict(point),
            "diverged": r.diverged,
            "weights": r.weights,
            "state_bytes_per_weight": r.state_bytes_per_weight,
            "compile_seconds": r.compile_seconds,
            **versions,
        }
        assert row == {name: str(value) for name, value in measured.items()}


def test_summary_is_strict_json_with_every_setting(written: Path) -> None:
    content = json.loads((written / "summary.json").read_text(), parse_constant=refuse)
    settings = content["settings"]
    assert settings["command"] == COMMAND
    assert settings["methods"] == METHODS
    assert settings["learning_rates"] == list(RATES)
    assert settings["repeat_seeds"] == [1, 2, 3]
    assert settings["problems"][0]["batch_size"] == 100
    assert settings["target_validation_error_percent"] == 3.0
    assert settings["versions"] == {"gdmethods": "0.9", "jax": "0.10", "optax": "0.2"}
    for name in ("passes", "points", "select", "together"):
        assert settings[name] == getattr(PLAN, name)
    for name in ("data", "data_crc32", "validation_size", "device"):
        assert settings[name] == getattr(OUTCOMES[0].trials[0].settings, name)


def test_summary_has_the_figures(written: Path) -> None:
    content = json.loads((written / "summary.json").read_text(), parse_constant=refuse)
    steady, slow, never, broken = content["outcomes"]

    ends = np.array([1.0, 1.5, 1.2])  # the validation errors in percent
    assert steady["train_cost"] == pytest.approx(np.mean(START * ends / 90))
    assert steady["train_cost_deviation"] == pytest.approx(np.std(START * ends / 90, ddof=1))
    assert steady["test_error_percent"] == pytest.approx(np.mean(91 * ends / 90))
    assert steady["test_error_percent_deviation"] == pytest.approx(np.std(91 * ends / 90, ddof=1))
    # The error is 90 (end / 90)^(i / 6) at point i, and reaches 3 at the first i not below
    first = np.ceil(6 * np.log(3 / 90) / np.log(ends / 90))
    assert steady["passes_to_target"] == np.median(first / POINTS)
    assert steady["seconds_to_target"] == pytest.approx(np.median(first * [1.1, 1.2, 1.3]))
    assert steady["seeds_at_target"] == steady["seeds"] == 3
    assert not steady["at_the_edge"]
    # 50 steps take 1, 1.1, 1.2 and 1.3 s with seeds 0 to 3; three trials have seed 0
    assert steady["step_milliseconds"] == pytest.approx(
        np.median(np.repeat([20, 22, 24, 26], [3, 1, 1, 1]))
    )
    assert steady["state_bytes_per_weight"] == 8.004
    assert (steady["learning_rates"], steady["learning_rates_near_best"]) == (3, 1)
    assert [trial["learning_rate"] for trial in steady["trials"]] == list(RATES)
    assert [t["validation_error_percent"] for t in steady["trials"]] == pytest.approx([4, 1, 4])

    assert slow["at_the_edge"]
    assert (slow["seeds_at_target"], slow["passes_to_target"]) == (1, 3.0)
    assert slow["seconds_to_target"] == pytest.approx(1.2 * 6)
    assert (never["passes_to_target"], never["seconds_to_target"]) == (None, None)
    assert (broken["seeds_diverged"], broken["train_cost"]) == (1, None)
    assert [trial["diverged"] for trial in broken["trials"]] == [False, True, True]
    assert broken["trials"][1]["train_cost"] is None


def test_table_fits_a_terminal() -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(tables.table(OUTCOMES))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    cells = text.split()
    figures = tables.summary(OUTCOMES[0])
    assert f"{figures['train_cost']:.3g}" in cells
    for part in ("zeiler", "adam", "optax.lion(b1=0.95)", "0.1*", "—", "97"):
        assert part in cells
    for part in ("1 of 3", "diverged", "the highest rate tried", "'<b>&\"')", "sutskever"):
        assert part in text


def test_method_that_always_diverges_is_shown_as_such() -> None:
    lost = dataclasses.replace(OUTCOMES[3], repeats=OUTCOMES[3].repeats[1:2])
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(tables.table([lost]))
    assert "diverged" in console.export_text().split()
    assert "of 1" not in console.export_text()
    for draw in pictures.PICTURES.values():
        draw([lost]).savefig(io.BytesIO())


def test_pictures_show_every_method(written: Path) -> None:
    colors = [style.color for style in pictures.styles(OUTCOMES)]
    assert len(set(colors)) == 4
    assert colors[0] == plots.STYLES["adam"][0]
    for name in ("curves", "rates"):
        for color in colors:
            assert shows(written / f"zeiler-{name}.png", color)
    reaching = [shows(written / "zeiler-target.png", color) for color in colors]
    assert reaching == [True, True, False, True]


def test_titles_name_the_data() -> None:
    assert tables.table(OUTCOMES).title == "MNIST"
    for draw in pictures.PICTURES.values():
        assert draw(OUTCOMES).get_suptitle() == "MNIST, zeiler"


def test_styles_stay_apart() -> None:
    names = [
        *(f"gdmethods.{name}" for name in plots.STYLES),
        *(f"my.method_{i}" for i in range(8)),
    ]
    variants = ["gdmethods.adam(b1=0.5)", "gdmethods.adam(b1=0.8)"]
    texts = [name for name in names if name != "gdmethods.adam"] + variants
    styles = pictures.styles([outcome(text, [1.0]) for text in texts])
    assert len({(color, marker) for color, _, marker in styles}) == len(texts)
    assert styles[0] == plots.STYLES["sgd"]
    assert plots.STYLES["adam"] not in styles


def test_bands_span_the_seeds() -> None:
    figure = pictures.curves(OUTCOMES[:1])
    cost = figure.axes[0]
    (band,) = cost.collections
    ends = START * np.array([1.0, 1.5, 1.2]) / 90
    corners = band.get_paths()[0].vertices
    at_the_end = corners[corners[:, 0] == PASSES][:, 1]
    assert (at_the_end.min(), at_the_end.max()) == pytest.approx((ends.min(), ends.max()))
    assert cost.lines[0].get_ydata()[-1] == pytest.approx(np.median(ends))
    assert not pictures.curves([outcome(STEADY, [1.0])]).axes[0].collections


def test_divergence_does_not_squash_the_others() -> None:
    huge = [
        dataclasses.replace(p, train_cost=1e30 if i else START)
        for i, p in enumerate(OUTCOMES[0].repeats[0].points)
    ]
    overflowing = dataclasses.replace(OUTCOMES[0].repeats[0], points=tuple(huge))
    wild = dataclasses.replace(OUTCOMES[0], trials=(overflowing,) * 3, repeats=(overflowing,) * 3)
    for draw in (pictures.curves, pictures.rates):
        cost = draw([OUTCOMES[1], OUTCOMES[3], wild]).axes[0]
        assert cost.get_ylim()[1] == 2 * START
        assert max(np.max(line.get_ydata()) for line in cost.lines) == 2 * START


def test_diverged_trials_are_crosses() -> None:
    cost, error = pictures.rates(OUTCOMES).axes
    for axes in (cost, error):
        (crosses,) = (line for line in axes.lines if line.get_marker() == "x")
        assert list(crosses.get_xdata()) == [0.01, 0.1]
        rings = [line for line in axes.lines if line.get_fillstyle() == "none"]
        assert [float(ring.get_xdata()[0]) for ring in rings] == [0.01, 0.1, 0.01, 0.001]


def test_scale_of_rates_reaches_those_at_which_all_diverge() -> None:
    for axes in pictures.rates(OUTCOMES[3:]).axes:
        left, right = axes.get_xlim()
        assert left < RATES[0] < RATES[-1] < right


def test_times_to_target_are_sorted() -> None:
    passes, seconds = pictures.target(OUTCOMES[::-1]).axes
    labels = [label.get_text() for label in passes.get_yticklabels()]
    assert [label.split("(")[0] for label in labels] == [
        "adam",
        "momentum",
        "optax.lion",
        "package.factory",
    ]
    assert "2 of 3 seeds" in labels[1]
    assert [text.get_text().strip() for text in seconds.texts] == ["not reached"]
    assert [len(line.get_xdata()) for line in seconds.lines] == [3, 2, 1]


class _Page(html.parser.HTMLParser):
    """Its start tags with their attributes, the text in each row, and that all tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def attributes(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(written: Path) -> _Page:
    return _Page((written / "report.html").read_text())


def test_report_has_a_row_for_each_method(page: _Page, written: Path) -> None:
    heading, *rows = page.rows
    assert [" ".join(text.split()) for text in heading[:3]] == [
        "method",
        "learning rate",
        "training cost",
    ]
    labels = [o.method.label for o in OUTCOMES]
    assert ["".join(row[0].split()) for row in rows] == [
        "".join(label.split()) for label in labels
    ]
    assert all(len(row) == len(tables.COLUMNS) for row in rows)
    text = (written / "report.html").read_text()
    assert "<b>" not in text
    assert "<i>" not in text
    assert "Unfinished" not in text


def test_report_sorts_by_numbers(page: _Page) -> None:
    keys = [attributes["data-sort"] for _, attributes in page.tags if "data-sort" in attributes]
    rows = np.reshape(keys, (len(OUTCOMES), len(tables.COLUMNS))).tolist()
    for row, o in zip(rows, OUTCOMES, strict=True):
        figures = tables.summary(o)
        expected = [figures[column.figure] for column in tables.COLUMNS]
        assert row[0] == o.method.label
        assert [float(key) if key else None for key in row[1:]] == expected[1:]
    assert rows[2][4] == rows[3][2] == ""
    assert len(page.attributes("button")) == len(tables.COLUMNS)


def test_report_needs_no_other_file(page: _Page, written: Path) -> None:
    text = (written / "report.html").read_text()
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert not [attributes for _, attributes in page.tags if "href" in attributes]
    sources = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
    assert len(sources) == len(pictures.PICTURES)
    for source, name in zip(sources, pictures.PICTURES, strict=True):
        scheme, encoded = source.split(",")
        assert scheme == "data:image/png;base64"
        png = base64.b64decode(encoded, validate=True)
        assert png == (written / f"zeiler-{name}.png").read_bytes()
        assert shows(io.BytesIO(png), plots.STYLES["adam"][0])
    assert all(
        STEADY.removeprefix("gdmethods.") in image["alt"] for image in page.attributes("img")
    )


def test_report_of_an_interrupted_study_says_so(written: Path, tmp_path: Path) -> None:
    drawn = {"zeiler": {name: written / f"zeiler-{name}.png" for name in pictures.PICTURES}}
    plan = dataclasses.replace(PLAN, problems=[PROBLEMS["logreg"], PROBLEMS["zeiler"]])
    report.write(tmp_path / "report.html", plan, COMMAND, OUTCOMES[:1], drawn)
    page = _Page((tmp_path / "report.html").read_text())
    assert "1 of\n8" in (tmp_path / "report.html").read_text()
    assert len(page.rows) == 2
