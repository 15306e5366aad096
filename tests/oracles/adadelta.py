"""a_t averages |g|², b_t averages |δ|²; δ_t = √(b_{t−1} + ε)/√(a_t + ε) · g_t; Δ_t = −η_t δ_t."""

from collections.abc import Sequence

import numpy as np

from oracles.conventions import Schedule, at, ratio


def adadelta(
    gradients: Sequence[np.ndarray],
    learning_rate: float | Schedule = 1.0,
    rho: float = 0.95,
    eps: float = 1e-6,
) -> list[np.ndarray]:
    a = np.zeros(gradients[0].shape)
    b = np.zeros(gradients[0].shape)
    displacements = []
    for t, g in enumerate(gradients, 1):
        a = rho * a + (1 - rho) * np.abs(g) ** 2
        delta = ratio(np.sqrt(b + eps) * g, np.sqrt(a + eps))
        b = rho * b + (1 - rho) * np.abs(delta) ** 2
        displacements.append(-at(learning_rate, t) * delta)
    return displacements
