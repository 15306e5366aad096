"""A network of 32 tanh units on Friedman's first regression, with full batches.

The 300 examples that train are few, so that each step takes all of them: a pass is a step.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.datasets import make_friedman1

from examples.mnist.model import MLP
from gdmethods.study import Problem

INPUTS, NOISE = 10, 1.0
TRAIN, VALIDATION, TEST = 300, 300, 1000

Examples = tuple[NDArray[np.float32], NDArray[np.float32]]


def _drawn() -> list[Examples]:
    """Inputs and targets have a mean of 0 and a variance of 1."""
    number = TRAIN + VALIDATION + TEST
    x, y = make_friedman1(number, INPUTS, noise=NOISE, random_state=0)
    x = (x - 0.5) * np.sqrt(12)
    y = (y - y[:TRAIN].mean()) / y[:TRAIN].std()
    ends = [TRAIN, TRAIN + VALIDATION]
    parts = (np.split(array.astype(np.float32), ends) for array in (x, y))
    return [*zip(*parts, strict=True)]


def build(rngs: nnx.Rngs) -> nnx.Module:
    return MLP(INPUTS, 1, (32,), nnx.tanh, 0.0, rngs=rngs)


def loss(module: Any, batch: Examples) -> jax.Array:
    """The mean squared error, in variances of the target."""
    x, y = batch
    return jnp.mean((module(x)[:, 0] - y) ** 2)


_train, _validation, _test = _drawn()
problem = Problem.from_nnx(
    build,
    loss,
    train=_train,
    validation=_validation,
    test=_test,
    batch_size=TRAIN,
    text=f"{TRAIN} examples of Friedman's first regression, 32 tanh units, full batches",
)
