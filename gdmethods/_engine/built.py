"""The methods within a transformation, whatever is around them.

A chain or a wrapper hides its methods in closures. But its `init` calls theirs, and each method
then reports itself.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

import optax


class Built(NamedTuple):
    """A method within a transformation.

    Attributes:
      method: a `Method`, with the options that it was built with.
      params: the parameters that it moves.
      state: what its `init` returned.
    """

    method: Any
    params: Any
    state: Any


_TOLD: ContextVar[list[Built] | None] = ContextVar("_TOLD", default=None)


def tell(built: Built) -> None:
    """Called by the `init` of each method."""
    told = _TOLD.get()
    if told is not None:
        told.append(built)


def init_told(
    tx: optax.GradientTransformation, params: optax.Params
) -> tuple[optax.OptState, list[Built]]:
    """`tx.init(params)`, and the methods whose `init` it called."""
    told: list[Built] = []
    token = _TOLD.set(told)
    try:
        return tx.init(params), told
    finally:
        _TOLD.reset(token)
