"""Where two trees differ first, in words: the case that a broken law shows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.testing._subject import Subject, Walk

TOLERANCE = 1e-4
STEADY = 16  # times what a unit in the last place of the inputs moves
DEVIATIONS = 6  # standard errors between two means or two spreads that chance explains
TOGETHER = 3  # deviations of one weight, for weights that share their noise while gradients are 0


class Difference(NamedTuple):
    """The first element in which two trees differ.

    leaf: the number of its leaf.
    path: of its leaf, in brackets.
    index: in its leaf.
    got, wanted: its values.
    """

    leaf: int
    path: str
    index: tuple[int, ...]  # type: ignore[assignment]  # a field, not tuple.index
    got: str
    wanted: str


def first_difference(
    actual: Any, wanted: Any, rtol: float = 0.0, slack: Any = None, replicas: int = 0
) -> Difference | None:
    """The differing element with the lowest index; None if all agree to `rtol`. NaN equals NaN.

    `rtol` is relative to the element, or to a hundredth of its leaf's largest
    element, since small differences of large numbers have few digits. It is
    never less than four roundings of the leaf's dtype. `slack`, a tree of
    arrays, is added to the tolerance. With `replicas`, means and spreads over a
    last axis of that length are compared. A leaf without that axis is then not
    compared unless it is a scalar, since a code may flip in it.
    """
    chex.assert_trees_all_equal_structs(actual, wanted)
    found = []
    leaves = zip(named_leaves(actual), jax.tree.leaves(wanted), strict=True)
    slacks = jax.tree.leaves(slack)
    for leaf, ((path, x), y) in enumerate(leaves):
        x, y = to_numpy(x), to_numpy(y)
        rounding = jnp.finfo(y.dtype).eps if jnp.issubdtype(y.dtype, jnp.inexact) else 0.0
        x, y = (z.astype(np.complex128 if np.iscomplexobj(z) else np.float64) for z in (x, y))
        if x.shape != y.shape:
            return Difference(leaf, path, (), f"of shape {x.shape}", f"of shape {y.shape}")
        finite = np.abs(y[np.isfinite(y)])
        allowed = rtol and max(rtol, 4 * rounding) * (np.abs(y) + finite.max(initial=0.0) / 100)
        if slacks:
            allowed = allowed + STEADY * slacks[leaf]
        by_chance = replicas and y.shape[-1:] == (replicas,)
        if replicas and y.shape and not by_chance:
            continue
        alike = _alike_by_chance if by_chance else _alike
        with np.errstate(invalid="ignore"):
            same = alike(x, y, np.broadcast_to(allowed, y.shape))
        for index in np.argwhere(~same)[:1]:
            at = tuple(index.tolist())
            values = (
                f"{number(z.mean())} ± {z.std():.2g}" if by_chance else number(z)
                for z in (x[at], y[at])
            )
            found.append(Difference(leaf, path, at, *values))
    return min(found, key=lambda d: d.index[:1], default=None)


def _alike(x: Any, y: Any, allowed: Any) -> Any:
    return (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= allowed)


def _alike_by_chance(x: Any, y: Any, allowed: Any) -> Any:
    """Whether means and variances over the last axis agree up to what chance explains."""
    n = x.shape[-1]
    both_nan = np.isnan(x) & np.isnan(y)
    x, y = np.where(both_nan, 0.0, x), np.where(both_nan, 0.0, y)
    allowed, distance = allowed.mean(-1), x - y
    near = np.abs(distance.mean(-1)) <= allowed + DEVIATIONS * distance.std(-1) / n**0.5
    squares = [(z - z.mean(-1, keepdims=True)) ** 2 for z in (x, y)]
    variances = [square.mean(-1) for square in squares]
    error = np.sqrt(sum(square.var(-1) for square in squares) / n)
    allowed = allowed * (allowed + 2 * np.sqrt(variances[1])) + DEVIATIONS * error
    return near & (np.abs(variances[0] - variances[1]) <= allowed)


def require_same_walk(
    subject: Subject, actual: Walk, wanted: Walk, gradients: Any, here: str, there: str
) -> None:
    """Raises the first difference of the updates; without one, that of the final states."""
    require_same_updates(subject, actual.updates, wanted.updates, gradients, here, there)
    replicas = subject.replicas
    difference = first_difference(actual.state, wanted.state, TOLERANCE, replicas=replicas)
    if difference and not replicas:
        slack = subject.unsteadiness(subject.params, gradients).state
        difference = first_difference(actual.state, wanted.state, TOLERANCE, slack)
    if difference:
        place = f"{difference.path}{brackets(difference.index)}"
        raise AssertionError(
            f"state{place} is {difference.got} {here}, and {difference.wanted} {there}"
        )


def require_same_updates(
    subject: Subject,
    actual: Any,
    wanted: Any,
    gradients: Any,
    here: str,
    there: str,
    rtol: float = TOLERANCE,
    params: Any = None,
) -> None:
    """Raises the first difference of stacked updates, with the gradients that led there.

    A difference that a unit in the last place of the inputs explains does not
    count, except with `rtol` = 0, and with stochastic rounding, where such a
    unit explains any difference.
    """
    replicas = subject.replicas if rtol else 0
    difference = first_difference(actual, wanted, rtol, replicas=replicas)
    if difference and rtol and not replicas:
        params = subject.params if params is None else params
        slack = subject.unsteadiness(params, gradients).updates
        difference = first_difference(actual, wanted, rtol, slack)
    if difference:
        t, *at = difference.index or (0,)
        rows = np.asarray(jax.tree.leaves(gradients)[difference.leaf])[: t + 1]
        course = [np.mean(row[tuple(at)]) for row in rows]
        raise AssertionError(
            f"weight{difference.path}{brackets(at)} with gradients "
            f"({', '.join(map(number, course))}): update {t + 1} is {difference.got} {here}, "
            f"and {difference.wanted} {there}"
        )


def require_same_types(actual: Any, wanted: Any, here: str, there: str) -> None:
    """Raises a difference of the trees of two states, or the first other shape or dtype."""
    trees = [str(jax.tree.structure(tree)) for tree in (actual, wanted)]
    if trees[0] != trees[1]:
        raise AssertionError(f"the state is {trees[0]} {here}, and {trees[1]} {there}")
    for (path, x), y in zip(named_leaves(actual), jax.tree.leaves(wanted), strict=True):
        if type_of(x) != type_of(y):
            raise AssertionError(f"state{path} is {type_of(x)} {here}, and {type_of(y)} {there}")


def named_leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path), leaf


def type_of(leaf: Any) -> str:
    dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
    return f"{dtype}{list(jnp.shape(leaf))}"


def brackets(index: Any) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def number(x: Any) -> str:
    return f"{x:.6g}"


def to_numpy(leaf: Any) -> Any:
    """The leaf in NumPy; the data of a random key."""
    return np.array(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
