"""What varies is how the state is stored: the same rule in float32 is the reference."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods.testing._differences import TOGETHER, number
from gdmethods.testing._long_walk import LongWalk, courses
from gdmethods.testing._subject import JITTER, Subject

FIRST = 6  # steps in which chance has to show
APART = 5 * JITTER
TWICE = 2.0
BIAS = 0.02  # of the way
BIAS_AMONG_FEW = 0.2  # where few replicas differ: under constant gradients
DECADES = np.geomspace(1e-3, 1e3, 13)


def rounds_stochastically(subject: Subject) -> None:
    """Equal weights round differently at different steps, and on average move as in float32."""
    dtypes = ["float32", *(["bfloat16"] if "wide_updates" in subject.claims else [])]
    chances = [_chance(subject, dtype) for dtype in dtypes]
    if max(chances) < 0.5:
        raise AssertionError(
            f"{subject.replicas} equal weights, each of which has waited for one step more, are "
            f"rounded alike in the next {FIRST}, under {1 - max(chances):.0%} of the courses of "
            "gradients; nothing is left to chance"
        )
    reference = LongWalk(_reference(subject), subject.words, subject.replicas)
    for dtype in dtypes:
        for ours, theirs, bias in (
            (subject.long.path, reference.path, BIAS),
            (subject.long.constant_path, reference.constant_path, BIAS_AMONG_FEW),
        ):
            _require_same_mean(ours.updates[dtype], theirs.updates["float32"], dtype, bias)


def _require_same_mean(updates: Any, wanted: Any, dtype: str, bias: float) -> None:
    path = np.cumsum(np.abs(wanted), 0).mean(-1)
    off = np.cumsum(updates - wanted, 0)
    allowed = bias * path + TOGETHER * off.std(-1)
    for t, k in np.argwhere(~(np.abs(off.mean(-1)) <= allowed))[:1]:
        moved = np.cumsum(wanted, 0)[t, k].mean()
        raise AssertionError(
            f"after {t + 1} steps {off.shape[-1]} {dtype} weights have moved "
            f"{number(moved + off[t, k].mean())} in the mean, and {number(moved)} with the "
            f"reference; chance explains no more than {number(allowed[t, k])}"
        )


def _chance(subject: Subject, dtype: str) -> Any:
    """The share of courses in which weights that waited for different times soon move apart.

    They wait without gradients, which keeps the slots and draws other noise.
    """
    gradients = courses()[:FIRST].astype(np.float32)
    weights = subject.long.weights[..., 0]
    wanted = _after_waiting(_reference(subject), subject, weights, gradients)
    updates = _after_waiting(subject.tx, subject, weights.astype(dtype), gradients)
    apart = (updates - wanted).std(0) > APART * np.abs(wanted).mean(0)
    return np.mean(np.any(apart, axis=0))


def _after_waiting(tx: Any, subject: Subject, weights: Any, gradients: Any) -> Any:
    """The updates of the replicas; each has waited one step longer than the last."""
    step = _step(tx, subject)

    def walk(start: Any) -> Any:
        return jax.lax.scan(step, start, gradients)[1]

    def wait(carry: Any, _: Any) -> Any:
        return step(carry, jnp.zeros(gradients.shape[1], gradients.dtype))[0], carry

    params = {"w": weights}
    start = params, tx.init(params)
    _, starts = jax.jit(lambda c: jax.lax.scan(wait, c, length=subject.replicas))(start)
    return np.asarray(jax.jit(jax.vmap(walk))(starts), np.float64)


def bounded_steps(subject: Subject) -> None:
    """No step is more than twice the longest one of the reference.

    The gradients are of six decades, in one leaf: constant, sparse, noisy, and
    of the other sign after many zeros. They are 78 walks. Stochastic rounding
    has a tail: one weight of many thousands makes longer steps.
    """
    gradients = _extreme_gradients()
    weights = jnp.ones(gradients.shape[1])
    updates = _walk(subject.tx, subject, weights, gradients)
    longest = np.abs(_walk(_reference(subject), subject, weights, gradients)).max()
    for t, k in np.argwhere(~(np.abs(updates) <= TWICE * longest))[:1]:
        size = np.nanmax(np.abs(updates[:, k]), initial=0.0)
        raise AssertionError(
            f"update {t + 1} is {number(updates[t, k])}, after a gradient of "
            f"{number(gradients[t, k])} in a leaf with others from 0.001 to 1000, and the longest "
            f"of its walk {number(size / longest)} times as long as the longest of the reference, "
            f"{number(longest)}"
        )


def _reference(subject: Subject) -> optax.GradientTransformationExtraArgs:
    if subject.reference is None:
        raise ValueError("this law needs reference, the same rule with float32 state.")
    return optax.with_extra_args_support(subject.reference())


def _extreme_gradients() -> Any:
    t = np.arange(400)[:, None]
    rng = np.random.default_rng(5)
    ones = np.ones_like(DECADES)
    courses = [
        ones * np.ones_like(t),
        ones * (t % 50 == 0),
        ones * rng.normal(size=(len(t), len(DECADES))),
        ones * np.select([t < 20, t < 300], [1.0, 0.0], -1.0),
        ones * np.where(t < 200, 1.0, 1e-3),
        ones * np.where(t == 0, 1.0, rng.normal(size=(len(t), len(DECADES))) * 1e-3),
    ]
    return np.concatenate([DECADES * course for course in courses], axis=1).astype(np.float32)


def _walk(tx: Any, subject: Subject, weights: Any, gradients: Any) -> Any:
    params = {"w": weights}
    start = params, tx.init(params)
    step = _step(tx, subject)
    _, updates = jax.jit(lambda *inputs: jax.lax.scan(step, *inputs))(start, gradients)
    return np.asarray(updates, np.float64)


def _step(tx: Any, subject: Subject) -> Callable[[Any, Any], Any]:
    """For `jax.lax.scan`, from parameters and state to the next, and the update between."""

    def step(carry: Any, g: Any) -> Any:
        params, state = carry
        tree = {"w": g}
        words = subject.words(params, tree, jnp.float32(1))
        updates, state = tx.update(tree, state, params, **words)
        return (optax.apply_updates(params, updates), state), updates["w"]

    return step
