"""What the state of a method weighs on each device, told from shapes alone."""

from __future__ import annotations

import math
from typing import Any

import jax
import optax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec, Sharding

from gdmethods._hyperparameters import is_transformation, transformation
from gdmethods._trees import at_path

_ONE_DEVICE = NamedSharding(AbstractMesh((1,), ("device",)), PartitionSpec())


def state_bytes(
    tx: optax.GradientTransformation, params: optax.Params, sharding: Any = None
) -> int:
    """Bytes that the state of `tx` takes on each device; nothing is allocated.

    A leaf of the state that belongs to a parameter and has its shape is
    divided as the parameter is. All else is whole on each device: counts,
    factored moments, the vectors of `optax.flatten`, the memory of
    `optax.lbfgs`.

    Arguments:
      tx: any transformation whose `init` JAX can trace, alone or in a chain.
      params: the parameters, or a `jax.ShapeDtypeStruct` in place of each.
      sharding: a `jax.sharding.Sharding` for all, or a tree of them that is
        like `params` or a prefix of it; its mesh may be a
        `jax.sharding.AbstractMesh`, of devices that are not there. None takes
        each parameter's own, and one device for a parameter that has none.

    Returns:
      The bytes, as an int.

    Raises:
      TypeError: `tx` is no transformation, or its `init` needs values;
        `sharding` holds something else than shardings.
      ValueError: `sharding` cannot divide a parameter, or is a tree of other
        parameters.

    Example:
      >>> import jax, jax.numpy as jnp, gdmethods
      >>> from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec
      >>> w = {"kernel": jax.ShapeDtypeStruct((4096, 1024), jnp.bfloat16)}
      >>> gdmethods.state_bytes(gdmethods.adam(1e-3), w)  # two float32, a count
      33554436
      >>> mesh = AbstractMesh((64,), ("data",))
      >>> rows = NamedSharding(mesh, PartitionSpec("data"))
      >>> gdmethods.state_bytes(gdmethods.adam(1e-3), w, rows)
      524292

    Elsewhere: Optax has none; the sum of `nbytes` over a state counts all
    devices as one.
    """
    if is_transformation(params) and not is_transformation(tx):
        raise TypeError(
            "tx must be a transformation, and params is one. The arguments are in the wrong "
            "order: write state_bytes(tx, params)."
        )
    tx = transformation("tx", tx)
    shapes = jax.eval_shape(lambda tree: tree, params)
    if sharding is None:
        layouts = jax.tree.map(lambda w: getattr(w, "sharding", None) or _ONE_DEVICE, params)
    else:
        layouts = jax.tree.broadcast(sharding, params)
    if isinstance(params, optax.LookaheadParams):  # whose state is like the fast ones
        shapes, layouts = shapes.fast, layouts.fast
    parameters = {
        path: (param.shape, _size_on_a_device(path, param, layout))
        for (path, param), layout in zip(
            jax.tree.leaves_with_path(shapes), jax.tree.leaves(layouts), strict=True
        )
    }

    def bytes_on_a_device(path: tuple[Any, ...], leaf: Any) -> int:
        shape, size = owner(path, parameters) or ((), 1)
        return int((size if leaf.shape == shape else leaf.size) * leaf.dtype.itemsize)

    state = _abstract_state(tx, params)
    return sum(bytes_on_a_device(*leaf) for leaf in jax.tree.leaves_with_path(state))


def _abstract_state(tx: optax.GradientTransformation, params: Any) -> Any:
    try:
        return jax.eval_shape(tx.init, params)
    except jax.errors.JAXTypeError as error:
        raise TypeError(
            "The init of tx computes with the values of the parameters outside of JAX, so that "
            "shapes do not tell its state. Build the state, and add up the bytes of its arrays: "
            "sum(leaf.nbytes for leaf in jax.tree.leaves(tx.init(params)))."
        ) from error


def owner(path: tuple[Any, ...], parameters: dict[tuple[Any, ...], Any]) -> Any:
    """The entry of the parameter whose path stands last in that of a leaf; None without one.

    `.mu['w']` belongs to `['w']`, and so does `.mu['w'].real`, where a wrapper
    goes on below it. A parameter that is the whole tree has the empty path,
    and all leaves belong to it.
    """
    ends = range(len(path), -1, -1)
    parts = (path[start:end] for end in ends for start in range(end + 1))
    return next((parameters[part] for part in parts if part in parameters), None)


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
