"""ν_t averages |g|²; Δ_t = μ_t Δ_{t−1} − η_t g_t / (√(ν_t + eps_root) + eps)."""

from collections.abc import Sequence

import numpy as np

from oracles.conventions import Schedule, at, ratio


def rmsprop(
    gradients: Sequence[np.ndarray],
    learning_rate: float | Schedule,
    decay: float = 0.9,
    eps: float = 1e-8,
    *,
    eps_root: float = 0.0,
    initial_scale: float = 0.0,
    centered: bool = False,
    momentum: float | Schedule = 0.0,
    bias_correction: bool = False,
) -> list[np.ndarray]:
    nu = np.full(gradients[0].shape, initial_scale)
    mean = np.zeros_like(gradients[0])
    displacement = np.zeros_like(gradients[0])
    displacements = []
    for t, g in enumerate(gradients, 1):
        nu = decay * nu + (1 - decay) * np.abs(g) ** 2
        mean = decay * mean + (1 - decay) * g
        correction = 1 - decay**t if bias_correction else 1.0
        second_moment = nu / correction
        if centered:
            second_moment = np.maximum(second_moment - np.abs(mean / correction) ** 2, 0.0)
        step = ratio(g, np.sqrt(second_moment + eps_root) + eps)
        displacement = at(momentum, t) * displacement - at(learning_rate, t) * step
        displacements.append(displacement)
    return displacements
