"""What all formulas leave to the reader."""

from collections.abc import Callable

import numpy as np

Schedule = Callable[[int], float]


def at(hyperparameter: float | Schedule, t: int) -> float:
    """The hyperparameter at step t = 1, 2, …: a schedule sees 0 at the first."""
    return float(hyperparameter(t - 1)) if callable(hyperparameter) else hyperparameter


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, where 0/0 counts as 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=numerator != 0)
