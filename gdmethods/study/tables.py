"""The numbers of a study: points.csv, summary.json, and the tables of the terminal and the report.

A table is of one problem. The numbers of a column have the same number of decimals.
"""

import csv
import dataclasses
import itertools
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gdmethods._programs.files import whole
from gdmethods.study.archive import without_nan
from gdmethods.study.comparison import answer, form, judge, number, remarks
from gdmethods.study.outcomes import Facts, Outcome, Point, Results, Run
from gdmethods.study.standings import (
    Standing,
    by_problem,
    diverged,
    ends,
    failed,
    last_loss,
    learned,
    standings,
    time,
    times,
)
from gdmethods.study.styles import broken

Summary = Mapping[str, Any]

TERMINAL = 80
"""Columns of a terminal."""

ORDER = "Rows follow the means. A rank is 1 + the number of methods shown to be better."
"""Said where ranks do not rise from row to row."""

NEAR = 0.95
"""A trial is near the best one if it improves the judge by this share of the best one's change."""


def write(directory: Path, results: Results) -> None:
    """points.csv with a row for each point of each run, summary.json with all that is reported."""
    rows = _rows(results)
    with whole(directory / "points.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(itertools.chain(*rows)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = without_nan(summary(results))
    lines = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with whole(directory / "summary.json") as path:
        path.write_text(lines, encoding="utf-8")


def arrays(results: Results) -> dict[str, NDArray[Any]]:
    """Structured arrays: `points` as in points.csv, `outcomes` with a row for each method.

    A number that is not there is NaN. A time to a target that is missed is infinite.
    """
    outcomes = [
        {key: value for key, value in figures.items() if not isinstance(value, dict | list)}
        | figures["arguments"]
        for figures in summary(results)["outcomes"]
    ]
    return {"points": _structured(_rows(results)), "outcomes": _structured(outcomes)}


def render(results: Results) -> RenderableType:
    """For a terminal of 80 columns: of each problem the answer, the table and remarks."""
    parts: list[RenderableType] = []
    summaries = summary(results)
    for name, outcomes in by_problem(results.outcomes).items():
        facts = outcomes[0].problem
        rows = [figures for figures in summaries["outcomes"] if figures["problem"] == name]
        ranks = [row["rank"] for row in rows if _ranked(row)]
        parts += [
            Text(f"{name}: {facts.text}" if facts.text else name, style="bold"),
            Text(summaries["answer"][name]),
            _table(facts, rows),
            *([Text(ORDER)] if ranks != sorted(ranks) else []),
            *map(Text, remarks(outcomes)),
            Text(),
        ]
    return Group(*parts, Text(took(summaries)))


def took(summary: Summary) -> str:
    """How many runs there are, and how long they trained."""
    return (
        f"{summary['runs']} runs: {duration(summary['training_seconds'])} of training, "
        f"{duration(summary['compile_seconds'])} of compilation; measurements come on top."
    )


def duration(seconds: float) -> str:
    """Such as "40 minutes"."""
    if seconds < 1:
        return "less than a second"
    for size, unit in ((1.0, "second"), (60.0, "minute"), (3600.0, "hour"), (86400.0, "day")):
        number = seconds / size
        if round(number) < (48 if unit == "hour" else 100):
            break
    shown = f"{number:.2g}" if number < 10 else f"{number:.0f}"
    return f"{shown} {unit}{'s' if shown != '1' else ''}"


def summary(results: Results) -> dict[str, Any]:
    """All numbers that are reported, in the order of the ranking; infinite where none is."""
    problems = by_problem(results.outcomes)
    outcomes = [
        _figures(standing, tied=[s.rank for s in ranked].count(standing.rank) > 1)
        for ranked in map(standings, problems.values())
        for standing in ranked
    ]
    costs = ("runs", "training_seconds", "compile_seconds")
    return {
        "command": results.command,
        "settings": dict(results.settings),
        "problems": [dataclasses.asdict(its[0].problem) for its in problems.values()],
        "planned": results.planned,
        **{cost: sum(figures[cost] for figures in outcomes) for cost in costs},
        "answer": dict(zip(problems, answer(results), strict=True)),
        "outcomes": outcomes,
    }


def _figures(standing: Standing, tied: bool) -> dict[str, Any]:
    outcome = standing.outcome
    facts = outcome.problem
    figures: dict[str, Any] = {
        "problem": facts.name,
        "method": outcome.method,
        "label": outcome.label,
        "error": outcome.error,
        "extended": outcome.extended,
        "trials": [
            {"arguments": dict(run.settings.arguments), "diverged": run.diverged}
            | dataclasses.asdict(run.points[-1])
            for run in outcome.trials
        ],
        "runs": len(runs(outcome)),
        "training_seconds": sum(run.points[-1].seconds for run in runs(outcome)),
        "compile_seconds": max((run.compile_seconds for run in runs(outcome)), default=0.0),
    }
    if failed(outcome):
        return figures | {"arguments": {}}
    judged = _mean_and_deviation([facts.sign * end for end in ends(outcome).values()])
    loss = _mean_and_deviation([*map(last_loss, outcome.repeats)])
    reached = sum(map(math.isfinite, times(outcome, "passes")))
    return figures | {
        "arguments": dict(outcome.arguments),
        "at_the_edge": outcome.at_the_edge,
        "trials_near_best": _near_best(outcome),
        "rank": standing.rank,
        "tied": tied,
        "seeds": len(outcome.repeats),
        "seeds_diverged": diverged(outcome),
        "learned": learned(outcome),
        "judge": judged[0],
        "judge_deviation": judged[1],
        "behind": standing.behind.mean,
        "behind_low": standing.behind.low,
        "behind_high": standing.behind.high,
        "loss": loss[0],
        "loss_deviation": loss[1],
        "seeds_at_target": reached,
        "passes_to_target": time(outcome, "passes"),
        "seconds_to_target": time(outcome, "seconds"),
        "step_milliseconds": _step_milliseconds(outcome),
        "state_bytes_per_weight": outcome.repeats[0].state_bytes_per_weight,
    }


def runs(outcome: Outcome) -> tuple[Run, ...]:
    """All that were trained."""
    return (*outcome.trials, *outcome.repeats)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Over the seeds; a mean with an infinite value has no deviation, nor has one seed."""
    spread = len(values) > 1 and all(map(math.isfinite, values))
    return float(np.mean(values)), float(np.std(values, ddof=1)) if spread else math.nan


def _near_best(outcome: Outcome) -> int:
    last = [
        math.inf if run.diverged else outcome.badness(run.points[-1]) for run in outcome.trials
    ]
    start = outcome.badness(runs(outcome)[0].points[0])
    return sum(end <= start - NEAR * (start - min(last)) for end in last if math.isfinite(end))


def _step_milliseconds(outcome: Outcome) -> float:
    """The median over the stretches between two points, of all runs; NaN without any."""
    stretches = [
        (after.seconds - before.seconds) / (after.steps - before.steps)
        for run in runs(outcome)
        for before, after in itertools.pairwise(run.points)
    ]
    return 1e3 * statistics.median(stretches) if stretches else math.nan


@dataclasses.dataclass(frozen=True)
class Column:
    """Of a problem's table.

    Attributes:
      heading: in lines.
      figure: of the summary, to sort by.
      meaning: of the column.
      texts: from the summaries of all methods to the cells.
      narrow: whether the terminal has it, too.
    """

    heading: str
    figure: str
    meaning: str
    texts: Callable[[Sequence[Summary]], list[str]]
    narrow: bool = True


def columns(facts: Facts) -> list[Column]:
    """Of the table of a problem."""
    judged = judge(facts)
    goal = "" if facts.target is None else number(facts.target)
    target = [
        Column(
            f"passes\nto {goal}",
            "passes_to_target",
            f"over the training data until the {judged} on the validation data is {goal}: "
            "the median over the seeds. A seed that misses it counts as infinite, and the number "
            "of seeds that reach it stands below",
            lambda rows: _to_target(rows, "passes_to_target"),
        ),
        Column(
            f"seconds\nto {goal}",
            "seconds_to_target",
            "of training until then, without compilation and measurements",
            lambda rows: _to_target(rows, "seconds_to_target"),
            narrow=False,
        ),
    ]
    return [
        Column(
            "rank",
            "rank",
            "1 + the number of methods shown to be better; = if several share it",
            _ranks,
        ),
        Column(
            "method",
            "label",
            "the factory and its arguments; below them, what was tuned besides the rate",
            labels,
        ),
        Column(
            "rate",
            "learning_rate",
            "the learning rate: given, or that of the best trial; * if it is the lowest or "
            "highest tried",
            _rates,
        ),
        Column(
            f"{judged}\n({facts.reported})",
            "judge",
            f"on the {facts.reported} data at the end: mean ± standard deviation over the seeds",
            lambda rows: _spreads(rows, "judge"),
        ),
        Column(
            "behind\nthe best",
            "behind",
            "by how much the mean is worse than the best one: an interval that holds with a "
            "confidence of 95 % for all pairs of methods together. If 0 is in it, no difference "
            "is seen",
            _intervals,
        ),
        *(target if goal else []),
        Column(
            "training\nloss",
            "loss",
            "at the end: mean ± standard deviation over the seeds",
            lambda rows: _spreads(rows, "loss"),
            narrow=False,
        ),
        Column(
            "ms a\nstep",
            "step_milliseconds",
            "milliseconds that a step takes, gradient included: median over all runs",
            lambda rows: _aligned(rows, "step_milliseconds"),
        ),
        Column(
            "state\nbytes a\nweight",
            "state_bytes_per_weight",
            "memory that the optimizer's state takes",
            lambda rows: _aligned(rows, "state_bytes_per_weight"),
            narrow=False,
        ),
        Column(
            "trials\nnear\nbest",
            "trials_near_best",
            f"trials that improve the {judged} by at least {NEAR:.0%} of the best trial's "
            "improvement: the more, the less tuning a method needs",
            lambda rows: [
                f"{row['trials_near_best']} of {len(row['trials'])}"
                if _ranked(row) and row["trials"]
                else "—"
                for row in rows
            ],
            narrow=False,
        ),
    ]


def _ranked(row: Summary) -> bool:
    return "rank" in row


def _ranks(rows: Sequence[Summary]) -> list[str]:
    return [f"{row['rank']}{'=' if row['tied'] else ' '}" if _ranked(row) else "—" for row in rows]


def labels(rows: Sequence[Summary], characters: int = 24) -> list[str]:
    """In lines of so many characters, if possible; what is tuned besides the rate is below."""
    return [
        "\n".join(
            [
                broken(row["label"], characters),
                *(f"  {k}={v:g}" for k, v in row["arguments"].items() if k != "learning_rate"),
            ]
        )
        for row in rows
    ]


def _rates(rows: Sequence[Summary]) -> list[str]:
    return [
        f"{row['arguments']['learning_rate']:g}{'*' if row['at_the_edge'] else ' '}"
        if _ranked(row)
        else "—"
        for row in rows
    ]


def _spreads(rows: Sequence[Summary], figure: str) -> list[str]:
    shown = form(
        [row.get(figure, math.nan) for row in rows],
        [row.get(f"{figure}_deviation", math.nan) for row in rows],
    )
    return [
        "failed"
        if not _ranked(row)
        else _divergence(row)
        if math.isinf(row[figure])
        else shown(row[figure])
        if math.isnan(row[f"{figure}_deviation"])
        else f"{shown(row[figure])} ± {shown(row[f'{figure}_deviation'])}"
        for row in rows
    ]


def _divergence(row: Summary) -> str:
    lost, seeds = row["seeds_diverged"], row["seeds"]
    return "diverged" if lost == seeds else f"{lost} of {seeds}\ndiverged"


def _intervals(rows: Sequence[Summary]) -> list[str]:
    ranked = [row for row in rows if _ranked(row)]
    shown = form(
        [row["behind"] for row in ranked],
        [row["behind_high"] - row["behind"] for row in ranked if math.isfinite(row["behind"])],
    )
    return [
        "—"
        if not _ranked(row) or row is rows[0]
        else "∞"
        if math.isinf(row["behind"])
        else shown(row["behind"])
        if math.isinf(row["behind_low"])
        else f"{shown(row['behind_low'])} to {shown(row['behind_high'])}"
        for row in rows
    ]


def _to_target(rows: Sequence[Summary], figure: str) -> list[str]:
    shown = form([row.get(figure, math.nan) for row in rows])
    return [
        "—"
        if not _ranked(row) or not row["seeds_at_target"]
        else (shown(row[figure]) if math.isfinite(row[figure]) else "∞")
        + (
            f"\n{row['seeds_at_target']} of {row['seeds']}"
            * (row["seeds_at_target"] < row["seeds"])
        )
        for row in rows
    ]


def _aligned(rows: Sequence[Summary], figure: str) -> list[str]:
    shown = form([row.get(figure, math.nan) for row in rows])
    return [
        shown(row[figure]) if _ranked(row) and math.isfinite(row[figure]) else "—" for row in rows
    ]


def _table(facts: Facts, rows: Sequence[Summary]) -> Table:
    """Of what is narrow; the methods have the room that the numbers leave."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    narrow = [column for column in columns(facts) if column.narrow]
    cells = {column.figure: column.texts(rows) for column in narrow}
    taken = sum(
        max(
            len(line)
            for text in (column.heading, *cells[column.figure])
            for line in text.split("\n")
        )
        + len("  ")
        for column in narrow
        if column.figure != "label"
    )
    cells["label"] = labels(rows, max(14, TERMINAL - taken))
    for column in narrow:
        side: Literal["left", "right"] = "left" if column.figure == "label" else "right"
        table.add_column(column.heading, justify=side, overflow="fold")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _rows(results: Results) -> list[dict[str, Any]]:
    return [
        _row(stage, run, point)
        for outcome in results.outcomes
        for stage, runs in (("trial", outcome.trials), ("repeat", outcome.repeats))
        for run in runs
        for point in run.points
    ]


def _row(stage: str, run: Run, point: Point) -> dict[str, Any]:
    settings = dataclasses.asdict(run.settings)
    versions, arguments = settings.pop("versions"), settings.pop("arguments")
    settings["passes_in_all"] = settings.pop("passes")
    measured = dataclasses.asdict(point)
    metrics = {
        f"{on}_{metric}": value
        for on in ("validation", "test")
        for metric, value in measured.pop(on).items()
    }
    return {
        "stage": stage,
        **settings,
        **arguments,
        **measured,
        **metrics,
        "diverged": run.diverged,
        "weights": run.weights,
        "state_bytes_per_weight": run.state_bytes_per_weight,
        "compile_seconds": run.compile_seconds,
        **versions,
    }


def _structured(rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
    """Each column is of text, or of numbers with NaN where a row has none."""
    names = dict.fromkeys(itertools.chain(*rows))
    table = {name: _column([row.get(name) for row in rows]) for name in names}
    array = np.empty(len(rows), [(name, column.dtype) for name, column in table.items()])
    for name, column in table.items():
        array[name] = column
    return array


def _column(values: Sequence[Any]) -> NDArray[Any]:
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else value for value in values])
    return np.array([math.nan if value is None else value for value in values])
