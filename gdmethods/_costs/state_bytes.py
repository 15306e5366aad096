"""The bytes of a method's state on each device, from shapes alone."""

from __future__ import annotations

from typing import Any

import jax
import optax

from gdmethods._costs.shardings import Layouts, abstract_state, bytes_on_a_device
from gdmethods._engine.transformations import transformation_first


def state_bytes(
    tx: optax.GradientTransformation, params: optax.Params, sharding: Any = None
) -> int:
    """Bytes that the state of `tx` takes on each device; nothing is allocated.

    A leaf of the state that belongs to a parameter and has its shape has the
    parameter's sharding. All else is whole on each device: counts,
    factored moments, the vectors of `optax.flatten`, the memory of
    `optax.lbfgs`.

    Arguments:
      tx: any transformation whose `init` JAX can trace, alone or in a chain.
      params: the parameters, or a `jax.ShapeDtypeStruct` in place of each.
      sharding: a `jax.sharding.Sharding` for all, or a tree of shardings like
        `params` or a prefix of it. The mesh may be a
        `jax.sharding.AbstractMesh` of devices that are not there. None takes
        each parameter's own, and one device for a parameter that has none.

    Returns:
      The bytes, as an int.

    Raises:
      TypeError: `tx` is no transformation, or its `init` needs values;
        `sharding` contains something else than shardings.
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

    Elsewhere: Optax has none. The sum of `nbytes` over a state counts a sharded
    array once, and not on each device.
    """
    tx = transformation_first("state_bytes", tx, params)
    layouts, state = Layouts(params, sharding), abstract_state(tx, params)
    return sum(map(bytes_on_a_device, jax.tree.leaves(state), layouts.of(state)))
