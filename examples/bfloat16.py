"""Train on MNIST with weights in float32, in bfloat16, and in bfloat16 with a float32 master.

python -m examples.bfloat16
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from rich.table import Table

import gdmethods
from examples.mnist.data import Dataset, load
from examples.mnist.roster import ROSTER, Method
from examples.mnist.training import train
from examples.programs import Console, Progress, take_no_arguments


@dataclasses.dataclass(frozen=True)
class Costs:
    """The training cost at the end, by what the weights are kept in.

    Attributes:
      float32: as usual.
      bfloat16: every new weight is rounded; the accumulators are float32 all the same.
      master: bfloat16 weights, each the rounding of a float32 copy.
    """

    float32: float
    bfloat16: float
    master: float


def costs(
    method: Method,
    data: Dataset,
    *,
    passes: int,
    batch_size: int,
    passed: Callable[[str], None] = lambda _: None,
) -> Costs:
    """`passed` is called after each pass, with what is kept in what."""

    def cost(what: str, tx: optax.GradientTransformationExtraArgs, dtype: DTypeLike) -> float:
        for measured in train(
            tx,
            data,
            passes=passes,
            batch_size=batch_size,
            seed=0,
            eval_params=method.eval_params,
            param_dtype=dtype,
        ):
            if measured.passes:
                passed(what)
        return measured.train_cost

    tx = method.optimizer()
    return Costs(
        float32=cost("float32", tx, jnp.float32),
        bfloat16=cost("bfloat16", tx, jnp.bfloat16),
        master=cost("float32 master", gdmethods.with_float32_master(tx), jnp.bfloat16),
    )


def main() -> None:
    data = load()
    size = len(data.train.labels)
    budgets = [(15, size) if method.full_batch else (6, 100) for method in ROSTER.values()]
    table = Table("method", "float32", "bfloat16", "bfloat16, float32 master")
    with Progress(3 * sum(passes for passes, _ in budgets)) as progress:
        for method, (passes, batch_size) in zip(ROSTER.values(), budgets, strict=True):

            def passed(what: str, label: str = method.label) -> None:
                progress.tell(f"{label}: {what}", done=1)

            row = costs(method, data, passes=passes, batch_size=batch_size, passed=passed)
            table.add_row(method.label, *(f"{c:.4f}" for c in dataclasses.astuple(row)))
    Console().print(table)


if __name__ == "__main__":
    take_no_arguments()
    main()
