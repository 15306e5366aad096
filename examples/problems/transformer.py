"""The Transformer of `examples.characters` on pieces of half the length.

It trains on the first 13,000 characters of "Alice's Adventures in Wonderland".
"""

from typing import Any

import jax
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike, NDArray

from examples.characters import CONTEXT, Text, Transformer, cost
from gdmethods.study import Problem

PIECE = CONTEXT // 2 + 1  # characters, of which all but the first are predicted
TRAIN, VALIDATION, TEST = 400, 100, 100  # pieces

_text = Text.load()


def _build(key: jax.Array) -> Transformer:
    return Transformer(_text.characters, rngs=nnx.Rngs(key))


_graphdef = nnx.graphdef(nnx.eval_shape(lambda: _build(jax.random.key(0))))


def pieces(text: ArrayLike, number: int) -> NDArray[np.int32]:
    """So many, one after another."""
    return np.ravel(text)[: number * PIECE].reshape(number, PIECE)


def init(key: jax.Array) -> Any:
    return nnx.state(_build(key))


def loss(params: Any, batch: jax.Array, key: jax.Array | None) -> jax.Array:
    """The cross-entropy of a character."""
    mean: jax.Array = cost(params, _graphdef, batch)
    return mean


problem = Problem(
    init,
    loss,
    train=pieces(_text.train, TRAIN),
    validation=pieces(_text.train[-VALIDATION * PIECE :], VALIDATION),
    test=pieces(_text.test, TEST),
    batch_size=8,
    text="a Transformer of two layers on the characters of Alice in Wonderland",
)
