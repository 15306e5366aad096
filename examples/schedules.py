"""Momentum that grows from 0.5 to 0.99, compared with constant momentum: a table and a picture.

    python -m examples.schedules

With a constant gradient g the velocity tends to −ηg / (1 − μ). That is two, ten and a hundred
steps of `sgd` for a momentum μ of 0.5, 0.9 and 0.99. A high momentum is too much while steep
directions swing, and is what flat directions need afterwards. The cost here is quadratic in 41
weights with curvatures from 0.0001 to 1. All weights start at 1, so that steep directions have
most of the first cost; η is 1. `sutskever_momentum_schedule` rises every 250 updates by default,
and every 50 in this short training.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

import gdmethods
from examples.gallery import pictures
from gdmethods._programs.files import whole
from gdmethods._programs.progress import Console

MOMENTA: Mapping[str, optax.Schedule] = {
    **{str(mu): optax.constant_schedule(mu) for mu in (0.5, 0.9, 0.99)},
    "schedule": gdmethods.sutskever_momentum_schedule(period=50),
}
COLORS = {"0.5": "#56B4E9", "0.9": "#0072B2", "0.99": "#332288", "schedule": "#D55E00"}
CURVATURES = jnp.logspace(-4, 0, 41)
STEPS = 3000
SHOWN = (10, 100, 1000, 3000)


def costs(momentum: optax.Schedule) -> NDArray[np.float32]:
    """The cost after each step, divided by the cost at the start; shape (STEPS,)."""
    tx = gdmethods.momentum(1.0, momentum)

    def cost(w: jax.Array) -> jax.Array:
        return jnp.sum(CURVATURES * w**2) / 2

    def step(
        carry: tuple[jax.Array, optax.OptState], _: None
    ) -> tuple[tuple[jax.Array, optax.OptState], jax.Array]:
        w, state = carry
        updates, state = tx.update(jax.grad(cost)(w), state, w)
        w = w + updates
        return (w, state), cost(w) / cost(start)

    start = jnp.ones_like(CURVATURES)
    return np.asarray(jax.lax.scan(step, (start, tx.init(start)), length=STEPS)[1])


def speeds(momentum: optax.Schedule) -> NDArray[np.float32]:
    """The speed of a weight with a gradient of 1, after each step, in steps of `sgd`."""
    tx = gdmethods.momentum(1.0, momentum)
    w = g = jnp.array(1.0)

    def step(state: optax.OptState, _: None) -> tuple[optax.OptState, jax.Array]:
        update, state = tx.update(g, state, w)
        return state, -update

    return np.asarray(jax.lax.scan(step, tx.init(w), length=STEPS)[1])


def table(courses: Mapping[str, NDArray[np.float32]]) -> Table:
    table = Table(title="cost / cost at the start", box=SIMPLE_HEAD, show_edge=False)
    table.add_column("momentum")
    for step in SHOWN:
        table.add_column(f"after {step}", justify="right")
    for name, course in courses.items():
        table.add_row(name, *(f"{course[step - 1]:.1e}" for step in SHOWN))
    return table


def draw(courses: Mapping[str, NDArray[np.float32]], picture: Path) -> None:
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    figure.suptitle(
        "Low momentum while the steep directions swing, high when only the flat ones are left"
    )
    panels = figure.subplot_mosaic([["momentum", "cost"], ["speed", "cost"]], width_ratios=(2, 3))
    momentum, speed, cost = panels["momentum"], panels["speed"], panels["cost"]

    steps = jnp.arange(STEPS)
    curves(momentum, {name: jax.vmap(mu)(steps) for name, mu in MOMENTA.items()})
    momentum.set(title="momentum μ")
    momentum.set_yticks([0.5, 0.75, 0.9, 0.99])

    curves(speed, {name: speeds(mu) for name, mu in MOMENTA.items()})
    speed.set(title="speed / ηg while g stays → 1/(1 − μ)", xlabel="steps", yscale="log")
    speed.set_yticks([1, 2, 10, 100], ["1", "2", "10", "100"])
    speed.yaxis.set_minor_locator(NullLocator())

    curves(cost, courses)
    cost.set(title="cost / cost at the start", xlabel="steps", yscale="log", ylim=(1e-10, 2))
    cost.legend(title="momentum", loc="lower left", frameon=False)
    with whole(picture) as file:
        figure.savefig(file, dpi=100)


def curves(axes: Axes, courses: Mapping[str, NDArray[np.float32]]) -> None:
    for name, course in courses.items():
        axes.plot(
            np.arange(1, STEPS + 1),
            course,
            color=COLORS[name],
            label=name,
            linewidth=2.5 if name == "schedule" else 1.2,
        )
    axes.set(xscale="log", xlim=(1, STEPS))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(color="0.9")


def main(arguments: Sequence[str] | None = None) -> None:
    (picture,) = pictures(
        arguments,
        "examples.schedules",
        "Momentum that grows from 0.5 to 0.99, compared with constant momentum.",
        "schedules.png",
    )

    console = Console()
    courses = {name: costs(momentum) for name, momentum in MOMENTA.items()}
    console.print(table(courses))
    ahead = np.flatnonzero(courses["0.9"] < courses["schedule"]) + 1
    console.print(f"From step {ahead[0]} to {ahead[-1]} the schedule is behind 0.9.")
    draw(courses, picture)
    console.print(str(picture), soft_wrap=True)


if __name__ == "__main__":
    main()
