"""What can be shown of a step whose rule is not known; it also narrows the search for it."""

from dataclasses import dataclass

import numpy as np

from gdmethods.testing.identify._fit import differences
from gdmethods.testing.identify._probes import Array, Flags, Probe
from gdmethods.testing.identify._subject import Subject, Walk

CLOSE = 1e-4  # to tell a law that holds from one that does not, in float32 too
CHANGED = 20  # the step up to which the second walk of half of the weights is another


@dataclass(frozen=True)
class Laws:
    """Attributes:
    alone: the update of a weight depends on its own gradients only.
    memory: it depends on earlier gradients.
    odd: −g gets the opposite update.
    homogeneous: 100 g gets 100 times the update.
    linear: the update of a sum is the sum of the updates.
    scale_free: 100 g gets the same update.
    signs: only the sign of g counts.
    pull: without a gradient the weights go towards this point; None if they stay.
    pulls: the share of this distance that they go in a step.
    sees_weights: the update depends on where the weights are.
    """

    alone: bool
    memory: bool
    odd: bool
    homogeneous: bool
    linear: bool
    scale_free: bool
    signs: bool
    sees_weights: bool
    pull: float | None = None
    pulls: float = 0.0

    def sentences(self) -> tuple[str, ...]:
        """What holds, and what does not."""
        said = [
            "elementwise: each weight depends on its own gradients alone"
            if self.alone
            else "not elementwise: a weight's update depends on other weights' gradients",
            "with memory: earlier gradients count"
            if self.memory
            else "without memory: earlier gradients do not count",
        ]
        if self.linear:
            said.append("linear: a sum of gradients gets the sum of the updates")
        elif self.homogeneous:
            said.append("a gradient 100 times as large gets an update 100 times as large")
        if self.signs:
            said.append("sign-invariant: only the signs of the gradients count")
        elif self.scale_free:
            said.append("scale-invariant: 100 times the gradients get the same updates")
        said.append(
            "symmetric: opposite gradients get opposite updates"
            if self.odd
            else "not symmetric: opposite gradients do not get opposite updates"
        )
        if self.pull is not None:
            said.append(
                f"mean reverting to {self.pull:.6g}: without a gradient a step takes "
                f"{self.pulls:.6g} of the way"
            )
        elif self.sees_weights:
            said.append("the update depends on where the weights are")
        return tuple(said)


def laws(subject: Subject, probe: Probe, walk: Walk) -> Laws:
    updates = walk.updates

    def course(name: str, size: float = 1.0) -> Array:
        return updates[:, probe.column(name, size)]

    def same(one: Array, other: Array) -> bool:
        return bool((differences(one[:, None], other[:, None]) < CLOSE).all())

    other, half = _other_half(probe)
    changed = subject.walk(other).updates
    seen = updates[: len(changed)]
    alone = bool((differences(seen[:, half], changed[:, half]) < CLOSE).all())
    after = differences(seen[CHANGED:, ~half], changed[CHANGED:, ~half])
    pull, pulls = _pull(subject, probe)
    return Laws(
        alone=alone,
        memory=bool((after > CLOSE).any()),
        odd=same(course("random"), -course("− random"))
        and same(course("random", 1e-6), -course("− random", 1e-6)),
        homogeneous=same(100 * course("random"), course("random", 100.0)),
        linear=same(course("random") + course("turning"), course("random + turning"))
        and same(100 * course("random"), course("random", 100.0)),
        scale_free=same(course("random"), course("random", 100.0)),
        signs=same(course("of one sign")[1:], course("constant")[1:])
        or same(course("of one sign"), course("constant")),
        sees_weights=_sees_weights(subject, probe, walk),
        pull=pull,
        pulls=pulls,
    )


def _other_half(probe: Probe) -> tuple[Probe, Flags]:
    """The probe with another beginning for every second weight; and which weights keep theirs."""
    steps = CHANGED + 10
    gradients = probe.gradients[:steps].copy()
    half = np.arange(gradients.shape[1]) % 2 == 0
    gradients[:CHANGED, ~half] = gradients[CHANGED - 1 :: -1, ~half] * 3 + 0.25
    return Probe("the probe that begins otherwise", gradients, probe.courses), half


def _pull(subject: Subject, probe: Probe) -> tuple[float | None, float]:
    """Where weights go without a gradient, if each step is the same share of the distance."""
    weights = probe.gradients.shape[1]
    still = Probe("the probe of zeros", np.zeros((3, weights)), probe.courses)
    w = np.linspace(-2, 3, weights)
    updates = subject.walk(still, w).updates[-1]
    if not np.isfinite(updates).all() or np.abs(updates).max() < 1e-12:
        return None, 0.0
    slope, constant = np.polyfit(w, updates, 1)
    off = np.abs(slope * w + constant - updates).max()
    if off > 1e-5 * np.ptp(updates) or not slope < 0:
        return None, 0.0
    point = -constant / slope
    return float(np.round(point, 6)) + 0.0, float(-slope)


def _sees_weights(subject: Subject, probe: Probe, walk: Walk) -> bool:
    few = Probe(probe.name, probe.gradients[:8], probe.courses)
    mid = probe.among(tuple({name for name, _ in probe.courses}), (1e-2, 1.0, 1e2))
    w = np.resize([1.0, -2.0, 0.5], probe.gradients.shape[1])
    updates, others = walk.updates[:8, mid], subject.walk(few, w).updates[:, mid]
    with np.errstate(all="ignore"):
        rounding = (1e-5 if subject.single else 1e-12) * np.abs(w[mid])
        return bool((np.abs(updates - others) > rounding + 1e-5 * np.abs(updates)).any())
