"""How a rule depends on the weights: a decay of them, beside the update or in the gradient."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdmethods.testing.identify._fit import Fit, Record
from gdmethods.testing.identify._probes import Array


@dataclass(frozen=True)
class Decay:
    """Attributes:
    l2: λ, if λ w is added to the gradient.
    decoupled: λ, if η λ w is subtracted from the weights beside the update.
    """

    l2: float = 0.0
    decoupled: float = 0.0

    def updates(self, hit: Fit, gradients: Array, w: Any) -> Array:
        """The updates of a rule with this decay."""
        beside: Array = abs(hit.rate) * self.decoupled * np.asarray(w)
        moved: Array = hit.updates(gradients, decay=self.l2 * np.asarray(w)) - beside
        return moved

    def takes_all(self, rate: float) -> bool:
        """Whether it removes the weights wholly, as in a step that returns only the update."""
        return abs(self.decoupled * abs(rate) - 1) < 1e-6


NO_DECAY = Decay()


def decay_of(hit: Fit, record: Record, w: Array, single: bool) -> Decay | None:
    """The decay that gives these updates; None if none does."""
    digits = 1e-6 if single else 1e-15
    plain = hit.updates(record.gradients)
    rounding = 8 * digits * np.abs(w) + 1e-9 * np.abs(plain)

    def explained(decay: Decay) -> bool:
        off = np.abs(record.updates - decay.updates(hit, record.gradients, w))
        close = rounding + (1e-4 if single else 1e-7) * np.abs(record.updates)
        return bool((off <= close)[np.isfinite(off)].all())

    part = -np.median((record.updates - plain) / w) / abs(hit.rate)
    decoupled = Decay(decoupled=_short(float(part), single))
    if explained(decoupled):
        return decoupled
    coupled = Decay(l2=_short(_l2(hit, record, w), single))
    return coupled if explained(coupled) else None


def _l2(hit: Fit, record: Record, w: Array) -> float:
    """λ by Newton's method, from the best of many starts."""
    scale = np.abs(record.updates) + 1e-3 * np.abs(record.updates).max(0)

    def residual(l2: float) -> Array:
        theirs = Decay(l2=l2).updates(hit, record.gradients, w)
        left: Array = ((record.updates - theirs) / scale).ravel()
        return left

    def cost(l2: float) -> float:
        return float(np.nan_to_num(np.arcsinh(np.abs(residual(l2))), nan=9.0).sum())

    l2 = min((math.pow(10, k / 10) for k in range(-60, 1)), key=cost)
    for _ in range(12):
        r = residual(l2)
        slope = (residual(l2 * (1 + 1e-6)) - r) / (1e-6 * l2)
        step = float(slope @ r) / max(float(slope @ slope), 1e-300)
        l2 = float(np.clip(l2 - step, l2 / 3, l2 * 3))
    return l2


def _short(value: float, single: bool) -> float:
    return float(f"{value:.{3 if single else 7}g}")
