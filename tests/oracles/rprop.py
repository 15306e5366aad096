"""Rprop, the four variants of Igel & Hüsken: only the sign of the gradient counts."""

from collections.abc import Sequence
from typing import Literal

import numpy as np


def rprop(
    gradients: Sequence[np.ndarray],
    learning_rate: float = 0.1,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
    *,
    variant: Literal["rprop-", "rprop+", "irprop-", "irprop+"] = "irprop-",
    losses: Sequence[float] | None = None,
) -> list[np.ndarray]:
    """The displacements; "irprop+" needs the losses at which the gradients were taken."""
    d = np.full(gradients[0].shape, learning_rate)
    previous = np.zeros_like(gradients[0])
    displacement = np.zeros_like(gradients[0])
    displacements = []
    for t, g in enumerate(gradients):
        a = np.sign(g) * np.sign(previous)
        d = np.where(a > 0, np.minimum(d * eta_plus, max_step_size), d)
        d = np.where(a < 0, np.maximum(d * eta_minus, min_step_size), d)
        move = -np.sign(g) * d
        if variant == "rprop-":
            displacement, previous = move, g
        else:
            rose = losses is not None and t > 0 and losses[t] > losses[t - 1]
            takes_back = variant == "rprop+" or (variant == "irprop+" and rose)
            answer = -displacement if takes_back else np.zeros_like(g)
            displacement = np.where(a < 0, answer, move)
            previous = np.where(a < 0, 0.0, g)
        displacements.append(displacement)
    return displacements
