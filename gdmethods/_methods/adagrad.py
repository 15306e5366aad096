"""AdaGrad: each weight's rate falls with the sum of its squared gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gdmethods.rules import (
    Count,
    Eps,
    EpsRoot,
    LeafState,
    Rate,
    Scalar,
    Square,
    core,
    optimizer,
    root,
    squarable,
    square,
)


class AdaGradState(NamedTuple):
    """State of `adagrad` and `scale_by_rss`.

    Attributes:
      count: updates so far; int32, shape ().
      sum_of_squares: sₜ; a tree like the parameters, real, float32 or wider by
        default.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    sum_of_squares: Square


def starts(initial_accumulator_value: Scalar) -> dict[str, Any]:
    return {"sum_of_squares": initial_accumulator_value}


@optimizer(AdaGradState, starts=starts, eight_bits=["sum_of_squares"])
def adagrad(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    *,
    eps: Eps = 1e-10,
    eps_root: EpsRoot = 0.0,
    initial_accumulator_value: EpsRoot = 0.0,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """AdaGrad: large steps for weights whose gradients have been rare or small.

        sₜ = sₜ₋₁ + |gₜ|²,    s₀ = initial_accumulator_value
        Δₜ = −ηₜ gₜ / (√(sₜ + eps_root) + eps)

    A weight that never had a gradient stays: 0/0 is 0, with eps = 0 too. In
    float32, gradients from 1.1e-19 to 4.6e18 are used unchanged (from 1.5e-154
    to 3.4e153 in float64). A larger or infinite one counts as 4.6e18 with its
    sign. The sum of 16 such squares overflows (of 8 or more, if complex), and
    the weight then stays. The square of a smaller gradient may underflow, but
    a sum below 1.2e-38 counts as 1.2e-38. A NaN gradient makes this and all
    later updates of its weight NaN.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      eps: added outside of the root, ≥ 0.
      eps_root: added inside of the root, ≥ 0.
      initial_accumulator_value: s₀ ≥ 0.
      accumulator_dtype: of s; None keeps each parameter's own, float32 for
        narrower ones. `jnp.bfloat16` is rounded stochastically, so that small
        changes add up. Pass `params` to `update`: without them, weights with
        equal gradients are all rounded the same way. "8bit" is a byte, as in
        `adam`. A sum then grows to 8.9e13 at most, and a step is at most
        1.27 η.

    Returns:
      A transformation with the state `AdaGradState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adagrad(0.1)
      >>> w = jnp.array([1.0, 1.0, 1.0])
      >>> state = tx.init(w)
      >>> for g in ([3.0, 1e-3, 0.0], [4.0, 1e-3, 0.0]):
      ...     updates, state = tx.update(jnp.array(g), state, w)
      >>> print(abs(updates.round(4)))
      [0.08   0.0707 0.    ]

    Elsewhere: `optax.adagrad` starts from 0.1 and has ε = 1e-7 inside of the
    root. It is `adagrad(η, eps=0.0, eps_root=1e-7,
    initial_accumulator_value=0.1)`. `torch.optim.Adagrad` is the same as here
    with its defaults, and η = 0.01. `keras.optimizers.Adagrad` starts from 0.1
    and has ε = 1e-7 inside.

    Source: J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for
    online learning and stochastic optimization, Journal of Machine Learning
    Research 12, 2011.
    """
    g = squarable(g, s.sum_of_squares)
    s.sum_of_squares = s.sum_of_squares + square(g)
    direction = g / root(s.sum_of_squares, eps, eps_root)
    return -learning_rate * direction


scale_by_rss = core(
    adagrad,
    """The direction of `adagrad`, for a chain that ends with a learning rate.

    It is −Δ at η = 1: gₜ over the root of the sum of squares. Arguments, state
    and errors are those of `adagrad`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(
      ...     gdmethods.scale_by_rss(),
      ...     optax.add_decayed_weights(1e-4),
      ...     optax.scale(-0.1),
      ... )

    Elsewhere: `optax.scale_by_rss`, with the defaults of `optax.adagrad`.
    """,
    name="scale_by_rss",
)
