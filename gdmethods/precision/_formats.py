"""A format: how a slot is stored between two updates, and what a step loses by it.

A step reads each slot as numbers of the dtype that it computes in. It stores a
new one before it goes on, reads it again, and so makes the displacement of what
is stored: a resumed run reads what the step used. It also spares a pass over
the arrays on a TPU, whose compiler shares a costly value between two results
of a kernel only if it is a result itself, in the dtype of the slot.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdmethods.precision._rounding import noise, rounded


class Format(NamedTuple):
    """How a slot's numbers are stored in arrays of one dtype.

    Attributes:
      is_narrow: whether a step rounds by noise what it stores.
      read: what is stored, as numbers of float32 or wider.
      write: numbers as they are stored; rounded by 32 random bits each, and to
        the nearest without.
    """

    is_narrow: bool
    read: Callable[[jax.Array], jax.Array]
    write: Callable[..., jax.Array]


def format_of(dtype: jnp.dtype) -> Format:
    """The format of slots that are stored in this dtype."""
    if dtype == jnp.bfloat16:
        return Format(True, lambda x: x.astype(jnp.float32), _to_bfloat16)
    return Format(False, lambda x: x, lambda x: x.astype(dtype))


def _to_bfloat16(x: jax.Array, noise: jax.Array | None = None) -> jax.Array:
    if noise is not None:
        x = rounded(x.astype(jnp.float32), noise)
    return x.astype(jnp.bfloat16)


class Seed(NamedTuple):
    """What the noise of a leaf is drawn from, beside its gradient and its slots.

    Attributes:
      count: of the update.
      weight: None where `update` was not given the parameters.
    """

    count: jax.Array  # type: ignore[assignment]  # a field, not tuple.count
    weight: jax.Array | None


def needs_seed(slots: list[Any]) -> bool:
    """Whether one of a leaf's slots is narrow."""
    return any(x is not None and format_of(x.dtype).is_narrow for x in slots)


def keeping(
    slots: Mapping[str, jax.Array | None], gradient: jax.Array, seed: Seed | None
) -> SimpleNamespace:
    """A function for each slot, under its name: from a number to the one that the slot keeps."""

    def of(place: int, slot: jax.Array | None) -> Callable[[jax.Array], jax.Array]:
        format = None if slot is None else format_of(slot.dtype)
        if format is None or not format.is_narrow:
            return lambda x: x
        assert seed is not None

        def keep(x: jax.Array) -> jax.Array:
            bits = noise(seed.count, place, gradient, seed.weight, slot)
            return format.read(format.write(x, bits)).astype(x.dtype)

        return keep

    return SimpleNamespace(**{name: of(i, x) for i, (name, x) in enumerate(slots.items())})
