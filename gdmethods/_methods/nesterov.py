"""Nesterov's accelerated gradient: jump along the velocity first, and take the gradient there.

A transformation gets gradients at the parameters that its user holds. So these
parameters are the look-ahead points y, and the weights w are y − μ Δ. The state
keeps the μ that y was built with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gdmethods.rules import (
    Count,
    LeafState,
    Momentum,
    Number,
    Rate,
    ScalarOrSchedule,
    Signed,
    StepState,
    at,
    core,
    optimizer,
)


class NesterovState(NamedTuple):
    """State of `nesterov` and `nesterov_velocity`.

    Attributes:
      count: updates so far; int32, shape ().
      velocity: Δₜ; a tree like the parameters, float32 or wider by default.
      next_momentum: μₜ₊₁, with which the parameters look ahead; float32
        (float64 in 64-bit JAX), shape ().
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    velocity: Signed
    next_momentum: Number


def _first_momentum(momentum: ScalarOrSchedule) -> dict[str, Any]:
    return {"next_momentum": momentum}


def _look_ahead(s: StepState, momentum: ScalarOrSchedule) -> None:
    s.momentum, s.next_momentum = s.next_momentum, at(momentum, s.count)


@optimizer(NesterovState, starts=_first_momentum, once=_look_ahead)
def nesterov(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    momentum: Momentum = 0.9,
    *,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Nesterov's accelerated gradient, exact for any schedule of μ and η.

        yₜ = wₜ + μₜ Δₜ₋₁
        Δₜ = μₜ Δₜ₋₁ − ηₜ ∇E(yₜ),    Δ₀ = 0
        wₜ₊₁ = wₜ + Δₜ

    The parameters that you hold and differentiate at are the look-ahead points
    y. The update is yₜ₊₁ − yₜ = −ηₜ gₜ + μₜ₊₁ Δₜ, so that a step needs one
    gradient. `nesterov_eval_params` returns the weights w, for evaluation. Do
    not scale the updates afterwards in a chain: y would then not be yₜ. An
    infinite or NaN gradient stays in the velocity: it makes this and all later
    updates of its weight infinite or NaN.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1]; a number or a schedule, such as
        `sutskever_momentum_schedule()`. If `optax.inject_hyperparams` changes
        it before update t, the new value is μₜ₊₁; update t itself still uses
        the old μₜ.
      accumulator_dtype: of Δ, as in `momentum`.

    Returns:
      A transformation with the state `NesterovState`. Its updates have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.nesterov(0.1, 0.5)
      >>> y = jnp.array(1.0)
      >>> state = tx.init(y)
      >>> for _ in range(2):
      ...     update, state = tx.update(y, state, y)  # the gradient of y²/2
      ...     y = y + update
      ...     w = gdmethods.nesterov_eval_params(state, y)
      ...     print(f"y {y:.4f}, w {w:.4f}")
      y 0.8500, w 0.9000
      y 0.6975, w 0.7650

    Elsewhere: `optax.sgd(η, momentum=μ, nesterov=True)`,
    `torch.optim.SGD(nesterov=True)` and `keras.optimizers.SGD(nesterov=True)`
    make the same steps of y while μ and η are constant, and cannot return w.

    Source: Y. Nesterov, A method of solving a convex programming problem with
    convergence rate O(1/k²), Soviet Mathematics Doklady 27, 1983; in the form
    of I. Sutskever, J. Martens, G. Dahl, G. Hinton, On the importance of
    initialization and momentum in deep learning, ICML 2013.
    """
    s.velocity = momentum * s.velocity - learning_rate * g
    return s.next_momentum * s.velocity - learning_rate * g


nesterov_velocity = core(
    nesterov,
    """The velocity of `nesterov`, for the end of a chain, after its learning rate.

        Δₜ = μₜ Δₜ₋₁ + uₜ
        yₜ₊₁ − yₜ = uₜ + μₜ₊₁ Δₜ

    u is the update from the chain before. Arguments, returns and errors are
    those of `nesterov`, and `nesterov_eval_params` returns w here too.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(  # what nesterov(0.1, 0.9) does
      ...     gdmethods.scale_by_learning_rate(0.1),
      ...     gdmethods.nesterov_velocity(0.9),
      ... )

    Elsewhere: `optax.trace(μ, nesterov=True)`, for constant μ.
    """,
    name="nesterov_velocity",
    rate=-1.0,
)
