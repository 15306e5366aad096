"""The optimizers of `keras.optimizers`; the package's docstring has what they share."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import (
    eps_in_root,
    flag,
    float_dtype,
    optional,
    scalar_or_schedule,
)
from gdmethods._engine.options import ELSEWHERE, refusing
from gdmethods._engine.weight_decay import decaying
from gdmethods._methods.adadelta import adadelta as published_adadelta
from gdmethods._methods.adagrad import adagrad as published_adagrad
from gdmethods._methods.adam import adam as published_adam
from gdmethods._methods.momentum import momentum as published_momentum
from gdmethods._methods.nesterov import nesterov as published_nesterov
from gdmethods._methods.rmsprop import rmsprop as published_rmsprop
from gdmethods._methods.sgd import sgd as published_sgd
from gdmethods.dialects._amsgrad import amsgrad as largest_squares
from gdmethods.rules import Scalar, ScalarOrSchedule, at, is_zero, one_minus_power, scalar

_AVERAGE = (
    "which averages the weights beside the method; in the loop, from the first weights on, "
    "average = optax.incremental_update(params, average, 1 - ema_momentum)"
)
_REFUSED = ELSEWHERE | {
    "use_ema": _AVERAGE,
    "ema_momentum": _AVERAGE,
    "ema_overwrite_frequency": _AVERAGE,
    "loss_scale_factor": "which scales the loss; chain optax.scale(1 / factor) before it",
    "gradient_accumulation_steps": "which is optax.MultiSteps around it",
    "name": "since a transformation has none; optax.named_chain names parts",
}


@refusing(_REFUSED)
def sgd(
    learning_rate: ScalarOrSchedule = 0.01,
    momentum: Scalar | None = None,
    nesterov: bool = False,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.SGD`.

        mₜ = μ mₜ₋₁ − ηₜ gₜ
        Δₜ = mₜ, or μ mₜ − ηₜ gₜ with nesterov

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1]. With 0 nesterov is ignored, as in Keras.
      nesterov: look ahead.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of m, as in `gdmethods.momentum`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.sgd(0.1, momentum=0.9, nesterov=True)

    Elsewhere: without weight_decay, `gdmethods.sgd`, `momentum` or `nesterov`.

    Source: https://keras.io/api/optimizers/sgd/
    """
    nesterov = flag("nesterov", nesterov)
    mu = optional("momentum", momentum, "[0, 1]")
    float_dtype("accumulator_dtype", accumulator_dtype)
    if is_zero(mu):
        method = published_sgd(learning_rate)
    elif nesterov:
        method = published_nesterov(learning_rate, mu, accumulator_dtype=accumulator_dtype)
    else:
        method = published_momentum(learning_rate, mu, accumulator_dtype=accumulator_dtype)
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adagrad(
    learning_rate: ScalarOrSchedule = 0.001,
    initial_accumulator_value: Scalar = 0.1,
    epsilon: Scalar = 1e-7,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.Adagrad`.

        sₜ = sₜ₋₁ + gₜ²,    s₀ = initial_accumulator_value
        Δₜ = −ηₜ gₜ / √(sₜ + ε)

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      initial_accumulator_value: s₀ ≥ 0.
      epsilon: ε ≥ 0, inside of the root.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of s, as in `gdmethods.adagrad`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adagrad(0.01)

    Elsewhere: `gdmethods.adagrad` starts from 0, with ε = 1e-10 outside of the
    root.

    Source: https://keras.io/api/optimizers/adagrad/
    """
    method = published_adagrad(
        learning_rate,
        eps=0.0,
        eps_root=eps_in_root("epsilon", epsilon, accumulator_dtype),
        initial_accumulator_value=initial_accumulator_value,
        accumulator_dtype=accumulator_dtype,
    )
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adadelta(
    learning_rate: ScalarOrSchedule = 0.001,
    rho: Scalar = 0.95,
    epsilon: Scalar = 1e-7,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.Adadelta`.

        aₜ = ρ aₜ₋₁ + (1 − ρ) gₜ²
        δₜ = √(bₜ₋₁ + ε) / √(aₜ + ε) · gₜ
        bₜ = ρ bₜ₋₁ + (1 − ρ) δₜ²
        Δₜ = −ηₜ δₜ

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      rho: ρ in [0, 1).
      epsilon: ε ≥ 0.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of a and b, as in `gdmethods.adadelta`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adadelta(1.0)

    Elsewhere: `gdmethods.adadelta` has the paper's η = 1, and ε = 1e-6.

    Source: https://keras.io/api/optimizers/adadelta/
    """
    method = published_adadelta(
        learning_rate,
        rho,
        scalar("epsilon", epsilon, "[0, inf)"),
        accumulator_dtype=accumulator_dtype,
    )
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def rmsprop(
    learning_rate: ScalarOrSchedule = 0.001,
    rho: Scalar = 0.9,
    momentum: Scalar | None = None,
    epsilon: Scalar = 1e-7,
    centered: bool = False,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.RMSprop`.

        νₜ = ρ νₜ₋₁ + (1 − ρ) gₜ²
        Δₜ = μ Δₜ₋₁ − ηₜ gₜ / √(νₜ + ε), with νₜ − mₜ² for νₜ if centered

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      rho: ρ in [0, 1).
      momentum: μ in [0, 1].
      epsilon: ε ≥ 0, inside of the root.
      centered: subtract the square of the running mean m.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of ν and m, as in `gdmethods.rmsprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.rmsprop(1e-3, momentum=0.9)

    Elsewhere: `gdmethods.rmsprop` has ε = 1e-8 outside of the root.

    Source: https://keras.io/api/optimizers/rmsprop/
    """
    method = published_rmsprop(
        learning_rate,
        scalar("rho", rho, "[0, 1)"),
        eps=0.0,
        eps_root=eps_in_root("epsilon", epsilon, accumulator_dtype),
        centered=centered,
        momentum=optional("momentum", momentum, "[0, 1]"),
        accumulator_dtype=accumulator_dtype,
    )
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adam(
    learning_rate: ScalarOrSchedule = 0.001,
    beta_1: Scalar = 0.9,
    beta_2: Scalar = 0.999,
    epsilon: Scalar = 1e-7,
    amsgrad: bool = False,
    weight_decay: Scalar | None = None,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.Adam`, with the ε̂ of the paper's section 2.

        mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ
        vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²
        Δₜ = −ηₜ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · mₜ / (√vₜ + ε̂)

    With amsgrad, vₜ is the largest so far.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      beta_1: β₁ in [0, 1).
      beta_2: β₂ in [0, 1).
      epsilon: ε̂ ≥ 0. It acts like ε = ε̂ / √(1 − β₂ᵗ) in `gdmethods.adam`,
        which is 32 ε̂ at first.
      amsgrad: keep the largest v. In bfloat16 the noise of v makes it some 5 %
        too large.
      weight_decay: λ ≥ 0, decoupled; or None.
      accumulator_dtype: of m and v, as in `gdmethods.adam`. "8bit" with amsgrad
        is an error, since noise would raise the largest v.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adam(1e-3)

    Elsewhere: `gdmethods.adam` adds its ε = 1e-8 to the root of the corrected
    v̂.

    Source: https://keras.io/api/optimizers/adam/
    """
    method = _adam(learning_rate, beta_1, beta_2, epsilon, amsgrad, accumulator_dtype)
    return _decayed(method, learning_rate, weight_decay)


@refusing(_REFUSED)
def adamw(
    learning_rate: ScalarOrSchedule = 0.001,
    weight_decay: Scalar | None = 0.004,
    beta_1: Scalar = 0.9,
    beta_2: Scalar = 0.999,
    epsilon: Scalar = 1e-7,
    amsgrad: bool = False,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`keras.optimizers.AdamW`: Keras' Adam, with a weight decay by default.

        Δₜ = −ηₜ λ wₜ − ηₜ √(1 − β₂ᵗ) / (1 − β₁ᵗ) · mₜ / (√vₜ + ε̂)

    m and v are those of `adam`.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      weight_decay: λ ≥ 0, decoupled; or None.
      beta_1: β₁ in [0, 1).
      beta_2: β₂ in [0, 1).
      epsilon: ε̂ ≥ 0, as in `adam`.
      amsgrad: keep the largest v. In bfloat16 the noise of v makes it some 5 %
        too large.
      accumulator_dtype: of m and v, as in `gdmethods.adam`. "8bit" with amsgrad
        is an error, since noise would raise the largest v.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.keras.adamw(1e-3, weight_decay=0.01)

    Elsewhere: `gdmethods.adamw` has λ = 1e-4, and adds its ε = 1e-8 to the
    root of the corrected v̂.

    Source: https://keras.io/api/optimizers/adamw/
    """
    method = _adam(learning_rate, beta_1, beta_2, epsilon, amsgrad, accumulator_dtype)
    return _decayed(method, learning_rate, weight_decay)


def _adam(
    learning_rate: ScalarOrSchedule,
    beta_1: Scalar,
    beta_2: Scalar,
    epsilon: Scalar,
    amsgrad: bool,
    accumulator_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    learning_rate = scalar_or_schedule("learning_rate", learning_rate, "[0, inf)")
    b1 = scalar("beta_1", beta_1, "[0, 1)")
    b2 = scalar("beta_2", beta_2, "[0, 1)")
    eps_hat = scalar("epsilon", epsilon, "[0, inf)")

    def rate(count: jax.Array) -> Any:
        t = optax.safe_increment(count)
        correction = jnp.sqrt(one_minus_power(b2, t)) / one_minus_power(b1, t)
        return at(learning_rate, count) * correction

    if flag("amsgrad", amsgrad):
        return largest_squares(
            rate, b1, b2, eps_hat, bias_correction=False, accumulator_dtype=accumulator_dtype
        )
    return published_adam(
        rate, b1, b2, eps_hat, bias_correction=False, accumulator_dtype=accumulator_dtype
    )


def _decayed(
    method: optax.GradientTransformationExtraArgs,
    learning_rate: ScalarOrSchedule,
    weight_decay: Scalar | None,
) -> optax.GradientTransformationExtraArgs:
    """The method, plus Keras' decay of the weights from before the step."""
    return method if weight_decay is None else decaying(method, learning_rate, weight_decay)
