"""Momentum: a velocity adds up gradients that agree, and damps those that alternate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gdmethods.rules import Count, LeafState, Momentum, Rate, Signed, core, optimizer


class MomentumState(NamedTuple):
    """State of `momentum` and `velocity`.

    Attributes:
      count: updates so far; int32, shape ().
      velocity: Δₜ; a tree like the parameters, float32 or wider by default.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    velocity: Signed


@optimizer(MomentumState)
def momentum(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    momentum: Momentum = 0.9,
    *,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Gradient descent with classical (heavy-ball) momentum.

        Δₜ = μₜ Δₜ₋₁ − ηₜ gₜ,    Δ₀ = 0

    With a constant gradient a weight moves up to 1/(1 − μ) times as fast as
    with `sgd`. A gradient that changes sign at every step is damped. An
    infinite or NaN gradient stays in the velocity: it makes this and all later
    updates of its weight infinite or NaN.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1]; a number or a schedule, such as
        `sutskever_momentum_schedule()`.
      accumulator_dtype: of Δ; None keeps each parameter's own, float32 for
        narrower ones. `jnp.bfloat16` is rounded stochastically, so that small
        changes add up. Pass `params` to `update`: without them, weights with
        equal gradients are all rounded the same way. "8bit" is bfloat16 too: in
        a byte, noise would add 7 % to the variance of a velocity at μ = 0.99,
        and 77 % at 0.999.

    Returns:
      A transformation with the state `MomentumState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.momentum(0.1, 0.5)
      >>> w = jnp.array(1.0)
      >>> state = tx.init(w)
      >>> for _ in range(3):
      ...     update, state = tx.update(jnp.array(1.0), state, w)
      ...     print(f"{update:.3f}")
      -0.100
      -0.150
      -0.175

    Elsewhere: `optax.sgd(η, momentum=μ)` and `torch.optim.SGD` keep η outside
    of the velocity: Δₜ = −ηₜ vₜ with vₜ = μ vₜ₋₁ + gₜ. The steps are equal
    until η changes. A new η then rescales the whole velocity there, and only
    new gradients here. `keras.optimizers.SGD` does the same as here.

    Source: B. T. Polyak, Some methods of speeding up the convergence of
    iteration methods, USSR Computational Mathematics and Mathematical Physics
    4, 1964; I. Sutskever, J. Martens, G. Dahl, G. Hinton, On the importance of
    initialization and momentum in deep learning, ICML 2013.
    """
    s.velocity = momentum * s.velocity - learning_rate * g
    return s.velocity


velocity = core(
    momentum,
    """The velocity of `momentum`, for the end of a chain, after its learning rate.

        Δₜ = μₜ Δₜ₋₁ + uₜ

    u is the update from the chain before. Arguments, returns and errors are
    those of `momentum`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(  # what momentum(0.1, 0.9) does
      ...     gdmethods.scale_by_learning_rate(0.1), gdmethods.velocity(0.9)
      ... )

    Elsewhere: `optax.trace(μ)`, for which μ cannot be a schedule.
    """,
    name="velocity",
    rate=-1.0,
)
