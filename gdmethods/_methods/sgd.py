"""Stochastic gradient descent: no memory, and one rate for all weights."""

from __future__ import annotations

from typing import NamedTuple

import jax
import optax

from gdmethods._engine.options import refusing
from gdmethods.rules import Count, LeafState, Rate, ScalarOrSchedule, optimizer


class SGDState(NamedTuple):
    """State of `sgd`.

    Attributes:
      count: updates so far; int32, shape ().
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count


@optimizer(SGDState)
def sgd(g: jax.Array, s: LeafState, learning_rate: Rate) -> jax.Array:
    """Stochastic gradient descent.

        Δₜ = −ηₜ gₜ

    An infinite or NaN gradient affects only its own update.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.

    Returns:
      A transformation with the state `SGDState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.sgd(0.1)
      >>> w = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * w, tx.init(w), w)  # the gradient of w²
      >>> print(updates)
      [-0.2  0.4]

    Elsewhere: `optax.sgd`, `torch.optim.SGD` and `keras.optimizers.SGD` at
    their defaults. Here η is float32 or wider for parameters of every dtype.
    Optax rounds a schedule's η to the gradient's dtype.

    Source: H. Robbins, S. Monro, A stochastic approximation method, Annals of
    Mathematical Statistics 22, 1951.
    """
    return -learning_rate * g


@refusing()
def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule,
) -> optax.GradientTransformationExtraArgs:
    """The learning rate of a chain; it is `sgd` under another name.

        Δₜ = −ηₜ uₜ

    u is the update from the chain before. Arguments, returns and errors are
    those of `sgd`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(
      ...     gdmethods.scale_by_adam(), gdmethods.scale_by_learning_rate(1e-3)
      ... )

    With bfloat16 or float16 parameters each link of a chain rounds its updates.
    `adam(1e-3)`, which is otherwise the chain above, rounds once.

    Elsewhere: `optax.scale_by_learning_rate`, which multiplies in the update's
    dtype.
    """
    return sgd(learning_rate)
