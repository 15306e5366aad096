"""Logistic regression on bags of words, most of which are rare.

A document is drawn word by word, by Zipf's law: the k-th word has a frequency in proportion to
1/k. In the law that gives the labels, rare words have weights as large as frequent ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gdmethods.study import Problem

WORDS, LENGTH = 2000, 30  # in the vocabulary, and in a document
TRAIN, VALIDATION, TEST = 4000, 1000, 4000  # documents

Documents = tuple[NDArray[np.int64], NDArray[np.bool_]]

FREQUENCIES = 1 / np.arange(1, WORDS + 1)
FREQUENCIES /= FREQUENCIES.sum()
TRUE = np.random.default_rng(0).normal(0, 0.5, WORDS)
"""The weights of the law that gives the labels."""


def documents(number: int, *, seed: int) -> Documents:
    """The words of each, by their numbers, and its label."""
    rng = np.random.default_rng(seed)
    words = rng.choice(WORDS, (number, LENGTH), p=FREQUENCIES)
    return words, rng.random(number) < 1 / (1 + np.exp(-TRUE[words].sum(axis=-1)))


def init(key: jax.Array) -> jax.Array:
    return 0.01 * jax.random.normal(key, (WORDS,))


def loss(params: jax.Array, batch: Documents, key: jax.Array | None) -> jax.Array:
    """The cross-entropy."""
    words, labels = batch
    logits = params[words].sum(axis=-1)
    return jnp.mean(jax.nn.softplus(jnp.where(labels, -logits, logits)))


problem = Problem(
    init,
    loss,
    train=documents(TRAIN, seed=1),
    validation=documents(VALIDATION, seed=2),
    test=documents(TEST, seed=3),
    batch_size=16,
    text=f"logistic regression on counts of {WORDS:,} words with Zipf's frequencies",
)
