"""Float32 master weights: bfloat16 and float16 weights that lose no small update.

An update below half a unit in the last place of its weight is lost when the two
are added, however often it comes. For bfloat16 this is 2⁻⁹ to 2⁻⁸ of the
weight. So the updates are added to a float32 master of each weight, and the
weight is the rounded master.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.foreign_states import require_state
from gdmethods._engine.hyperparameters import flag
from gdmethods._engine.lifting import with_gradients
from gdmethods._engine.transformations import transformation
from gdmethods._engine.trees import by_path, fits, misfit
from gdmethods._numbers.fusion import made_once, waiting_for
from gdmethods._numbers.remainder import remainder_of, update_to
from gdmethods._wrappers.masters import (
    Float32MasterState,
    kept_of,
    masters_of,
    require_kept,
    with_kept,
)
from gdmethods._wrappers.narrow_weights import (
    in_float32,
    is_narrow,
    refuse_another,
    require_params,
)


def with_float32_master(
    inner: optax.GradientTransformation, *, remainder: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Any transformation on float32 masters of bfloat16 and float16 parameters.

        Mₜ₊₁ = Mₜ + Δₜ(gₜ, Mₜ),    M₁ = w₁ in float32
        wₜ₊₁ = rounded(Mₜ₊₁)

    `inner` is given the masters M and the gradients in float32, so that its
    accumulators, its weight decay and its updates Δ are float32 too. With the
    same gradients, M equals a float32 weight to the bit.

    A bfloat16 weight is the upper half of its master, rounded (ties away from
    zero). The state keeps only the lower half, 2 bytes a weight:

        bits(M) = 2¹⁶ bits(w) + r,    −2¹⁵ ≤ r < 2¹⁵

    For float16 weights it keeps the whole master, 4 bytes. Parameters that are
    float32 or wider, or complex, have no master: `inner` updates them directly.

    Updates of narrow weights are float32, u = wₜ₊₁ − wₜ. Add them with
    `optax.apply_updates`, which adds in float32 and rounds the sum to wₜ₊₁. Do
    not write w + u: that makes the weights float32, and the next update raises
    an error. If a bfloat16 weight becomes more than 2¹⁶ times smaller in one
    step, M is off by less than 2⁻²³ of the old weight in that step.

    Wrap the whole optimizer, `optax.MultiSteps` included, and do not change the
    updates afterwards. Put `skip_nonfinite_steps`, `optax.masked` and
    `optax.partition` outside. `optax.apply_if_finite` raises an error if
    updates and gradients differ in dtype.

    A bfloat16 weight can be written by hand: M is then within half a unit in
    the last place of the new weight, since r stays. The next update takes a
    weight with a whole master back to M: write `master` of the state as well.
    Neither recovers from an infinity or NaN that is written there.

    An infinite M makes its weight infinite, and with a remainder so does |M| of
    3.3961775e38 or more. A weight with a whole master is clipped to the largest
    number of its dtype while M is finite. Derivatives pass straight through
    rounding.

    Arguments:
      inner: an optimizer of gdmethods, Optax or your own.
      remainder: False keeps whole masters of bfloat16 weights too, 2 bytes a
        weight more. On a TPU or a GPU a step with `adam` then moves 30 bytes a
        weight instead of 26. On a CPU a step is then faster. With remainders,
        XLA stores the sum Mₜ + Δₜ there, 4 bytes of temporaries a weight. A
        step takes 1.3 times as long with 2²¹ weights in a leaf. It takes 2.6
        times as long with 2²⁴, for which each step gets fresh memory.

    Returns:
      A transformation with the state `Float32MasterState`.

    Raises:
      TypeError: when built, if an argument has the wrong type; at `update`, if
        the state belongs to another transformation, or to parameters of other
        dtypes.
      ValueError: at `init`, if `inner` contains another wrapper of weights; at
        `update`, if the parameters are not given.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> def train(tx):
      ...     w = g = jnp.array(1.0, jnp.bfloat16)
      ...     state = tx.init(w)
      ...     for _ in range(100):
      ...         update, state = tx.update(g, state, w)
      ...         w = optax.apply_updates(w, update)
      ...     return w
      >>> print(train(gdmethods.sgd(0.001)))  # 1 − 0.001 is 1 in bfloat16
      1
      >>> print(train(gdmethods.with_float32_master(gdmethods.sgd(0.001))))
      0.898438

    `init_from_float32` starts from float32 parameters. `master_params` returns
    the masters of a state, for evaluation or export.

    Elsewhere: Optax 0.2.8 has none.

    Source: P. Micikevicius et al., Mixed precision training, ICLR 2018,
    section 3.1.
    """
    inner = optax.with_extra_args_support(transformation("inner", inner))
    remainder = flag("remainder", remainder)

    def dtype_kept(w: Any) -> Any:
        """The dtype in which the state keeps a weight's master; None if it keeps none."""
        if remainder and jnp.result_type(w) == jnp.bfloat16:
            return jnp.int16
        return jnp.float32 if is_narrow(w) else None

    def init(params: optax.Params) -> Float32MasterState:
        masters = in_float32(params)
        inner_state = inner.init(masters)
        refuse_another(inner_state, "with_float32_master")

        def tree(dtype: Any, keep: Callable[[jax.Array], jax.Array]) -> Any:
            return jax.tree.map(
                lambda w, m: keep(m) if dtype_kept(w) is dtype else optax.MaskedNode(),
                params,
                masters,
            )

        return Float32MasterState(
            tree(jnp.int16, remainder_of), tree(jnp.float32, lambda m: m), inner_state
        )

    def update(
        updates: optax.Updates,
        state: Float32MasterState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Float32MasterState]:
        require_state(state, Float32MasterState, Float32MasterState._fields)
        require_params(params, "with_float32_master")
        given, params = params, with_gradients(params, updates)
        if not fits(updates, params):
            raise ValueError(misfit(updates, given, {}))
        kept = kept_of(state)
        require_kept(kept, params, dtype_kept)
        masters = masters_of(params, kept)
        gradients = jax.tree.map_with_path(
            lambda path, g: g.astype(jnp.float32) if path in kept else g, updates
        )
        displacements, inner_state = inner.update(
            gradients, state.inner_state, masters, **extra_args
        )
        ws, ms, ds = map(by_path, (params, masters, displacements))
        moved = {path: _move(x, ws[path], ms[path], ds[path]) for path, x in kept.items()}
        updates = jax.tree.map_with_path(
            lambda path, d: moved[path][0] if path in kept else d, displacements
        )
        state = with_kept(state, {path: new for path, (_, new) in moved.items()})
        return updates, state._replace(inner_state=inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


# An inner jit for the same reason as in `lift`.
@jax.jit
def _move(
    kept: jax.Array, w: jax.Array, m: jax.Array, d: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The update of a weight whose master m moves by d, and what to keep of the new master."""
    d = d.astype(jnp.float32)
    if kept.dtype == jnp.float32:
        new = m + d
        largest = float(jnp.finfo(w.dtype).max)
        to_new = jnp.clip(new, -largest, largest) - w.astype(jnp.float32)
        return jnp.where(jnp.isinf(new), new, to_new), new
    moved: tuple[jax.Array, jax.Array] = jax.lax.platform_dependent(
        w, m, d, cpu=_stored_between, default=_one_after_another
    )
    return moved


def _one_after_another(w: jax.Array, m: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """With a remainder: the sum is written twice, the second one after the first, for TPUs."""
    remainder = remainder_of(m + d)
    return update_to(waiting_for(remainder, m) + d, remainder, w), remainder


def _stored_between(w: jax.Array, m: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same from a stored sum, since a CPU writes one output a pass.

    If the sum were computed twice, XLA would copy the old weight and remainder.
    """
    new = made_once(m + d)
    remainder = remainder_of(new)
    return update_to(new, remainder, w), remainder
