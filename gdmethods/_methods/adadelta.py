"""ADADELTA: displacements get the units of the weights from their own recent size."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from gdmethods.rules import (
    Count,
    Decay,
    LeafState,
    NonNegative,
    Rate,
    Square,
    core,
    divide,
    optimizer,
    positive,
    sqrt,
    squarable,
    square,
)


class AdaDeltaState(NamedTuple):
    """State of `adadelta` and `scale_by_adadelta`.

    Attributes:
      count: updates so far; int32, shape ().
      e_g: aₜ, the running mean of |g|²; a tree like the parameters, real,
        float32 or wider by default.
      e_x: bₜ, the running mean of |δ|²; likewise.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    e_g: Square
    e_x: Square


@optimizer(AdaDeltaState)
def adadelta(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate = 1.0,
    rho: Decay = 0.95,
    eps: NonNegative = 1e-6,
    *,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """ADADELTA: no learning rate to choose, but an ε that decides how it starts.

        aₜ = ρ aₜ₋₁ + (1 − ρ) |gₜ|²,    a₀ = 0
        δₜ = √(bₜ₋₁ + ε) / √(aₜ + ε) · gₜ,    b₀ = 0
        bₜ = ρ bₜ₋₁ + (1 − ρ) |δₜ|²
        Δₜ = −ηₜ δₜ

    In float32, at ρ = 0.95 and ε = 1e-6, gradients up to 4e16 are used
    unchanged. If aₜ exceeds 8.5e37 ε, the quotient under the root may
    underflow, and the weight stays until aₜ has fallen. A gradient beyond
    4.6e18, or infinite, counts as 4.6e18 with its sign. A NaN gradient makes
    this and all later updates of its weight NaN.

    Arguments:
      learning_rate: η ≥ 0, 1 in the paper; a number or a schedule. It does not
        enter b.
      rho: ρ in [0, 1).
      eps: ε ≥ 0. The first step is of the order of √ε; with 0 no weight ever
        moves.
      accumulator_dtype: of a and b; None keeps each parameter's own, float32
        for narrower ones. `jnp.bfloat16` is rounded stochastically, so that
        small changes add up. Pass `params` to `update`: without them, weights
        with equal gradients are all rounded the same way. "8bit" is bfloat16
        too: each mean is computed from the other, and with the noise of a byte
        steps would be 20 times as long.

    Returns:
      A transformation with the state `AdaDeltaState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adadelta()
      >>> w = jnp.array([1.0, 1.0])
      >>> updates, state = tx.update(jnp.array([100.0, 1.0]), tx.init(w), w)
      >>> print((1000 * updates).round(3))  # whatever the gradient's size
      [-4.472 -4.472]

    Elsewhere: the same in `optax.adadelta` (ρ = 0.9 there),
    `torch.optim.Adadelta` (0.9) and `keras.optimizers.Adadelta` (ε = 1e-7,
    η = 0.001).

    Source: M. D. Zeiler, ADADELTA: an adaptive learning rate method,
    arXiv:1212.5701, 2012.
    """
    g = squarable(g, s.e_g)
    s.e_g = rho * s.e_g + (1 - rho) * square(g)
    delta = sqrt(divide(s.e_x + eps, positive(s.e_g, eps) + eps)) * g
    s.e_x = rho * s.e_x + (1 - rho) * square(delta)
    return -learning_rate * delta


scale_by_adadelta = core(
    adadelta,
    """The direction of `adadelta`, for a chain that ends with a learning rate.

    It is −Δ at η = 1, the paper's δₜ. Arguments, state and errors are those of
    `adadelta`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(
      ...     gdmethods.scale_by_adadelta(),
      ...     optax.add_decayed_weights(1e-4),
      ...     optax.scale(-1.0),
      ... )

    Elsewhere: `optax.scale_by_adadelta`, with ρ = 0.9.
    """,
)
