"""What varies is the length of the walk: a thousand steps, and up to the last count."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.testing._differences import number
from gdmethods.testing._long_walk import CONSTANTS, STEPS, scalars
from gdmethods.testing._subject import Subject

EARLY = slice(4, 64)  # what a rule does here it may do again: every fourth step, for example
SUDDEN = 0.5
FAR = 1e6  # who steps in proportion to the weights may go this far, and is not looked at beyond
COUNTS = re.compile(r"count|step|iter")
RISES = 16


def long_walk(subject: Subject) -> None:
    """A thousand steps are finite, and none changes the course under a constant gradient."""
    paths = (subject.long.path, "tame gradients"), (subject.long.constant_path, "constant ones")
    for path, gradients in paths:
        moved = np.nancumsum(np.abs(path.updates["float32"]), 0)
        for dtype in subject.long.dtypes:
            updates = path.updates[dtype]
            far = moved.reshape(STEPS, -1).max(-1) > min(FAR, float(jnp.finfo(dtype).max) / 4)
            steps = np.argmax(far) if far.any() else STEPS
            for t, *at in np.argwhere(~np.isfinite(updates[:steps]))[:1]:
                value = number(updates[(t, *at)])
                raise AssertionError(
                    f"of a {dtype} weight under {gradients}, update {t + 1} is {value}"
                )
    updates = subject.long.constant_path.updates["float32"]
    if subject.replicas:
        updates = updates.mean(-1)
    sizes = np.abs(updates)
    with np.errstate(invalid="ignore"):
        scale = np.maximum(sizes[1:], sizes[:-1]) + 1e-3 * sizes.max(0)
        changes = np.abs(np.diff(updates, axis=0)) / np.where(scale == 0, 1.0, scale)
    usual = np.maximum(SUDDEN, 1.2 * changes[EARLY].max(0))
    for t, k in np.argwhere(changes > usual):
        if t >= EARLY.stop:
            raise AssertionError(
                f"under a constant gradient of {CONSTANTS[k]:g}, update {t + 1} is "
                f"{number(updates[t, k])} and update {t + 2} is {number(updates[t + 1, k])}"
            )


def counts(subject: Subject) -> None:
    """A counter of steps neither wraps nor stalls, and at its limit updates keep their signs.

    A counter is an integer or float scalar of the state that rises by one a step.
    Integers are put near their limits, and the next two updates must have the
    signs of the one before. It is also a case if an integer named as a count or
    step never advances, though the updates depend on it.
    """
    walk = subject.long
    passed = walk.path.numbers["float32"]
    first = {name: np.asarray(x) for name, x in scalars(walk.start["float32"]).items()}
    counters = {}
    for name, values in passed.items():
        rises = np.diff(np.append(first[name], values).astype(np.float64))
        if not np.all(rises[:RISES] == 1):
            continue
        integer = np.issubdtype(values.dtype, np.integer)
        for t in np.flatnonzero(rises < 0 if integer else rises == 0)[:1]:
            raise AssertionError(
                f"state{name}, of {values.dtype}, counts {number(values[t - 1])} after step {t} "
                f"and {number(values[t])} after step {t + 1}"
            )
        if integer:
            counters[name] = np.iinfo(values.dtype).max - 1
    end = walk.constant_path.state
    if counters:
        usual = walk.walk(end, walk.constants).updates["float32"][:3]
        limits = end | {"float32": _with(end["float32"], counters)}
        updates = walk.walk(limits, walk.constants).updates["float32"][:3]
        if subject.replicas:
            usual, updates = usual.mean(-1), updates.mean(-1)
        turned = (np.sign(updates) != np.sign(updates[0])) | ~np.isfinite(updates)
        for k in np.flatnonzero(np.any(turned & np.isfinite(usual), axis=0))[:1]:
            name, limit = next(iter(counters.items()))
            raise AssertionError(
                f"with state{name} at {limit}, next to its limit, the next updates under a "
                f"constant gradient are {', '.join(map(number, updates[:, k]))}"
            )
    for name, values in passed.items():
        if not (np.issubdtype(values.dtype, np.integer) and COUNTS.search(name.lower())):
            continue
        if np.all(values == first[name]):
            later = min(int(first[name]) + 1000, np.iinfo(values.dtype).max)
            start = _with(walk.start["float32"], {name: later})
            ahead = walk.walk(walk.start | {"float32": start}, walk.constants)
            if not np.array_equal(
                ahead.updates["float32"], walk.constant_path.updates["float32"], equal_nan=True
            ):
                raise AssertionError(
                    f"state{name} stays {first[name]} for a thousand steps, and updates depend "
                    "on it"
                )


def _with(state: Any, numbers: dict[str, Any]) -> Any:
    """The state with some of its numbers replaced."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            jnp.asarray(numbers[jax.tree_util.keystr(path)], leaf.dtype)
            if jax.tree_util.keystr(path) in numbers
            else leaf
        ),
        state,
    )
