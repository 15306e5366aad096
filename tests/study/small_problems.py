"""Problems that train in a moment: a classifier of 21 weights, and a quadratic of three."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.study import Problem

EXAMPLES, BATCH = 100, 20

_random = np.random.default_rng(0)
x = _random.normal(size=(200, 20)).astype(np.float32)
y = (x @ _random.normal(size=20) + _random.normal(size=200) > 0).astype(np.int32)
TRAIN, VALIDATION = (x[:EXAMPLES], y[:EXAMPLES]), (x[EXAMPLES:], y[EXAMPLES:])


def init(key: Any) -> Any:
    return {"w": 0.1 * jax.random.normal(key, 20), "b": jnp.zeros(())}


def logits(params: Any, x: Any) -> Any:
    return x @ params["w"] + params["b"]


def loss(params: Any, batch: Any, key: Any) -> Any:
    """With noise at the input while it trains."""
    x, y = batch
    if key is not None:
        x = x + 0.1 * jax.random.normal(key, x.shape)
    return jnp.mean(jax.nn.softplus(jnp.where(y, -1, 1) * logits(params, x)))


def error(params: Any, batch: Any) -> Any:
    x, y = batch
    return jnp.mean((logits(params, x) > 0) != y)


classifier = Problem(
    init,
    loss,
    train=TRAIN,
    validation=VALIDATION,
    metrics={"error": error},
    batch_size=BATCH,
    name="classifier",
)


def changed(**changes: Any) -> Problem:
    return dataclasses.replace(classifier, **changes)


CURVATURES = np.array([1.0, 10.0, 100.0], np.float32)

quadratic = Problem(  # converges below the rate 2 / 100, and overflows far above
    lambda key: jax.random.normal(key, 3),
    lambda w, batch, key: 0.5 * jnp.sum(CURVATURES * w**2) + 0 * batch.sum(),
    train=np.zeros(8, np.float32),
    validation=np.zeros(1, np.float32),
    batch_size=1,
    name="quadratic",
)
