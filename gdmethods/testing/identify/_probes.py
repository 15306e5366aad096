"""The gradients that a step is probed with: courses over time, each at many sizes.

All are numbers of float32, so that a step in float32 gets the same gradients.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

STEPS = 60
HELD_OUT_STEPS = 100
DECADES = tuple(float(f"1e{k}") for k in range(-12, 5))
SOME = (1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-2, 1.0, 1e2)
FEW = (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2)


@dataclass(frozen=True)
class Probe:
    """Gradients, a row for each step and a column for each weight.

    Attributes:
      name: of the walk, for messages.
      gradients: shape (steps, weights).
      courses: for each weight the name of its course and the size.
    """

    name: str
    gradients: Array
    courses: tuple[tuple[str, float], ...]

    def column(self, course: str, size: float = 1.0) -> int:
        return self.courses.index((course, size))

    def among(self, courses: tuple[str, ...], sizes: tuple[float, ...] = DECADES) -> Any:
        """A mask of the weights with one of these courses and sizes."""
        return np.array([c in courses and s in sizes for c, s in self.courses])


def _turning(t: Array, _: np.random.Generator) -> Array:
    course = np.where((t // 4) % 2 == 0, 1.0, -1.0) * (1 + 0.5 * np.sin(t))
    course[9:11] = 0
    return course


def _late(t: Array, random: np.random.Generator) -> Array:
    course = random.normal(size=len(t))
    course[:3] = course[12:15] = 0
    return course


COURSES: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {
    "random": lambda t, random: random.normal(size=len(t)),
    "one impulse": lambda t, _: np.where(t == 0, 1.0, 0.0),
    "constant": lambda t, _: np.ones(len(t)),
    "alternating": lambda t, _: (-1.0) ** t * (1 + 0.1 * np.sin(2 * t)),  # so that nothing is 0
    "turning": _turning,
    "starting late": _late,
    "of one sign": lambda t, random: np.abs(random.normal(size=len(t))) + 0.1,
    "growing": lambda t, _: 1.3 ** np.minimum(t, 20) * np.where(t % 7 == 6, -1, 1),
    "wild": lambda t, random: random.normal(size=len(t)) * 10.0 ** random.uniform(-9, 3, len(t)),
}


def _single(array: Array) -> Array:
    return array.astype(np.float32).astype(np.float64)


def probe() -> Probe:
    """The probe to find the rule: each term of a rule shows in some of its courses."""
    t, random = np.arange(float(STEPS)), np.random.default_rng(0)
    course = {name: make(t, random) for name, make in COURSES.items()}
    course["− random"] = -course["random"]
    course["random + turning"] = course["random"] + course["turning"]
    course["zero"] = np.zeros(STEPS)
    columns = [("random", size) for size in DECADES]
    for name in ("one impulse", "constant", "turning", "starting late"):
        columns += [(name, size) for size in SOME]
    for name in ("alternating", "of one sign"):
        columns += [(name, size) for size in FEW]
    columns += [("growing", size) for size in (1e-8, 1e-4, 1e-2, 1.0)]
    columns += [("wild", size) for size in (1e-2, 1.0, 1e2)]
    columns += [("− random", 1.0), ("− random", 1e-6), ("random + turning", 1.0), ("zero", 1.0)]
    gradients = _single(np.stack([course[name] * size for name, size in columns], 1))
    random_1, turning_1 = (columns.index((name, 1.0)) for name in ("random", "turning"))
    both = columns.index(("random + turning", 1.0))
    gradients[:, both] = gradients[:, random_1] + gradients[:, turning_1]
    return Probe("the probe", gradients, tuple(columns))


def held_out(weights: int) -> Probe:
    """Other courses, of other sizes, to judge the rule that was found."""
    t, random = np.arange(float(HELD_OUT_STEPS)), np.random.default_rng(7)
    names = [name for name in COURSES if name != "one impulse"]
    columns, courses = [], []
    for k in range(weights):
        name, size = names[k % len(names)], 10.0 ** random.uniform(-9, 3)
        course = COURSES[name](t, random) * (1 + 0.3 * random.uniform(-1, 1, len(t)))
        course[random.uniform(size=len(t)) < 0.05] = 0
        columns.append(course * size)
        courses.append((name, size))
    return Probe("the held-out probe", _single(np.stack(columns, 1)), tuple(courses))


def sizes_to_tell(least: float, most: float, weights: int, wait: int) -> Probe:
    """1, then 0 for `wait` steps, then −x: each weight has its x between `least` and `most`.

    If a running mean of the gradients keeps its sign, x was too small to turn it.
    """
    x = np.geomspace(least, most, weights)
    gradients = np.zeros((wait + 2, weights))
    gradients[0], gradients[-1] = 1, -x
    return Probe("the probe of a sign", gradients, tuple(("turned", float(size)) for size in x))


AWAKE = 5  # steps at the end of a course that was asleep


def long(weights: int, steps: int) -> Probe:
    """Gradients that drive a factor to its limits, in the first four weights."""
    t = np.arange(float(steps))
    turning = np.where(t % 2 == 0, 1.0, -1.05)
    courses = {
        "constant": np.ones(steps),
        "alternating": turning,
        "alternating until half way": np.where(t < steps // 2, turning, -1.0),
        "asleep": np.where((t == 0) | (t >= steps - AWAKE), 1.0, 0.0),
    }
    gradients = np.tile(np.stack(list(courses.values()), 1), (1, -(-weights // 4)))[:, :weights]
    names = tuple((name, 1.0) for name in courses)
    return Probe("the long probe", gradients, (names * -(-weights // 4))[:weights])


def together(weights: int) -> Probe:
    """All gradients grow from 1e-9 to 1e3 together, for weights that share their state."""
    random = np.random.default_rng(3)
    size = 10.0 ** np.linspace(-9, 3, STEPS)
    gradients = _single(random.normal(size=(STEPS, weights)) * size[:, None])
    return Probe("the probe of all weights together", gradients, (("together", 1.0),) * weights)
