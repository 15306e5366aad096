"""Δ_t = μ_t Δ_{t−1} − η_t g_t."""

from collections.abc import Sequence

import numpy as np

from oracles.conventions import Schedule, at


def momentum(
    gradients: Sequence[np.ndarray],
    learning_rate: float | Schedule,
    momentum: float | Schedule = 0.9,
) -> list[np.ndarray]:
    displacement = np.zeros_like(gradients[0])
    displacements = []
    for t, g in enumerate(gradients, 1):
        displacement = at(momentum, t) * displacement - at(learning_rate, t) * g
        displacements.append(displacement)
    return displacements
