"""How many numbers of a state in 8 bits are at the ends of their format's range."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.states import is_state, kinds_of, require_restored, slots_of
from gdmethods._numbers.eight_bits import EIGHT_BITS, TOP_RATIO, TOP_SQUARE
from gdmethods._numbers.kinds import Kind


class StateRange(NamedTuple):
    """Shares of a leaf's numbers, each in [0, 1]; float32, shape ().

    Attributes:
      zero: the share that is 0.
      floor: the share at the smallest number of the format above 0.
      top: the share at the largest finite number.
    """

    zero: jax.Array
    floor: jax.Array
    top: jax.Array


def state_ranges(state: optax.OptState) -> optax.OptState:
    """The shares of a state in 8 bits that are 0, or at the ends of the range.

    Numbers beyond the range are stored as its ends: a √v below 2⁻⁴⁰ as 2⁻⁴⁰, so
    that its weight moves less, and a √v above 9.4e6 as 9.4e6. If many numbers
    are there, gradients are too small or too large for
    `accumulator_dtype="8bit"`: scale the loss, or use `jnp.bfloat16`.

    Arguments:
      state: of a method of gdmethods, alone or within chains and wrappers.

    Returns:
      The same tree with a `StateRange` in the place of each leaf that is stored
      in 8 bits, and None for all others.

    Example:
      >>> import jax, jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.rmsprop(0.1, accumulator_dtype="8bit")
      >>> w = {"kernel": jnp.array([1.0, 2.0, 3.0, 4.0])}
      >>> g = {"kernel": jnp.array([0.0, 1e-15, 1.0, 1e10])}
      >>> _, state = tx.update(g, tx.init(w), w)
      >>> print(gdmethods.state_ranges(state).nu["kernel"].floor)
      0.25

    Elsewhere: Optax has none.
    """
    require_restored(state)
    return jax.tree.map(_of_state, state, is_leaf=is_state)


def _of_state(node: Any) -> Any:
    if not is_state(node):
        return None
    nothing = jax.tree.map(lambda x: None, node)
    return nothing._replace(
        **{
            name: jax.tree.map(functools.partial(_range, kinds_of(node)[name]), slot)
            for name, slot in slots_of(node).items()
        }
    )


def _range(kind: Kind, codes: jax.Array) -> StateRange | None:
    if codes.dtype != EIGHT_BITS:
        return None
    top = TOP_SQUARE if kind is Kind.SQUARE else TOP_RATIO
    level = codes if kind is Kind.SQUARE else codes & TOP_RATIO
    if not codes.size:
        return StateRange(*jnp.zeros(3))
    return StateRange(*(jnp.mean(level == code, dtype=jnp.float32) for code in (0, 1, top)))
