"""bytes.png: what a step moves on each device, a bar each, beside Optax and the least possible."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.peers import EIGHT_BITS
from benchmarks.picture import COLORS


class Bar(NamedTuple):
    """What one step moves.

    Attributes:
      method: whose group it stands in.
      library: whose step it is, a key of COLORS.
      least: bytes a weight that it must move.
      moved: bytes a weight that it moves, by device.
    """

    method: str
    library: str
    least: float
    moved: Mapping[str, float]


def draw(bars: Sequence[Bar], versions: str, path: Path) -> None:
    methods = list(dict.fromkeys(bar.method for bar in bars))
    figure = Figure(figsize=(9, 1.6 + 0.62 * len(methods)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, method in enumerate(methods):
        its = [bar for bar in bars if bar.method == method]
        height = 0.84 / sum(len(bar.moved) for bar in its)
        top = row - 0.42
        for bar in its:
            places = [top + (i + 0.5) * height for i in range(len(bar.moved))]
            axes.barh(places, [*bar.moved.values()], 0.8 * height, color=COLORS[bar.library])
            axes.vlines(bar.least, top, top + len(bar.moved) * height, color="black")
            above = {device: moved for device, moved in bar.moved.items() if moved > bar.least}
            if above:
                middle = top + (len(bar.moved) - 1) / 2 * height
                axes.text(max(above.values()), middle, f" {', '.join(above)}", va="center")
            top += len(bar.moved) * height
    axes.set_yticks(range(len(methods)), methods)
    axes.invert_yaxis()
    axes.set_xlabel("bytes a weight that one step moves")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.margins(x=0.2)
    devices = ", ".join(bars[0].moved)
    figure.suptitle(f"What the compilers for {devices} make of one step\n{versions}", fontsize=11)
    names = {
        "gdmethods": "gdmethods, float32",
        EIGHT_BITS: "gdmethods, 4 bytes a weight",
        "optax": "Optax, float32",
    }
    shown = [name for name in names if any(bar.library == name for bar in bars)]
    figure.legend(
        [*(Patch(color=COLORS[name]) for name in shown), Line2D([], [], color="black")],
        [*(names[name] for name in shown), "the least possible"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    figure.savefig(path, dpi=120)
