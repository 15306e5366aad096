"""Stochastic rounding of weights: bfloat16 weights that small updates move, without a copy.

An update below half a unit in the last place of its weight is lost when the sum
is rounded to nearest, however often it comes. Here the sum is rounded up with
the probability of the part that is cut off. So the update moves the weight now
and then, and on average by its own size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.foreign_states import require_state
from gdmethods._engine.lifting import with_gradients
from gdmethods._engine.states import serializable
from gdmethods._engine.transformations import transformation
from gdmethods._engine.trees import at_path
from gdmethods._numbers.rounding import noise, rounded
from gdmethods._wrappers.narrow_weights import (
    in_float32,
    is_narrow,
    refuse_another,
    require_params,
    weights_state,
)

_WEIGHT = -1  # the slots count from 0


@weights_state
@serializable
class StochasticRoundingState(NamedTuple):
    """State of `with_stochastic_rounding`.

    Attributes:
      rounding_count: updates so far; int32, shape ().
      narrowest: 0. Its dtype says which weights are rounded: bfloat16 all,
        float16 some, float32 none; shape ().
      inner_state: of the wrapped transformation, made for float32 weights.
    """

    rounding_count: jax.Array
    narrowest: jax.Array
    inner_state: optax.OptState


def with_stochastic_rounding(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Any transformation on bfloat16 parameters, which are rounded stochastically.

        xₜ = wₜ + Δₜ(gₜ, wₜ)    in float32
        qₜ = the bfloat16 above xₜ with probability p, else the one below
        p = (xₜ − below) / (above − below), so that E[qₜ] = xₜ
        uₜ = qₜ − wₜ

    `inner` is given the parameters w and the gradients in float32, so that its
    accumulators, its weight decay and its updates Δ are float32 too, and the
    new weight is rounded once. Parameters that are float32 or wider, or
    complex, are not rounded: `inner` updates them directly.

    The random bits are a hash of the gradient, the weight and the count of
    updates. There is no key to carry, and a resumed run goes on to the bit.
    Sharding, `jax.vmap` and the order of weights do not change the rounding.
    Equal weights with equal gradients are rounded the same way, and stay equal.

    u is float32 for a bfloat16 weight. Add it with `optax.apply_updates(w, u)`,
    which adds in float32 and rounds the sum to qₜ, to the bit. Do not write
    w + u: that makes the weights float32, and the next update raises an error.

    Wrap the whole optimizer, `optax.MultiSteps` included, and do not change the
    updates afterwards. Put `skip_nonfinite_steps`, `optax.masked` and
    `optax.partition` outside. `optax.apply_if_finite` raises an error if
    updates and gradients differ in dtype.

    Arguments:
      inner: an optimizer of gdmethods, Optax or your own.

    Returns:
      A transformation with the state `StochasticRoundingState`. It takes 6 or 8
      bytes in all more than the state of `inner` for float32 parameters.

    Raises:
      TypeError: when built, if `inner` is no transformation; at `init`, if a
        parameter has another narrow dtype; at `update`, if the state belongs to
        another transformation, or bfloat16 parameters became float32.
      ValueError: at `init`, if `inner` contains another wrapper of weights; at
        `update`, if the parameters are not given.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> def train(tx):
      ...     w = jnp.linspace(1, 2, 1000).astype(jnp.bfloat16)
      ...     g, state = jnp.linspace(0.5, 1.5, 1000), tx.init(w)
      ...     for _ in range(100):
      ...         update, state = tx.update(g, state, w)
      ...         w = optax.apply_updates(w, update)
      ...     return jnp.mean(w.astype(jnp.float32))
      >>> tx = gdmethods.sgd(0.001)
      >>> print(f"{train(tx):.2f}")  # 1 − 0.001 is 1 in bfloat16
      1.50
      >>> print(f"{train(gdmethods.with_stochastic_rounding(tx)):.2f}")
      1.40

    Elsewhere: Optax 0.2.8 has none. `gdmethods.with_float32_master` instead
    keeps what is cut off, and follows float32 training to the bit.

    Source: S. Gupta et al., Deep learning with limited numerical precision,
    ICML 2015; P. Zamirai et al., Revisiting bfloat16 training,
    arXiv:2010.06192, 2020.
    """
    inner = optax.with_extra_args_support(transformation("inner", inner))

    def init(params: optax.Params) -> StochasticRoundingState:
        _require_bfloat16(params)
        inner_state = inner.init(in_float32(params))
        refuse_another(inner_state, "with_stochastic_rounding")
        return StochasticRoundingState(
            jnp.zeros([], jnp.int32), jnp.zeros([], _SHARES[_share_rounded(params)]), inner_state
        )

    def update(
        updates: optax.Updates,
        state: StochasticRoundingState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, StochasticRoundingState]:
        require_state(state, StochasticRoundingState, StochasticRoundingState._fields)
        require_params(params, "with_stochastic_rounding")
        params = with_gradients(params, updates)
        _require_dtypes_of_init(params, state)
        displacements, inner_state = inner.update(
            in_float32(updates), state.inner_state, in_float32(params), **extra_args
        )
        count = optax.safe_increment(state.rounding_count)
        new_updates = jax.tree.map(
            lambda d, g, w: _to_rounded_sum(d, g, w, count) if is_narrow(w) else d,
            displacements,
            updates,
            params,
        )
        return new_updates, state._replace(rounding_count=count, inner_state=inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


# An inner jit for the same reason as in `lift`.
@jax.jit
def _to_rounded_sum(
    displacement: jax.Array, gradient: jax.Array, w: jax.Array, count: jax.Array
) -> jax.Array:
    wide = w.astype(jnp.float32)
    moved = (wide + displacement).astype(jnp.float32)
    to_rounded = rounded(moved, noise(count, _WEIGHT, gradient, w)) - wide
    return jnp.where(moved == wide, 0.0, to_rounded)  # also where both are infinite


_SHARES: dict[str, Any] = {"none": jnp.float32, "some": jnp.float16, "all": jnp.bfloat16}
"""Which share of the weights is rounded, and the dtype that says so."""


def _share_rounded(params: optax.Params) -> str:
    leaves = [x for x in jax.tree.leaves(params) if hasattr(x, "dtype")]
    rounded = {is_narrow(x) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)}
    return "some" if len(rounded) > 1 else "all" if True in rounded else "none"


def _require_bfloat16(params: optax.Params) -> None:
    """Raises an error for other narrow parameters, with their path."""
    for path, leaf in jax.tree.leaves_with_path(params):
        if is_narrow(leaf) and leaf.dtype != jnp.bfloat16:
            raise TypeError(
                f"The parameter {at_path(path)} is {leaf.dtype}, and with_stochastic_rounding "
                "rounds to bfloat16. Train it in bfloat16, or with gdmethods.with_float32_master."
            )


def _require_dtypes_of_init(params: optax.Params, state: StochasticRoundingState) -> None:
    came, dtype = _share_rounded(params), state.narrowest.dtype
    if dtype == _SHARES[came] or not jax.tree.leaves(params):
        return
    expected = next((share for share, each in _SHARES.items() if each == dtype), "none")
    message = (
        f"When init was called, {expected} of the parameters were bfloat16, and {came} are now"
    )
    if (expected, came) == ("some", "all"):
        return  # the others have no gradients
    if [*_SHARES].index(came) < [*_SHARES].index(expected):
        raise TypeError(
            f"{message}: w + u is float32. Add the updates by optax.apply_updates(params, "
            "updates). In Equinox, apply it to the arrays alone: params, rest = eqx.partition("
            "model, eqx.is_inexact_array)."
        )
    raise TypeError(
        f"{message}. Call init with the parameters in the dtypes that are trained, or convert the "
        "state: gdmethods.convert_state(tx, params, state)."
    )
