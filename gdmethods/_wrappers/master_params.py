"""Float32 parameters into weights with masters, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.states import map_states, require_restored, require_state_first, states_in
from gdmethods._engine.transformations import transformation_first
from gdmethods._engine.trees import Path, at_path
from gdmethods._numbers.remainder import bfloat16_of, remainder_of
from gdmethods._wrappers.masters import Float32MasterState, kept_of, masters_of, with_kept


def master_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The float32 masters that `with_float32_master` trains.

    For evaluation or export, without the rounding of the weights.

    Arguments:
      opt_state: any state that contains a `Float32MasterState`, at any depth:
        of `optax.chain`, `partition`, `masked`, `skip_nonfinite_steps`, …. It
        may be the state of an ensemble under `jax.vmap`.
      params: the parameters that the last update was applied to; in Flax
        `nnx.state(model, nnx.Param)` or `state.params`, not the model.

    Returns:
      A tree like `params`, with its float32 master in the place of each
      parameter that has one.

    Raises:
      ValueError: `opt_state` contains no `Float32MasterState`, or belongs to
        other parameters.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> tx = gdmethods.with_float32_master(gdmethods.sgd(0.001))
      >>> w = jnp.array(1.0, jnp.bfloat16)
      >>> update, state = tx.update(w, tx.init(w), w)
      >>> w = optax.apply_updates(w, update)
      >>> print(w, gdmethods.master_params(state, w))
      1 0.999

    The weights behind the look-ahead points of `nesterov`, in float32, are
    `nesterov_eval_params(state, master_params(state, params))`.

    Elsewhere: Optax has none.
    """
    states = states_in(opt_state, Float32MasterState)
    if not states:
        require_state_first("master_params", params, Float32MasterState)
        require_restored(opt_state)
        raise ValueError(
            "opt_state holds no Float32MasterState. Pass the state of a transformation built with "
            "gdmethods.with_float32_master; other parameters are evaluated as they are."
        )
    paths = {path for path, _ in jax.tree.leaves_with_path(params)}
    for kept in map(kept_of, states):
        for path in kept.keys() - paths:
            raise ValueError(
                "params are other parameters than those of opt_state, which keeps a master "
                f"{at_path(path)}. Pass the parameters that are updated, not the model: "
                "nnx.state(model, nnx.Param) or state.params."
            )
        params = masters_of(params, kept)
    return params


def init_from_float32(
    tx: optax.GradientTransformation, params: optax.Params, mask: Any = True
) -> tuple[optax.Params, optax.OptState]:
    """bfloat16 weights and the state of their masters, from float32 parameters.

    The weights are the parameters rounded to nearest, ties away from zero. The
    state keeps what was cut off. So training starts from the parameters to the
    last bit, and `master_params` returns them.

    Arguments:
      tx: a transformation that keeps masters of bfloat16 weights, alone or
        within `optax.chain`, `partition`, `masked`, `skip_nonfinite_steps`, ….
      params: the parameters. Other dtypes than float32 stay as they are.
      mask: the parameters that become bfloat16: a bool for all, or a tree of
        bools like `params` or a prefix of it.

    Returns:
      The weights and the state, for `tx.update`.

    Raises:
      ValueError: the state of `tx` keeps no master of a bfloat16 weight.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> tx = gdmethods.with_float32_master(gdmethods.adam(0.001))
      >>> w, state = gdmethods.init_from_float32(tx, jnp.array(0.123456))
      >>> print(w, gdmethods.master_params(state, w))
      0.123535 0.123456

    Elsewhere: Optax has none.
    """
    init = transformation_first("init_from_float32", tx, params).init
    flags = jax.tree.broadcast(mask, params)
    weights = jax.tree.map(lambda m, narrow: _rounded(m) if narrow else m, params, flags)
    masters = {
        path: m
        for (path, m), w in zip(
            jax.tree.leaves_with_path(params), jax.tree.leaves(weights), strict=True
        )
        if w is not m
    }
    # `inner` starts from copies of the user's arrays: it may keep some in its state, which may be
    # donated.
    starts = jax.tree.map(lambda m, w: m if w is m else jnp.copy(m), params, weights)
    of_masters = iter(states_in(init(starts), Float32MasterState))
    state = map_states(
        lambda node: _with_masters(node, masters)._replace(
            inner_state=next(of_masters).inner_state
        ),
        init(weights),
        Float32MasterState,
    )
    kept = {path for node in states_in(state, Float32MasterState) for path in kept_of(node)}
    for path in masters.keys() - kept:
        raise ValueError(
            f"The state of tx keeps no master of the parameter {at_path(path)}. Wrap what trains "
            "it in gdmethods.with_float32_master, or leave it in float32 by mask."
        )
    return weights, state


def _rounded(m: Any) -> Any:
    return bfloat16_of(m, remainder_of(m)) if jnp.result_type(m) == jnp.float32 else m


def _with_masters(
    state: Float32MasterState, masters: Mapping[Path, jax.Array]
) -> Float32MasterState:
    def keep(path: Path, x: jax.Array) -> jax.Array:
        if path not in masters:
            return x
        m = masters[path]
        return remainder_of(m) if x.dtype == jnp.int16 else jnp.array(m, copy=True)

    return with_kept(state, {path: keep(path, x) for path, x in kept_of(state).items()})
