"""What varies is the tree of the same weights, and the shapes of its leaves."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods.testing._differences import (
    first_difference,
    named_leaves,
    require_same_updates,
)
from gdmethods.testing._subject import Subject, stacked, unstacked

# Ranks 0 to 4; leading, inner and trailing axes of one; up to some thousand elements.
SHAPES: list[tuple[int, ...]] = sorted(
    [(), (1,), (5,), (1, 4), (4, 1), (3, 1, 2), (1, 2, 1, 3), (3, 3, 2, 4), (48, 64)],
    key=str,  # the order of their names in a tree
)
PIECE = 500
A_CODE = (9 / 8) ** 4 - 1  # of an update: what two codes of v^¼ in 8 bits make of it


def shapes(subject: Subject) -> None:
    """Updates have exactly their parameters' shapes, of ranks 0 to 4, with axes of one."""
    params = {str(shape): jax.ShapeDtypeStruct(shape, jnp.float32) for shape in SHAPES}
    loss = jax.ShapeDtypeStruct((), jnp.float32)

    def update(gradients: Any, state: Any, params: Any, loss: Any) -> Any:
        words = subject.words(params, gradients, loss)
        return subject.tx.update(gradients, state, params, **words)

    state = jax.eval_shape(subject.tx.init, params)
    for when in ("first", "second"):
        updates, state = jax.eval_shape(update, params, state, params, loss)
        for shape, (path, each) in zip(SHAPES, named_leaves(updates), strict=True):
            if each.shape != shape:
                raise AssertionError(
                    f"the {when} update of weight{path}, of shape {shape}, has shape {each.shape}"
                )


def tree_kinds(subject: Subject) -> None:
    """Every kind of tree comes back as it was, with the same numbers as a plain list."""

    def updates(kind: Callable[..., Any]) -> Any:
        trees = [kind(*(jnp.asarray(half) for half in np.split(row, 2))) for row in ROWS]
        params, state = trees[0], subject.tx.init(trees[0])
        for gradients in trees[1:]:
            params, state, updates = subject.step(params, state, gradients, jnp.float32(1))
        chex.assert_trees_all_equal_structs(updates, trees[0])
        return updates

    def check(name: str, kind: Callable[..., Any]) -> None:
        plain = updates(lambda a, b: jax.tree.leaves(kind(a, b)))
        rtol = A_CODE if subject.replicas else 0.0
        if first_difference(jax.tree.leaves(updates(kind)), plain, rtol):
            raise AssertionError(f"a tree with {name} has other updates than a list of its leaves")

    with jax.disable_jit():
        try:
            check("all of these", lambda a, b: {name: kind(a, b) for name, kind in KINDS.items()})
        except Exception:
            for name, kind in KINDS.items():
                try:
                    check(name, kind)
                except Exception as error:
                    raise AssertionError(f"of a tree with {name}: {error}") from error
            raise


class _Pair(NamedTuple):
    first: Any
    second: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class _Layer:
    weight: Any
    bias: Any


@chex.dataclass
class _Mappable:
    first: Any
    second: Any


ROWS = np.array(
    [[0.5, -1, 3, 2, 1, -2], [1, -2, -1, 0.5, -1, 3], [-1, -1, 0.5, 0, 2, -2]], np.float32
)
KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "a dict": lambda a, b: {"b": a, "a": {"c": b}},
    "a list and a tuple": lambda a, b: [a, (b,)],
    "a NamedTuple": lambda a, b: _Pair(b, _Pair(a, b)),
    "a dataclass": lambda a, b: _Layer(a, _Layer(b, a)),
    "a chex.dataclass": lambda a, b: _Mappable(first=a, second=b),  # type: ignore[call-arg]
    "None": lambda a, b: {"a": a, "none": None, "b": b},
    "optax.MaskedNode": lambda a, b: {"a": a, "masked": optax.MaskedNode(), "b": b},
    "a leaf of size zero": lambda a, b: [a, b[:0], b],
    "scalars": lambda a, b: [a[0], b[1]],
    "one bare leaf": lambda a, b: a,
    "no leaf": lambda a, b: {"none": None, "empty": ()},
}


def elementwise(subject: Subject) -> None:
    """Each weight moves by itself: in a leaf of any shape it moves as in a vector of others.

    The weights of `SHAPES` walk again in vectors of 500, in reversed order, and
    some of them are left out.
    """
    steps = min(3, subject.steps)
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    kept = sum(sizes) // PIECE * PIECE
    rows = np.random.default_rng(4).normal(size=(1 + steps, sum(sizes))).astype(np.float32)
    rows = subject.replicated(rows)

    def in_leaves(row: Any) -> dict[str, Any]:
        leaves = np.split(row, np.cumsum(sizes)[:-1])
        return {
            str(shape): jnp.asarray(leaf.reshape(shape + leaf.shape[1:]))
            for shape, leaf in zip(SHAPES, leaves, strict=True)
        }

    def in_vectors(row: Any) -> list[Any]:
        return [jnp.asarray(piece) for piece in np.split(row[:kept][::-1], kept // PIECE)]

    def updates(arranged: Callable[[Any], Any]) -> list[list[Any]]:
        params, *course = map(arranged, rows)
        path = subject.compiled(params, stacked(course)).updates
        return [jax.tree.leaves(each) for each in unstacked(path)]

    own, others = updates(in_leaves), updates(in_vectors)
    flat = [
        np.concatenate([np.reshape(leaf, (-1, *rows.shape[2:])) for leaf in leaves])
        for leaves in own
    ]
    moved = [
        np.concatenate([np.concatenate(other)[::-1], row[kept:]])
        for other, row in zip(others, flat, strict=True)
    ]
    wanted, actual, gradients = (
        stacked([in_leaves(row) for row in each]) for each in (moved, flat, rows[1:])
    )
    require_same_updates(
        subject,
        actual,
        wanted,
        gradients,
        "in its own leaf",
        "in a vector of others",
        params=in_leaves(rows[0]),
    )
