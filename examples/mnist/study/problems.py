"""What the methods of a study are tried on."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import nnx

from examples.mnist.data import Dataset, Examples
from examples.mnist.model import MLP, ConvNet


class Splits(NamedTuple):
    """What trains, what chooses the learning rate, and what is reported."""

    train: Examples
    validation: Examples
    test: Examples
    shape: tuple[int, int]
    classes: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """A network and the size of its minibatches.

    Attributes:
      name: on the command line.
      text: of what the network is made.
      batch_size: images in a minibatch.
      build: from the data and a key to the network with its first weights.
    """

    name: str
    text: str
    batch_size: int
    build: Callable[[Splits, jax.Array], nnx.Module]


def _mlp(
    *hidden: int,
    activation: Callable[[jax.Array], jax.Array] = nnx.relu,
    dropout: float = 0.0,
) -> Callable[[Splits, jax.Array], nnx.Module]:
    def build(splits: Splits, key: jax.Array) -> nnx.Module:
        height, width = splits.shape
        rngs = nnx.Rngs(key)
        return MLP(height * width, splits.classes, hidden, activation, dropout, rngs=rngs)

    return build


def _convnet(splits: Splits, key: jax.Array) -> nnx.Module:
    return ConvNet(splits.shape, splits.classes, rngs=nnx.Rngs(key))


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "zeiler",
            "500 and 300 tanh units (Zeiler 2012)",
            100,
            _mlp(500, 300, activation=nnx.tanh),
        ),
        Problem("zeiler-relu", "500 and 300 ReLU units (Zeiler 2012)", 100, _mlp(500, 300)),
        Problem("logreg", "logistic regression", 128, _mlp()),
        Problem("mlp", "1000, 500 and 100 ReLU units (DeepOBS)", 128, _mlp(1000, 500, 100)),
        Problem(
            "dropout",
            "two layers of 1000 ReLU units, half of them dropped (Kingma & Ba 2015)",
            128,
            _mlp(1000, 1000, dropout=0.5),
        ),
        Problem("cnn", "two convolutions of 3×3 with 8 and 16 channels", 128, _convnet),
    )
}


def split(data: Dataset, validation_size: int) -> Splits:
    """Set `validation_size` training images aside, drawn at random but always the same."""
    order = jax.random.permutation(jax.random.key(0), len(data.train.labels))
    train, validation = (
        jax.tree.map(lambda array, chosen=chosen: array[chosen], data.train)
        for chosen in (order[validation_size:], order[:validation_size])
    )
    return Splits(train, validation, data.test, data.shape, data.classes)
