"""Nesterov's accelerated gradient with its two points, w and the look-ahead y."""

from collections.abc import Callable

import numpy as np

from oracles.conventions import Schedule, at


def nesterov(
    gradient: Callable[[np.ndarray, int], np.ndarray],
    w: np.ndarray,
    steps: int,
    learning_rate: float | Schedule,
    momentum: float | Schedule = 0.9,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The look-ahead points y₁, y₂, … and the weights w₂, w₃, … that follow them.

    gradient(y, t) is ∇E at y for step t.
    """
    displacement = np.zeros_like(w)
    look_aheads, weights = [], []
    for t in range(1, steps + 1):
        mu, eta = at(momentum, t), at(learning_rate, t)
        y = w + mu * displacement
        displacement = mu * displacement - eta * gradient(y, t)
        w = w + displacement
        look_aheads.append(y)
        weights.append(w)
    return look_aheads, weights
