"""MNIST in few bytes a weight: what training loses with narrow weights and accumulators.

    python -m examples.bfloat16

prints a table for each method and draws cost against bytes. Each format trains from the same seeds
as float32, and is compared with it seed by seed, since seeds differ more than formats do. Bytes
count a weight and its state. A method that keeps nothing in 8 bits has no row for them.
`--methods adam,momentum,rmsprop,adagrad,adaptive_gains,rprop_full_batch` runs them all.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

import gdmethods
from examples.mnist.data import Dataset, load
from examples.mnist.roster import ROSTER, Method
from examples.mnist.training import train
from gdmethods._programs.files import whole
from gdmethods._programs.options import Parser, positive, seed, some_of
from gdmethods._programs.progress import Console, Progress

Wrap = Callable[[Any], optax.GradientTransformationExtraArgs]


@dataclasses.dataclass(frozen=True)
class Format:
    """The formats of the weights and of the state in a training run.

    Attributes:
      weights: the dtype of the parameters.
      accumulators: the accumulator_dtype of the method; None is float32.
      wrap: the wrapper around the method.
      color: in the picture.
    """

    weights: DTypeLike
    accumulators: DTypeLike | None
    wrap: Wrap
    color: str


def plain(tx: Any) -> Any:
    return tx


FORMATS: Mapping[str, Format] = {
    "float32/float32": Format(jnp.float32, None, plain, "#000000"),
    "float32/bfloat16": Format(jnp.float32, jnp.bfloat16, plain, "#999999"),
    "float32/8bit": Format(jnp.float32, "8bit", plain, "#E69F00"),
    "master/float32": Format(jnp.bfloat16, None, gdmethods.with_float32_master, "#0072B2"),
    "master/bfloat16": Format(
        jnp.bfloat16, jnp.bfloat16, gdmethods.with_float32_master, "#56B4E9"
    ),
    "master/8bit": Format(jnp.bfloat16, "8bit", gdmethods.with_float32_master, "#332288"),
    "stochastic/float32": Format(
        jnp.bfloat16, None, gdmethods.with_stochastic_rounding, "#009E73"
    ),
    "stochastic/bfloat16": Format(
        jnp.bfloat16, jnp.bfloat16, gdmethods.with_stochastic_rounding, "#CC79A7"
    ),
    "stochastic/8bit": Format(jnp.bfloat16, "8bit", gdmethods.with_stochastic_rounding, "#882255"),
    "nearest/float32": Format(jnp.bfloat16, None, plain, "#D55E00"),
}
"""By the weights' format (bfloat16 except in the first three) and the accumulators'."""

REFERENCE = "float32/float32"

METHODS = {
    name: ROSTER[name]
    for name in ("adam", "momentum", "rmsprop", "adagrad", "adaptive_gains", "rprop_full_batch")
}
STEPS_A_PASS = 5  # of a method that sees the whole training set in each step
BATCH_SIZE = 100


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one method in one format, for each seed.

    Attributes:
      bytes_per_weight: of the weight and of the state.
      costs: the training costs at the end.
      errors: the test errors in per cent.
    """

    bytes_per_weight: float
    costs: NDArray[np.float64]
    errors: NDArray[np.float64]


def mean_and_error(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The mean and its standard error, which is NaN for a single difference."""
    n = len(differences)
    return differences.mean(), differences.std(ddof=1) / n**0.5 if n > 1 else math.nan


def beside(costs: NDArray[np.float64], of_float32: NDArray[np.float64]) -> str:
    """The mean difference, seed by seed, and its standard error."""
    mean, error = mean_and_error(costs - of_float32)
    return f"{mean:+.4f}" if math.isnan(error) else f"{mean:+.4f} ± {error:.4f}"


def optimizer(method: Method, format: Format) -> optax.GradientTransformationExtraArgs:
    accumulators = {"accumulator_dtype": format.accumulators} if format.accumulators else {}
    return format.wrap(method.alias(**method.settings, **accumulators))


def formats(method: Method, chosen: Sequence[str]) -> Mapping[str, Format]:
    """float32 and the chosen formats, without 8 bits if the method keeps bfloat16 instead."""

    def is_kept(format: Format) -> bool:
        w = jax.ShapeDtypeStruct((1,), format.weights)
        state = jax.eval_shape(optimizer(method, format).init, w)
        return format.accumulators != "8bit" or any(
            x.dtype == jnp.uint8 for x in jax.tree.leaves(state)
        )

    return {
        name: format
        for name, format in FORMATS.items()
        if name == REFERENCE or (name in chosen and is_kept(format))
    }


def result(
    method: Method,
    format: Format,
    data: Dataset,
    *,
    passes: int,
    seeds: Sequence[int],
    batch_size: int = BATCH_SIZE,
    passed: Callable[[], None] = lambda: None,
) -> Result:
    """`passed` is called after each seed."""
    tx = optimizer(method, format)
    last = []
    for each in seeds:
        *_, end = train(
            tx,
            data,
            passes=passes * STEPS_A_PASS if method.full_batch else passes,
            batch_size=len(data.train.labels) if method.full_batch else batch_size,
            seed=each,
            eval_params=method.eval_params,
            param_dtype=format.weights,
        )
        last.append(end)
        passed()
    return Result(
        jnp.dtype(format.weights).itemsize + last[0].state_bytes_per_weight,
        np.array([end.train_cost for end in last]),
        np.array([end.test_error_percent for end in last]),
    )


def table(method: Method, results: Mapping[str, Result]) -> Table:
    table = Table(title=method.label, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("weights/state", no_wrap=True)
    for title in ("bytes", "cost", "beside float32", "test error, %"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, of in results.items():
        table.add_row(
            name,
            f"{of.bytes_per_weight:.0f}",
            f"{of.costs.mean():.4f} ± {of.costs.std():.4f}",
            "" if name == REFERENCE else beside(of.costs, results[REFERENCE].costs),
            f"{of.errors.mean():.2f} ± {of.errors.std():.2f}",
        )
    return table


def draw(results: Mapping[str, Mapping[str, Result]], picture: Path) -> None:
    rows, columns = -(-len(results) // 3), min(len(results), 3)
    figure = Figure(figsize=(1 + 4 * columns, 1 + 4 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, of_method) in zip(panels, results.items(), strict=False):
        sizes = [round(of.bytes_per_weight) for of in of_method.values()]
        for place, (name, of) in enumerate(of_method.items()):
            size = sizes[place]
            beside_it = sizes[:place].count(size) - (sizes.count(size) - 1) / 2
            axes.errorbar(
                size + 0.3 * beside_it,  # so that none hides another
                of.costs.mean(),
                of.costs.std(),
                fmt="o",
                capsize=4,
                color=FORMATS[name].color,
                label=name,
            )
        axes.axhline(of_method[REFERENCE].costs.mean(), color="0.8", zorder=0)
        axes.set(title=title, xlabel="bytes a weight, of it and its state", ylabel="training cost")
        axes.set_xlim(left=0)
    for axes in panels[len(results) :]:
        axes.set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    with whole(picture) as file:
        figure.savefig(file, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser("examples.bfloat16", "MNIST in bytes a weight.")
    parser.add_argument(
        "--methods",
        metavar="NAME,…",
        type=some_of(METHODS),
        default="adam,momentum",
        help=f"of {', '.join(METHODS)} (%(default)s)",
    )
    parser.add_argument(
        "--formats",
        metavar="NAME,…",
        type=some_of({name: name for name in FORMATS}),
        default=list(FORMATS),
        help=f"to compare with {REFERENCE}: {', '.join(FORMATS)}; all by default",
    )
    parser.add_argument(
        "--passes", metavar="N", type=positive, default=2, help="over MNIST (%(default)s)"
    )
    parser.add_argument(
        "--seeds", metavar="N", type=positive, default=3, help="to average over (%(default)s)"
    )
    parser.add_argument(
        "--first-seed", metavar="N", type=seed, default=0, help="the first of them (%(default)s)"
    )
    parser.add_directory("--out", "results", "where to write bfloat16.png")
    options = parser.parse_args(arguments)
    parser.make_directory("--out", options.out)

    data = load()
    console = Console()
    results: dict[str, dict[str, Result]] = {}
    rows = [formats(method, options.formats) for method in options.methods]
    with Progress(sum(map(len, rows)) * options.seeds) as progress:
        for method, of_it in zip(options.methods, rows, strict=True):
            of_method = results.setdefault(method.label, {})
            for name, format in of_it.items():
                what = f"{method.label}: {name}"
                progress.tell(what)
                of_method[name] = result(
                    method,
                    format,
                    data,
                    passes=options.passes,
                    seeds=range(options.first_seed, options.first_seed + options.seeds),
                    passed=functools.partial(progress.tell, what, done=1),
                )
            console.print(table(method, of_method))
    draw(results, options.out / "bfloat16.png")
    console.print(str(options.out / "bfloat16.png"), soft_wrap=True)


if __name__ == "__main__":
    main()
