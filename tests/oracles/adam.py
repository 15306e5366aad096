"""m_t averages g, v_t averages |g|²; Δ_t = −η_t m̂_t / (√(v̂_t + eps_root) + eps)."""

from collections.abc import Sequence

import numpy as np

from oracles.conventions import Schedule, at, ratio


def adam(
    gradients: Sequence[np.ndarray],
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    *,
    bias_correction: bool = True,
) -> list[np.ndarray]:
    m = np.zeros_like(gradients[0])
    v = np.zeros(gradients[0].shape)
    displacements = []
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * np.abs(g) ** 2
        m_hat = m / (1 - b1**t) if bias_correction else m
        v_hat = v / (1 - b2**t) if bias_correction else v
        displacements.append(-at(learning_rate, t) * ratio(m_hat, np.sqrt(v_hat + eps_root) + eps))
    return displacements
