"""A model of 70 billion weights on a slice of 256 TPUs, and on eight GPUs."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gdmethods
from benchmarks.accelerators.rows import EIGHT_BITS, METHODS, WRAPPERS, Row
from examples.state_table import MODELS, cut
from gdmethods import StepBytes

GIB = 2**30
MODEL = MODELS["70 B"].params(jnp.dtype(jnp.bfloat16))
VARIANTS = {"rprop, rprop-", "rprop, rprop+", "rprop, irprop+"}
IN_EIGHT_BITS = ("adam, 8-bit state", "stochastic rounding, adam, 8-bit state")
ROWS: Mapping[str, Row] = {
    name: row
    for name, row in {**METHODS, **WRAPPERS}.items()
    if name not in VARIANTS and not name.endswith("velocity")
} | {name: EIGHT_BITS[name] for name in IN_EIGHT_BITS}
"""One row for all variants of a method with the same state."""
MOST_TEMPORARIES = 0.1 * GIB


class Cluster(NamedTuple):
    """Devices that share the model.

    Attributes:
      device: a name that `step_bytes` knows.
      memory: of each device, in GiB.
      layouts: how each parameter is sharded.
    """

    device: str
    memory: int
    layouts: Mapping[str, NamedSharding]


def by_rows_and_columns(leaf: jax.ShapeDtypeStruct) -> NamedSharding:
    """Shards each matrix along both axes, and a vector along its axis."""
    mesh = AbstractMesh((16, 16), ("rows", "columns"))
    matrix = leaf.shape[-2:] if len(leaf.shape) > 1 else ()
    if min(matrix, default=0) >= 1024:
        return NamedSharding(
            mesh, PartitionSpec(*[None] * (len(leaf.shape) - 2), "rows", "columns")
        )
    return NamedSharding(mesh, PartitionSpec(*[None] * (len(leaf.shape) - 1), ("rows", "columns")))


CLUSTERS: Mapping[str, Cluster] = {
    "256 v5e": Cluster(
        "v5e", 16, {name: by_rows_and_columns(leaf) for name, leaf in MODEL.items()}
    ),
    "8 H100": Cluster("h100", 80, {name: cut(leaf, 8) for name, leaf in MODEL.items()}),
}


def step(row: Row, cluster: Cluster) -> StepBytes:
    """What one step of the model does on each device."""
    return gdmethods.step_bytes(
        row.tx, MODEL, dict(cluster.layouts), device=cluster.device, **row.extra_args
    )


def kept(row: Row, cluster: Cluster) -> float:
    """GiB of weights and state on each device."""
    weights = sum(
        math.prod(cluster.layouts[name].shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for name, leaf in MODEL.items()
    )
    return float(weights + gdmethods.state_bytes(row.tx, MODEL, dict(cluster.layouts))) / GIB
