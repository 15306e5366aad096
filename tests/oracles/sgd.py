"""Δ_t = −η_t g_t."""

from collections.abc import Sequence

import numpy as np

from oracles.conventions import Schedule, at


def sgd(gradients: Sequence[np.ndarray], learning_rate: float | Schedule) -> list[np.ndarray]:
    return [-at(learning_rate, t) * g for t, g in enumerate(gradients, 1)]
