"""points.csv, summary.json, arrays, and the table in a terminal of 80 columns."""

import csv
import dataclasses
import io
import json
import math
import re
from pathlib import Path
from typing import NoReturn

import made_results as made
import numpy as np
import pytest
from rich.console import Console

from gdmethods.study import tables
from gdmethods.study.standings import standings

NAN = math.nan
LION = "optax.lion(b1=0.95, weight_decay=0.1)"
SCHEDULE = "momentum(momentum=gdmethods.sutskever_momentum_schedule())"
OUTCOMES = [
    made.outcome("adam", [1.0, 1.5, 1.2], momentum=0.9),
    made.outcome(LION, [4.0, 2.9, 5.0], rate=0.1, extended=True),
    made.outcome("sgd", [10.0, 11.0, 12.0], loss=8.56),
    made.outcome(SCHEDULE, [2.0, NAN, 2.5], rate=0.001),
    made.outcome("rprop", [], error="TypeError: '<b>&\"'"),
]
RESULTS = made.results(*OUTCOMES, planned=7)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("study")
    tables.write(directory, RESULTS)
    return directory


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def content(directory: Path) -> dict:
    return json.loads((directory / "summary.json").read_text(), parse_constant=refuse)


def lines(*outcomes: made.Outcome, width: int = 80) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(tables.render(made.results(*outcomes)))
    return console.export_text().splitlines()


def row(label: str, *outcomes: made.Outcome) -> str:
    return next(line for line in lines(*outcomes) if re.search(rf"^ +\S+ +{label}\b", line))


def test_points_have_a_row_each_with_all_settings(written: Path) -> None:
    with (written / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    runs = [(s, r) for o in OUTCOMES for s in ("trials", "repeats") for r in getattr(o, s)]
    expected = [(stage, run, point) for stage, run in runs for point in run.points]
    assert len(rows) == len(expected)
    for found, (stage, run, point) in zip(rows, expected, strict=True):
        settings = run.settings
        values = {
            "stage": stage.removesuffix("s"),
            "problem": "digits",
            "problem_crc32": 0xABC,
            "method": settings.method,
            "method_crc32": 0xDEF,
            "seed": settings.seed,
            "batch_size": 32,
            "points": made.POINTS,
            "together": 1,
            "device": "cpu",
            "passes_in_all": made.PASSES,
            "learning_rate": settings.arguments["learning_rate"],
            "momentum": settings.arguments.get("momentum", ""),
            "steps": point.steps,
            "passes": point.passes,
            "seconds": point.seconds,
            "loss": point.loss,
            "validation_error": point.validation["error"],
            "test_error": point.test["error"],
            "diverged": run.diverged,
            "weights": 1000,
            "state_bytes_per_weight": 8.004,
            "compile_seconds": 1.5,
            "gdmethods": "0.9",
            "jax": "0.10",
        }
        assert found == {name: str(value) for name, value in values.items()}


def test_summary_is_strict_json_with_every_setting(written: Path) -> None:
    found = content(written)
    assert found["command"] == RESULTS.command
    assert found["settings"] == RESULTS.settings
    assert found["planned"] == 7
    assert found["problems"][0]["target"] == 3.0
    assert found["answer"]["digits"].startswith("On digits, Adam ")
    # 8 points of 1 s with seed 0, 1.1 s with seed 1 and so on; one run stops halfway
    assert found["training_seconds"] == pytest.approx(5 * 3 * 8 + 4 * 8 * 3.6 - 4 * 1.2)
    assert found["compile_seconds"] == 5 * 1.5


def test_summary_has_the_figures(written: Path) -> None:
    adam, lion, sgd, momentum, rprop = content(written)["outcomes"]
    last = np.array([1.0, 1.5, 1.2])  # the errors
    assert adam["judge"] == pytest.approx(np.mean(last))
    assert adam["judge_deviation"] == pytest.approx(np.std(last, ddof=1))
    assert adam["loss"] == pytest.approx(np.mean(last / 90))
    assert adam["arguments"] == {"learning_rate": 0.01, "momentum": 0.9}
    first = np.ceil(8 * np.log(3 / 90) / np.log(last / 90))
    assert adam["passes_to_target"] == np.median(first / 2)
    assert adam["seconds_to_target"] == pytest.approx(np.median(first * [1.1, 1.2, 1.3]))
    assert adam["seeds_at_target"] == adam["seeds"] == 3
    # 50 steps take 1, 1.1, 1.2 and 1.3 s with seeds 0 to 3; three of six runs have seed 0
    assert adam["step_milliseconds"] == pytest.approx(21)
    assert (adam["rank"], adam["tied"], adam["behind"]) == (1, True, 0)
    assert (adam["trials_near_best"], len(adam["trials"])) == (1, 3)
    assert [trial["arguments"]["learning_rate"] for trial in adam["trials"]] == list(made.RATES)
    assert [t["validation"]["error"] for t in adam["trials"]] == pytest.approx([60, 2, 60])

    assert lion["label"] == LION
    assert (lion["at_the_edge"], lion["extended"]) == (True, True)
    assert (lion["seeds_at_target"], lion["passes_to_target"]) == (1, None)
    assert lion["behind"] == pytest.approx(np.mean([3.0, 1.4, 3.8]))
    assert lion["behind_low"] < 0 < lion["behind_high"]
    assert (sgd["seeds_at_target"], sgd["learned"]) == (0, False)
    assert (momentum["seeds_diverged"], momentum["judge"], momentum["behind"]) == (1, None, None)
    assert (momentum["passes_to_target"], momentum["seeds_at_target"]) == (4.0, 2)
    assert rprop["error"] == "TypeError: '<b>&\"'"
    assert "rank" not in rprop


def test_arrays_have_the_same_numbers(written: Path) -> None:
    found = tables.arrays(RESULTS)
    points, outcomes = found["points"], found["outcomes"]
    with (written / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert points.dtype.names == tuple(rows[0])
    assert points["validation_error"].tolist() == pytest.approx(
        [float(row["validation_error"]) for row in rows], nan_ok=True
    )
    assert np.isnan(points[points["method"] == "gdmethods.sgd"]["momentum"]).all()
    summary = content(written)["outcomes"]
    assert outcomes["label"].tolist() == [figures["label"] for figures in summary]
    assert outcomes["judge"][0] == summary[0]["judge"]
    assert outcomes["learning_rate"][1] == 0.1
    assert outcomes["passes_to_target"][2] == math.inf
    assert np.isnan(outcomes["rank"][-1])


@pytest.mark.parametrize(
    "outcomes",
    [
        OUTCOMES,
        [made.outcome("adam", [1e-9, 2e-9]), made.outcome("sgd", [3e-5, 4e-5])],
        [made.outcome("adam", [1.0]), made.outcome(f"my.{'x' * 70}", [123.0])],
        [made.outcome("adam", [12345.0, 12645.0]), made.outcome("sgd", [99999.0, 1e5])],
    ],
)
def test_terminal_is_80_wide_and_its_cells_stay_apart(outcomes: list[made.Outcome]) -> None:
    found = lines(*outcomes)
    assert max(map(len, found)) <= 80
    facts = outcomes[0].problem
    rows = tables.summary(made.results(*outcomes))["outcomes"]
    cells = [column.texts(rows) for column in tables.columns(facts) if column.narrow]
    for texts in zip(*cells, strict=True):
        first = [text.split("\n")[0].strip() for text in texts]
        label = first.pop(1)[:12]
        line = next(line for line in found if label in line and line.startswith(" "))
        assert re.split(r"  +", line.strip())[2:] == first[1:]


def test_methods_are_broken_where_their_arguments_are() -> None:
    wide = [made.outcome(LION, [1.232, 1.234]), made.outcome("rprop", [6970.123, 6971.125])]
    text = " ".join(" ".join(lines(*wide)).split())
    for part in ("optax.lion(b1=", "0.95, ", "weight_decay="):
        assert part in text


def test_digits_are_even() -> None:
    for values in ([1.0, 12.345, 100.0], [0.5, 0.25, 0.123]):
        outcomes = [
            made.outcome(f"m{i}", [value, value * 1.001, value]) for i, value in enumerate(values)
        ]
        rows = tables.summary(made.results(*outcomes))["outcomes"]
        for column in tables.columns(made.facts()):
            if column.figure in ("judge", "behind", "loss", "step_milliseconds"):
                digits = {
                    len(number.split(".")[1])
                    for text in column.texts(rows)
                    for number in re.findall(r"\d+\.\d+", text)
                }
                assert len(digits) == 1, column.figure


def test_star_is_explained_in_the_open() -> None:
    text = " ".join(lines(OUTCOMES[1], OUTCOMES[0]))
    assert "0.1*" in text
    assert "* optax.lion: the best learning rate, 0.1, is the highest tried." in text
    assert "*" not in " ".join(lines(OUTCOMES[0]))


def test_what_has_no_number_says_so() -> None:
    assert "1 of 3" in row("momentum", *OUTCOMES)
    assert "failed" in row("rprop", *OUTCOMES)
    assert row("sgd", *OUTCOMES).split()[-2] == "—"
    lost = made.outcome("adam", [NAN])
    assert "diverged" in row("adam", lost)
    assert "nan" not in "".join(lines(*OUTCOMES, lost)).lower()
    free = made.outcome("adam", [1.0, 2.0], made.facts(target=None))
    assert not [column for column in tables.columns(free.problem) if "target" in column.figure]


def test_a_run_that_never_took_a_step_has_no_time_of_a_step() -> None:
    lost = made.outcome("adam", [NAN])
    never = tuple(dataclasses.replace(r, points=r.points[-1:]) for r in lost.repeats)
    assert row("adam", dataclasses.replace(lost, trials=never, repeats=never)).split()[-1] == "—"


def test_terminal_says_why_ranks_do_not_rise() -> None:
    """One with a worse mean than one that is shown to be worse, and seeds that vary."""
    scattered = [1.0, 12.0, 1.0, 12.0, 1.0]
    of = [[1.0, 1.1, 1.0, 1.1, 1.0], [3.0, 3.1, 3.0, 3.1, 3.0], scattered]
    outcomes = [
        made.outcome(label, ends) for label, ends in zip(("adam", "sgd", "rprop"), of, strict=True)
    ]
    assert [standing.rank for standing in standings(outcomes)] == [1, 2, 1]
    assert tables.ORDER in lines(*outcomes)
    assert tables.ORDER not in lines(*outcomes[:2])


def test_terminal_tells_how_long_it_took() -> None:
    text = " ".join(" ".join(lines(*OUTCOMES)).split())
    assert "27 runs: 3.8 minutes of training, 7.5 seconds of compilation" in text


def test_tables_follow_the_ranking() -> None:
    rows = tables.summary(made.results(*OUTCOMES[::-1]))["outcomes"]
    assert [figures["label"] for figures in rows] == [
        standing.outcome.label for standing in standings(OUTCOMES)
    ]
