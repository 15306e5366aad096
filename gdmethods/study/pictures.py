"""The pictures of a study, each narrow enough for a telephone.

A method has the same style in all of them. What is beyond a scale, as the loss of a method that
diverges, is drawn along its edge, so that it does not squash the others.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Transform, offset_copy
from numpy.typing import ArrayLike, NDArray

from gdmethods._programs.files import whole
from gdmethods.study.comparison import judge, number
from gdmethods.study.outcomes import Outcome, Point, Results, Run
from gdmethods.study.standings import by_problem, failed, profile, time, times
from gdmethods.study.styles import Style, broken, styles

ALL = "(all problems)"
"""Under which the performance profile is found; no problem has such a name."""

TEXT: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "legend.fontsize": 10,
    "svg.fonttype": "none",
}
ROW = 8  # points between the crosses of two methods
TOGETHER = 5
"""The most methods whose curves share axes; of more, each has its own, with the others in grey."""
COLUMNS = 3  # of axes
DRAWN = 40
"""The most points of a curve that are drawn."""

Styles = Mapping[str, Style]


def figures(results: Results) -> dict[str, dict[str, Figure]]:
    """Of each problem: `loss`, `judge`, `rates`, and `passes` and `seconds` to its target.

    A target that nobody reaches has no picture, nor has a method that failed. Several problems
    with targets have a `profile`, found under `ALL`.
    """
    labels = [*dict.fromkeys(outcome.label for outcome in results.outcomes)]
    styled = styles(labels)
    with matplotlib.rc_context(TEXT):
        drawn = {
            problem: dict(_drawn([o for o in outcomes if not failed(o)], styled))
            for problem, outcomes in by_problem(results.outcomes).items()
        }
        ratios = [*profile(results.outcomes).values()]
        if any(len(its) > 1 and min(its) < math.inf for its in ratios):
            drawn[ALL] = {"profile": _profile(results.outcomes, styled)}
    return drawn


def write(directory: Path, results: Results) -> dict[str, dict[str, Path]]:
    """PROBLEM-loss.svg and so on, and profile.svg; returns where they are."""
    paths: dict[str, dict[str, Path]] = {}
    for problem, its in figures(results).items():
        paths[problem] = {}
        for name, figure in its.items():
            stem = name if problem == ALL else f"{problem}-{name}"
            paths[problem][name] = directory / f"{stem}.svg"
            with (
                matplotlib.rc_context(TEXT | {"svg.hashsalt": stem}),
                whole(paths[problem][name]) as file,
            ):
                figure.savefig(file, format="svg", metadata={"Date": None})
                file.write_text(_short(file.read_text(encoding="utf-8")), encoding="utf-8")
    return paths


def _short(svg: str) -> str:
    """Paths to a hundredth of a point, in a line: a third less of a file with long curves."""
    return re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+|\s*\n", r"\1", path[0]), svg)


def caption(name: str, outcomes: Sequence[Outcome]) -> str:
    """What a picture of these outcomes shows, and how to read it."""
    facts = outcomes[0].problem
    judged = judge(facts)
    drawn = [outcome for outcome in outcomes if not failed(outcome)]
    target = (
        f"to the target. That is a validation {judged} of {number(facts.target or 0)}. A dot is a "
        "seed. A bar ends at the median, where a seed that misses the target counts as infinite."
    )
    match name:
        case "loss":
            return f"Training loss. {_reading(drawn)}"
        case "judge":
            return f"{facts.reported.capitalize()} {judged}. {_reading(drawn)}"
        case "passes":
            return f"Passes {target}"
        case "seconds":
            return f"Seconds of training {target}"
        case "profile":
            return (
                "Performance profile. The share of the problems on which a method reaches the "
                "target within so many times the passes of the fastest."
            )
    trials = [run for outcome in drawn for run in outcome.trials]
    best = " Of the trials with the same rate, the best is drawn."
    crosses = " Crosses are rates at which training diverges."
    return (
        f"Learning rates. The validation {judged} at the end of each trial: the less it depends "
        "on the rate, the less tuning a method needs. A ring is around the rate that is repeated."
        + best * any(len(run.settings.arguments) > 1 for run in trials)
        + crosses * any(run.diverged for run in trials)
    )


def _reading(outcomes: Sequence[Outcome]) -> str:
    seeds = max(len(outcome.repeats) for outcome in outcomes)
    lines = {
        1: "A line is one seed.",
        2: "A line is midway between two seeds, and its band is between them.",
    }.get(seeds, f"A line is the median of {seeds} seeds, and its band holds them all.")
    lost = " In the median, a seed that has diverged counts as infinite; the band leaves it out."
    beyond = " What is beyond the scale is drawn along its edge."
    beyond += " The other methods are in grey." * (len(outcomes) > TOGETHER)
    return lines + lost * any(run.diverged for o in outcomes for run in o.repeats) + beyond


def _drawn(outcomes: Sequence[Outcome], styled: Styles) -> Iterator[tuple[str, Figure]]:
    if not outcomes:
        return
    facts = outcomes[0].problem
    on, judged = facts.reported, judge(facts)
    yield "loss", _curves(outcomes, styled, "training loss", lambda point: point.loss)
    yield (
        "judge",
        _curves(
            outcomes,
            styled,
            f"{on} {judged}",
            lambda point: getattr(point, on)[facts.judge],
            facts.greater_is_better,
        ),
    )
    if any(outcome.trials for outcome in outcomes):
        yield "rates", _rates(outcomes, styled)
    if any(math.isfinite(needed) for o in outcomes for needed in times(o, "passes")):
        yield "passes", _times(outcomes, styled, "passes")
        yield "seconds", _times(outcomes, styled, "seconds")


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Of an axis: logarithmic where nothing is below 0 and less is better."""

    low: float
    high: float
    log: bool
    greater: bool

    @classmethod
    def of(cls, values: ArrayLike, starts: Sequence[float], greater: bool) -> "_Scale":
        """Has the values in it that are not much worse than those before the first step."""
        known = np.ravel([*np.ravel(values), *starts])
        known = known[np.isfinite(known)]
        low, high = (known.min(), known.max()) if known.size else (1.0, 10.0)
        start = np.median([v for v in starts if math.isfinite(v)] or [low if greater else high])
        log = bool(high > low >= 0 and not greater)
        if greater:
            low = max(low, start - (high - start) / 2)
        elif log:
            high = min(high, 2 * start)
            low = max(low or known[known > 0].min(), 1e-12 * high)
        else:
            high = min(high, start + (start - low) / 2)
        return cls(float(low), float(high), log, greater)

    def clamped(self, values: ArrayLike) -> NDArray[np.float64]:
        """What is no number is as bad as the scale goes."""
        worst = self.low if self.greater else self.high
        known = np.nan_to_num(values, nan=worst, posinf=worst, neginf=worst)
        clamped: NDArray[np.float64] = np.clip(known, self.low, self.high)
        return clamped

    def set(self, axes: Axes, most: float = 4.0) -> None:
        """With numbers between those of the decades, if there are not more decades."""
        if self.log:
            axes.set_yscale("log")
            axes.set_ylim(self.low * (self.low / self.high) ** 0.04 * 0.98, self.high)
            decades = math.log10(self.high / self.low)
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < most else (1,)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            room = 0.04 * (self.high - self.low) or 1.0
            axes.set_ylim(
                self.low - (0 if self.greater else room), self.high + (room * self.greater)
            )


def _curves(
    outcomes: Sequence[Outcome],
    styled: Styles,
    what: str,
    measured: Callable[[Point], float],
    greater: bool = False,
) -> Figure:
    """Against passes: the median seed, in a band of all."""
    runs = [run for outcome in outcomes for run in outcome.repeats]
    all_passes = [point.passes for point in max((run.points for run in runs), key=len)]
    few = np.unique(np.linspace(0, len(all_passes) - 1, DRAWN).round().astype(int))
    passes = np.array(all_passes)[few]
    curves = {
        outcome.label: np.array(
            [_values(run, measured, len(all_passes)) for run in outcome.repeats]
        )
        for outcome in outcomes
    }
    curves = {label: seeds[:, few] for label, seeds in curves.items()}
    scale = _Scale.of(
        np.concatenate([*curves.values()]), [measured(run.points[0]) for run in runs], greater
    )
    worst = -np.inf if greater else np.inf
    medians = {
        label: scale.clamped(np.median(np.where(np.isfinite(seeds), seeds, worst), axis=0))
        for label, seeds in curves.items()
    }
    figure, panels = _panels(outcomes, styled, "passes over the training data", what)
    apart = len(outcomes) > TOGETHER
    decades, passes_named = (1.2, 3) if apart else (4.0, 6)
    for axes in {*panels.values()}:
        scale.set(axes, decades)
        axes.set_xlim(0, max(runs[0].settings.passes, all_passes[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(passes_named, integer=True))
        if apart:
            axes.minorticks_off()
            gaps = np.array([[math.nan]] * len(medians))  # one line is a shorter file than many
            x, y = np.hstack([[passes] * len(gaps), gaps]), np.hstack([[*medians.values()], gaps])
            axes.plot(x.ravel(), y.ravel(), color="0.7", linewidth=0.8, zorder=1)
    for label, seeds in curves.items():
        axes, finite = panels[label], np.isfinite(seeds)
        axes.plot(
            passes,
            medians[label],
            **styled[label]._asdict(),
            markevery=-(-len(passes) // 7),
            markersize=5,
            clip_on=False,
        )
        if len(seeds) > 1:
            axes.fill_between(
                passes,
                scale.clamped(seeds.min(axis=0, where=finite, initial=np.inf)),
                scale.clamped(seeds.max(axis=0, where=finite, initial=-np.inf)),
                where=finite.any(axis=0).tolist(),
                color=styled[label].color,
                alpha=0.15,
                linewidth=0,
            )
    return figure


def _values(run: Run, measured: Callable[[Point], float], points: int) -> NDArray[np.float64]:
    """At each point; NaN from where the run diverged."""
    known = [measured(point) for point in run.points[: -1 if run.diverged else None]]
    return np.array(known + [math.nan] * (points - len(known)))


def _rates(outcomes: Sequence[Outcome], styled: Styles) -> Figure:
    """Where the trials end, against their learning rates; a ring marks the one that is chosen."""
    facts = outcomes[0].problem
    trials = [run for outcome in outcomes for run in outcome.trials]
    ended = {outcome.label: _by_rate(outcome) for outcome in outcomes}
    lost = {
        label: [r for r, end in its.items() if math.isinf(end)] for label, its in ended.items()
    }
    scale = _Scale.of(
        [facts.sign * end for its in ended.values() for end in its.values()],
        [run.points[0].validation[facts.judge] for run in trials],
        facts.greater_is_better,
    )
    figure, axes = _figure(outcomes, styled, above=sum(map(bool, lost.values())))
    scale.set(axes)
    axes.set(xscale="log", xlabel="learning rate", ylabel=f"validation {judge(facts)}")
    rates = [run.settings.arguments["learning_rate"] for run in trials]
    axes.set_xlim(min(rates) / 1.5, max(rates) * 1.5)
    row = 0
    for outcome in outcomes:
        style = styled[outcome.label]
        its = {
            r: facts.sign * end for r, end in ended[outcome.label].items() if math.isfinite(end)
        }
        axes.plot([*its], scale.clamped([*its.values()]), **style._asdict(), markersize=5)
        chosen = outcome.arguments["learning_rate"]
        if chosen in its:
            axes.plot(
                chosen,
                scale.clamped(its[chosen]),
                color=style.color,
                marker="o",
                markersize=13,
                fillstyle="none",
                clip_on=False,
            )
        if lost[outcome.label]:
            row += 1
            axes.plot(
                lost[outcome.label],
                np.ones(len(lost[outcome.label])),
                color=style.color,
                marker="x",
                markersize=4,
                linestyle="none",
                transform=_above(axes.get_xaxis_transform(), figure, row),
                clip_on=False,
            )
    if row:
        middle = _above(axes.transAxes, figure, (1 + row) / 2)
        axes.text(-0.02, 1, "diverged", ha="right", va="center", transform=middle)
    return figure


def _by_rate(outcome: Outcome) -> dict[float, float]:
    """How badly the best trial with each learning rate ends; infinite where all diverge."""
    ended: dict[float, float] = {}
    for run in outcome.trials:
        rate = run.settings.arguments["learning_rate"]
        end = math.inf if run.diverged else outcome.badness(run.points[-1])
        ended[rate] = min(end, ended.get(rate, math.inf))
    return dict(sorted(ended.items()))


def _above(transform: Transform, figure: Figure, row: float) -> Transform:
    return offset_copy(transform, figure, y=ROW * row, units="points")


def _times(
    outcomes: Sequence[Outcome], styled: Styles, unit: Literal["passes", "seconds"]
) -> Figure:
    """A bar to the median seed's time to the target, and a dot for each seed; fastest first."""
    facts = outcomes[0].problem
    order = sorted(outcomes, key=lambda outcome: (time(outcome, unit), sum(times(outcome, unit))))
    labels = [_entry(outcome.label, 20) for outcome in order]
    sizes = np.array([max(1.0, 0.62 * len(label.split("\n"))) for label in labels])
    rows = np.cumsum(sizes) - sizes / 2
    figure = Figure(figsize=(5.0, 1.1 + 0.33 * sizes.sum()), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(facts.name)
    for row, outcome in zip(rows, order, strict=True):
        color, needed = styled[outcome.label].color, times(outcome, unit)
        reached = [seed for seed in needed if math.isfinite(seed)]
        if math.isfinite(time(outcome, unit)):
            axes.barh(row, time(outcome, unit), 0.7, color=color, alpha=0.35)
        axes.plot(
            reached,
            row + np.linspace(-0.2, 0.2, len(reached)) * (len(reached) > 1),
            color=color,
            marker="o",
            markersize=5,
            linestyle="none",
            clip_on=False,
        )
        if len(reached) < len(needed):
            count = f"{len(reached)} of {len(needed)} seeds" if reached else "not reached"
            axes.annotate(
                count,
                (max(reached, default=0), row),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
            )
    axes.set(xlabel=f"{unit} to a validation {judge(facts)} of {number(facts.target or 0)}")
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="0.88")
    axes.set_axisbelow(True)
    axes.set_yticks(rows, labels)
    axes.set_ylim(sizes.sum(), 0)
    return figure


def _profile(outcomes: Sequence[Outcome], styled: Styles) -> Figure:
    """On which share of the problems a method is so many times as slow as the fastest, or less."""
    ratios = profile(outcomes)
    most = max((r for its in ratios.values() for r in its if math.isfinite(r)), default=1.0)
    figure, axes = _figure(
        [o for o in outcomes if o.label in ratios], styled, title="all problems"
    )
    edge = max(1.1 * most, 2.0)
    for label, its in ratios.items():
        reached = sorted(ratio for ratio in its if math.isfinite(ratio))
        share = np.arange(len(reached) + 1) / len(its)
        axes.plot(
            [1.0, *reached, edge],
            [0.0, *share[1:], share[-1]],
            **styled[label]._asdict(),
            drawstyle="steps-post",
            markersize=5,
            clip_on=False,
        )
    axes.set(xscale="log", xlabel="times the passes of the fastest", ylabel="share of problems")
    axes.set(xlim=(1, edge), ylim=(0, 1.04))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return figure


def _panels(
    outcomes: Sequence[Outcome], styled: Styles, xlabel: str, ylabel: str
) -> tuple[Figure, dict[str, Axes]]:
    """The axes of each method, which few methods share."""
    if len(outcomes) <= TOGETHER:
        figure, axes = _figure(outcomes, styled)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        return figure, {outcome.label: axes for outcome in outcomes}
    rows = -(-len(outcomes) // COLUMNS)
    titles = [_entry(outcome.label, 16) for outcome in outcomes]
    lines = [
        max(title.count("\n") + 1 for title in titles[row * COLUMNS : (row + 1) * COLUMNS])
        for row in range(rows)
    ]
    figure = Figure(figsize=(5.0, 0.8 + 1.1 * rows + 0.16 * sum(lines)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(outcomes[0].problem.name, fontsize=TEXT["axes.titlesize"])
    figure.supxlabel(xlabel, fontsize=TEXT["font.size"])
    figure.supylabel(ylabel, fontsize=TEXT["font.size"])
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(title, fontsize=9)
        axes.grid(color="0.9")
        axes.tick_params(labelsize=9)
    for axes in panels[len(outcomes) :]:
        axes.remove()
    for axes in panels[len(outcomes) - COLUMNS : len(outcomes)]:
        axes.tick_params(labelbottom=True)
    return figure, {o.label: axes for o, axes in zip(outcomes, panels, strict=False)}


def _figure(
    outcomes: Sequence[Outcome], styled: Styles, *, title: str = "", above: int = 0
) -> tuple[Figure, Axes]:
    """With a legend below, and room for so many rows of crosses above."""
    labels = [*dict.fromkeys(outcome.label for outcome in outcomes)]
    entries = [_entry(label, 20) for label in labels]
    lines = sum(entry.count("\n") + 1 for entry in entries) / 2 + 1
    height = 3.4 + 0.19 * lines + above * ROW / 72
    figure = Figure(figsize=(5.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title or outcomes[0].problem.name, pad=6 + above * ROW)
    axes.grid(color="0.88")
    axes.set_axisbelow(True)
    figure.legend(
        [Line2D([], [], **styled[label]._asdict(), markersize=5) for label in labels],
        entries,
        loc="outside lower center",
        ncols=2,
        handlelength=3.2,
        columnspacing=1.0,
        frameon=False,
    )
    return figure, axes


def _entry(label: str, characters: int) -> str:
    return broken(label, characters).replace("$", r"\$")
