"""RMSProp: Rprop's even steps for minibatches, from a running mean of squared gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdmethods.rules import (
    Count,
    Decay,
    Eps,
    EpsRoot,
    LeafState,
    MomentumOrNone,
    Rate,
    Scalar,
    ScalarOrSchedule,
    Signed,
    Square,
    StepState,
    core,
    is_zero,
    one_minus_power,
    optimizer,
    representable,
    root,
    squarable,
    square,
)


class RMSPropState(NamedTuple):
    """State of `rmsprop` and `scale_by_rms`.

    Attributes:
      count: updates so far; int32, shape ().
      nu: νₜ, the running mean of |g|²; if centered the variance νₜ − |mₜ|², or
        νₜ − |mₜ|² / (1 − decayᵗ) with bias correction; a tree like the
        parameters, real, float32 or wider by default.
      mu: mₜ, the running mean of g; a tree like the parameters, float32 or
        wider by default; None if not centered.
      velocity: Δₜ; a tree like the parameters, float32 or wider by default;
        None without momentum.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    nu: Square
    mu: Signed | None
    velocity: Signed | None


def starts(initial_scale: Scalar, centered: bool, momentum: ScalarOrSchedule) -> dict[str, Any]:
    """Where the slots start; None for those that a configuration does not keep."""
    return {
        "nu": initial_scale,
        "mu": 0.0 if centered else None,
        "velocity": None if is_zero(momentum) else 0.0,
    }


def corrections(s: StepState, decay: Scalar, bias_correction: bool) -> None:
    """Corrects the bias of starting at zero, once a step."""
    s.correction = s.growth = 1.0
    if bias_correction:
        s.correction = one_minus_power(decay, s.count)
        before = one_minus_power(decay, jnp.maximum(s.count - 1, 1))
        s.growth = jnp.where(s.count == 1, 0.0, s.correction / before)


@optimizer(RMSPropState, starts=starts, eight_bits=["nu"], once=corrections)
def rmsprop(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    decay: Decay = 0.9,
    eps: Eps = 1e-8,
    *,
    eps_root: EpsRoot = 0.0,
    initial_scale: EpsRoot = 0.0,
    centered: bool = False,
    momentum: MomentumOrNone = None,
    bias_correction: bool = False,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """RMSProp: the gradient over the root of the running mean of its square.

        νₜ = decay νₜ₋₁ + (1 − decay) |gₜ|²,    ν₀ = initial_scale
        Δₜ = μₜ Δₜ₋₁ − ηₜ gₜ / (√(νₜ + eps_root) + eps),    Δ₀ = 0

    A weight that never had a gradient stays: 0/0 is 0, with eps = 0 too. With
    ν₀ = 0 and without bias correction the first steps are up to 1/√(1 − decay)
    times η. In float32, gradients from 1.1e-19/√(1 − decay), by default
    3.4e-19, to 4.6e18 are used unchanged (from 1.5e-154/√(1 − decay) to 3.4e153
    in float64). A larger or infinite one counts as 4.6e18 with its sign. The
    square of a smaller one may underflow, but a ν below 1.2e-38 counts as
    1.2e-38: the weight moves less, not more. A NaN gradient makes this and all
    later updates of its weight NaN.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      decay: in [0, 1).
      eps: added outside of the root, ≥ 0.
      eps_root: added inside of the root, ≥ 0.
      initial_scale: ν₀ ≥ 0.
      centered: use the variance σ²ₜ = νₜ − |mₜ|² instead of ν, with mₜ = decay
        mₜ₋₁ + (1 − decay) gₜ and m₀ = 0. It is computed as decay σ²ₜ₋₁ +
        (1/decay − 1) |gₜ − mₜ|². That is equal, never negative, and keeps its
        digits if the mean is large.
      momentum: μ in [0, 1]; a number or a schedule. None, or Python's 0, keeps
        no velocity.
      bias_correction: divide νₜ (and mₜ) by 1 − decayᵗ. With centered and
        ν₀ = 0 the first variance is then 0, and the first step is η g / eps,
        which is huge. Set `initial_scale` or `eps_root` near |g|², or `eps`
        near |g|.
      accumulator_dtype: of ν, m and Δ; None keeps each parameter's own,
        float32 for narrower ones. `jnp.bfloat16` is rounded stochastically, so
        that small changes add up. Pass `params` to `update`: without them,
        weights with equal gradients are all rounded the same way. "8bit" is a
        byte for ν, as in `adam`, and bfloat16 for m and Δ, since their noise in
        a byte would add up.

    Returns:
      A transformation with the state `RMSPropState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.rmsprop(0.01)
      >>> w = jnp.array([1.0, 1.0])
      >>> state = tx.init(w)
      >>> for _ in range(100):
      ...     updates, state = tx.update(jnp.array([100.0, -0.001]), state, w)
      >>> print(updates.round(5))  # whatever the gradient's size
      [-0.01  0.01]

    Elsewhere: `optax.rmsprop` has ε inside of the root unless
    eps_in_sqrt=False. `torch.optim.RMSprop` has decay = 0.99, ε outside, and η
    outside of the velocity. `keras.optimizers.RMSprop` has ε = 1e-7 inside,
    and η inside of the velocity.

    Source: G. Hinton, Neural networks for machine learning, lecture 6e,
    Coursera, 2012; centered: A. Graves, Generating sequences with recurrent
    neural networks, arXiv:1308.0850, 2013.
    """
    g = squarable(g, s.nu)
    s.mu = decay * s.mu + (1 - decay) * g
    if centered:  # with g − mₜ = decay (g − mₜ₋₁), so that mₜ can overwrite mₜ₋₁
        weight = (1 - decay) / representable(decay, g.dtype) * s.growth
        s.nu = decay * s.nu + weight * square(g - s.mu / s.correction)
    else:
        s.nu = decay * s.nu + (1 - decay) * square(g)
    direction = g / root(s.nu, eps, eps_root, s.correction)
    s.velocity = momentum * s.velocity - learning_rate * direction
    return s.velocity


scale_by_rms = core(
    rmsprop,
    """The direction of `rmsprop`, for a chain that ends with a learning rate.

    It is −Δ at η = 1 without momentum. For momentum, chain `velocity` after the
    learning rate. Arguments, state and errors are those of `rmsprop`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(  # what rmsprop(1e-3, momentum=0.9) does
      ...     gdmethods.scale_by_rms(),
      ...     gdmethods.scale_by_learning_rate(1e-3),
      ...     gdmethods.velocity(0.9),
      ... )

    Elsewhere: `optax.scale_by_rms`, and `optax.scale_by_stddev` for the
    centered form; both have ε inside of the root unless eps_in_sqrt=False.
    """,
    name="scale_by_rms",
    momentum=0.0,
)
