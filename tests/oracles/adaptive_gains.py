"""Δ_t = μ_t Δ_{t−1} − η_t gain_t g_t, with a gain that grows while its weight keeps direction."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from oracles.conventions import Schedule, at


def adaptive_gains(
    gradients: Sequence[np.ndarray],
    learning_rate: float | Schedule,
    momentum: float | Schedule = 0.0,
    *,
    increase: float = 0.05,
    decrease: float = 0.95,
    min_gain: float = 0.1,
    max_gain: float = 10.0,
    agreement: Literal["gradient", "velocity"] = "gradient",
) -> list[np.ndarray]:
    gain = np.ones_like(gradients[0])
    displacement = np.zeros_like(gradients[0])
    previous = None
    displacements = []
    for t, g in enumerate(gradients, 1):
        if agreement == "velocity":
            a = np.sign(-g) * np.sign(displacement)
        elif previous is not None:
            a = np.sign(g) * np.sign(previous)
        if agreement == "velocity" or previous is not None:
            gain = np.where(a > 0, gain + increase, gain * decrease)
            gain = np.clip(gain, min_gain, max_gain)
        displacement = at(momentum, t) * displacement - at(learning_rate, t) * gain * g
        displacements.append(displacement)
        previous = g
    return displacements
