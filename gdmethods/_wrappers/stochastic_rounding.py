"""Stochastic rounding of weights: bfloat16 weights that small updates move, without a copy.

An update of less than half a unit in the last place of its weight is lost when
the sum is rounded to nearest, however often it comes. Rounded up with the
probability of the part that is cut off, it moves the weight now and then, and
in the mean by itself.
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

_WEIGHT = -1  # beside the slots, which count from 0


@weights_state
@serializable
class StochasticRoundingState(NamedTuple):
    """State of `with_stochastic_rounding`.

    Attributes:
      rounding_count: updates so far; int32, shape ().
      narrowest: 0, whose dtype tells what is rounded: bfloat16 all weights,
        float16 some, float32 none; shape ().
      inner_state: of the wrapped transformation, made for float32 weights.
    """

    rounding_count: jax.Array
    narrowest: jax.Array
    inner_state: optax.OptState


def with_stochastic_rounding(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Any transformation on bfloat16 parameters, each new one rounded by chance.

        xₜ = wₜ + Δₜ(gₜ, wₜ)    in float32
        qₜ = the bfloat16 above xₜ with probability p, else the one below
        p = (xₜ − below) / (above − below), so that E[qₜ] = xₜ
        uₜ = qₜ − wₜ

    `inner` is given the parameters w and the gradients in float32, so that its
    accumulators, its weight decay and its updates Δ are float32 too, and the
    new weight is rounded once. Parameters of float32 and wider, and complex
    ones, are not rounded: `inner` updates them directly.

    Chance is a hash of the gradient, the weight and the count of updates. There
    is no key to carry, and a resumed run goes on to the bit; sharded,
    `jax.vmap`ped and permuted weights round alike. Equal weights with equal
    gradients round alike as well, and stay equal. So weights that meet, and
    have equal gradients from then on, stay together.

    u is float32 for a bfloat16 weight, and `optax.apply_updates(w, u)`, which
    adds in float32 and rounds the sum, is qₜ to the bit. Do not add by w + u:
    the weights would become float32, and the next update refuses them. Wrap the
    whole optimizer, `optax.MultiSteps` included, and let nothing change the
    updates after it. `skip_nonfinite_steps`, `optax.masked` and
    `optax.partition` stand outside; `optax.apply_if_finite` refuses updates of
    another dtype than the gradients'.

    Arguments:
      inner: an optimizer, of gdmethods, Optax or one's own.

    Returns:
      A transformation with the state `StochasticRoundingState`, 6 or 8 bytes
      more than `inner` keeps for float32 parameters.

    Raises:
      TypeError: when built, if `inner` is no transformation; at `init`, if a
        parameter is of another narrow dtype; at `update`, if the state is
        another, or the parameters are float32 that were bfloat16 at `init`.
      ValueError: at `init`, if `inner` holds another wrapper of weights; at
        `update`, without the parameters; what `inner` raises, as well.

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

    Elsewhere: Optax 0.2.8 has none. `gdmethods.with_float32_master` keeps what
    is cut off instead, and follows float32 training to the bit.

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
"""How many of the weights are rounded, and the dtype that tells it."""


def _share_rounded(params: optax.Params) -> str:
    leaves = [x for x in jax.tree.leaves(params) if hasattr(x, "dtype")]
    rounded = {is_narrow(x) for x in leaves if jnp.issubdtype(x.dtype, jnp.inexact)}
    return "some" if len(rounded) > 1 else "all" if True in rounded else "none"


def _require_bfloat16(params: optax.Params) -> None:
    """Refuses other narrow parameters, by path."""
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
            "updates); in Equinox to the arrays alone: params, rest = eqx.partition(model, "
            "eqx.is_inexact_array)."
        )
    raise TypeError(
        f"{message}. Call init with the parameters in the dtypes that are trained, or convert the "
        "state: gdmethods.convert_state(tx, params, state)."
    )
