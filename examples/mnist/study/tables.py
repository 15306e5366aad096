"""The figures of a study: points.csv, summary.json, and the table in the terminal."""

import csv
import dataclasses
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from examples.mnist.study.study import Outcome


def write(directory: Path, outcomes: Sequence[Outcome]) -> None:
    """points.csv with a row for each point of each run, summary.json with a method's figures."""
    rows = [
        {
            "stage": stage,
            **{k: v for k, v in dataclasses.asdict(run.settings).items() if k != "versions"},
            **dataclasses.asdict(point),
            "state_bytes_per_weight": run.state_bytes_per_weight,
            "compile_seconds": run.compile_seconds,
            **run.settings.versions,
        }
        for outcome in outcomes
        for stage, runs in (("trial", outcome.trials), ("repeat", outcome.repeats))
        for run in runs
        for point in run.points
    ]
    with (directory / "points.csv").open("w", newline="") as file:
        writer = csv.DictWriter(
            file, dict.fromkeys(column for row in rows for column in row), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
    summaries = [summary(outcome) for outcome in outcomes]
    (directory / "summary.json").write_text(
        json.dumps(summaries, indent=1, allow_nan=False) + "\n"
    )


def summary(outcome: Outcome) -> dict[str, Any]:
    """The figures of a method on a problem; None for what is not a number."""
    passes, seconds = outcome.to_target("passes"), outcome.to_target("seconds")
    cost, cost_deviation = outcome.last("train_cost")
    error, error_deviation = outcome.last("test_error_percent")
    figures = {
        "problem": outcome.problem.name,
        "method": outcome.method.text,
        "learning_rate": outcome.learning_rate,
        "at_the_edge": outcome.at_the_edge,
        "learning_rates": len(outcome.trials),
        "learning_rates_near_best": outcome.near_best,
        "seeds": len(outcome.repeats),
        "seeds_diverged": sum(run.diverged for run in outcome.repeats),
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
    return {
        name: None if isinstance(figure, float) and not math.isfinite(figure) else figure
        for name, figure in figures.items()
    }


def table(outcomes: Sequence[Outcome]) -> Table:
    """For the terminal."""
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for outcome in outcomes:
        table.add_row(*(str(v) for v in summary(outcome).values()))
    return table
