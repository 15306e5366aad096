"""The pictures of a study, three for each problem: curves, learning rates, time to the target.

A method has the same style in all three: that of curves.png, unless it is none of the roster or
variants of it are compared. What lies above a scale, as the cost of a method that diverges, is
drawn along the upper edge, so that it does not squash the others.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Transform, offset_copy
from numpy.typing import ArrayLike, NDArray

from examples.mnist import plots
from examples.mnist.study.runs import Run
from examples.mnist.study.study import Outcome
from examples.mnist.study.tables import broken
from gdmethods._programs.files import whole

_COLUMNS = {
    "train_cost": "training cost (mean cross-entropy of an image)",
    "validation_error_percent": "validation error (%)",
    "test_error_percent": "test error (%)",
}
_COLORS = list(dict.fromkeys(color for color, *_ in plots.STYLES.values()))
_DASHES = ("--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
_MARKERS = ("p", "<", ">", "H", "+", "1", "2")  # none of the roster's


class Style(NamedTuple):
    color: str
    linestyle: Any
    marker: str


def write(directory: Path, outcomes: Sequence[Outcome]) -> dict[str, dict[str, Path]]:
    """Draw each problem's pictures, as PROBLEM-curves.png and so on; returns where they are."""
    paths: dict[str, dict[str, Path]] = {}
    for problem in dict.fromkeys(outcome.problem.name for outcome in outcomes):
        its = [outcome for outcome in outcomes if outcome.problem.name == problem]
        paths[problem] = {name: directory / f"{problem}-{name}.png" for name in PICTURES}
        for name, path in paths[problem].items():
            with whole(path) as file:
                PICTURES[name](its).savefig(file, dpi=120)
    return paths


def styles(outcomes: Sequence[Outcome]) -> list[Style]:
    """Of each outcome's method; no two share colour, dashes and marker."""
    factories = [
        outcome.method.text.split("(")[0].removeprefix("gdmethods.") for outcome in outcomes
    ]
    own = {
        factory: Style(*plots.STYLES[factory])
        for factory in factories
        if factory in plots.STYLES and factories.count(factory) == 1
    }
    taken = {style.color for style in own.values()}
    colors = sorted(_COLORS, key=taken.__contains__)  # the free ones first
    others = map(Style, *map(itertools.cycle, (colors, _DASHES, _MARKERS)))
    return [own[factory] if factory in own else next(others) for factory in factories]


def curves(outcomes: Sequence[Outcome]) -> Figure:
    """Training cost and test error against passes: the median seed, in a band of all.

    A seed that has diverged counts as infinite in the median, and is none of the band.
    """
    settings = outcomes[0].repeats[0].settings
    passes = np.arange(settings.passes * settings.points + 1) / settings.points
    remarks = []
    for outcome in outcomes:
        diverged = sum(run.diverged for run in outcome.repeats)
        remarks.append(f"{diverged} of {len(outcome.repeats)} seeds diverged" if diverged else "")
    figure, panels = _panels(outcomes, remarks, ("train_cost", "test_error_percent"))
    for column, axes in panels:
        axes.set(xlabel="passes over the training images", xlim=(0, passes[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        limits = _limits(outcomes, column)
        for outcome, style in zip(outcomes, styles(outcomes), strict=True):
            seeds = np.array([_values(run, column, len(passes)) for run in outcome.repeats])
            axes.plot(
                passes,
                _clamped(np.median(seeds, axis=0), limits),
                **style._asdict(),
                markevery=-(-len(passes) // 7),
                clip_on=False,
            )
            if len(seeds) > 1:
                lowest = seeds.min(axis=0)
                highest = seeds.max(axis=0, where=np.isfinite(seeds), initial=0)
                axes.fill_between(
                    passes,
                    _clamped(lowest, limits),
                    _clamped(highest, limits),
                    where=np.isfinite(lowest),
                    color=style.color,
                    alpha=0.15,
                    linewidth=0,
                )
        axes.set_ylim(top=limits[1])
    return figure


def rates(outcomes: Sequence[Outcome]) -> Figure:
    """Where each trial ended, against its learning rate; a ring marks the one that is chosen.

    The trials that diverged are crosses above the scale, in a row for each method.
    """
    tried = [run.settings.learning_rate for run in outcomes[0].trials]
    remarks = [f"chosen: {outcome.learning_rate:g}" for outcome in outcomes]
    figure, panels = _panels(outcomes, remarks, ("train_cost", "validation_error_percent"))
    for column, axes in panels:
        axes.set(xlabel="learning rate, log scale", xscale="log")
        axes.set_xlim(min(tried) / 1.5, max(tried) * 1.5)
        axes.xaxis.set_minor_formatter(NullFormatter())
        limits = _limits(outcomes, column)
        row = 0
        for outcome, style in zip(outcomes, styles(outcomes), strict=True):
            ended = {
                run.settings.learning_rate: getattr(run.points[-1], column)
                for run in outcome.trials
                if not run.diverged
            }
            axes.plot(
                [*ended], _clamped([*ended.values()], limits), **style._asdict(), clip_on=False
            )
            if outcome.learning_rate in ended:
                axes.plot(
                    outcome.learning_rate,
                    _clamped(ended[outcome.learning_rate], limits),
                    color=style.color,
                    marker="o",
                    markersize=14,
                    fillstyle="none",
                    clip_on=False,
                )
            diverged = [run.settings.learning_rate for run in outcome.trials if run.diverged]
            if diverged:
                row += 1
                axes.plot(
                    diverged,
                    np.ones(len(diverged)),
                    color=style.color,
                    marker="x",
                    linestyle="none",
                    transform=_above(axes.get_xaxis_transform(), figure, row),
                    clip_on=False,
                )
        if row:
            middle = _above(axes.transAxes, figure, (1 + row) / 2)
            axes.text(-0.02, 1, "diverged", ha="right", va="center", transform=middle)
        axes.set_ylim(top=limits[1])
    return figure


def target(outcomes: Sequence[Outcome]) -> Figure:
    """Passes and seconds to the target: a bar to the median seed, and a dot for each."""
    styled = sorted(zip(outcomes, styles(outcomes), strict=True), key=_slowness)
    labels = [_entry(outcome, _reached(outcome)) for outcome, _ in styled]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(13, 1.9 + 0.3 * len(labels) + 0.15 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(outcomes))
    for axes, column in zip(
        figure.subplots(1, 2, sharey=True), ("passes", "seconds"), strict=True
    ):
        for row, (outcome, style) in enumerate(styled):
            values = outcome.to_target(column)
            if not values:
                axes.text(0, row, " not reached", va="center")
                continue
            axes.barh(row, np.median(values), 0.7, color=style.color, alpha=0.35)
            axes.plot(
                values,
                row + np.linspace(-0.2, 0.2, len(values)) * (len(values) > 1),
                color=style.color,
                marker="o",
                linestyle="none",
                clip_on=False,
            )
        axes.set(xlabel=f"{column} to {100 - outcomes[0].target:g} % validation accuracy")
        axes.set_xlim(left=0)
        if not axes.lines:
            axes.set_xticks([])
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
    return figure


PICTURES = {"curves": curves, "rates": rates, "target": target}


def _title(outcomes: Sequence[Outcome]) -> str:
    return f"{outcomes[0].data}, {outcomes[0].problem.name}"


def _slowness(styled: tuple[Outcome, Style]) -> tuple[int, float, float]:
    outcome, _ = styled
    passes, seconds = outcome.to_target("passes"), outcome.to_target("seconds")
    missing = len(outcome.repeats) - len(passes)
    if not passes:
        return missing, np.inf, np.inf
    return missing, float(np.median(passes)), float(np.median(seconds))


def _reached(outcome: Outcome) -> str:
    reached, seeds = len(outcome.to_target("passes")), len(outcome.repeats)
    return f"{reached} of {seeds} seeds" if 0 < reached < seeds else ""


def _panels(
    outcomes: Sequence[Outcome], remarks: Sequence[str], columns: Sequence[str]
) -> tuple[Figure, Sequence[tuple[str, Axes]]]:
    """Axes for each column, side by side on log scales, and a legend beside them."""
    entries = [_entry(*entry) for entry in zip(outcomes, remarks, strict=True)]
    lines = sum(entry.count("\n") + 2 for entry in entries)
    figure = Figure(figsize=(13, max(6.0, 0.19 * lines)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(outcomes))
    panels = list(zip(columns, figure.subplots(1, len(columns)), strict=True))
    for column, axes in panels:
        axes.set(yscale="log", ylabel=f"{_COLUMNS[column]}, log scale")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="0.9")
    figure.legend(
        [Line2D([], [], **style._asdict()) for style in styles(outcomes)],
        entries,
        loc="outside right upper",
        labelspacing=1.0,
        handlelength=3.5,
        frameon=False,
    )
    return figure, panels


def _limits(outcomes: Sequence[Outcome], column: str) -> tuple[float, float]:
    """What is below or above is drawn on the edge."""
    if column == "train_cost":
        start = outcomes[0].trials[0].points[0].train_cost
        return 1e-6 * start, 2 * start
    return 0.01, 100.0


def _above(transform: Transform, figure: Figure, row: float) -> Transform:
    return offset_copy(transform, figure, y=12 * row, units="points")


def _values(run: Run, column: str, points: int) -> NDArray[np.float64]:
    """At each point; infinite from where the run diverged."""
    known = [getattr(point, column) for point in run.points[: -1 if run.diverged else None]]
    values = np.full(points, np.inf)
    values[: len(known)] = np.nan_to_num(known, nan=np.inf)
    return values


def _clamped(values: ArrayLike, limits: tuple[float, float]) -> NDArray[np.float64]:
    clamped: NDArray[np.float64] = np.clip(np.nan_to_num(values, nan=np.inf), *limits)
    return clamped


def _entry(outcome: Outcome, remark: str) -> str:
    lines = [broken(outcome.method.label, 36), *([f"({remark})"] if remark else [])]
    return "\n".join(lines).replace("$", r"\$")
