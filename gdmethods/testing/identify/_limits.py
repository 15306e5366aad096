"""The limits of a factor: a step size or a gain, seen where a long walk ends flat."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gdmethods.testing.identify._fit import Fit, differences
from gdmethods.testing.identify._probes import Array, long
from gdmethods.testing.identify._subject import Subject

LONG = {"rprop": 400, "gains": 2100}  # a gain that adds 0.05 a step reaches 100 in 1,980


def limits(subject: Subject, weights: int) -> Callable[[Fit], Fit]:
    """A function that gives a rule its limits, as far as the long walk reaches them."""
    walks: dict[str, tuple[Array, Array]] = {}

    def limited(hit: Fit) -> Fit:
        family = hit.rule.family
        if family not in walks:
            probe = long(weights, LONG[family])
            walks[family] = probe.gradients[:, :3], subject.walk(probe).updates[:, :3]
        gradients, updates = walks[family]
        return _best(hit, gradients, np.abs(updates), updates)

    return limited


def _best(hit: Fit, gradients: Array, sizes: Array, updates: Array) -> Fit:
    """Of the limits that the walk may have reached, those that explain it."""
    unit = abs(hit.rate)
    if hit.rule.family == "gains":
        mu = hit.numbers.get("momentum", 0.0)
        ends = {sizes[-1, k] / unit * (1 - mu * (-1.0) ** k) for k in (0, 1)}
    else:
        moved = [part[part > 0] for part in (sizes[-20:], sizes[len(sizes) // 2 :, 2])]
        seen = {float(v / unit) for v in (*moved[0], *moved[1][:2])}
        ends = seen | {v / hit.numbers["up"] for v in seen}
    ends = {float(f"{end * unit:.9g}") / unit for end in ends}
    best = hit, np.inf
    for least in [0.0, *sorted(end for end in ends if end <= 1)]:
        for most in [*sorted(end for end in ends if end >= 1), np.inf]:
            tried = replace(hit, numbers={**hit.numbers, "least": least, "most": most})
            off = np.minimum(differences(updates, tried.updates(gradients)), 1.0).sum()
            if off < best[1] - 1e-6:
                best = tried, off
    return best[0]
