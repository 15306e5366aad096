"""AMSGrad, as PyTorch and Keras have it: Adam over the largest v so far, before its correction."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import Scalar, ScalarOrSchedule, at, float_dtype
from gdmethods._engine.lifting import Rule
from gdmethods._engine.method import method
from gdmethods._engine.slots import Slots
from gdmethods._engine.states import Count, Signed, Square, serializable
from gdmethods._numbers.arithmetic import one_minus_power, positive, squarable, square
from gdmethods._numbers.eight_bits import EIGHT_BITS


@serializable
class AMSGradState(NamedTuple):
    """State of `amsgrad`.

    Attributes:
      count: updates so far; int32, shape ().
      mu: mₜ, the running mean of g; a tree like the parameters, at least
        float32.
      nu: vₜ, the running mean of |g|²; a tree like the parameters, real, at
        least float32.
      nu_max: the largest v so far; likewise.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    mu: Signed
    nu: Square
    nu_max: Square


def _rule(
    g: jax.Array,
    keep: Any,
    m: jax.Array,
    v: jax.Array,
    v_max: jax.Array,
    *,
    learning_rate: Any,
    b1: Any,
    b2: Any,
    eps: Any,
    correction1: Any,
    correction2: Any,
) -> tuple[Any, Any, Any, Any]:
    g = squarable(g, v)
    m = keep.mu(b1 * m + (1 - b1) * g)
    v = keep.nu(b2 * v + (1 - b2) * square(g))
    v_max = keep.nu_max(jnp.maximum(v_max, v))
    direction = m / (jnp.sqrt(positive(v_max) / correction2) + eps)
    return -learning_rate / correction1 * direction, m, v, v_max


def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Scalar,
    b2: Scalar,
    eps: Scalar,
    *,
    bias_correction: bool,
    accumulator_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    """`adam` with v̂ of the largest v so far; its arguments have been checked."""
    dtype = float_dtype("accumulator_dtype", accumulator_dtype)
    if dtype == EIGHT_BITS:
        raise ValueError(
            'accumulator_dtype="8bit" is not for amsgrad, whose largest v so far would climb by '
            "its roundings: to 2.6 v after 20,000 steps, where float32 has 1.1 v. Take "
            "jnp.bfloat16, or amsgrad=False."
        )

    def rule(old: AMSGradState, new: AMSGradState) -> Rule:
        return Rule(
            _rule,
            learning_rate=at(learning_rate, old.count),
            b1=b1,
            b2=b2,
            eps=eps,
            correction1=one_minus_power(b1, new.count) if bias_correction else 1.0,
            correction2=one_minus_power(b2, new.count) if bias_correction else 1.0,
        )

    return method(Slots(AMSGradState, dtype), rule)
