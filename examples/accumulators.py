"""What accumulators lose in bfloat16, if they are rounded to nearest or stochastically.

python -m examples.accumulators

Each row follows 1,000 weights. Their gradients have sizes from 1e-3 to 1. They are constant, with
noise as large as themselves, and the same in each format. A cell is the bfloat16 value divided by
the float32 value: mean ± standard deviation over the weights.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.table import Table

import gdmethods
from examples.programs import take_no_arguments
from gdmethods._programs.progress import Console, Progress
from gdmethods.dialects import torch

WEIGHTS = 1000

Make = Callable[..., optax.GradientTransformationExtraArgs]
Watched = Callable[[Any], jax.Array]


def walk(tx: Any, watched: Watched, steps: int, to_nearest: bool) -> jax.Array:
    """The watched value at the end of a walk in which the weights do not move."""
    w = jnp.linspace(1.0, 2.0, WEIGHTS)
    size = jnp.geomspace(1e-3, 1.0, WEIGHTS)

    def step(state: Any, t: jax.Array) -> tuple[Any, None]:
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), t), (WEIGHTS,))
        _, state = tx.update(size * (1.0 + noise), state, w)
        if to_nearest:
            floats = functools.partial(jax.lax.reduce_precision, exponent_bits=8, mantissa_bits=7)
            state = jax.tree.map(lambda x: floats(x) if x.ndim else x, state)
        return state, None

    state, _ = jax.lax.scan(step, tx.init(w), jnp.arange(steps))
    return watched(gdmethods.read_state(state))


def ratios(make: Make, watched: Watched, steps: int) -> list[np.ndarray]:
    """The values rounded to nearest and stochastically, divided by float32's."""
    wide, nearest, stochastic = (
        np.asarray(jax.jit(walk, static_argnums=range(4))(tx, watched, steps, to_nearest), float)
        for tx, to_nearest in (
            (make(), False),
            (make(), True),
            (make(accumulator_dtype=jnp.bfloat16), False),
        )
    )
    return [nearest / wide, stochastic / wide]


def kept(name: str) -> Watched:
    def watched(state: Any) -> jax.Array:
        field: jax.Array = getattr(state, name)
        return field

    return watched


def rate(state: Any) -> jax.Array:
    """ADADELTA's factor for the next gradient."""
    return jnp.sqrt((state.e_x + 1e-6) / (state.e_g + 1e-6))


def rows() -> dict[str, tuple[Make, Watched, int]]:
    def of(factory: Make, *args: Any, **kwargs: Any) -> Make:
        return functools.partial(factory, *args, **kwargs)

    return {
        **{
            f"velocity, μ = {mu}": (of(gdmethods.momentum, 0.1, mu), kept("velocity"), steps)
            for mu, steps in ((0.9, 1000), (0.99, 2000), (0.999, 20_000))
        },
        **{
            f"Adam's v, β₂ = {b2}": (of(gdmethods.adam, 0.1, b2=b2), kept("nu"), steps)
            for b2, steps in ((0.9, 1000), (0.99, 2000), (0.999, 20_000), (0.9999, 100_000))
        },
        **{
            f"AdaGrad's sum, {steps:,} steps": (
                of(gdmethods.adagrad, 0.1),
                kept("sum_of_squares"),
                steps,
            )
            for steps in (1000, 100_000)
        },
        "ADADELTA's rate": (gdmethods.adadelta, rate, 20_000),
        "AMSGrad's largest v": (of(torch.adam, amsgrad=True), kept("nu_max"), 20_000),
    }


def main() -> None:
    table = Table("", "steps", "to nearest", "stochastically")
    with Progress(len(rows())) as progress:
        for name, (make, watched, steps) in rows().items():
            cells = (f"{x.mean():.4f} ± {x.std():.4f}" for x in ratios(make, watched, steps))
            table.add_row(name, f"{steps:,}", *cells)
            progress.tell(name, done=1)
    Console().print(table)


if __name__ == "__main__":
    take_no_arguments("accumulators", __doc__)
    main()
