"""The limits of a factor, a step size or a gain: a long walk ends flat at them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gdmethods.testing.identify._fit import Fit, Record
from gdmethods.testing.identify._probes import AWAKE, long
from gdmethods.testing.identify._subject import Subject

LONG = {"rprop": 400, "gains": 2100}  # a gain that adds 0.05 a step reaches 100 in 1,980


def limits(subject: Subject, weights: int) -> Callable[[Fit], Fit]:
    """A function that adds to a rule the limits that the long walk reaches."""
    walks: dict[str, Record] = {}

    def limited(hit: Fit) -> Fit:
        family = hit.rule.family
        if family not in walks:
            walk = subject.walk(long(weights, LONG[family])).record
            walks[family] = walk.part(LONG[family], slice(0, 4))
        return _best(hit, walks[family], _ends(hit, walks[family]))

    return limited


def limits_of(record: Record) -> Callable[[Fit], Fit]:
    """The same from the record alone: its largest and smallest moves may be limits."""

    def limited(hit: Fit) -> Fit:
        moved = np.abs(record.updates[record.updates != 0] / hit.rate)
        return _best(hit, record, {float(moved.min()), float(moved.max())})

    return limited


def _ends(hit: Fit, record: Record) -> set[float]:
    """The factors that a long walk ends with."""
    unit = abs(hit.rate)
    if hit.rule.family == "gains":
        mu, u, g = hit.numbers.get("momentum", 0.0), record.updates, record.gradients
        with np.errstate(all="ignore"):
            gains = (u[1:] - mu * u[:-1]) / (-hit.rate * g[1:])
            ends = gains[-1, :2][np.abs(gains[-1, :2] / gains[-2, :2] - 1) < 1e-6]
        woken = gains[-AWAKE, 3]  # it may have grown at once, by a velocity that is left
        candidates = (*ends, woken, woken - hit.numbers["increase"])
        return {float(gain) for gain in candidates if 0 < gain < np.inf}
    sizes = np.abs(record.updates)
    last, counts = np.unique(sizes[-20:] / unit, return_counts=True)
    turned = sizes[len(sizes) // 2 :, 2] / unit
    flat = (*last[counts > 3], *turned[turned > 0][:2])
    return {float(end) for end in flat if end > 0}


def _best(hit: Fit, record: Record, ends: set[float]) -> Fit:
    """The limits among `ends` that explain the record."""
    if hit.rule.family == "rprop":
        ends = ends | {end / hit.numbers["up"] for end in ends}
    unit = abs(hit.rate) if hit.rule.family == "rprop" else 1.0  # of what people write
    ends = {float(f"{end * unit:.9g}") / unit for end in ends}
    best = hit, np.inf
    for least in [0.0, *sorted(end for end in ends if end <= 1)]:
        for most in [np.inf, *sorted(end for end in ends if end >= 1)]:
            tried = replace(hit, numbers={**hit.numbers, "least": least, "most": most})
            off = np.minimum(record.off(tried.updates(record.gradients)), 1.0).sum()
            if off < best[1] - 1e-6:
                best = tried, off
    return best[0]
