"""Adam: momentum's running mean over RMSProp's, both freed of the bias of starting at zero."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax

from gdmethods._numbers.eight_bits import LARGEST_RATIO
from gdmethods.rules import (
    Count,
    Decay,
    Eps,
    EpsRoot,
    LeafState,
    Rate,
    Scalar,
    Signed,
    Square,
    StepState,
    core,
    one_minus_power,
    optimizer,
    root,
    squarable,
    square,
)


class AdamState(NamedTuple):
    """State of `adam` and `scale_by_adam`.

    Attributes:
      count: updates so far; int32, shape ().
      mu: mₜ, the running mean of g; a tree like the parameters, at least
        float32.
      nu: vₜ, the running mean of |g|²; a tree like the parameters, real, at
        least float32.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    mu: Signed
    nu: Square


def corrections(s: StepState, b1: Scalar, b2: Scalar, bias_correction: bool) -> None:
    """Of the bias of starting at zero, once a step."""
    s.correction1 = one_minus_power(b1, s.count) if bias_correction else 1.0
    s.correction2 = one_minus_power(b2, s.count) if bias_correction else 1.0


def enough_in_eight_bits(b1: Scalar, b2: Scalar) -> list[str]:
    """The slots that 8 bits are enough for: v, and m where |m|/√v is bounded and not too noisy."""
    if not isinstance(b1, float) or not isinstance(b2, float) or b1 > 0.95 or b1**2 >= b2:
        return ["nu"]
    largest = (1 - b1) / math.sqrt((1 - b2) * (1 - b1**2 / b2))  # by Cauchy-Schwarz
    return ["mu", "nu"] if 1.3 * largest < LARGEST_RATIO else ["nu"]  # √v may be rounded down


@optimizer(AdamState, eight_bits=enough_in_eight_bits, once=corrections)
def adam(
    g: jax.Array,
    s: LeafState,
    learning_rate: Rate,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Eps = 1e-8,
    eps_root: EpsRoot = 0.0,
    *,
    bias_correction: bool = True,
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Adam: adaptive moment estimation.

        mₜ = β₁ mₜ₋₁ + (1 − β₁) gₜ,    m₀ = 0
        vₜ = β₂ vₜ₋₁ + (1 − β₂) |gₜ|²,    v₀ = 0
        m̂ₜ = mₜ / (1 − β₁ᵗ)
        v̂ₜ = vₜ / (1 − β₂ᵗ)
        Δₜ = −ηₜ m̂ₜ / (√(v̂ₜ + eps_root) + eps)

    A weight that never had a gradient stays: 0/0 is 0, with eps = 0 too.
    1 − βᵗ is computed as −expm1(t log β), which keeps its digits at small t
    and β near 1. In float32 gradients from 1.1e-19/√(1 − β₂), which is
    3.4e-18, to 4.6e18 are seen as they are (from 1.5e-154/√(1 − β₂) to 3.4e153
    in float64). A larger or infinite one counts as 4.6e18, with its sign. The
    square of a smaller one may underflow: v counts as 1.2e-38 at least, so
    that its weight moves less, not more. NaN makes all updates of its weight
    NaN from then on.

    accumulator_dtype="8bit" stores v by its fourth root and m relative to the
    stored √v, as floating-point numbers with 8 levels an octave, and takes the
    step of what is stored. Rounding is stochastic, so that steps are float32's
    in the mean; one step differs from float32's by 22 % (root mean square, for
    normal gradients). Few are long. With a constant gradient, β₁ up to 0.9 and
    β₂ up to 0.999, a weight has one above c times float32's in 2,000 steps with
    a probability below 3 exp(−2(c² − 1)), c ≥ 2: one weight in 200 for 2, and
    one in 30,000 for 2.5. √v reaches from 9.1e-13 to 9.4e6: weights of smaller
    gradients move less, and a larger gradient counts as 9.4e6. `update` asks
    for the parameters, whose bits it rounds by. The state is read with
    `read_state`, watched with `state_ranges`, and has no derivative, which
    `jax.grad` refuses.

    m is bfloat16 where β₁ is above 0.95 or a traced or injected number, or
    |m|/√v can exceed 60, as at β₁ = 0.9 and β₂ = 0.99999. So
    `optax.inject_hyperparams` keeps 3 bytes; with static_args=("b1", "b2") it
    keeps 2.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: added outside of the root, ≥ 0.
      eps_root: added inside of the root, ≥ 0.
      bias_correction: False takes m̂ = m and v̂ = v.
      accumulator_dtype: of m and v; None keeps each parameter's own, float32
        for narrower ones. `jnp.bfloat16` is rounded stochastically, so that
        small changes add up; give `update` the parameters, or equal gradients
        round alike. "8bit" is a byte each, as described above.

    Returns:
      A transformation with the state `AdamState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number, or eps or eps_root is positive and below what "8bit"
        tells from 0; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adam(0.001)
      >>> w = jnp.array([1.0, 1.0])
      >>> updates, state = tx.update(jnp.array([100.0, -0.001]), tx.init(w), w)
      >>> print(updates.round(6))  # at first η, whatever the gradient's size
      [-0.001  0.001]

    Elsewhere: the same in `optax.adam` and `torch.optim.Adam`.
    `keras.optimizers.Adam` adds its ε = 1e-7 to √v before the correction (the
    paper's ε̂), so that it weighs more at first.

    Source: D. P. Kingma, J. Ba, Adam: a method for stochastic optimization,
    ICLR 2015.
    """
    g = squarable(g, s.nu)
    m = b1 * s.mu + (1 - b1) * g
    s.nu = b2 * s.nu + (1 - b2) * square(g)
    s.mu = m  # after ν, to whose root it may be relative
    direction = s.mu / root(s.nu, eps, eps_root, s.correction2)
    return -learning_rate / s.correction1 * direction


scale_by_adam = core(
    adam,
    """The direction of `adam`, for a chain that ends with a learning rate.

    It is −Δ at η = 1: m̂ₜ over the root of v̂ₜ. Arguments, state and errors
    are those of `adam`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(  # AdamW
      ...     gdmethods.scale_by_adam(),
      ...     optax.add_decayed_weights(1e-4),
      ...     optax.scale(-1e-3),
      ... )

    Elsewhere: the same in `optax.scale_by_adam`.
    """,
)
