"""AdaGrad: each weight's rate falls with the sum of its squared gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    at,
    float_dtype,
    in_eight_bits,
    scalar,
    scalar_or_schedule,
)
from gdmethods._engine.lifting import Rule
from gdmethods._engine.method import method, negated
from gdmethods._engine.options import refusing
from gdmethods._engine.slots import Slots
from gdmethods._engine.states import Count, Square, serializable
from gdmethods._numbers.arithmetic import positive, squarable, square


@serializable
class AdaGradState(NamedTuple):
    """State of `adagrad` and `scale_by_rss`.

    Attributes:
      count: updates so far; int32, shape ().
      sum_of_squares: sₜ; a tree like the parameters, real, at least float32.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    sum_of_squares: Square


def _rule(
    g: jax.Array, keep: Any, s: jax.Array, *, learning_rate: Any, eps: Any, eps_root: Any
) -> tuple[Any, Any]:
    g = squarable(g, s)
    s = keep.sum_of_squares(s + square(g))
    direction = g / (jnp.sqrt(positive(s) + eps_root) + eps)
    return -learning_rate * direction, s


@refusing()
def adagrad(
    learning_rate: ScalarOrSchedule,
    *,
    eps: Scalar = 1e-10,
    eps_root: Scalar = 0.0,
    initial_accumulator_value: Scalar = 0.0,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad: large steps for weights whose gradients have been rare or small.

        sₜ = sₜ₋₁ + |gₜ|²,    s₀ = initial_accumulator_value
        Δₜ = −ηₜ gₜ / (√(sₜ + eps_root) + eps)

    A weight that never had a gradient stays: 0/0 is 0, with eps = 0 too. In
    float32 gradients from 1.1e-19 to 4.6e18 are seen as they are (1.5e-154 to
    3.4e153 in float64). A larger or infinite one counts as 4.6e18, with its
    sign; a sum of more than ten such may overflow, and its weight then stays.
    The square of a smaller one may underflow: the sum counts as 1.2e-38 at
    least. NaN makes all updates of its weight NaN from then on.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      eps: added outside of the root, ≥ 0.
      eps_root: added inside of the root, ≥ 0.
      initial_accumulator_value: s₀ ≥ 0.
      accumulator_dtype: of s; None keeps each parameter's own, float32 for
        narrower ones. `jnp.bfloat16` is rounded stochastically, so that small
        changes add up; give `update` the parameters, or equal gradients round
        alike. "8bit" is a byte, as in `adam`; a sum stays at 8.9e13, the
        largest number of it, and a step is at most 1.27 η.

    Returns:
      A transformation with the state `AdaGradState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adagrad(0.1)
      >>> w = jnp.array([1.0, 1.0, 1.0])
      >>> state = tx.init(w)
      >>> for g in ([3.0, 1e-3, 0.0], [4.0, 1e-3, 0.0]):
      ...     updates, state = tx.update(jnp.array(g), state, w)
      >>> print(abs(updates.round(4)))
      [0.08   0.0707 0.    ]

    Elsewhere: `optax.adagrad` starts from 0.1 and has its ε = 1e-7 inside of
    the root, with 0 for s = 0: `adagrad(η, eps=0.0, eps_root=1e-7,
    initial_accumulator_value=0.1)`. `torch.optim.Adagrad` at its defaults is
    as here, with η = 0.01. `keras.optimizers.Adagrad` starts from 0.1 and has
    ε = 1e-7 inside.

    Source: J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for
    online learning and stochastic optimization, Journal of Machine Learning
    Research 12, 2011.
    """
    learning_rate = scalar_or_schedule("learning_rate", learning_rate, "[0, inf)")
    eps = scalar("eps", eps, "[0, inf)")
    eps_root = scalar("eps_root", eps_root, "[0, inf)")
    initial = scalar("initial_accumulator_value", initial_accumulator_value, "[0, inf)")
    dtype = float_dtype("accumulator_dtype", accumulator_dtype)
    in_eight_bits("eps", eps, dtype)
    in_eight_bits("eps_root", eps_root, dtype, power=2)
    in_eight_bits("initial_accumulator_value", initial, dtype, power=2)

    def rule(old: AdaGradState, new: AdaGradState) -> Rule:
        return Rule(_rule, learning_rate=at(learning_rate, old.count), eps=eps, eps_root=eps_root)

    slots = Slots(AdaGradState, dtype, ["sum_of_squares"], sum_of_squares=initial)
    return method(slots, rule)


@refusing()
def scale_by_rss(
    *,
    eps: Scalar = 1e-10,
    eps_root: Scalar = 0.0,
    initial_accumulator_value: Scalar = 0.0,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The direction of `adagrad`, for a chain that ends with a learning rate.

    It is −Δ at η = 1: gₜ over the root of the sum of squares. Arguments, state
    and errors are those of `adagrad`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(
      ...     gdmethods.scale_by_rss(),
      ...     optax.add_decayed_weights(1e-4),
      ...     optax.scale(-0.1),
      ... )

    Elsewhere: `optax.scale_by_rss`, whose defaults are those of
    `optax.adagrad`.
    """
    return negated(
        adagrad(
            1.0,
            eps=eps,
            eps_root=eps_root,
            initial_accumulator_value=initial_accumulator_value,
            accumulator_dtype=accumulator_dtype,
        )
    )
