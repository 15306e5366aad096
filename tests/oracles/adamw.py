"""w_{t+1} = w_t − η_t m̂_t / (√(v̂_t + eps_root) + eps) − η_t λ w_t."""

from collections.abc import Sequence

import numpy as np

from oracles.adam import adam
from oracles.conventions import Schedule, at


def adamw(
    gradients: Sequence[np.ndarray],
    weights: np.ndarray,
    learning_rate: float | Schedule,
    *,
    weight_decay: float = 1e-4,
    **options: float | bool,
) -> list[np.ndarray]:
    path = []
    for t, step in enumerate(adam(gradients, learning_rate, **options), 1):
        weights = weights + step - at(learning_rate, t) * weight_decay * weights
        path.append(weights)
    return path
