"""AMSGrad of PyTorch and Keras: Adam with the largest v so far, taken before its correction."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdmethods._methods.adam import corrections
from gdmethods._numbers.eight_bits import EIGHT_BITS
from gdmethods.rules import (
    Count,
    Decay,
    LeafState,
    NonNegative,
    Rate,
    Signed,
    Square,
    optimizer,
    root,
    squarable,
    square,
)


class AMSGradState(NamedTuple):
    """State of `amsgrad`.

    Attributes:
      count: updates so far; int32, shape ().
      mu: mₜ, the running mean of g; a tree like the parameters, float32 or
        wider by default.
      nu: vₜ, the running mean of |g|²; a tree like the parameters, real,
        float32 or wider by default.
      nu_max: the largest v so far; likewise.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    mu: Signed
    nu: Square
    nu_max: Square


def _starts(accumulator_dtype: Any) -> dict[str, Any]:
    if accumulator_dtype == EIGHT_BITS:
        raise ValueError(
            'accumulator_dtype="8bit" is not for amsgrad: the largest v so far would climb by '
            "its roundings: to 2.6 v after 20,000 steps, where float32 has 1.1 v. Take "
            "jnp.bfloat16, or amsgrad=False."
        )
    return {}


@optimizer(AMSGradState, starts=_starts, once=corrections)
def amsgrad(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    b1: Decay,
    b2: Decay,
    eps: NonNegative,
    *,
    bias_correction: bool,
    accumulator_dtype: Any,
) -> jax.Array:
    """`adam` with v̂ from the largest v so far; the arguments have been checked."""
    g = squarable(g, s.nu)
    s.mu = b1 * s.mu + (1 - b1) * g
    s.nu = b2 * s.nu + (1 - b2) * square(g)
    s.nu_max = jnp.maximum(s.nu_max, s.nu)
    direction = s.mu / root(s.nu_max, eps, 0.0, s.correction2)
    return -learning_rate / s.correction1 * direction
