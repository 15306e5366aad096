"""bench.png: the time of a step and the time before the first one, a bar for each library."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.measurements import Measurement
from benchmarks.peers import BFLOAT16, EIGHT_BITS

COLORS = {  # colours that differ with colour blindness too
    "gdmethods": "#0072B2",
    BFLOAT16: "#56B4E9",
    EIGHT_BITS: "#009E73",
    "optax": "#E69F00",
    "torch foreach": "#999999",
    "torch fused": "#666666",
}
ALLOWED = "memory allows"
STAGES = {"trace": "", "lower": "///", "compile": "..."}


def draw(measurements: Sequence[Measurement], path: Path) -> None:
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    first = measurements[0]
    figure.suptitle(f"{first.device}\n{first.versions}", fontsize="medium")
    left, right = figure.subplots(1, 2)
    _steps(left, measurements)
    _compilations(right, measurements)
    figure.savefig(path, dpi=120)


def _steps(axes: Axes, measurements: Sequence[Measurement]) -> None:
    layouts = dict.fromkeys(m.layout for m in measurements if m.quantity == "step")
    layout = next(iter(layouts), "")
    rows = [m for m in measurements if (m.quantity, m.layout) == ("step", layout)]
    methods = list(dict.fromkeys(m.method for m in rows))
    for library, color in COLORS.items():
        bars = [m for m in rows if m.library == library]
        axes.barh(
            [_place(methods, m, list(COLORS)) for m in bars],
            [m.median for m in bars],
            0.8 / len(COLORS),
            color=color,
            label=library,
        )
    allowed = [m for m in rows if m.library == ALLOWED]
    axes.vlines(
        [m.median for m in allowed],
        [methods.index(m.method) - 0.45 for m in allowed],
        [methods.index(m.method) + 0.45 for m in allowed],
        color="black",
        label=f"what {ALLOWED}",
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _finish(axes, methods, f"a step over {layout} (ms, log scale)")


def _compilations(axes: Axes, measurements: Sequence[Measurement]) -> None:
    layouts = {m.layout for m in measurements if m.quantity == "compile"}
    layout = "1,000 leaves" if "1,000 leaves" in layouts else max(layouts, default="")
    rows = [m for m in measurements if m.layout == layout and m.quantity in STAGES]
    methods = list(dict.fromkeys(m.method for m in rows))
    libraries = ["gdmethods", "optax"]
    for library in libraries:
        bars = [m for m in rows if m.library == library]
        starts = dict.fromkeys(methods, 0.0)
        for stage, hatch in STAGES.items():
            part = [m for m in bars if m.quantity == stage]
            axes.barh(
                [_place(methods, m, libraries) for m in part],
                [m.median for m in part],
                0.4,
                left=[starts[m.method] for m in part],
                color=COLORS[library],
                edgecolor="white",
                hatch=hatch,
                label=f"{library}: {stage}",
            )
            starts |= {m.method: starts[m.method] + m.median for m in part}
    _finish(axes, methods, f"before the first step, {layout} (s)")


def _place(methods: Sequence[str], m: Measurement, libraries: Sequence[str]) -> float:
    offset = libraries.index(m.library) - (len(libraries) - 1) / 2
    return methods.index(m.method) + 0.8 / len(libraries) * offset


def _finish(axes: Axes, methods: Sequence[str], title: str) -> None:
    axes.set_yticks(np.arange(len(methods)), methods)
    axes.invert_yaxis()
    axes.set_xlabel(title)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    if methods:
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
