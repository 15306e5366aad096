"""Adam: a running mean of gradients over the root of a mean of squares, both without bias."""

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
      mu: mₜ, the running mean of g; a tree like the parameters, float32 or
        wider by default.
      nu: vₜ, the running mean of |g|²; a tree like the parameters, real,
        float32 or wider by default.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    mu: Signed
    nu: Square


def corrections(s: StepState, b1: Scalar, b2: Scalar, bias_correction: bool) -> None:
    """Corrects the bias of starting at zero, once a step."""
    s.correction1 = one_minus_power(b1, s.count) if bias_correction else 1.0
    s.correction2 = one_minus_power(b2, s.count) if bias_correction else 1.0


def enough_in_eight_bits(b1: Scalar, b2: Scalar) -> list[str]:
    """The slots for which 8 bits are enough: v, and m if |m|/√v is bounded and not too noisy."""
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
    and β near 1. In float32, gradients from 1.1e-19/√(1 − β₂), by default
    3.4e-18, to 4.6e18 are used unchanged (from 1.5e-154/√(1 − β₂) to 3.4e153 in
    float64). A larger or infinite one counts as 4.6e18 with its sign. The
    square of a smaller one may underflow, but a v below 1.2e-38 counts as
    1.2e-38: the weight moves less, not more. A NaN gradient makes this and all
    later updates of its weight NaN.

    accumulator_dtype="8bit" stores the fourth root of v, and m relative to the
    stored √v, as floating-point numbers with 8 levels an octave. A step uses
    the stored numbers. Rounding is stochastic: the mean of the steps is within
    1 % of float32's, and one step differs from float32's by 22 % (root mean
    square, for normal gradients). Long steps are rare. With a constant
    gradient, β₁ ≤ 0.9 and β₂ ≤ 0.999, a weight makes a step longer than c times
    float32's within 2,000 steps with a probability below 3 exp(−2(c² − 1)),
    c ≥ 2. That is one weight in 200 for c = 2, and one in 30,000 for c = 2.5.

    With "8bit" √v ranges from 9.1e-13 to 9.4e6: weights with smaller gradients
    move less, and a larger gradient counts as 9.4e6. `update` needs `params`,
    whose bits the rounding uses. `read_state` shows the state in float32, and
    `state_ranges` how much of it is at the ends of the range. The state has no
    derivative: `jax.grad` through it raises an error.

    m is kept in bfloat16 in three cases: β₁ > 0.95; β₁ or β₂ is a JAX value;
    |m|/√v can exceed about 60, as at β₁ = 0.9 and β₂ = 0.99999. So under
    `optax.inject_hyperparams` the state has 3 bytes a weight, and 2 with
    static_args=("b1", "b2").

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      b1: β₁ in [0, 1).
      b2: β₂ in [0, 1).
      eps: added outside of the root, ≥ 0.
      eps_root: added inside of the root, ≥ 0.
      bias_correction: False takes m̂ = m and v̂ = v.
      accumulator_dtype: of m and v; None keeps each parameter's own, float32
        for narrower ones. `jnp.bfloat16` is rounded stochastically, so that
        small changes add up. Pass `params` to `update`: without them, weights
        with equal gradients are all rounded the same way. "8bit" is a byte
        each, as described above.

    Returns:
      A transformation with the state `AdamState`. Its updates Δ have the
      parameters' shapes and dtypes (the gradients' dtypes, if `update` is not
      given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number, or eps or eps_root is positive but too small for "8bit"
        to tell from 0; at `init`, if a parameter is not floating point; at
        `update`, if the gradients or the state do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.adam(0.001)
      >>> w = jnp.array([1.0, 1.0])
      >>> updates, state = tx.update(jnp.array([100.0, -0.001]), tx.init(w), w)
      >>> print(updates.round(6))  # η at first, whatever the gradient's size
      [-0.001  0.001]

    Elsewhere: the same in `optax.adam` and `torch.optim.Adam`.
    `keras.optimizers.Adam` adds its ε = 1e-7 to √v before the correction (the
    paper's ε̂), so that ε weighs more at first.

    Source: D. P. Kingma, J. Ba, Adam: a method for stochastic optimization,
    ICLR 2015.
    """
    g = squarable(g, s.nu)
    m = b1 * s.mu + (1 - b1) * g
    s.nu = b2 * s.nu + (1 - b2) * square(g)
    s.mu = m  # after ν: in 8 bits it is relative to ν's root
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
