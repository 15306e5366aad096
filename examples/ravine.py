"""Nine methods go down three narrow valleys: a table, a picture and an animation.

    python -m examples.ravine

The first valley lies along the axes, and is a hundred times as curved across as along. The second
is the first, turned by 30°. The third is Rosenbrock's, which bends. Each method has its best
learning rate of a grid in each valley, and its other arguments at their defaults. The best rate
brings the loss below a hundredth of the first, for good, in the fewest steps. If no rate does, the
best one ends lowest. A rate at which the loss ever rises above the first does not count. All rates
run at once, as an axis of `jax.vmap`.

For `nesterov` the weights are drawn, not the look-ahead points that it trains at.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

import gdmethods
from examples.gallery import pictures
from gdmethods._programs.files import whole
from gdmethods._programs.progress import Console, Progress
from gdmethods.study.styles import STYLES

Alias = Callable[[jax.Array], optax.GradientTransformationExtraArgs]

METHODS: Sequence[Alias] = (  # in the lecture's order
    gdmethods.sgd,
    gdmethods.momentum,
    gdmethods.nesterov,
    gdmethods.adaptive_gains,
    gdmethods.adagrad,
    gdmethods.adadelta,
    gdmethods.rprop,
    gdmethods.rmsprop,
    gdmethods.adam,
)
RATES = np.logspace(-4, 3, 7 * 8 + 1, dtype=np.float32)
STEPS = 200
TARGET = 0.01  # of the loss at the start
FRAMES = (*range(20), *range(20, STEPS + 1, 4))  # the first steps in slow motion
TAIL = 12  # steps
LEGEND: Mapping[str, Any] = {
    "frameon": False,
    "fontsize": 9,
    "handlelength": 1,
    "handletextpad": 0.3,
    "columnspacing": 0.8,
    "borderpad": 0.2,
}


@dataclasses.dataclass(frozen=True)
class Valley:
    """A loss of two weights.

    Attributes:
      name: its name in the table and the pictures.
      loss: a function of weights of shape (2,), which returns a scalar.
      start: the first weights.
      corner: the lower left corner of its window in the pictures.
    """

    name: str
    loss: Callable[[jax.Array], jax.Array]
    start: jax.Array
    corner: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Descent:
    """The path of a method down a valley.

    Attributes:
      rate: the learning rate.
      weights: the weights at the start and after each step; shape (STEPS + 1, 2).
      losses: at these weights.
      steps: the steps after which the loss stays below the target; STEPS + 1 if it never does.
    """

    rate: float
    weights: NDArray[np.float32]
    losses: NDArray[np.float32]
    steps: int

    @property
    def steps_text(self) -> str:
        return str(self.steps) if self.steps <= STEPS else "–"


def quadratic(w: jax.Array) -> jax.Array:
    """Its curvature is 0.01 along the first axis and 1 along the second."""
    return (0.01 * w[0] ** 2 + w[1] ** 2) / 2


def rosenbrock(w: jax.Array) -> jax.Array:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


START = jnp.array([-2, 0.5])
TURN = jnp.array([[3**0.5, -1], [1, 3**0.5]]) / 2  # by 30°
VALLEYS = (
    Valley("a valley along the axes", quadratic, START, (-2.3, -0.85)),
    Valley("the same, turned by 30°", lambda w: quadratic(TURN.T @ w), TURN @ START, (-2.4, -1.4)),
    Valley("Rosenbrock's valley", rosenbrock, jnp.array([-1.2, 1]), (-1.65, -0.35)),
)
WINDOW = np.array([3, 1.7])  # its width and height


def descend(alias: Alias, valley: Valley, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The weights and losses of all steps, at one rate."""
    tx = alias(rate)

    def step(carry: tuple[jax.Array, optax.OptState], _: None) -> tuple[Any, jax.Array]:
        params, state = carry
        updates, state = tx.update(jax.grad(valley.loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        if alias is gdmethods.nesterov:
            return (params, state), gdmethods.nesterov_eval_params(state, params)
        return (params, state), params

    _, weights = jax.lax.scan(step, (valley.start, tx.init(valley.start)), length=STEPS)
    weights = jnp.concatenate([valley.start[None], weights])
    return weights, jax.vmap(valley.loss)(weights)


def best(alias: Alias, valley: Valley) -> Descent:
    """The descent at the best rate."""
    every_rate = jax.jit(jax.vmap(partial(descend, alias, valley)))
    weights, losses = map(np.asarray, every_rate(RATES))
    start = losses[:, :1]
    climbs = ~(losses <= start).all(axis=1)  # NaN climbs too
    above = ~(losses <= TARGET * start)
    steps = STEPS + 1 - above[:, ::-1].argmax(axis=1)  # the one after the last above
    i = np.lexsort((losses[:, -1], steps, climbs))[0]
    return Descent(float(RATES[i]), weights[i], losses[i], int(steps[i]))


def table(valley: Valley, descents: Mapping[str, Descent]) -> Table:
    table = Table(title=valley.name, box=SIMPLE_HEAD, show_edge=False)
    table.add_column("method")
    steps = f"steps to {TARGET:.0%}\nof the first loss"
    for heading in ("learning\nrate", steps, f"loss after\n{STEPS} steps"):
        table.add_column(heading, justify="right")
    for name, descent in descents.items():
        table.add_row(name, f"{descent.rate:.2g}", descent.steps_text, f"{descent.losses[-1]:.1e}")
    return table


def draw(descents: Sequence[Mapping[str, Descent]], picture: Path) -> None:
    """Whole paths: a row of panels for each valley, three methods in a panel."""
    figure = Figure(figsize=(10.5, 7.1), layout="constrained")
    figure.suptitle(
        "A rate for each weight helps most in a valley along the axes, momentum in all three",
        fontsize="x-large",
    )
    figure.supxlabel(
        f"Beside each name: the steps until the loss stays below {TARGET:.0%} of the first, "
        f"at the method's best learning rate (–: not in {STEPS})",
        fontsize="medium",
    )
    panels = figure.subplots(len(VALLEYS), 3)
    kinds = ("one rate for all weights", "a rate for each weight", "a rate for each weight")
    for axes, kind in zip(panels[0], kinds, strict=True):
        axes.set_title(kind, pad=22, fontsize="medium")
    for row, valley, found in zip(panels, VALLEYS, descents, strict=True):
        row[0].set_ylabel(valley.name)
        for i, axes in enumerate(row):
            contours(axes, valley)
            names = list(found)[3 * i : 3 * i + 3]
            for name, line, width in zip(names, lines(axes, names), (0.8, 1.4, 2.2), strict=True):
                line.set_data(*found[name].weights.T)
                line.set(
                    label=f"{name} {found[name].steps_text}", linewidth=width, zorder=6 - width
                )
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.97), ncols=3, **LEGEND)
    with whole(picture) as file:
        figure.savefig(file, dpi=100)


def animate(
    descents: Sequence[Mapping[str, Descent]], animation: Path, frames: Iterable[int]
) -> None:
    """All methods at once, each with a tail: a panel for each valley."""
    figure = Figure(figsize=(10.5, 2.9))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.1, top=0.82, wspace=0.02)
    title = figure.suptitle("")
    moving: list[tuple[Line2D, Descent]] = []
    for axes, valley, found in zip(
        figure.subplots(1, len(VALLEYS)), VALLEYS, descents, strict=True
    ):
        axes.set_title(valley.name)
        contours(axes, valley)
        moving += zip(lines(axes, found), found.values(), strict=True)
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=9, **LEGEND)
    writer = PillowWriter(fps=10)
    with whole(animation) as file, writer.saving(figure, file, dpi=80):
        for step in frames:
            title.set_text(f"step {step}")
            for line, descent in moving:
                line.set_data(*descent.weights[max(0, step - TAIL) : step + 1].T)
            writer.grab_frame()


def lines(axes: Axes, names: Iterable[str]) -> list[Line2D]:
    """A line for each method, empty as yet, with its marker at the last point."""
    made = []
    for name in names:
        color, _, marker = STYLES[name]
        made += axes.plot(
            [],
            color=color,
            marker=marker,
            markevery=[-1],
            markersize=9,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=name,
        )
    return made


def contours(axes: Axes, valley: Valley) -> None:
    left, bottom = valley.corner
    right, top = valley.corner + WINDOW
    x, y = np.meshgrid(np.linspace(left, right, 150), np.linspace(bottom, top, 150))
    loss = jax.jit(jax.vmap(valley.loss))(np.stack([x.ravel(), y.ravel()], axis=1))
    levels = float(valley.loss(valley.start)) * np.logspace(-3, 1, 9)
    axes.contour(x, y, loss.reshape(x.shape), levels, colors="0.85", linewidths=1)
    axes.plot(*valley.start, "o", color="0.5")
    axes.set(xticks=[], yticks=[], aspect="equal")


def main(arguments: Sequence[str] | None = None) -> None:
    picture, animation = pictures(
        arguments,
        "examples.ravine",
        "Nine methods go down three narrow valleys.",
        "ravine.png",
        "ravine.gif",
    )

    console = Console()
    name = attrgetter("__name__")
    with Progress(len(VALLEYS) * len(METHODS) + len(FRAMES)) as progress:
        descents = [
            {alias.__name__: best(alias, valley) for alias in progress.over(METHODS, name)}
            for valley in VALLEYS
        ]
        draw(descents, picture)
        animate(descents, animation, progress.over(FRAMES, "animation, step {}".format))
    for valley, found in zip(VALLEYS, descents, strict=True):
        console.print(table(valley, found))
    console.print(f"{picture}\n{animation}", soft_wrap=True)


if __name__ == "__main__":
    main()
