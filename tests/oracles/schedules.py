"""μ_t = min(1 − 2^(−1 − log₂(⌊t/period⌋ + 1)), μ_max)."""

import math


def sutskever_momentum(t: int, max_momentum: float = 0.99, period: int = 250) -> float:
    return min(1 - 2 ** (-1 - math.log2(t // period + 1)), max_momentum)
