"""curves.png, drawn from a saved results.csv: training cost and test error against passes.

A method on full batches takes one step a pass and needs many more of them, so its passes are
counted on an axis of their own, at the top. What lies above the scale, as the cost of a method
that diverges, is drawn along the upper edge.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from examples.mnist import results

Run = Sequence[results.Row]

STYLES = {  # colours that stay apart under colour blindness; no two share dashes and marker
    "sgd": ("#000000", "-", "o"),
    "momentum": ("#0072B2", "-", "s"),
    "nesterov": ("#56B4E9", "--", "D"),
    "adaptive_gains": ("#E69F00", "-", "^"),
    "adagrad": ("#009E73", "-", "v"),
    "adadelta": ("#882255", "--", "P"),
    "rprop": ("#D55E00", "-", "X"),
    "rprop_full_batch": ("#D55E00", ":", "d"),
    "rmsprop": ("#CC79A7", "-.", "*"),
    "adam": ("#332288", "-", "h"),
}


def draw(csv: Path, picture: Path) -> None:
    """Draw the picture of a results.csv."""
    runs = results.read(csv)
    minibatch = [run for run in runs if run[0].steps_per_pass > 1]
    full_batch = [run for run in runs if run[0].steps_per_pass == 1]
    start = runs[0][0]
    highest_cost = 2 * start.train_cost

    figure = Figure(figsize=(13, 7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{start.data}, seed {start.seed}")
    for axes, column, ceiling, name in zip(
        figure.subplots(1, 2),
        ("train_cost", "test_error_percent"),
        (highest_cost, 100.0),
        ("training cost (mean cross-entropy of a sample)", "test error (%)"),
        strict=True,
    ):
        axes.set(yscale="log", ylabel=f"{name}, log scale")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="0.9")
        _curves(axes, minibatch or full_batch, column, ceiling)
        if minibatch and full_batch:
            top = axes.twiny()
            _curves(top, full_batch, column, ceiling)
            color = STYLES[full_batch[0][0].method][0]
            top.tick_params(axis="x", colors=color)
            labels = "; ".join(run[0].label for run in full_batch)
            top.set_xlabel(f"{labels}: {top.get_xlabel()}", color=color)
        axes.set_ylim(top=ceiling)
    handles = {line.get_label(): line for panel in figure.axes for line in panel.lines}
    figure.legend(
        [handles[run[0].method] for run in runs],
        [_entry(run, highest_cost) for run in runs],
        loc="outside right center",
        labelspacing=1.0,
        handlelength=3.0,
        frameon=False,
    )
    figure.savefig(picture, dpi=120)


def _curves(axes: Axes, runs: Sequence[Run], column: str, ceiling: float) -> None:
    for run in runs:
        color, linestyle, marker = STYLES[run[0].method]
        values = np.array([getattr(row, column) for row in run])
        axes.plot(
            [row.passes for row in run],
            np.where(values < ceiling, values, ceiling),  # NaN lies above the scale too
            color=color,
            linestyle=linestyle,
            marker=marker,
            markevery=max(1, -(-run[-1].passes // 6)),
            label=run[0].method,
            clip_on=False,
        )
    axes.set_xlim(0, max(1, *(run[-1].passes for run in runs)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    batch_size, steps = runs[0][0].batch_size, runs[0][0].steps_per_pass
    how = f"in {steps} minibatches of {batch_size}" if steps > 1 else "one step each"
    axes.set_xlabel(f"passes over the training set, {how}")


def _entry(run: Run, ceiling: float) -> str:
    end = run[-1].train_cost
    if math.isnan(end):
        remarks = ["(diverged)"]
    elif end > ceiling:
        remarks = [f"(cost {end:.2g}, off the scale)"]
    else:
        remarks = []
    return "\n".join([run[0].label, *run[0].settings.split(", "), *remarks])
