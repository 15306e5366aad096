"""Adaptive gains: a rate of its own for every weight, told by whether its gradients agree."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    at,
    choice,
    float_dtype,
    is_zero,
    optional,
    ordered,
    scalar,
    scalar_or_schedule,
)
from gdmethods._engine.lifting import Rule
from gdmethods._engine.method import method, negated
from gdmethods._engine.options import refusing
from gdmethods._engine.slots import Slots
from gdmethods._engine.states import Count, Positive, Sign, Signed, serializable
from gdmethods._numbers.arithmetic import sign
from gdmethods._numbers.fusion import sign_after


@serializable
class AdaptiveGainsState(NamedTuple):
    """State of `adaptive_gains` and `scale_by_gains`.

    Attributes:
      count: updates so far; int32, shape ().
      gains: one factor a weight, 1 at first; a tree like the parameters, at
        least float32.
      velocity: Δₜ; a tree like the parameters, at least float32; None without
        momentum.
      sign: of gₜ, or of −Δₜ for agreement with the velocity; a tree like the
        parameters, int8.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    gains: Positive
    velocity: Signed | None
    sign: Sign


def _rule(
    g: jax.Array,
    keep: Any,
    gain: jax.Array,
    velocity: Any,
    sign_before: jax.Array,
    *,
    learning_rate: Any,
    momentum: Any,
    increase: Any,
    decrease: Any,
    min_gain: Any,
    max_gain: Any,
    agreement: str,
    first: jax.Array,
) -> tuple[Any, Any, Any, Any]:
    agrees = sign(g) * sign_before > 0
    adapted = jnp.clip(jnp.where(agrees, gain + increase, gain * decrease), min_gain, max_gain)
    gain = keep.gains(jnp.where(first, gain, adapted) if agreement == "gradient" else adapted)
    velocity = keep.velocity(momentum * velocity - learning_rate * gain * g)
    remembered = sign_after(gain, sign(g if agreement == "gradient" else -velocity))
    return velocity, gain, velocity, remembered


@refusing()
def adaptive_gains(
    learning_rate: ScalarOrSchedule,
    momentum: ScalarOrSchedule | None = None,
    *,
    increase: Scalar = 0.05,
    decrease: Scalar = 0.95,
    min_gain: Scalar = 0.1,
    max_gain: Scalar = 10.0,
    agreement: str = "gradient",
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Gradient descent with Hinton's adaptive gains: a rate for each weight.

        gainₜ = gainₜ₋₁ + increase    if aₜ > 0
                gainₜ₋₁ · decrease    else, and clipped to the limits
        Δₜ = μₜ Δₜ₋₁ − ηₜ gainₜ gₜ,    gain₀ = 1, Δ₀ = 0

    The agreement a is sign(gₜ) · sign(gₜ₋₁), and the first update, which has
    no gₜ₋₁, keeps the gain of 1; or, with agreement="velocity",
    sign(−gₜ) · sign(Δₜ₋₁), which goes better with momentum. Signs are
    compared, not products, which underflow. Those of denormal gradients count,
    except of float32 gradients of a float64 weight; a velocity that underflows
    counts as 0. Gains want minibatches that are not small, so that a sign
    seldom turns by sampling alone. An infinite or NaN gradient makes its own
    update so, and with momentum all later ones of its weight; NaN agrees with
    nothing.

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
        that small changes add up; give `update` the parameters, or equal
        gradients round alike. "8bit" is bfloat16 too, since a byte has no step
        as small as `increase`.

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

    Elsewhere: not in Optax, PyTorch or Keras. The implementations of t-SNE
    hold it, with velocity agreement, +0.2 and ×0.8, and a lower limit of 0.01
    alone.

    Source: G. Hinton, Neural networks for machine learning, lecture 6d,
    Coursera, 2012; R. A. Jacobs, Increased rates of convergence through
    learning rate adaptation, Neural Networks 1, 1988.
    """
    learning_rate = scalar_or_schedule("learning_rate", learning_rate, "[0, inf)")
    momentum = optional("momentum", momentum, "[0, 1]", scalar_or_schedule)
    increase = scalar("increase", increase, "[0, inf)")
    decrease = scalar("decrease", decrease, "(0, 1]")
    min_gain = scalar("min_gain", min_gain, "[0, inf)")
    max_gain = scalar("max_gain", max_gain, "(0, inf]")
    ordered("min_gain", min_gain, "max_gain", max_gain)
    ordered("min_gain", min_gain, "the gain at the start", 1.0)
    ordered("the gain at the start", 1.0, "max_gain", max_gain)
    agreement = choice("agreement", agreement, ("gradient", "velocity"))
    dtype = float_dtype("accumulator_dtype", accumulator_dtype)

    def rule(old: AdaptiveGainsState, new: AdaptiveGainsState) -> Rule:
        return Rule(
            _rule,
            learning_rate=at(learning_rate, old.count),
            momentum=at(momentum, old.count),
            increase=increase,
            decrease=decrease,
            min_gain=min_gain,
            max_gain=max_gain,
            agreement=agreement,
            first=old.count == 0,
        )

    velocity = None if is_zero(momentum) else 0.0
    return method(Slots(AdaptiveGainsState, dtype, gains=1.0, velocity=velocity), rule)


@refusing()
def scale_by_gains(
    momentum: ScalarOrSchedule | None = None,
    *,
    increase: Scalar = 0.05,
    decrease: Scalar = 0.95,
    min_gain: Scalar = 0.1,
    max_gain: Scalar = 10.0,
    agreement: str = "gradient",
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The direction of `adaptive_gains`, for a chain that ends with a rate.

    It is −Δ at η = 1: gainₜ gₜ, and with momentum the velocity that those
    gather. Arguments, state and errors are those of `adaptive_gains`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(
      ...     gdmethods.scale_by_gains(),
      ...     optax.add_decayed_weights(1e-4),
      ...     optax.scale(-0.1),
      ... )
    """
    return negated(
        adaptive_gains(
            1.0,
            momentum,
            increase=increase,
            decrease=decrease,
            min_gain=min_gain,
            max_gain=max_gain,
            agreement=agreement,
            accumulator_dtype=accumulator_dtype,
        )
    )
