"""The optimizers of `torch.optim`; the package's docstring has what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.hyperparameters import flag, optional, pair, scalar_or_schedule
from gdmethods._engine.method import around
from gdmethods._engine.options import ELSEWHERE, refusing
from gdmethods._engine.weight_decay import decaying
from gdmethods._methods.adadelta import AdaDeltaState
from gdmethods._methods.adadelta import adadelta as published_adadelta
from gdmethods._methods.adagrad import AdaGradState
from gdmethods._methods.adagrad import adagrad as published_adagrad
from gdmethods._methods.adagrad import starts as adagrad_starts
from gdmethods._methods.adam import adam as published_adam
from gdmethods._methods.rmsprop import rmsprop as published_rmsprop
from gdmethods._methods.rmsprop import starts as rmsprop_starts
from gdmethods._methods.rprop import rprop as published_rprop
from gdmethods.dialects._amsgrad import amsgrad
from gdmethods.rules import (
    Count,
    Decay,
    Eps,
    EpsRoot,
    LeafState,
    NonNegative,
    NonNegativeOrNone,
    Rate,
    Scalar,
    ScalarOrSchedule,
    Signed,
    Square,
    StepState,
    is_zero,
    optimizer,
    ordered,
    rule_of,
    scalar,
)

_RUNS = "which sets how PyTorch runs and not what it computes; jax.jit compiles every update"
_REFUSED = ELSEWHERE | {
    "foreach": _RUNS,
    "fused": _RUNS,
    "capturable": _RUNS,
    "differentiable": "since every update can be differentiated",
}


UnitOrNone: TypeAlias = Annotated[Any, Annotated[Scalar, "[0, 1]"] | None]


class SGDState(NamedTuple):
    """State of `sgd`.

    Attributes:
      count: updates so far; int32, shape ().
      velocity: bₜ, PyTorch's momentum_buffer; a tree like the parameters,
        float32 or wider by default; None without momentum.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    velocity: Signed | None


def _sgd_starts(momentum: Scalar, dampening: Scalar, nesterov: bool) -> dict[str, Any]:
    if nesterov and (is_zero(momentum) or not is_zero(dampening)):
        raise ValueError("nesterov=True needs a momentum > 0 and dampening=0, as in PyTorch.")
    return {"velocity": None if is_zero(momentum) else 0.0}


def _decays(weight_decay: Scalar) -> bool:
    return not is_zero(weight_decay)


def _descended(g: jax.Array, s: LeafState, maximize: bool, weight_decay: Any) -> jax.Array:
    """The gradient after PyTorch's maximize and weight_decay."""
    g = -g if maximize else g
    return g if is_zero(weight_decay) else g + weight_decay * s.w


@optimizer(SGDState, starts=_sgd_starts, weights=_decays, reasons=_REFUSED)
def sgd(
    g: jax.Array,
    s: LeafState,
    lr: Rate = 1e-3,
    momentum: UnitOrNone = None,
    dampening: UnitOrNone = None,
    weight_decay: NonNegativeOrNone = None,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """`torch.optim.SGD`.

        b₁ = g₁,    bₜ = μ bₜ₋₁ + (1 − dampening) gₜ
        Δₜ = −ηₜ bₜ, with nesterov −ηₜ (gₜ + μ bₜ), without momentum −ηₜ gₜ

    The velocity starts as the first gradient, without dampening.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1].
      dampening: in [0, 1].
      weight_decay: λ ≥ 0.
      nesterov: look ahead; needs a momentum and no dampening.
      maximize: climb.
      accumulator_dtype: of b, as in `gdmethods.momentum`.

    Returns:
      A transformation with the state `SGDState`; updates have the parameters'
      shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

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

    Elsewhere: `gdmethods.momentum` and `nesterov` keep η inside of the
    velocity.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """
    g = _descended(g, s, maximize, weight_decay)
    undamped = is_zero(momentum) or is_zero(dampening)
    share = 1.0 if undamped else jnp.where(s.count == 1, 1.0, 1.0 - dampening)
    s.velocity = momentum * s.velocity + share * g
    return -lr * (g + momentum * s.velocity if nesterov else s.velocity)


@optimizer(
    AdaGradState,
    starts=adagrad_starts,
    eight_bits=["sum_of_squares"],
    weights=_decays,
    reasons=_REFUSED,
)
def adagrad(
    g: jax.Array,
    s: LeafState,
    lr: Rate = 1e-2,
    lr_decay: NonNegativeOrNone = None,
    weight_decay: NonNegativeOrNone = None,
    initial_accumulator_value: EpsRoot = 0.0,
    eps: Eps = 1e-10,
    *,
    maximize: bool = False,
    accumulator_dtype: Any = None,
) -> jax.Array:
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
      accumulator_dtype: of s, as in `gdmethods.adagrad`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adagrad(1e-2, lr_decay=1e-4)

    Elsewhere: without lr_decay and weight_decay, `gdmethods.adagrad`.

    Source:
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """
    g = _descended(g, s, maximize, weight_decay)
    rate = lr if is_zero(lr_decay) else lr / (1.0 + (s.count - 1.0) * lr_decay)
    return rule_of(published_adagrad)(g, s, rate, eps=eps)


@optimizer(AdaDeltaState, weights=_decays, reasons=_REFUSED)
def adadelta(
    g: jax.Array,
    s: LeafState,
    lr: Rate = 1.0,
    rho: Decay = 0.9,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegativeOrNone = None,
    *,
    maximize: bool = False,
    accumulator_dtype: Any = None,
) -> jax.Array:
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
      accumulator_dtype: of a and b, as in `gdmethods.adadelta`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adadelta(weight_decay=1e-4)

    Elsewhere: without weight_decay, `gdmethods.adadelta`, whose ρ is 0.95.

    Source:
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """
    g = _descended(g, s, maximize, weight_decay)
    return rule_of(published_adadelta)(g, s, lr, rho, eps)


@refusing(_REFUSED)
def rprop(
    lr: Scalar = 1e-2,
    etas: tuple[Scalar, Scalar] = (0.5, 1.2),
    step_sizes: tuple[Scalar, Scalar] = (1e-6, 50.0),
    *,
    maximize: bool = False,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.Rprop`: "irprop-", with a first step clipped to the limits.

        dₜ = clip(dₜ₋₁ · (η₊ if gₜ gₜ₋₁ > 0, η₋ if < 0, 1 if = 0), step_sizes)
        Δₜ = −sign(gₜ) dₜ; where gₜ gₜ₋₁ < 0, Δₜ = 0 and gₜ = 0 is remembered

    PyTorch multiplies the gradients, and in float32 the product of two below
    1e-23 is 0. Here signs are multiplied.

    Arguments:
      lr: d₀ > 0, clipped to the limits; no schedule, since PyTorch reads it in
        the first step only.
      etas: η₋ in (0, 1) and η₊ > 1.
      step_sizes: the limits.
      maximize: climb.
      accumulator_dtype: of d, as in `gdmethods.rprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.rprop(1e-2, etas=(0.6, 1.1))

    Elsewhere: `gdmethods.rprop` starts from 0.1, and a first step outside of
    the limits is an error there.

    Source:
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """
    if callable(lr):
        raise TypeError("lr of rprop is the first step size, so it cannot be a schedule.")
    low, high = pair("step_sizes", step_sizes)
    smallest = scalar("step_sizes[0]", low, "[0, inf)")
    largest = scalar("step_sizes[1]", high, "(0, inf]")
    shorter, longer = pair("etas", etas)
    ordered("step_sizes[0]", smallest, "step_sizes[1]", largest)
    lr = scalar("lr", lr, "(0, inf)")
    traced = any(isinstance(x, jax.Array) for x in (lr, smallest, largest))
    first = (jnp if traced else np).clip(lr, smallest, largest)
    return _descent(
        maximize,
        None,
        published_rprop(
            first,
            scalar("etas[0]", shorter, "(0, 1)"),
            scalar("etas[1]", longer, "(1, inf)"),
            smallest,
            largest,
            variant="irprop-",
            accumulator_dtype=accumulator_dtype,
        ),
    )


class RMSPropState(NamedTuple):
    """State of `rmsprop`.

    Attributes:
      count: updates so far; int32, shape ().
      nu: νₜ, PyTorch's square_avg; if centered σ²ₜ, square_avg − grad_avg²; a
        tree like the parameters, real, float32 or wider by default.
      mu: mₜ, PyTorch's grad_avg; a tree like the parameters, float32 or wider
        by default; None if not centered.
      velocity: bₜ, PyTorch's momentum_buffer; likewise; None without momentum.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    nu: Square
    mu: Signed | None
    velocity: Signed | None


def _rmsprop_starts(momentum: Scalar, centered: bool) -> dict[str, Any]:
    return rmsprop_starts(0.0, centered, momentum)


def _no_corrections(s: StepState) -> None:
    s.correction = s.growth = 1.0


@optimizer(
    RMSPropState,
    starts=_rmsprop_starts,
    eight_bits=["nu"],
    once=_no_corrections,
    weights=_decays,
    reasons=_REFUSED,
)
def rmsprop(
    g: jax.Array,
    s: LeafState,
    lr: Rate = 1e-2,
    alpha: Decay = 0.99,
    eps: Eps = 1e-8,
    weight_decay: NonNegativeOrNone = None,
    momentum: UnitOrNone = None,
    centered: bool = False,
    *,
    maximize: bool = False,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """`torch.optim.RMSprop`.

        νₜ = α νₜ₋₁ + (1 − α) gₜ²
        bₜ = μ bₜ₋₁ + gₜ / (√νₜ + eps), with νₜ − mₜ² for νₜ if centered
        Δₜ = −ηₜ bₜ

    PyTorch subtracts mₜ². If rounding makes the difference negative, its root
    is NaN. Here the variance is computed as in `gdmethods.rmsprop`: equal in
    exact arithmetic, and never negative.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      alpha: α in [0, 1).
      eps: outside of the root, ≥ 0.
      weight_decay: λ ≥ 0.
      momentum: μ in [0, 1].
      centered: subtract the square of the running mean m.
      maximize: climb.
      accumulator_dtype: of ν, m and b, as in `gdmethods.rmsprop`.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.rmsprop(1e-3, momentum=0.9)

    Elsewhere: `gdmethods.rmsprop` has decay = 0.9, and keeps η inside of the
    velocity.

    Source:
    https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """
    g = _descended(g, s, maximize, weight_decay)
    published = rule_of(published_rmsprop)
    return -lr * published(g, s, -1.0, alpha, eps, centered=centered, momentum=momentum)


@refusing(_REFUSED)
def adam(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[Scalar, Scalar] = (0.9, 0.999),
    eps: Scalar = 1e-8,
    weight_decay: Scalar | None = None,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    decoupled_weight_decay: bool = False,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.Adam`.

        mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ
        vₜ = β₂ vₜ₋₁ + (1 − β₂) gₜ²
        m̂ₜ = mₜ / (1 − β₁ᵗ),    v̂ₜ = vₜ / (1 − β₂ᵗ)
        Δₜ = −ηₜ m̂ₜ / (√v̂ₜ + eps)

    With amsgrad, v̂ₜ is computed from the largest v so far.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      betas: β₁ and β₂ in [0, 1).
      eps: outside of the root, ≥ 0.
      weight_decay: λ ≥ 0, added to the gradient.
      amsgrad: keep the largest v. In bfloat16 the noise of v makes it some 5 %
        too large.
      maximize: climb.
      decoupled_weight_decay: the decay of `adamw` instead.
      accumulator_dtype: of m and v, as in `gdmethods.adam`. "8bit" with amsgrad
        is an error, since noise would raise the largest v.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adam(1e-3, weight_decay=1e-4)

    Elsewhere: without weight_decay and amsgrad, `gdmethods.adam`.
    `optax.amsgrad` takes the largest v̂ instead.

    Source:
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """
    if flag("decoupled_weight_decay", decoupled_weight_decay):
        return adamw(
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            accumulator_dtype=accumulator_dtype,
        )
    return _descent(maximize, weight_decay, _adam(lr, betas, eps, amsgrad, accumulator_dtype))


@refusing(_REFUSED)
def adamw(
    lr: ScalarOrSchedule = 1e-3,
    betas: tuple[Scalar, Scalar] = (0.9, 0.999),
    eps: Scalar = 1e-8,
    weight_decay: Scalar | None = 1e-2,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`torch.optim.AdamW`.

        Δₜ = −ηₜ λ wₜ − ηₜ m̂ₜ / (√v̂ₜ + eps)

    m̂ and v̂ are those of `adam`.

    Arguments:
      lr: η ≥ 0; a number or a schedule.
      betas: β₁ and β₂ in [0, 1).
      eps: outside of the root, ≥ 0.
      weight_decay: λ ≥ 0, decoupled; or None.
      amsgrad: keep the largest v. In bfloat16 the noise of v makes it some 5 %
        too large.
      maximize: climb; weights decay all the same.
      accumulator_dtype: of m and v, as in `gdmethods.adam`. "8bit" with amsgrad
        is an error, since noise would raise the largest v.

    Returns:
      A transformation; updates have the parameters' shapes and dtypes.

    Raises:
      ValueError, TypeError: a concrete argument is out of range, no number, or
        not an option here.

    Example:
      >>> import gdmethods.dialects
      >>> tx = gdmethods.dialects.torch.adamw(1e-3, weight_decay=0.1)

    Elsewhere: without amsgrad, `gdmethods.adamw`, whose λ is 1e-4.

    Source:
    https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    climber = _descent(maximize, None, _adam(lr, betas, eps, amsgrad, accumulator_dtype))
    return climber if weight_decay is None else decaying(climber, lr, weight_decay)


def _adam(
    lr: ScalarOrSchedule,
    betas: tuple[Scalar, Scalar],
    eps: Scalar,
    largest: bool,
    accumulator_dtype: Any,
) -> optax.GradientTransformationExtraArgs:
    lr = scalar_or_schedule("lr", lr, "[0, inf)")
    b1, b2 = pair("betas", betas)
    b1 = scalar("betas[0]", b1, "[0, 1)")
    b2 = scalar("betas[1]", b2, "[0, 1)")
    eps = scalar("eps", eps, "[0, inf)")
    if flag("amsgrad", largest):
        return amsgrad(lr, b1, b2, eps, bias_correction=True, accumulator_dtype=accumulator_dtype)
    return published_adam(lr, b1, b2, eps, accumulator_dtype=accumulator_dtype)


def _rule(
    g: jax.Array,
    s: LeafState,
    *,
    rule: Callable[..., jax.Array],
    maximize: bool,
    weight_decay: Any,
) -> jax.Array:
    return rule(_descended(g, s, maximize, weight_decay), s)


def _descent(
    maximize: bool, weight_decay: Scalar | None, method: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """The method on the gradient after PyTorch's maximize and weight_decay."""
    maximize = flag("maximize", maximize)
    decay = optional("weight_decay", weight_decay, "[0, inf)")
    decays = not is_zero(decay)
    if not (maximize or decays):
        return method
    return around(
        method, _rule, mask=True if decays else None, maximize=maximize, weight_decay=decay
    )
