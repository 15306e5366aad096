"""A format: how a slot is stored between two updates.

A step reads each slot as numbers of the dtype that it computes in. It stores
the new number, reads it back, and computes the displacement from what it read.
So a resumed run reads the numbers that the step used. This also saves a pass
over the arrays on a TPU: its compiler shares a costly value between two results
of a kernel only if that value is itself a result, in the dtype of the slot.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdmethods._numbers import eight_bits
from gdmethods._numbers.arithmetic import clipped
from gdmethods._numbers.eight_bits import EIGHT_BITS
from gdmethods._numbers.fusion import made_once
from gdmethods._numbers.kinds import Kind
from gdmethods._numbers.rounding import rounded


class Format(NamedTuple):
    """How a slot's numbers are stored in arrays of one dtype.

    Attributes:
      read: `read(stored, root)` gives numbers in float32 or wider. Signed
        numbers in 8 bits are relative to `root`, the root of the square beside
        them.
      write: `write(numbers, root, noise)` gives what is stored. The noise is 32
        random bits for each number; without it, rounds to nearest.
    """

    read: Callable[[jax.Array, Any], jax.Array]
    write: Callable[..., jax.Array]


def format_of(kind: Kind, dtype: jnp.dtype) -> Format:
    """The format of slots of this kind that are stored in this dtype."""
    if dtype == jnp.bfloat16:
        return Format(lambda x, root: x.astype(jnp.float32), _to_bfloat16)
    if dtype == EIGHT_BITS and kind is Kind.SQUARE:
        return Format(lambda x, root: jnp.square(eight_bits.root_of(x)), _to_square)
    if dtype == EIGHT_BITS:
        return Format(lambda x, root: eight_bits.ratio_of(x) * root, _to_ratio)
    return Format(lambda x, root: x, lambda x, root: x.astype(dtype))


def _to_bfloat16(x: jax.Array, root: Any, noise: jax.Array | None = None) -> jax.Array:
    if noise is not None:
        x = rounded(x.astype(jnp.float32), noise)
    return x.astype(jnp.bfloat16)


def _to_square(x: jax.Array, root: Any, noise: jax.Array | None = None) -> jax.Array:
    return eight_bits.square_code(x.astype(jnp.float32), noise)


def _to_ratio(x: jax.Array, root: Any, noise: jax.Array | None = None) -> jax.Array:
    x = x.astype(jnp.float32) / jnp.maximum(root, eight_bits.LEAST_ROOT)
    return eight_bits.ratio_code(x, noise)


Stored = Mapping[str, Any]
"""A leaf's slots by their names, as they are stored; None for one that is not kept."""

Kinds = Mapping[str, Kind]


def read_slots(slots: Stored, kinds: Kinds) -> dict[str, Any]:
    """The numbers of a leaf's slots."""
    root = root_beside(slots, kinds)
    return {
        name: None if x is None else format_of(kinds[name], x.dtype).read(x, root)
        for name, x in slots.items()
    }


def converted_slots(slots: Stored, like: Stored, kinds: Kinds) -> dict[str, Any]:
    """A leaf's slots in the dtypes of `like`, each number rounded to nearest."""
    numbers = read_slots(slots, kinds)
    stored: dict[str, Any] = {}
    for name in sorted(slots, key=lambda name: kinds[name] is not Kind.SQUARE):
        x, dtype = slots[name], like[name].dtype
        if x.dtype != dtype:
            x = format_of(kinds[name], dtype).write(numbers[name], root_beside(stored, kinds))
        stored[name] = x
    return {name: stored[name] for name in slots}


def square_of(slots: Stored, kinds: Kinds) -> str | None:
    """The first square in 8 bits; signed numbers in 8 bits are relative to its root."""
    squares = (
        name for name, x in slots.items() if kinds[name] is Kind.SQUARE and in_eight_bits(x)
    )
    return next(squares, None)


def root_beside(slots: Stored, kinds: Kinds) -> Any:
    """The root of the first square in 8 bits; None if there is none."""
    name = square_of(slots, kinds)
    return None if name is None else eight_bits.root_of(slots[name])


def in_eight_bits(x: Any) -> bool:
    """Whether a slot is kept in codes."""
    return x is not None and x.dtype == EIGHT_BITS


def limited(gradient: jax.Array, slots: Stored, kinds: Kinds) -> jax.Array:
    """The gradient, clipped where its leaf keeps a square in 8 bits."""
    if square_of(slots, kinds) is None:
        return gradient
    return clipped(gradient, eight_bits.LARGEST_ROOT)


class Seed(NamedTuple):
    """What the noise of a leaf is drawn from, besides its gradient and its slots.

    Attributes:
      count: the number of the update.
      weight: None where `update` was not given the parameters.
    """

    count: jax.Array  # type: ignore[assignment]  # a field, not tuple.count
    weight: jax.Array | None


def is_narrow(slot: Any) -> bool:
    """Whether a slot has fewer bits than a rule computes with, and is rounded stochastically."""
    return slot is not None and slot.dtype in (jnp.bfloat16, EIGHT_BITS)


def store(
    x: Any, kind: Kind, dtype: jnp.dtype, root: Any, noise: Callable[[], jax.Array]
) -> tuple[jax.Array, Any]:
    """What the slot of a number stores, and the number that a step then reads.

    Arguments:
      x: the number.
      kind, dtype: of the slot.
      root: the root of the square beside it, as in `Format`.
      noise: called if the slot is narrow; draws 32 random bits for each number.
    """
    format = format_of(kind, dtype)
    if dtype == EIGHT_BITS:
        stored = made_once(format.write(_without_derivative(x), root, noise()))
        return stored, format.read(stored, root).astype(x.dtype)
    if dtype == jnp.bfloat16:
        stored = format.write(x, root, noise())
        return stored, _read_back(format.read(stored, root)).astype(x.dtype)
    return format.write(x, root), x


@jax.custom_jvp
def _read_back(x: jax.Array) -> jax.Array:
    """x, which is one of bfloat16's numbers.

    Without this an H100's compiler would drop the conversion to bfloat16 and
    back, and then use two kernels for a rule that stores two slots.
    """
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


@_read_back.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[Any]) -> tuple[jax.Array, Any]:
    return _read_back(*primals), tangents[0]


@jax.custom_jvp
def _without_derivative(x: jax.Array) -> jax.Array:
    return x


@_without_derivative.defjvp
def _(primals: Any, tangents: Any) -> Any:
    raise TypeError(
        "State in 8 bits has no derivative. To differentiate, set "
        "accumulator_dtype=jnp.bfloat16 or None."
    )
