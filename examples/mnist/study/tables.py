"""The figures of a study: points.csv, summary.json, and the table in the terminal.

The report has the same columns.
"""

import csv
import dataclasses
import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from examples.mnist.study.archive import without_nan
from examples.mnist.study.runs import Point, Run
from examples.mnist.study.study import Outcome, Plan
from gdmethods._programs.files import whole

Summary = Mapping[str, Any]

EDGE = "* the lowest or the highest rate tried: a better one may lie beyond"


def write(directory: Path, plan: Plan, command: str, outcomes: Sequence[Outcome]) -> None:
    """points.csv with a row for each point of each run, summary.json with a method's figures."""
    rows = [
        _row(stage, run, point)
        for outcome in outcomes
        for stage, runs in (("trial", outcome.trials), ("repeat", outcome.repeats))
        for run in runs
        for point in run.points
    ]
    columns = dict.fromkeys(column for row in rows for column in row)
    with whole(directory / "points.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    content = {
        "settings": settings(plan, command, outcomes),
        "outcomes": [
            summary(outcome) | {"trials": [_trial(run) for run in outcome.trials]}
            for outcome in outcomes
        ],
    }
    lines = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with whole(directory / "summary.json") as path:
        path.write_text(lines)


def settings(plan: Plan, command: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All that the figures depend on."""
    runs = [outcome.trials[0].settings for outcome in outcomes]
    return {
        "command": command,
        "data": plan.data,
        "data_crc32": runs[0].data_crc32,
        "validation_size": runs[0].validation_size,
        "problems": [
            {
                "name": problem.name,
                "text": problem.text,
                "batch_size": plan.batch_size or problem.batch_size,
            }
            for problem in plan.problems
        ],
        "methods": [method.text for method in plan.methods],
        "learning_rates": list(plan.rates),
        "trial_seed": runs[0].seed,
        "repeat_seeds": [run.settings.seed for run in outcomes[0].repeats],
        "passes": plan.passes,
        "points": plan.points,
        "select": plan.select,
        "target_validation_error_percent": plan.target,
        "together": plan.together,
        "device": runs[0].device,
        "versions": {name: version for run in runs for name, version in run.versions.items()},
    }


def summary(outcome: Outcome) -> dict[str, Any]:
    """The figures of a method on a problem; None for what is not a number."""
    passes, seconds = outcome.to_target("passes"), outcome.to_target("seconds")
    diverged = sum(run.diverged for run in outcome.repeats)
    cost, cost_deviation = (math.nan, math.nan) if diverged else outcome.last("train_cost")
    error, error_deviation = outcome.last("test_error_percent")
    figures: dict[str, Any] = without_nan(
        {
            "problem": outcome.problem.name,
            "method": outcome.method.text,
            "label": outcome.method.label,
            "learning_rate": outcome.learning_rate,
            "at_the_edge": outcome.at_the_edge,
            "learning_rates": len(outcome.trials),
            "learning_rates_near_best": outcome.near_best,
            "seeds": len(outcome.repeats),
            "seeds_diverged": diverged,
            "train_cost": cost,
            "train_cost_deviation": cost_deviation,
            "test_error_percent": error,
            "test_error_percent_deviation": error_deviation,
            "seeds_at_target": len(passes),
            "passes_to_target": statistics.median(passes) if passes else None,
            "seconds_to_target": statistics.median(seconds) if seconds else None,
            "step_milliseconds": 1e3 * outcome.step_seconds,
            "state_bytes_per_weight": outcome.repeats[0].state_bytes_per_weight,
        }
    )
    return figures


@dataclasses.dataclass(frozen=True)
class Column:
    """Of the table in the terminal and of the one in the report.

    Attributes:
      heading: in lines.
      figure: of the summary, to sort by.
      meaning: of the column.
      text: of a summary, for the cell.
    """

    heading: str
    figure: str
    meaning: str
    text: Callable[[Summary], str]


def _rate(figures: Summary) -> str:
    return f"{figures['learning_rate']:g}{'*' if figures['at_the_edge'] else ''}"


def _cost(figures: Summary) -> str:
    diverged, seeds = figures["seeds_diverged"], figures["seeds"]
    if diverged:
        return "diverged" if diverged == seeds else f"{diverged} of {seeds}\ndiverged"
    return _spread(figures, "train_cost", "#.3g", "#.2g")


def _spread(figures: Summary, figure: str, form: str, deviation_form: str) -> str:
    mean, deviation = figures[figure], figures[f"{figure}_deviation"]
    text = "—" if mean is None else f"{mean:{form}}"
    return text if deviation is None else f"{text} ± {deviation:{deviation_form}}"


def _to_target(figures: Summary, figure: str) -> str:
    if figures[figure] is None:
        return "—"
    reached, seeds = figures["seeds_at_target"], figures["seeds"]
    return _three_digits(figures[figure]) + ("" if reached == seeds else f"\n{reached} of {seeds}")


def _three_digits(number: float) -> str:
    return f"{number:#.3g}" if number < 99.95 else f"{number:.0f}"


COLUMNS = (
    Column(
        "method",
        "label",
        "the factory and its arguments; those of gdmethods have no prefix",
        lambda figures: broken(figures["label"], 23),
    ),
    Column(
        "learning\nrate",
        "learning_rate",
        f"the one whose trial ended best; {EDGE}",
        _rate,
    ),
    Column(
        "training\ncost",
        "train_cost",
        "at the end: mean ± standard deviation over the seeds",
        _cost,
    ),
    Column(
        "test\nerror %",
        "test_error_percent",
        "at the end: mean ± standard deviation over the seeds",
        lambda figures: _spread(figures, "test_error_percent", ".2f", ".2f"),
    ),
    Column(
        "passes\nto\ntarget",
        "passes_to_target",
        "median over the seeds that reach the target, whose number is there unless all do",
        lambda figures: _to_target(figures, "passes_to_target"),
    ),
    Column(
        "seconds\nto\ntarget",
        "seconds_to_target",
        "of training alone, without compilation and measurements; median as for the passes",
        lambda figures: _to_target(figures, "seconds_to_target"),
    ),
    Column(
        "ms\na step",
        "step_milliseconds",
        "milliseconds that a step takes, gradient included; median over all runs",
        lambda figures: _three_digits(figures["step_milliseconds"]),
    ),
    Column(
        "state\nbytes a\nweight",
        "state_bytes_per_weight",
        "memory that the optimizer's state takes",
        lambda figures: f"{figures['state_bytes_per_weight']:.1f}",
    ),
    Column(
        "rates\nnear\nbest",
        "learning_rates_near_best",
        "learning rates whose trials end within one percent point of the best trial's "
        "validation error: the more, the less a method asks to be tuned",
        lambda figures: f"{figures['learning_rates_near_best']} of {figures['learning_rates']}",
    ),
)


def table(outcomes: Sequence[Outcome]) -> Table:
    """For the terminal; a section for each problem."""
    summaries = [summary(outcome) for outcome in outcomes]
    target = f"The target is {100 - outcomes[0].target:g} % validation accuracy."
    edge = f"{EDGE}." if any(figures["at_the_edge"] for figures in summaries) else ""
    table = Table(
        title=outcomes[0].data,
        caption=f"{target}\n{edge}".strip(),
        box=SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column(COLUMNS[0].heading, overflow="fold")
    for column in COLUMNS[1:]:
        table.add_column(column.heading, justify="right")
    for problem in dict.fromkeys(figures["problem"] for figures in summaries):
        table.add_section()
        table.add_row(Text(problem, style="bold"))
        for figures in summaries:
            if figures["problem"] == problem:
                table.add_row(*(_styled(column.text(figures)) for column in COLUMNS))
    return table


def broken(label: str, characters: int) -> str:
    """A method's label in lines of so many characters, if its brackets, commas and dots allow."""
    lines = [""]
    for piece in re.findall(r".{1,60}?(?:[(=,](?!\))|[^\W\d]\.|$)|.{60}", label):
        if lines[-1] and len(lines[-1] + piece) > characters:
            lines.append("  ")
            piece = piece.lstrip()
        lines[-1] += piece
    return "\n".join(lines)


def _styled(text: str) -> Text:
    return Text(text, style="red" if text.endswith("diverged") else "")


def _row(stage: str, run: Run, point: Point) -> dict[str, Any]:
    settings = dataclasses.asdict(run.settings)
    versions = settings.pop("versions")
    settings["passes_in_all"] = settings.pop("passes")
    return {
        "stage": stage,
        **settings,
        **dataclasses.asdict(point),
        "diverged": run.diverged,
        "weights": run.weights,
        "state_bytes_per_weight": run.state_bytes_per_weight,
        "compile_seconds": run.compile_seconds,
        **versions,
    }


def _trial(run: Run) -> dict[str, Any]:
    end = run.points[-1]
    figures: dict[str, Any] = without_nan(
        {
            "learning_rate": run.settings.learning_rate,
            "diverged": run.diverged,
            "train_cost": end.train_cost,
            "validation_error_percent": end.validation_error_percent,
            "test_error_percent": end.test_error_percent,
        }
    )
    return figures
