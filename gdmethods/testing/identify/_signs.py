"""The numbers of a rule whose updates are signs, from the sizes at which the sign turns.

    sign(β₁ m + (1 − β₁) g),    m ← β₂ m + (1 − β₂) g

After g = 1 and k zeros m is (1 − β₂) β₂ᵏ, so that −x turns the sign from
x = β₂ᵏ (1 − β₂) β₁ / (1 − β₁) on.
"""

import math

import numpy as np

from gdmethods.testing.identify._families import Rule
from gdmethods.testing.identify._fit import Fit
from gdmethods.testing.identify._probes import sizes_to_tell
from gdmethods.testing.identify._subject import Subject

WAIT = 10
ROUNDS = 8


def betas(subject: Subject, rate: float, weights: int) -> Fit | None:
    """Lion's β₁ and β₂, if the sign turns as in Lion."""
    soon, late = (_turn(subject, weights, wait) for wait in (0, WAIT))
    if soon is None or late is None or not 0 < late < soon:
        return None
    b2 = (late / soon) ** (1 / WAIT)
    ratio = soon / (1 - b2)
    numbers = {"b1": ratio / (1 + ratio), "b2": b2}
    short = {name: round(1 - float(f"{1 - value:.5g}"), 9) for name, value in numbers.items()}
    return Fit(Rule("signs").having(memory="mean"), rate, short)


def _turn(subject: Subject, weights: int, wait: int) -> float | None:
    """The least x for which −x gets an update of its own sign."""
    least, most = 1e-9, 1e6
    for _ in range(ROUNDS):
        probe = sizes_to_tell(least, most, weights, wait)
        turned = subject.walk(probe).updates[-1] > 0
        if turned.all() or not turned.any() or (np.diff(turned.astype(int)) < 0).any():
            return None
        first = int(np.argmax(turned))
        x = -probe.gradients[-1]
        least, most = float(x[first - 1]), float(x[first])
        if most / least < 1 + 1e-13:
            break
    return math.sqrt(least * most)
