"""The gradients that a dialect and its peer are given, and the run through the dialect."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 100
TOLERANCE = 1e-10

_rng = np.random.default_rng(22)
_signs = _rng.choice([-1.0, 1.0], STEPS)
_columns = [
    _rng.normal(size=STEPS),
    _rng.normal(size=STEPS) * (np.arange(STEPS) >= 10),  # zero at first
    _rng.normal(size=STEPS) * (abs(np.arange(STEPS) - 40) > 20),  # zero for a while
    np.zeros(STEPS),
    np.ones(STEPS),
    (-1.0) ** np.arange(STEPS) * _rng.uniform(0.5, 2, STEPS),  # the sign turns at every step
    np.repeat([1.0, -1.0, 0.0, 1.0], STEPS // 4) * _rng.uniform(0.5, 2, STEPS),
    1e-12 * _rng.normal(size=STEPS),
    1e6 * _rng.normal(size=STEPS),
    _signs * 10 ** _rng.uniform(-12, 6, STEPS),
]
GRADIENTS = np.stack(_columns, axis=1)
START = _rng.normal(size=GRADIENTS.shape[1])


def falling(rate: float, count: Any) -> Any:
    """A learning rate that halves twice on the way, in plain arithmetic for all frameworks."""
    return rate * (0.5 * (count < 30) + 0.25 * (count < 70) + 0.25)


def alone_and_in_pairs(options: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The defaults, each value of each option by itself, and each two options together."""
    values = [[(name, value) for value in options[name]] for name in options]
    yield {}
    for several in (1, 2):
        for chosen in itertools.combinations(values, several):
            yield from map(dict, itertools.product(*chosen))


def trajectory(tx: optax.GradientTransformation) -> np.ndarray:
    """The parameters after each step of `tx`."""

    def step(carry: Any, gradient: jax.Array) -> Any:
        w, state = carry
        updates, state = tx.update(gradient, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    start = jnp.asarray(START)
    return np.asarray(jax.lax.scan(step, (start, tx.init(start)), jnp.asarray(GRADIENTS))[1])


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Each parameter at each step, relative to how far it ever is from 0."""
    assert np.isfinite(theirs).all()
    np.testing.assert_array_less(
        abs(ours - theirs) / abs(theirs).max(axis=0), TOLERANCE * np.ones_like(theirs)
    )
