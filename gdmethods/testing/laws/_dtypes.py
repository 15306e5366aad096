"""What varies is the dtype of weights and gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.testing._differences import (
    TOGETHER,
    TOLERANCE,
    first_difference,
    named_leaves,
    require_same_types,
)
from gdmethods.testing._subject import Subject
from gdmethods.testing.laws._trees import A_CODE, ROWS

NARROW = ("bfloat16", "float16")


def update_dtypes(subject: Subject) -> None:
    """Updates have the parameters' dtypes, whatever the gradients'."""
    _require_update_dtypes(subject, lambda dtype: dtype)


def wide_updates(subject: Subject) -> None:
    """Updates of bfloat16 and float16 parameters are float32; the others have theirs."""
    _require_update_dtypes(subject, lambda d: np.dtype("float32") if d.name in NARROW else d)


def _require_update_dtypes(subject: Subject, promised: Callable[[Any], Any]) -> None:
    for mix in subject.mixes:
        for (path, update), param in zip(
            named_leaves(mix.updates), jax.tree.leaves(mix.params), strict=True
        ):
            dtype = promised(param.dtype)
            if update.dtype != dtype:
                raise AssertionError(
                    f"{mix.case}, the update of weight{path} is {update.dtype}, not {dtype}"
                )


def state_dtypes(subject: Subject) -> None:
    """An update changes no type of the state, whatever the parameters' and gradients' dtypes."""
    for mix in subject.mixes:
        require_same_types(mix.following, mix.state, f"after an update {mix.case}", "before")


def narrow_weights(subject: Subject) -> None:
    """bfloat16 and float16 weights follow float32 ones over a thousand steps.

    The sums of their updates may differ by two units in the last place of the
    updates that were added, and of the weights. Rounding of returned updates
    does not explain more: it is lost in the state, or depends on the dtype.
    """
    updates, replicas = subject.long.path.updates, subject.replicas
    moved, path = np.cumsum(updates["float32"], 0), np.cumsum(np.abs(updates["float32"]), 0)
    tame = within(path, float(jnp.finfo("float16").max) / 4)
    cases: dict[float, Any] = {0.0: ()}
    for dtype in subject.long.dtypes[1:]:
        off = np.cumsum(updates[dtype], 0) - moved
        off = np.where(np.isfinite(off), off, 0.0)  # `long_walk` has a word for those
        # No weight is larger than the path and its start.
        allowed = 2 * float(jnp.finfo(dtype).eps) * (path + np.abs(subject.long.weights))
        wide = moved
        if replicas:
            allowed = allowed.mean(-1) + TOGETHER * off.std(-1)
            off, wide = off.mean(-1), moved.mean(-1)
        excess = np.where(tame, np.abs(off) / allowed, 0.0)
        at = np.unravel_index(np.argmax(excess), excess.shape)
        cases[excess[at]] = (dtype, at[0] + 1, wide[at], wide[at] + off[at], allowed[at])
    if max(cases) > 1:
        dtype, steps, wide, narrow, allowed = cases[max(cases)]
        ratio = narrow / wide if wide else np.inf
        raise AssertionError(
            f"after {steps} steps a {dtype} weight has moved by {narrow:.4g}, and a float32 one "
            f"under the same gradients by {wide:.4g}: {ratio:.4g} times as far; the rounding of "
            f"its updates explains no more than {allowed:.2g}"
        )


def within(path: Any, limit: float) -> Any:
    """Where a weight has moved so little that it stays in the range of a dtype."""
    path = np.where(np.isfinite(path), path, np.inf)
    return (path if path.ndim == 2 else path.max(-1)) < limit


def complex_leaves(subject: Subject) -> None:
    """A complex leaf acts as two real ones, or turns with its gradients, or is refused by name.

    As two real ones: its parts are updated as real leaves would be. It turns:
    if all gradients are turned by an angle in the complex plane, a method of
    |g|² turns the updates by the same angle.
    """
    w, *course = (
        np.array([a + 1j * b, c - 1j * d, e + 1j * f], np.complex64) for a, b, c, d, e, f in ROWS
    )
    rtol = A_CODE if subject.replicas else TOLERANCE

    def walk(split: Callable[[Any], Any]) -> Any:
        params = split(w)
        state = subject.tx.init(params)
        path = []
        for g in course:
            params, state, updates = subject.step(params, state, split(g), jnp.float32(1))
            path.append(updates)
        return path

    angle = np.exp(0.5j).astype(np.complex64)
    with jax.disable_jit():
        try:
            whole = walk(jnp.asarray)
        except (TypeError, ValueError) as error:
            if "complex" in str(error):
                return
            raise
        pairs = walk(lambda z: {"re": jnp.asarray(z.real), "im": jnp.asarray(z.imag)})
        expected = [pair["re"] + 1j * pair["im"] for pair in pairs]
        difference = first_difference(whole, expected, rtol)
        if difference is None:
            return
        turned = [angle * update for update in whole]
        if first_difference(walk(lambda z: jnp.asarray(angle * z)), turned, rtol):
            raise AssertionError(
                f"update {difference.leaf + 1} of complex weights is {difference.got}, and "
                f"{difference.wanted} by their parts; nor does it turn with the gradients"
            )
