"""A format: how a slot is stored between two updates, and what a step loses by it.

A step reads each slot as numbers of the dtype that it computes in. It rounds a
new one to a number that the slot's format has, goes on from there, and so makes
the displacement of what is stored: a resumed run reads what the step used. To
write what was rounded loses nothing more.
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
      read: from what is stored, as numbers of float32 or wider.
      round: such numbers to those that the format has, by 32 random bits each;
        None where it has all.
      write: to what is stored; what the format has not goes to the nearest.
    """

    read: Callable[[jax.Array], jax.Array]
    round: Callable[[jax.Array, jax.Array], jax.Array] | None
    write: Callable[[jax.Array], jax.Array]


def format_of(dtype: jnp.dtype) -> Format:
    """The format of slots that are stored in this dtype."""
    if dtype == jnp.bfloat16:
        return Format(
            read=lambda x: x.astype(jnp.float32),
            round=lambda x, noise: rounded(x.astype(jnp.float32), noise).astype(x.dtype),
            write=lambda x: x.astype(dtype),
        )
    return Format(read=lambda x: x, round=None, write=lambda x: x.astype(dtype))


class Seed(NamedTuple):
    """What the noise of a leaf is drawn from, beside its gradient and its slots.

    Attributes:
      count: of the update.
      weight: None where `update` was not given the parameters.
    """

    count: jax.Array  # type: ignore[assignment]  # a field, not tuple.count
    weight: jax.Array | None


def needs_seed(slots: list[Any]) -> bool:
    """Whether one of a leaf's slots is rounded by noise."""
    return any(x is not None and format_of(x.dtype).round for x in slots)


def keeping(
    slots: Mapping[str, jax.Array | None], gradient: jax.Array, seed: Seed | None
) -> SimpleNamespace:
    """A function for each slot, under its name, that rounds to what the slot's format has."""

    def of(place: int, slot: jax.Array | None) -> Callable[[jax.Array], jax.Array]:
        round = None if slot is None else format_of(slot.dtype).round
        if round is None:
            return lambda x: x
        assert seed is not None
        return lambda x: round(x, noise(seed.count, place, gradient, seed.weight, slot))

    return SimpleNamespace(**{name: of(i, x) for i, (name, x) in enumerate(slots.items())})
