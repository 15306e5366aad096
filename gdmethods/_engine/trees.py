"""Trees beside the parameters: where a leaf stands, and what differs."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

Path: TypeAlias = tuple[Any, ...]
"""The path of a leaf in its tree, as JAX returns it."""


def by_path(tree: Any) -> dict[Path, Any]:
    """The leaves of a tree by their paths, in its order."""
    return dict(jax.tree.leaves_with_path(tree))


def at_path(path: Path) -> str:
    """A leaf's place, for a message."""
    return f"at {jax.tree_util.keystr(path)}" if path else "(the only one)"


def owner(path: Path, parameters: Mapping[Path, Any]) -> Any:
    """The entry of the parameter whose path comes last within a leaf's path; None if none does.

    `.mu['w']` belongs to `['w']`, and so does `.mu['w'].real`, which a wrapper
    added. A parameter that is the whole tree has the empty path, and all leaves
    belong to it.
    """
    ends = range(len(path), -1, -1)
    parts = (path[start:end] for end in ends for start in range(end + 1))
    return next((parameters[part] for part in parts if part in parameters), None)


def fits(tree: Any, other: Any) -> bool:
    """Whether two trees have the same structure and the same shapes."""
    flat: list[Any] = [jax.tree.flatten(each) for each in (tree, other)]
    (leaves, structure), (others, other_structure) = flat
    return bool(
        structure == other_structure and [*map(np.shape, leaves)] == [*map(np.shape, others)]
    )


def misfit(gradients: Any, params: Any, slots: Mapping[str, Any]) -> str:
    """The message for gradients, parameters and slots that do not fit together.

    Arguments:
      gradients: as `update` was given them.
      params: likewise, or None.
      slots: the trees of the state, by their names.
    """
    trusted = params if params is not None else next(iter(slots.values()), None)
    if isinstance(gradients, tuple) and len(gradients) == 2 and fits(gradients[1], trusted):
        return (
            "The gradients are a pair, as jax.value_and_grad returns it: value, grads = "
            "jax.value_and_grad(loss)(params). Pass the second, grads, to update."
        )
    if isinstance(gradients, tuple) and len(gradients) == 2 and fits(gradients[0], trusted):
        return (
            "The gradients are a pair, as jax.grad(loss, has_aux=True) returns it: grads, aux = "
            "jax.grad(loss, has_aux=True)(params). Pass the first, grads, to update."
        )
    witnesses = slots.values() if params is None else [params]
    if any(fits(gradients, witness) for witness in witnesses):
        name, slot = next((name, x) for name, x in slots.items() if not fits(x, gradients))
        return (
            f"The state was made for other parameters: in {name} "
            f"{_first_difference(slot, gradients, name)}. Pass update the state that "
            "tx.init(params), or the update before, returned for these parameters."
        )
    if params is not None and slots and all(fits(gradients, slot) for slot in slots.values()):
        return (
            "The parameters differ from the gradients and from the state: "
            f"{_first_difference(params, gradients, 'parameter', 'gradient')}. Pass the "
            "parameters at which the gradients were taken."
        )
    owner = "" if params is not None else " that this state was made for"
    return (
        f"The gradients differ from the parameters{owner}: "
        f"{_first_difference(gradients, trusted, 'gradient')}. Differentiate with respect to the "
        "tree that init was given, and pass update that gradient, that state and those parameters."
    )


def _first_difference(tree: Any, model: Any, name: str, model_name: str = "parameter") -> str:
    got, expected = (
        {path: np.shape(leaf) for path, leaf in jax.tree.leaves_with_path(each)}
        for each in (tree, model)
    )
    for path in expected | got:
        if path not in got:
            return f"there is no {name} {at_path(path)}"
        if path not in expected:
            return f"there is no {model_name} {at_path(path)}, but a {name}"
        if got[path] != expected[path]:
            return (
                f"the shape {at_path(path)} is {got[path]} for a {model_name} of {expected[path]}"
            )
    return next(_other_containers(tree, model, ()), "the same leaves in another tree")


def _other_containers(tree: Any, model: Any, path: Path) -> Iterator[str]:
    """Where two trees with the same leaves differ in their containers."""
    place = at_path(path) if path else "at the top"
    if type(tree) is not type(model):
        yield f"{place} a {type(tree).__name__} is in the place of a {type(model).__name__}"
        return
    (children, node), (models, other_node) = map(one_level, (tree, model))
    if node != other_node:
        yield f"{place} {node} is in the place of {other_node}"
        return
    for (key, child), (_, other) in zip(children, models, strict=True):
        if key:
            yield from _other_containers(child, other, (*path, *key))


def one_level(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """A node's children with their keys, and its structure."""
    return jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
