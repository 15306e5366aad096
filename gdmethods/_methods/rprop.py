"""Rprop: only the sign of a gradient counts, and each weight has its own step size."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdmethods.rules import (
    Count,
    LeafState,
    NonNegative,
    Number,
    Positive,
    Scalar,
    Sign,
    StepState,
    core,
    optimizer,
    ordered,
    representable,
    scalar,
    sign,
)

_NO_LOSS = float(jnp.finfo(jnp.float32).max)  # no loss is above it


class RpropState(NamedTuple):
    """State of `rprop` and `scale_by_rprop`.

    Attributes:
      count: updates so far; int32, shape ().
      step_sizes: dₜ; a tree like the parameters, float32 or wider by default.
      sign: the sign of gₜ, or 0 where the variant remembers a zero gradient; a
        tree like the parameters, int8.
      value: the loss of the last update, for "irprop+"; float32 (float64 in
        64-bit JAX), shape (). It starts as the largest number of float32, and
        stays so in the other variants.
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    step_sizes: Positive
    sign: Sign
    value: Number


def _first_step(name: str, value: Any) -> Scalar:
    if callable(value):
        raise TypeError(
            "learning_rate of rprop is the first step size, and is not used afterwards, so it "
            "cannot be a schedule. Pass a number. To scale every move, chain "
            "optax.scale_by_schedule after rprop."
        )
    return scalar(name, value, "(0, inf)")


def _starts(learning_rate: Scalar, min_step_size: Scalar, max_step_size: Scalar) -> dict[str, Any]:
    ordered("min_step_size", min_step_size, "learning_rate", learning_rate)
    ordered("learning_rate", learning_rate, "max_step_size", max_step_size)
    return {"step_sizes": learning_rate, "value": _NO_LOSS}


def _compare(s: StepState, variant: str, value: Any = None) -> None:
    if variant != "irprop+":
        return
    if value is None:
        raise ValueError(
            'variant="irprop+" compares losses and was given none. Call '
            "tx.update(grads, state, params, value=loss)."
        )
    if not isinstance(value, int | float | np.number | np.ndarray | jax.Array):
        raise TypeError(f"value must be the loss, a number, got {value!r}.")
    if jnp.shape(value) != ():
        raise ValueError(
            f"value must be the loss, a scalar, got shape {jnp.shape(value)}. Pass the mean over "
            "examples that was differentiated."
        )
    before, s.value = s.value, jnp.asarray(value)
    s.loss_rose = s.value > before


@optimizer(RpropState, starts=_starts, once=_compare)
def rprop(
    g: jax.Array,
    s: LeafState,
    learning_rate: Annotated[Scalar, _first_step] = 0.1,
    eta_minus: Annotated[Scalar, "(0, 1)"] = 0.5,
    eta_plus: Annotated[Scalar, "(1, inf)"] = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: Annotated[Scalar, "(0, inf]"] = 50.0,
    *,
    variant: Literal["rprop-", "rprop+", "irprop-", "irprop+"] = "irprop-",
    accumulator_dtype: Any = None,
) -> jax.Array:
    """Resilient backpropagation, for gradients of the full batch.

        aₜ = sign(gₜ) · sign(gₜ₋₁)
        dₜ = min(dₜ₋₁ · eta_plus, max_step_size)     if aₜ > 0
             max(dₜ₋₁ · eta_minus, min_step_size)    if aₜ < 0
             dₜ₋₁                                    if aₜ = 0
        Δₜ = −sign(gₜ) dₜ,    d₀ = learning_rate

    Where the sign has turned (aₜ < 0) the variants differ:

        "rprop-"     moves all the same
        "rprop+"     takes back the move before, Δₜ = −Δₜ₋₁; remembers gₜ = 0
        "irprop-"    does not move, Δₜ = 0, and remembers gₜ = 0
        "irprop+"    as "rprop+" if the loss rose, else as "irprop-"; call
                     tx.update(grads, state, params, value=loss)

    It fails on small minibatches, where signs turn by sampling alone and steps
    shrink; use `rmsprop` there. An infinite gradient counts by its sign, like
    any other. So does a denormal one, except a float32 gradient of a float64
    weight. A NaN gradient makes this and all later updates of its weight NaN.

    Arguments:
      learning_rate: d₀ > 0, within the limits; no schedule, since it is used
        only at the start.
      eta_minus: factor of a shorter step, in (0, 1).
      eta_plus: factor of a longer step, > 1.
      min_step_size: lower limit of d, ≥ 0; with 0 it is the smallest normal
        number of d's dtype.
      max_step_size: upper limit of d, > 0; with `jnp.inf` it is the largest
        number of d's dtype.
      variant: "rprop-", "rprop+", "irprop-" or "irprop+".
      accumulator_dtype: of d; None keeps each parameter's own, float32 for
        narrower ones. `jnp.bfloat16` is rounded stochastically, so that small
        changes add up. Pass `params` to `update`: without them, weights with
        equal gradients are all rounded the same way. "8bit" is bfloat16 too: in
        a byte, the noise of 30 steps of one sign would spread d by 20 %.

    Returns:
      A transformation with the state `RpropState`, 5 bytes a float32 weight.
      Its updates Δ have the parameters' shapes and dtypes (the gradients'
      dtypes, if `update` is not given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range
        or no number; at `init`, if a parameter is not floating point, or
        complex; at `update`, if the gradients or the state do not fit, or
        "irprop+" is not given the loss.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.rprop(0.1)
      >>> x = jnp.array(0.95)
      >>> state = tx.init(x)
      >>> for _ in range(8):
      ...     update, state = tx.update(x, state, x)  # the gradient of x²/2
      ...     x = x + update
      ...     print(f"{x:.3f}", end=";")
      0.850;0.730;0.586;0.413;0.206;-0.043;-0.043;0.081;

    Elsewhere: `torch.optim.Rprop` is "irprop-" with η = 0.01. `optax.rprop` is
    "irprop-" too, but returns the move of the update before (seen in 0.2.8).
    Keras has none.

    Source: M. Riedmiller, H. Braun, A direct adaptive method for faster
    backpropagation learning: the RPROP algorithm, ICNN 1993; C. Igel, M.
    Hüsken, Empirical evaluation of the improved Rprop learning algorithms,
    Neurocomputing 50, 2003.
    """
    now = sign(g)
    a = now * s.sign
    previous_move = -s.sign * s.step_sizes
    dtype = accumulator_dtype or s.step_sizes.dtype
    longer = jnp.minimum(s.step_sizes * eta_plus, representable(max_step_size, dtype))
    shorter = jnp.maximum(s.step_sizes * eta_minus, representable(min_step_size, dtype))
    d = jnp.where(a > 0, longer, jnp.where(a < 0, shorter, s.step_sizes))
    s.step_sizes = jnp.where(jnp.isnan(g), g, d)
    s.sign = now if variant == "rprop-" else jnp.where(a < 0, 0.0, now)
    move = -s.sign * s.step_sizes
    if variant == "rprop+":
        move = jnp.where(a < 0, -previous_move, move)
    if variant == "irprop+":
        move = jnp.where(a < 0, jnp.where(s.loss_rose, -previous_move, 0.0), move)
    return move


scale_by_rprop = core(
    rprop,
    """The direction of `rprop`, for a chain that ends with a (negative) scale.

    It is −Δ: sign(gₜ) dₜ where no sign turned. Arguments, state and errors are
    those of `rprop`.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(gdmethods.scale_by_rprop(0.01), optax.scale(-1.0))

    Elsewhere: `optax.scale_by_rprop`, which lags by one update as
    `optax.rprop` does.
    """,
    rate=None,
)
