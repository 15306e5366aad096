"""Train on MNIST with weights in float32, in bfloat16, and in bfloat16 with a float32 master.

$ python -m examples.bfloat16
"""

import dataclasses

import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from rich.console import Console
from rich.progress import track
from rich.table import Table

import gdmethods
from examples.mnist.data import Dataset, load
from examples.mnist.roster import ROSTER, Method
from examples.mnist.training import train


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


def costs(method: Method, data: Dataset, *, passes: int, batch_size: int) -> Costs:
    def cost(tx: optax.GradientTransformationExtraArgs, param_dtype: DTypeLike) -> float:
        *_, last = train(
            tx,
            data,
            passes=passes,
            batch_size=batch_size,
            seed=0,
            eval_params=method.eval_params,
            param_dtype=param_dtype,
        )
        return last.train_cost

    tx = method.optimizer()
    return Costs(
        float32=cost(tx, jnp.float32),
        bfloat16=cost(tx, jnp.bfloat16),
        master=cost(gdmethods.with_float32_master(tx), jnp.bfloat16),
    )


def main() -> None:
    data = load()
    table = Table("method", "float32", "bfloat16", "bfloat16, float32 master")
    for method in track(ROSTER.values(), "Training"):
        size = len(data.train.labels)
        passes, batch_size = (15, size) if method.full_batch else (6, 100)
        row = costs(method, data, passes=passes, batch_size=batch_size)
        table.add_row(method.label, *(f"{c:.4f}" for c in dataclasses.astuple(row)))
    Console().print(table)


if __name__ == "__main__":
    main()
