"""How parameters, and arrays like them, are laid out on devices."""

from __future__ import annotations

import math
from typing import Any

import jax
import optax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec, Sharding

from gdmethods._engine.trees import Path, at_path, owner

_ONE_DEVICE = NamedSharding(AbstractMesh((1,), ("device",)), PartitionSpec())


class Layouts:
    """The layouts of a tree of parameters.

    Arguments:
      params: the parameters, or a `jax.ShapeDtypeStruct` in place of each.
      sharding: a sharding for all, or a tree of shardings like `params` or a
        prefix of it. None takes each parameter's own, and one device for a
        parameter that has none.

    Raises:
      TypeError: `sharding` contains something else than shardings.
      ValueError: it cannot divide a parameter, or is a tree of other
        parameters.
    """

    def __init__(self, params: optax.Params, sharding: Any) -> None:
        for leaf in jax.tree.leaves(params):
            if isinstance(leaf, int) and abs(leaf) >= 2**31:  # JAX cannot make an array of it
                raise TypeError(
                    f"params holds the number {leaf}. Pass the parameters, or a "
                    "jax.ShapeDtypeStruct(shape, dtype) in place of each."
                )
        shapes = jax.eval_shape(lambda tree: tree, params)
        if sharding is None:
            layouts = jax.tree.map(lambda w: getattr(w, "sharding", None) or _ONE_DEVICE, params)
        else:
            layouts = jax.tree.broadcast(sharding, params)
        if isinstance(params, optax.LookaheadParams):  # whose state is like the fast ones
            shapes, layouts = shapes.fast, layouts.fast
        self._parameters = {
            path: (param.shape, layout)
            for (path, param), layout in zip(
                jax.tree.leaves_with_path(shapes), jax.tree.leaves(layouts), strict=True
            )
        }
        for path, (shape, layout) in self._parameters.items():
            _require_divisible(path, shape, layout)

    def of(self, tree: Any) -> list[Sharding]:
        """The layouts of the leaves of a state, of gradients, or of a tuple of such trees.

        A leaf that belongs to a parameter and has its shape has its layout.
        All else is whole on each device.
        """
        return [self._of_leaf(*leaf) for leaf in jax.tree.leaves_with_path(tree)]

    def _of_leaf(self, path: Path, leaf: Any) -> Sharding:
        shape, layout = owner(path, self._parameters) or ((), _ONE_DEVICE)
        return layout if leaf.shape == shape else _ONE_DEVICE


def bytes_on_a_device(leaf: Any, layout: Sharding) -> int:
    """The bytes of one leaf on each device."""
    return int(math.prod(layout.shard_shape(leaf.shape)) * leaf.dtype.itemsize)


def abstract_state(tx: optax.GradientTransformation, params: optax.Params) -> Any:
    """The shapes of the state that `tx` makes for the parameters."""
    try:
        return jax.eval_shape(tx.init, params)
    except jax.errors.JAXTypeError as error:
        raise TypeError(
            "The init of tx computes with the values of the parameters outside of JAX, so that "
            "shapes are not enough. Build the state, and add up the bytes of its arrays: "
            "sum(leaf.nbytes for leaf in jax.tree.leaves(tx.init(params)))."
        ) from error


def _require_divisible(path: Path, shape: tuple[int, ...], layout: Any) -> None:
    if not isinstance(layout, Sharding):
        raise TypeError(
            f"sharding must hold instances of jax.sharding.Sharding, got {layout!r} for the "
            f"parameter {at_path(path)}. A PartitionSpec needs a mesh: NamedSharding(mesh, spec)."
        )
    try:
        layout.shard_shape(shape)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"sharding cannot divide the parameter {at_path(path)} of shape {shape} as "
            f"{layout}. Name axes that it has and that the mesh divides, or replicate it with "
            "PartitionSpec()."
        ) from error
