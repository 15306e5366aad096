"""The adding problem (Hochreiter & Schmidhuber 1997) in a recurrent network of rectified units.

Of a sequence of random numbers two are marked, and their sum is asked for. The recurrent weights
begin as the identity (Le, Jaitly & Hinton 2015, arXiv:1504.00941), which remembers well; once
they have grown, gradients explode. `clipped_sgd` and the others limit the norm of a gradient
to 1 (Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

import gdmethods
from gdmethods.study import Problem

LENGTH, UNITS, NORM = 20, 32, 1.0
TRAIN, VALIDATION, TEST = 2000, 500, 1000  # sequences

Sequences = tuple[NDArray[np.float32], NDArray[np.float32]]


def sequences(number: int, *, seed: int) -> Sequences:
    """Numbers and marks, one of them in each half, and the sums of the marked numbers."""
    rng = np.random.default_rng(seed)
    numbers, marks = rng.random((number, LENGTH)), np.zeros((number, LENGTH))
    for first in (0, LENGTH // 2):
        marks[np.arange(number), first + rng.integers(LENGTH // 2, size=number)] = 1.0
    sums = (numbers * marks).sum(axis=-1)
    return np.stack([numbers, marks], axis=-1, dtype=np.float32), sums.astype(np.float32)


def init(key: jax.Array) -> dict[str, jax.Array]:
    inputs, out = jax.random.split(key)
    return {
        "inputs": 0.1 * jax.random.normal(inputs, (2, UNITS)),
        "recurrent": jnp.eye(UNITS),
        "bias": jnp.zeros((1, UNITS)),
        "out": jax.random.normal(out, (UNITS,)) / np.sqrt(UNITS),
        "out_bias": jnp.zeros(()),
    }


def loss(params: dict[str, jax.Array], batch: Sequences, key: jax.Array | None) -> jax.Array:
    """The mean squared error; to guess the mean has 1/6."""
    x, sums = batch

    def step(hidden: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        entered = x @ params["inputs"] + hidden @ params["recurrent"] + params["bias"]
        return jax.nn.relu(entered), None

    hidden, _ = jax.lax.scan(step, jnp.zeros((len(sums), UNITS)), jnp.swapaxes(x, 0, 1))
    return jnp.mean((hidden @ params["out"] + params["out_bias"] - sums) ** 2)


def clipped_sgd(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    return _clipped(gdmethods.sgd(learning_rate))


def clipped_momentum(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    return _clipped(gdmethods.momentum(learning_rate))


def clipped_rmsprop(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    return _clipped(gdmethods.rmsprop(learning_rate))


def clipped_adam(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    return _clipped(gdmethods.adam(learning_rate))


def _clipped(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    return optax.chain(optax.clip_by_global_norm(NORM), tx)


problem = Problem(
    init,
    loss,
    train=sequences(TRAIN, seed=1),
    validation=sequences(VALIDATION, seed=2),
    test=sequences(TEST, seed=3),
    batch_size=32,
    text=f"the adding problem over {LENGTH} steps, {UNITS} recurrent rectified units",
    target=1 / 60,  # a tenth of guessing the mean
)
