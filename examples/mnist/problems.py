"""Networks for `python -m gdmethods.study examples.mnist.problems:zeiler`, and the like.

A sixth of the training images is set aside to choose the learning rate, drawn at random but always
the same. The environment variable MNIST names the folder of another data set in MNIST's format.
"""

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from examples.mnist.data import SHIPPED, Dataset, Examples, load
from examples.mnist.model import MLP, ConvNet
from examples.mnist.training import mean_cost
from gdmethods.study import Problem

Build = Callable[[tuple[int, int], int, nnx.Rngs], nnx.Module]

TARGET = 0.03
"""The share of misclassified images that the time is taken to."""


def _mlp(
    *hidden: int,
    activation: Callable[[jax.Array], jax.Array] = nnx.relu,
    dropout: float = 0.0,
) -> Build:
    def build(shape: tuple[int, int], classes: int, rngs: nnx.Rngs) -> nnx.Module:
        return MLP(math.prod(shape), classes, hidden, activation, dropout, rngs=rngs)

    return build


def _convnet(shape: tuple[int, int], classes: int, rngs: nnx.Rngs) -> nnx.Module:
    return ConvNet(shape, classes, rngs=rngs)


NETWORKS: dict[str, tuple[str, int, Build]] = {
    "zeiler": (
        "500 and 300 tanh units (Zeiler 2012)",
        100,
        _mlp(500, 300, activation=nnx.tanh),
    ),
    "zeiler_relu": ("500 and 300 ReLU units (Zeiler 2012)", 100, _mlp(500, 300)),
    "logreg": ("logistic regression", 128, _mlp()),
    "mlp": ("1000, 500 and 100 ReLU units (DeepOBS)", 128, _mlp(1000, 500, 100)),
    "dropout": (
        "two layers of 1000 ReLU units, half of them dropped (Kingma & Ba 2015)",
        128,
        _mlp(1000, 1000, dropout=0.5),
    ),
    "cnn": ("two convolutions of 3×3 with 8 and 16 channels", 128, _convnet),
}
"""By their names: the text, the images in a minibatch, and how they are built from the size of an
image and the number of classes."""


def __getattr__(name: str) -> Problem:
    if name not in NETWORKS:
        raise AttributeError(f"{name} is none of {', '.join(NETWORKS)}")
    return problem(name, _loaded(Path(os.environ.get("MNIST", SHIPPED))))


_loaded = functools.cache(load)


def problem(name: str, data: Dataset) -> Problem:
    """A network on these images."""
    text, batch_size, build = NETWORKS[name]
    shape, classes = data.shape, data.classes

    def built(key: jax.Array) -> nnx.Module:
        return build(shape, classes, nnx.Rngs(key))

    graphdef = nnx.graphdef(nnx.eval_shape(lambda: built(jax.random.key(0))))

    def loss(params: Any, batch: Examples, key: jax.Array | None) -> jax.Array:
        return mean_cost(params, graphdef, batch, key)

    def error(params: Any, batch: Examples) -> jax.Array:
        logits = nnx.merge(graphdef, params)(batch.images)
        return jnp.mean(logits.argmax(axis=-1) != batch.labels)

    train, validation = split(data.train, len(data.train.labels) // 6)
    return Problem(
        lambda key: nnx.state(built(key)),
        loss,
        train=train,
        validation=validation,
        test=data.test,
        metrics={"error": error},
        batch_size=batch_size,
        name=name,
        text=f"{data.name}, {text}",
        target=TARGET,
    )


def split(examples: Examples, set_aside: int) -> tuple[Examples, Examples]:
    """The others, and those that are set aside."""
    order = jax.random.permutation(jax.random.key(0), len(examples.labels))
    train, validation = (
        jax.tree.map(lambda array, chosen=chosen: array[chosen], examples)
        for chosen in (order[set_aside:], order[:set_aside])
    )
    return train, validation
