"""The methods as the lecture's slides print them; the arguments are the slides' letters.

The source is part 2 of lecture 22 of "Redes Neuronales 2024" (FAMAF,
Universidad Nacional de Córdoba): *we add memory and adaptation to stochastic
gradient descent*. Where a slide departs from the published method, the slide is
followed, unless it could not work. Each docstring names the differences.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import eps_in_root, scalar_or_schedule
from gdmethods._engine.options import refusing
from gdmethods._methods.adagrad import adagrad as published_adagrad
from gdmethods._methods.adam import adam as published_adam
from gdmethods._methods.adaptive_gains import adaptive_gains as published_adaptive_gains
from gdmethods._methods.momentum import momentum as published_momentum
from gdmethods._methods.nesterov import nesterov as published_nesterov
from gdmethods._methods.rmsprop import rmsprop as published_rmsprop
from gdmethods.rules import (
    Count,
    LeafState,
    Positive,
    Rate,
    Scalar,
    ScalarOrSchedule,
    Sign,
    at,
    optimizer,
    representable,
    scalar,
    sign,
)


@refusing()
def momentum(
    eta: ScalarOrSchedule,
    gamma: ScalarOrSchedule = 0.9,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Momentum; as published.

        Δₜ = γ Δₜ₋₁ − η ∂E/∂w

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      gamma: γ in [0, 1]; a number or a schedule. The slide starts at 0.5 and
        approaches 0.99, as does `gdmethods.sutskever_momentum_schedule()`.
      accumulator_dtype: of Δ, as in `gdmethods.momentum`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> import gdmethods
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.momentum(0.1, gdmethods.sutskever_momentum_schedule())
    """
    return published_momentum(
        scalar_or_schedule("eta", eta, "[0, inf)"),
        scalar_or_schedule("gamma", gamma, "[0, 1]"),
        accumulator_dtype=accumulator_dtype,
    )


@refusing()
def nesterov(
    eta: ScalarOrSchedule,
    gamma: ScalarOrSchedule = 0.9,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Nesterov's accelerated gradient; as published, with a corrected sign.

        Δₜ = γₜ Δₜ₋₁ + η ∂E/∂w (w + γₜ Δₜ₋₁),    w ← w + Δₜ

    The slide prints a plus before η, which climbs. Here it is a minus, as in
    the slide's momentum. The parameters are the look-ahead points;
    `gdmethods.nesterov_eval_params` returns the weights.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      gamma: γ in [0, 1]; a number or a schedule.
      accumulator_dtype: of Δ, as in `gdmethods.nesterov`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.nesterov(0.1, gamma=0.9)
    """
    return published_nesterov(
        scalar_or_schedule("eta", eta, "[0, inf)"),
        scalar_or_schedule("gamma", gamma, "[0, 1]"),
        accumulator_dtype=accumulator_dtype,
    )


@refusing()
def adaptive_gains(
    eta: ScalarOrSchedule,
    min_gain: Scalar = 0.1,
    max_gain: Scalar = 10.0,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Adaptive gains; as published.

        Δ = −η g(t) ∂E/∂w,    g(0) = 1
        g(t) = g(t−1) + 0.05 if ∂E/∂w(t−1) · ∂E/∂w(t) > 0, else 0.95 · g(t−1)

    g(t) is then clipped to the limits.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      min_gain: 0.1, or 0.01 for the slide's other choice.
      max_gain: 10, or 100.
      accumulator_dtype: of g, as in `gdmethods.adaptive_gains`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.adaptive_gains(0.1, min_gain=0.01, max_gain=100.0)
    """
    return published_adaptive_gains(
        scalar_or_schedule("eta", eta, "[0, inf)"),
        min_gain=min_gain,
        max_gain=max_gain,
        accumulator_dtype=accumulator_dtype,
    )


@refusing()
def adagrad(
    eta: ScalarOrSchedule, eps: Scalar = 1e-8, *, accumulator_dtype: Any = None
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad; with ε inside of the root.

        ηₜ = η / √(αₜ + ε),    αₜ = Σ_{k≤t} (∂E/∂w^k)²

    The paper has ε outside of the root. The difference shows in gradients below
    √ε, which are damped here.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      eps: ε ≥ 0; on the slide small and above 0.
      accumulator_dtype: of α, as in `gdmethods.adagrad`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.adagrad(0.1)
    """
    return published_adagrad(
        scalar_or_schedule("eta", eta, "[0, inf)"),
        eps=0.0,
        eps_root=eps_in_root("eps", eps, accumulator_dtype),
        accumulator_dtype=accumulator_dtype,
    )


@refusing()
def adadelta(
    eta: ScalarOrSchedule,
    beta: Scalar = 0.9,
    eps: Scalar = 1e-8,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The slide's ADADELTA, which is RMSProp, since it keeps no displacements.

        ηₜ = η / √(sₜ + ε),    sₜ = β sₜ₋₁ + (1 − β) (∂E/∂w^{t−1})²

    The slide prints the gradient of the step before. The first step would then
    be η/√ε times the gradient, so the current gradient is used here. For
    ADADELTA see `gdmethods.adadelta`.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      beta: β in [0, 1).
      eps: ε ≥ 0, inside of the root.
      accumulator_dtype: of s, as in `gdmethods.rmsprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.adadelta(1e-3)
    """
    return rmsprop(eta, beta, eps, accumulator_dtype=accumulator_dtype)


class RpropState(NamedTuple):
    """State of `rprop`.

    Attributes:
      count: updates so far; int32, shape ().
      gains: g(t); a tree like the parameters, float32 or wider by default.
      sign: the gradient's sign; a tree like the parameters, int8.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    gains: Positive
    sign: Sign


# Starts at 2, because the first product is 0 and halves it to 1.
@optimizer(RpropState, starts={"gains": 2.0})
def rprop(g: jax.Array, s: LeafState, eta: Rate, *, accumulator_dtype: Any = None) -> jax.Array:
    """Rprop; without limits, and a zero product shortens the step.

        Δ = −η g(t) sign(∂E/∂w(t)),    g(1) = 1
        g(t+1) = 1.2 · g(t) if ∂E/∂w(t−1) · ∂E/∂w(t) > 0, else 0.5 · g(t)

    The slide writes the new gain as g(t+1). It is used at once, in step t, as
    in every published form. If the sign has turned, the step is taken all the
    same, as in `gdmethods.rprop`'s "rprop-". A gain stays a normal number:
    between 1.2e-38 and 3.4e38 in float32.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      accumulator_dtype: of g, as in `gdmethods.rprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.rprop(0.1)
    """
    least, most = representable(0.0, s.gains.dtype), representable(math.inf, s.gains.dtype)
    longer, shorter = jnp.minimum(1.2 * s.gains, most), jnp.maximum(0.5 * s.gains, least)
    gain = jnp.where(sign(g) * s.sign > 0, longer, shorter)
    s.gains = jnp.where(jnp.isnan(g), g, gain)
    s.sign = sign(g)
    return -eta * s.gains * s.sign


@refusing()
def rmsprop(
    eta: ScalarOrSchedule = 1e-3,
    beta: Scalar = 0.9,
    eps: Scalar = 1e-8,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """RMSProp; with ε inside of the root.

        sₜ = β sₜ₋₁ + (1 − β) gₜ²
        Δₜ = −η gₜ / √(sₜ + ε)

    Hinton's lecture leaves ε open; `gdmethods.rmsprop` has it outside.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      beta: β in [0, 1).
      eps: ε ≥ 0.
      accumulator_dtype: of s, as in `gdmethods.rmsprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.rmsprop()
    """
    return published_rmsprop(
        scalar_or_schedule("eta", eta, "[0, inf)"),
        scalar("beta", beta, "[0, 1)"),
        eps=0.0,
        eps_root=eps_in_root("eps", eps, accumulator_dtype),
        accumulator_dtype=accumulator_dtype,
    )


@refusing()
def adam(
    eta: ScalarOrSchedule = 1e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.99,
    eps: Scalar = 1e-8,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Adam; with the first bias correction at every step, and ε in the root.

        mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ,    m̂ₜ = mₜ / (1 − β₁)
        Δₜ = β₂ Δₜ₋₁ + (1 − β₂) gₜ²,    Δ̂ₜ = Δₜ / (1 − β₂)
        Δwₜ = −η m̂ₜ / √(Δ̂ₜ + ε)

    The paper divides by 1 − β₁ᵗ and 1 − β₂ᵗ. The first step is the same. With a
    constant gradient the slide's steps then grow to 2.13 η at t = 13, and
    settle at η √(1 − β₂) / (1 − β₁), which is η by default.

    Arguments:
      eta: η ≥ 0; a number or a schedule.
      beta1: β₁ in [0, 1).
      beta2: β₂ in [0, 1).
      eps: ε ≥ 0.
      accumulator_dtype: of m and Δ, as in `gdmethods.adam`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range or no number.

    Example:
      >>> from gdmethods.dialects import lecture
      >>> tx = lecture.adam()
    """
    eta = scalar_or_schedule("eta", eta, "[0, inf)")
    beta1 = scalar("beta1", beta1, "[0, 1)")
    beta2 = scalar("beta2", beta2, "[0, 1)")
    eps = eps_in_root("eps", eps, accumulator_dtype, times=1.0 - beta2)

    # m/(1−β₁) / √(v/(1−β₂) + ε) is m / √(v + (1−β₂) ε) times √(1−β₂)/(1−β₁).
    def rate(count: jax.Array) -> Any:
        return at(eta, count) * (1.0 - beta2) ** 0.5 / (1.0 - beta1)

    return published_adam(
        rate,
        beta1,
        beta2,
        eps=0.0,
        eps_root=(1.0 - beta2) * eps,
        bias_correction=False,
        accumulator_dtype=accumulator_dtype,
    )
