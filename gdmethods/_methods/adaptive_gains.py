"""Adaptive gains: a rate for each weight, which grows while its gradients agree in sign."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from gdmethods.rules import (
    Count,
    LeafState,
    MomentumOrNone,
    NonNegative,
    Positive,
    Rate,
    Scalar,
    ScalarOrSchedule,
    Sign,
    Signed,
    core,
    is_zero,
    optimizer,
    ordered,
    sign,
)


class AdaptiveGainsState(NamedTuple):
    """State of `adaptive_gains` and `scale_by_gains`.

    Attributes:
      count: updates so far; int32, shape ().
      gains: one factor a weight, 1 at first; a tree like the parameters,
        float32 or wider by default.
      velocity: Δₜ; a tree like the parameters, float32 or wider by default;
        None without momentum.
      sign: the sign of gₜ, or of −Δₜ with agreement="velocity"; a tree like
        the parameters, int8.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    gains: Positive
    velocity: Signed | None
    sign: Sign


def _starts(momentum: ScalarOrSchedule, min_gain: Scalar, max_gain: Scalar) -> dict[str, Any]:
    ordered("min_gain", min_gain, "max_gain", max_gain)
    ordered("min_gain", min_gain, "the gain at the start", 1.0)
    ordered("the gain at the start", 1.0, "max_gain", max_gain)
    return {"gains": 1.0, "velocity": None if is_zero(momentum) else 0.0}


@optimizer(AdaptiveGainsState, starts=_starts)
def adaptive_gains(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    momentum: MomentumOrNone = None,
    *,
    increase: NonNegative = 0.05,
    decrease: Annotated[Scalar, "(0, 1]"] = 0.95,
    min_gain: NonNegative = 0.1,
    max_gain: Annotated[Scalar, "(0, inf]"] = 10.0,
    agreement: Literal["gradient", "velocity"] = "gradient",
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Gradient descent with Hinton's adaptive gains: a rate for each weight.

        gainₜ = gainₜ₋₁ + increase    if aₜ > 0
                gainₜ₋₁ · decrease    else, and clipped to the limits
        Δₜ = μₜ Δₜ₋₁ − ηₜ gainₜ gₜ,    gain₀ = 1, Δ₀ = 0

    The agreement a is sign(gₜ) · sign(gₜ₋₁). The first update has no gₜ₋₁, and
    keeps the gain of 1. With agreement="velocity", which goes better with
    momentum, a is sign(−gₜ) · sign(Δₜ₋₁).

    Use minibatches that are not small, so that signs seldom turn by sampling
    alone. Denormal gradients keep their sign, except float32 gradients of a
    float64 weight. A velocity that underflows counts as 0. An infinite or NaN
    gradient makes its own update infinite or NaN, and with momentum all later
    updates of its weight. NaN agrees with nothing.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1]; a number or a schedule. None, or Python's 0, keeps
        no velocity: 5 bytes of state a float32 weight instead of 9.
      increase: added to a gain, ≥ 0.
      decrease: multiplies a gain, in (0, 1].
      min_gain: lower limit, in [0, 1].
      max_gain: upper limit, ≥ 1; `jnp.inf` for none. The lecture's other
        limits are 0.01 and 100.
      agreement: "gradient" or "velocity".
      accumulator_dtype: of gains and Δ; None keeps each parameter's own,
        float32 for narrower ones. `jnp.bfloat16` is rounded stochastically, so
        that small changes add up. Pass `params` to `update`: without them,
        weights with equal gradients are all rounded the same way. "8bit" is
        bfloat16 too, since a byte's levels are farther apart than `increase`.

    Returns:
      A transformation with the state `AdaptiveGainsState`. Its updates Δ have
      the parameters' shapes and dtypes (the gradients' dtypes, if `update` is
      not given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point, or
        complex; at `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adaptive_gains(0.1)
      >>> w = jnp.array([1.0, 1.0])
      >>> state = tx.init(w)
      >>> for g in ([1.0, 1.0], [1.0, -1.0], [1.0, 1.0]):
      ...     updates, state = tx.update(jnp.array(g), state, w)
      ...     print(*(f"{gain:.4f}" for gain in state.gains))
      1.0000 1.0000
      1.0500 0.9500
      1.1000 0.9025

    Elsewhere: not in Optax, PyTorch or Keras. Implementations of t-SNE use it,
    with velocity agreement, +0.2, ×0.8 and one limit, 0.01 from below.

    Source: G. Hinton, Neural networks for machine learning, lecture 6d,
    Coursera, 2012; R. A. Jacobs, Increased rates of convergence through
    learning rate adaptation, Neural Networks 1, 1988.
    """
    agrees = sign(g) * s.sign > 0
    gain = jnp.where(agrees, s.gains + increase, s.gains * decrease)
    gain = jnp.clip(gain, min_gain, max_gain)
    s.gains = jnp.where(s.count == 1, s.gains, gain) if agreement == "gradient" else gain
    s.velocity = momentum * s.velocity - learning_rate * s.gains * g
    s.sign = sign(g if agreement == "gradient" else -s.velocity)
    return s.velocity


scale_by_gains = core(
    adaptive_gains,
    """The direction of `adaptive_gains`, for a chain that ends with a rate.

    It is −Δ at η = 1: gainₜ gₜ, or with momentum the velocity made of it.
    Arguments, state and errors are those of `adaptive_gains`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(
      ...     gdmethods.scale_by_gains(),
      ...     optax.add_decayed_weights(1e-4),
      ...     optax.scale(-0.1),
      ... )
    """,
    name="scale_by_gains",
)
