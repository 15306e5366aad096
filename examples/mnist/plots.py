"""curves.png, drawn from a saved results.csv: training cost and test error against passes.

Many methods are so close that lines in one panel could not be told apart. So each method has its
own panels, its cost above its error, with the other methods in grey. A method on full batches
takes one step a pass. Its passes cannot be compared, so it has no grey lines.

Values above the scale, such as the cost of a method that diverges, are drawn along the upper edge.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from examples.mnist import results
from gdmethods._programs.files import whole
from gdmethods.study.styles import STYLES

Run = Sequence[results.Row]

COLUMNS = 5


def draw(csv: Path, picture: Path) -> None:
    """Draw the picture of a results.csv."""
    with whole(picture) as file:
        figure(results.read(csv)).savefig(file, dpi=120)


def figure(runs: Sequence[Run]) -> Figure:
    start = runs[0][0]
    columns = min(len(runs), COLUMNS)
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(2.6 * max(columns, 2) + 0.6, 4.3 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{start.data}, seed {start.seed}")
    figure.supxlabel(
        "passes over the training set, on full batches one step each\n"
        "in grey: the other methods on minibatches",
        fontsize="medium",
    )
    panels = figure.subplots(2 * rows, columns, squeeze=False)
    for column, ceiling, name, form, these in (
        ("train_cost", 2 * start.train_cost, "training cost", "#.3g", panels[::2]),
        ("test_error_percent", 100.0, "test error (%)", ".2f", panels[1::2]),
    ):
        curves = [np.array([getattr(row, column) for row in run]) for run in runs]
        curves = [np.where(curve < ceiling, curve, ceiling) for curve in curves]  # NaN too
        lowest = max(0.9 * min(curve.min() for curve in curves), 1e-6 * ceiling)
        for axes in these[:, 0]:
            axes.set_ylabel(f"{name}, log scale")
        for axes, run, curve in zip(these.flat, runs, curves, strict=False):
            _scales(axes, run, lowest, ceiling)
            axes.tick_params(labelleft=axes in these[:, 0])
            for other, behind in zip(runs, curves, strict=True):
                if run[0].steps_per_pass == other[0].steps_per_pass > 1:
                    _line(axes, other, behind, color="0.8", linewidth=1, zorder=1)
            color, linestyle, marker = STYLES[run[0].method]
            _line(axes, run, curve, color=color, linestyle=linestyle, marker=marker, markersize=5)
            end = getattr(run[-1], column)
            text = "diverged" if np.isnan(end) else f"ends at {end:{form}}"
            axes.text(
                0.95, 0.92, text, color=color, ha="right", va="top", transform=axes.transAxes
            )
    for axes, run in zip(panels[::2].flat, runs, strict=False):
        axes.set_title("\n".join([run[0].label, *run[0].settings.split(", ")]), fontsize="medium")
    for axes in panels.flat:
        axes.set_visible(axes.has_data())
    return figure


def _scales(axes: Axes, run: Run, lowest: float, highest: float) -> None:
    axes.set(yscale="log", ylim=(lowest, highest), xlim=(0, max(1, run[-1].passes)))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color="0.93")


def _line(axes: Axes, run: Run, curve: NDArray[np.float64], **style: Any) -> None:
    axes.plot([row.passes for row in run], curve, label=run[0].method, clip_on=False, **style)
