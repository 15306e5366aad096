"""An MNIST run begun in PyTorch goes on in Flax NNX, with and without the optimizer's state.

    python -m examples.porting

PyTorch trains a small convolutional network for two passes with AdamW. Then the run goes on for
two passes more, in three ways: PyTorch finishes it; Flax takes over the weights and the state of
the optimizer; Flax takes over the weights alone, and the state starts anew. All use the same
minibatches. The picture shows the three costs, and how far the runs in Flax are from PyTorch's.

It needs PyTorch, which the extra `parity` installs.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from matplotlib.figure import Figure
from numpy.typing import NDArray

import gdmethods.dialects
from examples.gallery import pictures
from examples.mnist import data
from gdmethods._programs.files import whole
from gdmethods._programs.progress import Console, Progress

PASSES, BATCH, EVERY, MEASURED = 2, 100, 25, 1000
OPTIONS: dict[str, Any] = {"lr": 1e-2, "weight_decay": 0.01}
COLORS = {"PyTorch": "#000000", "Flax": "#D55E00", "Flax, state lost": "#0072B2"}

Batches = Sequence[NDArray[np.int64]]


class Network(nnx.Module):
    """Two convolutions and a linear layer, as in `torch_network`; channels last."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, 8, (3, 3), strides=2, padding="VALID", rngs=rngs)
        self.second = nnx.Conv(8, 16, (3, 3), strides=2, padding="VALID", rngs=rngs)
        self.output = nnx.Linear(6 * 6 * 16, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        signals = images.reshape(-1, 28, 28, 1)
        for convolution in (self.first, self.second):
            signals = nnx.tanh(convolution(signals))
        return self.output(signals.reshape(len(images), -1))


def convert(named: Mapping[str, Any]) -> dict[str, Any]:
    """PyTorch's arrays in Flax's layout; the optimizer's state is converted the same way."""
    linear = named["5.weight"].reshape(10, 16, 6, 6).transpose(2, 3, 1, 0)  # channels last
    return {
        "first": {"kernel": named["0.weight"].transpose(2, 3, 1, 0), "bias": named["0.bias"]},
        "second": {"kernel": named["2.weight"].transpose(2, 3, 1, 0), "bias": named["2.bias"]},
        "output": {"kernel": linear.reshape(-1, 10), "bias": named["5.bias"]},
    }


def torch_network(torch: Any) -> tuple[Any, Any]:
    """The network in PyTorch, and its optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, stride=2),
        torch.nn.Tanh(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 6 * 6, 10),
    )
    return model, torch.optim.AdamW(model.parameters(), **OPTIONS)


def train_in_torch(
    torch: Any, model: Any, optimizer: Any, examples: data.Examples, batches: Batches
) -> Iterator[float]:
    """Yields the cost of some training images, before every 25th step and after the last."""
    images = torch.tensor(np.asarray(examples.images)).reshape(-1, 1, 28, 28)
    labels = torch.tensor(np.asarray(examples.labels)).long()

    def cost(batch: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])

    for step, batch in enumerate(batches):
        if step % EVERY == 0:
            yield float(cost(slice(MEASURED)).detach())
        optimizer.zero_grad()
        cost(torch.from_numpy(batch)).backward()
        optimizer.step()
    yield float(cost(slice(MEASURED)).detach())


def mean_cost(model: Network, images: jax.Array, labels: jax.Array) -> jax.Array:
    costs: jax.Array = optax.softmax_cross_entropy_with_integer_labels(model(images), labels)
    return costs.mean()


@nnx.jit
def train_step(
    model: Network, optimizer: "nnx.Optimizer[Network]", images: jax.Array, labels: jax.Array
) -> None:
    optimizer.update(model, nnx.grad(mean_cost)(model, images, labels))


def train_in_flax(
    model: Network, optimizer: "nnx.Optimizer[Network]", examples: data.Examples, batches: Batches
) -> Iterator[float]:
    """As `train_in_torch`."""
    measure = nnx.jit(mean_cost)
    measured = [array[:MEASURED] for array in examples]
    for step, batch in enumerate(batches):
        if step % EVERY == 0:
            yield float(measure(model, *measured))
        train_step(model, optimizer, *(array[batch] for array in examples))
    yield float(measure(model, *measured))


def port(
    parameters: Mapping[str, Any], state_dict: Mapping[str, Any], *, with_state: bool
) -> "tuple[Network, nnx.Optimizer[Network]]":
    """The network and its optimizer in Flax, taken over from PyTorch."""
    tx = gdmethods.dialects.torch.adamw(**OPTIONS)
    params, state = gdmethods.dialects.torch.from_state_dict(tx, parameters, state_dict, convert)
    model = Network(nnx.Rngs(0))
    nnx.update(model, params)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    if with_state:
        nnx.update(optimizer.opt_state, nnx.state(state))
    return model, optimizer


def curves(torch: Any, examples: data.Examples) -> tuple[list[float], dict[str, list[float]]]:
    """The costs of the first passes, and the costs of the later ones in the three ways."""
    rng = np.random.default_rng(0)
    steps = len(examples.labels) // BATCH
    orders = [rng.permutation(len(examples.labels)) for _ in range(2 * PASSES)]
    batches = [batch for order in orders for batch in order[: steps * BATCH].reshape(steps, BATCH)]
    begun, rest = batches[: PASSES * steps], batches[PASSES * steps :]

    with Progress(4 * (1 + len(rest) // EVERY)) as progress:

        def course(name: str, costs: Iterator[float]) -> list[float]:
            return list(progress.over(costs, lambda cost: f"{name}: cost {cost:.4f}"))

        model, optimizer = torch_network(torch)
        first = course("PyTorch", train_in_torch(torch, model, optimizer, examples, begun))
        parameters, state_dict = dict(model.named_parameters()), optimizer.state_dict()
        ported = [port(parameters, state_dict, with_state=kept) for kept in (True, False)]
        runs = [
            train_in_torch(torch, model, optimizer, examples, rest),
            *(train_in_flax(*each, examples, rest) for each in ported),
        ]
        return first, {name: course(name, run) for name, run in zip(COLORS, runs, strict=True)}


def draw(first: list[float], others: Mapping[str, list[float]], picture: Path) -> None:
    figure = Figure(figsize=(10, 6), layout="constrained")
    cost, distance = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    start = (len(first) - 1) * EVERY
    cost.plot(np.arange(len(first)) * EVERY, first, color=COLORS["PyTorch"], linewidth=1)
    for name, costs in others.items():
        steps = start + np.arange(len(costs)) * EVERY
        wide = name == "PyTorch"
        cost.plot(steps, costs, color=COLORS[name], label=name, linewidth=3 if wide else 1.2)
        if not wide:
            gap = np.abs(np.subtract(costs, others["PyTorch"]))
            distance.plot(steps, np.maximum(gap, 1e-9), color=COLORS[name], linewidth=1.2)
    for axes in (cost, distance):
        axes.axvline(start, color="0.6", linestyle=":")
        axes.set(yscale="log")
        axes.grid(color="0.9")
    cost.set(ylabel=f"cost of {MEASURED} training images")
    cost.legend(frameon=False)
    distance.set(ylabel="difference to PyTorch", xlabel="steps")
    figure.suptitle("MNIST: begun in PyTorch with AdamW, ended in three ways")
    with whole(picture) as file:
        figure.savefig(file, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    (picture,) = pictures(
        arguments,
        "examples.porting",
        "An MNIST run begun in PyTorch goes on in Flax NNX, with and without its state.",
        "porting.png",
    )
    try:
        import torch
    except ImportError:
        sys.exit('This example needs PyTorch: python -m pip install ".[parity]"')
    console = Console()
    first, others = curves(torch, data.load().train)
    for name in list(others)[1:]:
        gaps = np.abs(np.subtract(others[name], others["PyTorch"]))
        console.print(f"{name}: differs from PyTorch by {gaps.max():.1e} at most")
    draw(first, others, picture)
    console.print(str(picture), soft_wrap=True)


if __name__ == "__main__":
    main()
