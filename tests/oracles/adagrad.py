"""s_t = s_{t−1} + |g_t|²; Δ_t = −η_t g_t / (√(s_t + eps_root) + eps)."""

from collections.abc import Sequence

import numpy as np

from oracles.conventions import Schedule, at, ratio


def adagrad(
    gradients: Sequence[np.ndarray],
    learning_rate: float | Schedule,
    eps: float = 1e-10,
    *,
    eps_root: float = 0.0,
    initial_accumulator_value: float = 0.0,
) -> list[np.ndarray]:
    s = np.full(gradients[0].shape, initial_accumulator_value)
    displacements = []
    for t, g in enumerate(gradients, 1):
        s = s + np.abs(g) ** 2
        displacements.append(-at(learning_rate, t) * ratio(g, np.sqrt(s + eps_root) + eps))
    return displacements
