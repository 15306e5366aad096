"""What the state of a method weighs on each device, told from shapes alone."""

import math
from typing import Any

import jax
import optax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec, Sharding

from gdmethods._trees import at_path

_ONE_DEVICE = NamedSharding(AbstractMesh((1,), ("device",)), PartitionSpec())


def state_bytes(
    tx: optax.GradientTransformation, params: optax.Params, sharding: Any = None
) -> int:
    """Bytes that the state of `tx` takes on each device. Nothing is computed or allocated.

    What is shaped like a parameter is laid out by `sharding`, all else is whole on every device.

    Arguments:
      tx: any transformation that `optax.tree.map_params` can read, alone or in a chain.
      params: the parameters, or a `jax.ShapeDtypeStruct` in place of each.
      sharding: a `jax.sharding.Sharding` for all, or a tree of them that is like `params` or a
        prefix of it; its mesh may be a `jax.sharding.AbstractMesh`, of devices that are not there.
        None takes each parameter's own, and one device for a parameter that has none.

    Returns:
      The bytes, as an int.

    Raises:
      TypeError: `sharding` holds something else than shardings.
      ValueError: it cannot divide a parameter, or is a tree of other parameters.

    Example:
      >>> import jax, jax.numpy as jnp, gdmethods
      >>> from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec
      >>> w = {"kernel": jax.ShapeDtypeStruct((4096, 1024), jnp.bfloat16)}
      >>> gdmethods.state_bytes(gdmethods.adam(1e-3), w)  # two float32 a weight, and a count
      33554436
      >>> rows = NamedSharding(AbstractMesh((64,), ("data",)), PartitionSpec("data"))
      >>> gdmethods.state_bytes(gdmethods.adam(1e-3), w, rows)
      524292

    Elsewhere: Optax has none; the sum of `nbytes` over a state counts all devices as one.
    """
    shapes = jax.eval_shape(lambda tree: tree, params)
    if sharding is None:
        layouts = jax.tree.map(lambda w: getattr(w, "sharding", None) or _ONE_DEVICE, params)
    else:
        layouts = jax.tree.broadcast(sharding, params)
    sizes = jax.tree_util.tree_map_with_path(_size_on_a_device, shapes, layouts)

    def whole(leaf: Any) -> int:
        return int(leaf.size * leaf.dtype.itemsize)

    def divided(leaf: Any, param: Any, size: int) -> int:
        if isinstance(leaf, optax.MaskedNode):
            return 0
        return size * leaf.dtype.itemsize if leaf.shape == param.shape else whole(leaf)

    by_leaf = optax.tree.map_params(
        tx,
        divided,
        jax.eval_shape(tx.init, params),
        shapes,
        sizes,
        transform_non_params=whole,
        is_leaf=lambda node: isinstance(node, optax.MaskedNode),
    )
    return sum(jax.tree.leaves(by_leaf))


def _size_on_a_device(path: tuple[Any, ...], param: Any, layout: Any) -> int:
    if not isinstance(layout, Sharding):
        raise TypeError(
            f"sharding must hold instances of jax.sharding.Sharding, got {layout!r} for the "
            f"parameter {at_path(path)}. A PartitionSpec needs a mesh: NamedSharding(mesh, spec)."
        )
    try:
        return math.prod(layout.shard_shape(param.shape))
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"sharding cannot divide the parameter {at_path(path)} of shape {param.shape} as "
            f"{layout}. Name axes that it has and that the mesh divides, or replicate it with "
            "PartitionSpec()."
        ) from error
