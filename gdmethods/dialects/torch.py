"""PyTorch's optimizers in PyTorch's words: `torch.optim`'s argument names, defaults and numbers.

Learning rates take schedules as everywhere else; η stays outside of the velocity, as in PyTorch.
`maximize` turns the gradient, and `weight_decay` λ then adds λ w to it. Options that choose how
PyTorch runs (foreach, fused, capturable, differentiable) are refused by name: `jax.jit` decides.
PyTorch takes a complex weight as two real ones; wrap a dialect in
`optax.contrib.split_real_and_imaginary` for that.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._adadelta import scale_by_adadelta
from gdmethods._adagrad import scale_by_rss
from gdmethods._adam import adam as published_adam
from gdmethods._hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    at,
    flag,
    is_zero,
    ordered,
    scalar,
    scalar_or_schedule,
)
from gdmethods._method import negated
from gdmethods._momentum import velocity
from gdmethods._nesterov import nesterov_velocity
from gdmethods._rmsprop import rmsprop as published_rmsprop
from gdmethods._rprop import rprop as published_rprop
from gdmethods._sgd import scale_by_learning_rate
from gdmethods.dialects._amsgrad import amsgrad as published_amsgrad
from gdmethods.dialects._words import refusing
from gdmethods.dialects._words import weight_decay as add_weight_decay

_RUNS = "which chooses how PyTorch runs and not what it computes; jax.jit compiles every update"
_REFUSED = {
    "foreach": _RUNS,
    "fused": _RUNS,
    "capturable": _RUNS,
    "differentiable": "since every update can be differentiated",
    "decoupled_weight_decay": (
        "which is AdamW: chain gdmethods.scale_by_adam(), optax.add_decayed_weights(λ) and "
        "gdmethods.scale_by_learning_rate(lr)"
    ),
}


@refusing(_REFUSED)
def sgd(
    lr: ScalarOrSchedule = 1e-3,
    momentum: Scalar = 0.0,
    dampening: Scalar = 0.0,
    weight_decay: Scalar = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.SGD`.

        b₁ = g₁,    bₜ = μ bₜ₋₁ + (1 − dampening) gₜ
        Δₜ = −ηₜ bₜ, or −ηₜ (gₜ + μ bₜ) with nesterov, or −ηₜ gₜ without momentum

    The velocity starts as the first gradient, which dampening leaves alone.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1].
      dampening: in [0, 1].
      weight_decay: λ ≥ 0.
      nesterov: look ahead; wants a momentum and no dampening.
      maximize: climb.

    Returns:
      A chain; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or not an option here.

    Example:
      >>> import jax.numpy as jnp, gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.sgd(0.1, momentum=0.9, dampening=0.5)
      >>> w = jnp.array(1.0)
      >>> state = tx.init(w)
      >>> for _ in range(2):
      ...     update, state = tx.update(jnp.array(1.0), state, w)
      ...     print(f"{update:.2f}")
      -0.10
      -0.14

    Elsewhere: `gdmethods.momentum` and `nesterov` keep η inside of the velocity.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    momentum = scalar("momentum", momentum, "[0, 1]")
    dampening = scalar("dampening", dampening, "[0, 1]")
    if flag("nesterov", nesterov) and (is_zero(momentum) or not is_zero(dampening)):
        raise ValueError("nesterov=True wants a momentum > 0 and dampening=0, as in PyTorch.")

    def share(count: jax.Array) -> Any:
        return jnp.where(count == 0, 1.0, 1.0 - dampening)

    parts = []
    if not is_zero(momentum):
        parts = [nesterov_velocity(momentum) if nesterov else velocity(momentum)]
        if not is_zero(dampening):
            parts.insert(0, optax.scale_by_schedule(share))
    return _descent(maximize, weight_decay, *parts, scale_by_learning_rate(lr))


@refusing(_REFUSED)
def adagrad(
    lr: ScalarOrSchedule = 1e-2,
    lr_decay: Scalar = 0.0,
    weight_decay: Scalar = 0.0,
    initial_accumulator_value: Scalar = 0.0,
    eps: Scalar = 1e-10,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.Adagrad`.

        sₜ = sₜ₋₁ + gₜ²,    s₀ = initial_accumulator_value
        Δₜ = −ηₜ / (1 + (t − 1) lr_decay) · gₜ / (√sₜ + eps)

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      lr_decay: ≥ 0.
      weight_decay: λ ≥ 0.
      initial_accumulator_value: s₀ ≥ 0.
      eps: outside of the root, ≥ 0.
      maximize: climb.

    Returns:
      A chain; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adagrad(1e-2, lr_decay=1e-4)

    Elsewhere: without lr_decay and weight_decay, `gdmethods.adagrad`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    lr_decay = scalar("lr_decay", lr_decay, "[0, inf)")

    def decayed(count: jax.Array) -> Any:
        return at(lr, count) / (1.0 + count * lr_decay)

    return _descent(
        maximize,
        weight_decay,
        scale_by_rss(eps, initial_accumulator_value=initial_accumulator_value),
        scale_by_learning_rate(lr if is_zero(lr_decay) else decayed),
    )


@refusing(_REFUSED)
def adadelta(
    lr: ScalarOrSchedule = 1.0,
    rho: Scalar = 0.9,
    eps: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.Adadelta`.

        aₜ = ρ aₜ₋₁ + (1 − ρ) gₜ²
        δₜ = √(bₜ₋₁ + ε) / √(aₜ + ε) · gₜ
        bₜ = ρ bₜ₋₁ + (1 − ρ) δₜ²
        Δₜ = −ηₜ δₜ

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      rho: ρ in [0, 1).
      eps: ε ≥ 0.
      weight_decay: λ ≥ 0.
      maximize: climb.

    Returns:
      A chain; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adadelta(weight_decay=1e-4)

    Elsewhere: without weight_decay, `gdmethods.adadelta`, whose ρ is 0.95.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    return _descent(
        maximize, weight_decay, scale_by_adadelta(rho, eps), scale_by_learning_rate(lr)
    )


@refusing(_REFUSED)
def rprop(
    lr: Scalar = 1e-2,
    etas: tuple[Scalar, Scalar] = (0.5, 1.2),
    step_sizes: tuple[Scalar, Scalar] = (1e-6, 50.0),
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.Rprop`, which is "irprop-" with a first step clipped to the limits.

        d₀ = lr;    dₜ = clip(dₜ₋₁ · (η₊ if gₜ gₜ₋₁ > 0, η₋ if < 0, 1 if = 0), step_sizes)
        Δₜ = −sign(gₜ) dₜ; where gₜ gₜ₋₁ < 0, Δₜ = 0 and gₜ = 0 is remembered

    PyTorch multiplies the gradients, so that two of the same sign below 1e-23 (in float32) agree
    on nothing; here signs are compared.

    Arguments:
      lr: d₀ > 0; no schedule, since PyTorch reads it in the first step only.
      etas: η₋ in (0, 1) and η₊ > 1.
      step_sizes: the limits.
      maximize: climb.

    Returns:
      A chain; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.rprop(1e-2, etas=(0.6, 1.1))

    Elsewhere: `gdmethods.rprop` starts from 0.1 and refuses a first step outside of the limits.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """
    if callable(lr):
        raise TypeError("lr of rprop is the first step size, so it cannot be a schedule.")
    smallest = scalar("step_sizes[0]", step_sizes[0], "[0, inf)")
    largest = scalar("step_sizes[1]", step_sizes[1], "(0, inf]")
    ordered("step_sizes[0]", smallest, "step_sizes[1]", largest)
    lr = scalar("lr", lr, "(0, inf)")
    traced = any(isinstance(x, jax.Array) for x in (lr, smallest, largest))
    first = (jnp if traced else np).clip(lr, smallest, largest)
    return _descent(
        maximize,
        0.0,
        published_rprop(
            first,
            scalar("etas[0]", etas[0], "(0, 1)"),
            scalar("etas[1]", etas[1], "(1, inf)"),
            smallest,
            largest,
            variant="irprop-",
        ),
    )


@refusing(_REFUSED)
def rmsprop(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Scalar = 0.99,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    momentum: Scalar = 0.0,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.RMSprop`.

        νₜ = α νₜ₋₁ + (1 − α) gₜ²
        bₜ = μ bₜ₋₁ + gₜ / (√νₜ + eps), with νₜ − mₜ² for νₜ if centered
        Δₜ = −ηₜ bₜ

    Where rounding makes νₜ − mₜ² negative PyTorch's root is NaN; here it counts as 0.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      alpha: α in [0, 1).
      eps: outside of the root, ≥ 0.
      weight_decay: λ ≥ 0.
      momentum: μ in [0, 1].
      centered: subtract the square of the running mean m.
      maximize: climb.

    Returns:
      A chain; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.rmsprop(1e-3, momentum=0.9, centered=True)

    Elsewhere: `gdmethods.rmsprop` has decay = 0.9, and keeps η inside of the velocity.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    alpha = scalar("alpha", alpha, "[0, 1)")
    momentum = scalar("momentum", momentum, "[0, 1]")
    buffer = negated(published_rmsprop(1.0, alpha, eps, centered=centered, momentum=momentum))
    return _descent(maximize, weight_decay, buffer, scale_by_learning_rate(lr))


@refusing(_REFUSED)
def adam(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[Scalar, Scalar] = (0.9, 0.999),
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.Adam`.

        mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ
        vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²
        Δₜ = −ηₜ m̂ₜ / (√v̂ₜ + eps),    m̂ₜ = mₜ / (1 − β₁ᵗ),    v̂ₜ = vₜ / (1 − β₂ᵗ)

    With amsgrad, v̂ₜ is taken of the largest v so far.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      betas: β₁ and β₂ in [0, 1).
      eps: outside of the root, ≥ 0.
      weight_decay: λ ≥ 0, added to the gradient (not AdamW's).
      amsgrad: keep the largest v.
      maximize: climb.

    Returns:
      A chain; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adam(1e-3, betas=(0.9, 0.99), weight_decay=1e-4)

    Elsewhere: without weight_decay and amsgrad, `gdmethods.adam`. `optax.amsgrad` takes the
    largest v̂ instead.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    b1 = scalar("betas[0]", betas[0], "[0, 1)")
    b2 = scalar("betas[1]", betas[1], "[0, 1)")
    eps = scalar("eps", eps, "[0, inf)")
    if flag("amsgrad", amsgrad):
        method = published_amsgrad(lr, b1, b2, eps, bias_correction=True)
    else:
        method = published_adam(lr, b1, b2, eps)
    return _descent(maximize, weight_decay, method)


def _descent(
    maximize: bool, weight_decay: Scalar, *parts: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """The chain of PyTorch: the sign of the gradient, its decay, the method."""
    sign = [optax.scale(-1.0)] if flag("maximize", maximize) else []
    weight_decay = scalar("weight_decay", weight_decay, "[0, inf)")
    decay = [] if is_zero(weight_decay) else [add_weight_decay(weight_decay)]
    return optax.chain(*sign, *decay, *parts)
