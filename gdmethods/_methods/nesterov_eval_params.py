"""The weights behind the look-ahead points of `nesterov`, from any state that contains them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.states import require_restored, require_state_first, states_in
from gdmethods._engine.trees import at_path, by_path
from gdmethods._methods.nesterov import NesterovState
from gdmethods._numbers.dtypes import promoted


def nesterov_eval_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The weights behind the look-ahead points that `nesterov` trains at.

        wₜ₊₁ = yₜ₊₁ − μₜ₊₁ Δₜ

    Arguments:
      opt_state: any state that contains a `NesterovState`, at any depth: of
        `optax.chain`, `partition`, `masked`, `inject_hyperparams`,
        `MultiSteps`, `flatten`, `split_real_and_imaginary`, …. It may be the
        state of an ensemble under `jax.vmap` along the leading axes.
      params: y, the parameters that the last update was applied to; in Flax
        `nnx.state(model, nnx.Param)` or `state.params`, not the model.

    Returns:
      w, in the tree, shapes and dtypes of `params`. Parameters of other methods
      are unchanged.

    Raises:
      ValueError: `opt_state` contains no `NesterovState`, or belongs to other
        parameters, or to an ensemble along other axes.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.nesterov(0.1, momentum=0.5)
      >>> y = jnp.array(1.0)
      >>> update, state = tx.update(jnp.array(1.0), tx.init(y), y)
      >>> w = gdmethods.nesterov_eval_params(state, y + update)
      >>> print(f"{w:.2f}")  # 1 − 0.1
      0.90

    Elsewhere: `optax.contrib.schedule_free_eval_params` does this for
    schedule-free methods.
    """
    states = states_in(opt_state, NesterovState)
    if not states:
        require_state_first("nesterov_eval_params", params, NesterovState)
        require_restored(opt_state)
        raise ValueError(
            "opt_state holds no NesterovState. Pass the state of a transformation built with "
            "gdmethods.nesterov or gdmethods.nesterov_velocity; other methods' parameters are "
            "evaluated as they are."
        )
    leaves, structure = jax.tree_util.tree_flatten_with_path(params)
    weights = dict(leaves)
    for state in states:
        (momentum,) = jax.tree.leaves(state.next_momentum)  # which a framework may have wrapped
        for path, velocity in _velocities(state, momentum.shape, weights).items():
            if path not in weights or np.shape(weights[path]) != velocity.shape:
                raise ValueError(
                    "params are other parameters than those of opt_state: a velocity "
                    f"{at_path(path)} has the shape {velocity.shape}, and params have no array of "
                    "that shape there. Pass the parameters that are updated, not the model: "
                    "nnx.state(model, nnx.Param) or state.params. If optax.flatten was given "
                    "only a part of them, pass that part."
                )
            weights[path] = _behind(jnp.asarray(weights[path]), momentum, velocity)
    return jax.tree.unflatten(structure, weights.values())


def _velocities(
    state: NesterovState, members: tuple[int, ...], weights: dict[tuple[Any, ...], Any]
) -> dict[tuple[Any, ...], jax.Array]:
    """The velocities by their parameters' paths, also where `optax.flatten` made them one vector.

    `members` is the shape of an ensemble, () for one model; each member has
    its own vector.
    """
    velocities = by_path(_joined(state.velocity))
    one_array = by_path(state.next_momentum)
    if velocities.keys() == one_array.keys():
        (vector,) = velocities.values()
        shapes = [np.shape(weight)[len(members) :] for weight in weights.values()]
        sizes = list(map(math.prod, shapes))
        if vector.shape == (*members, sum(sizes)):
            parts = jnp.split(vector, list(itertools.accumulate(sizes[:-1])), axis=-1)
            return {
                path: part.reshape(members + shape)
                for path, part, shape in zip(weights, parts, shapes, strict=True)
            }
    return velocities


def _joined(velocity: optax.Updates) -> optax.Updates:
    """Complex again, where `optax.contrib.split_real_and_imaginary` made pairs of real arrays."""

    def is_pair(node: Any) -> bool:
        return type(node).__name__ == "SplitRealAndImaginaryArrays"  # which Optax keeps private

    def join(*pair: jax.Array) -> jax.Array:
        return jax.lax.complex(*(x.astype(promoted(x.dtype, jnp.float32)) for x in pair))

    return jax.tree.map(
        lambda node: jax.tree.map(join, *node) if is_pair(node) else node,
        velocity,
        is_leaf=is_pair,
    )


def _behind(y: jax.Array, momentum: jax.Array, velocity: jax.Array) -> jax.Array:
    """w behind y, for one momentum, or one for each member of an ensemble."""
    if velocity.shape[: momentum.ndim] != momentum.shape:
        raise ValueError(
            f"opt_state has a momentum of shape {momentum.shape}, and a velocity of shape "
            f"{velocity.shape} that does not begin so. Map an ensemble along its leading axes: "
            "jax.vmap with in_axes=0 and out_axes=0."
        )
    dtype = promoted(y.dtype, velocity.dtype, jnp.float32)
    momentum = jnp.expand_dims(momentum, range(momentum.ndim, velocity.ndim))
    w = y.astype(dtype) - momentum.astype(dtype) * velocity.astype(dtype)
    return w.astype(y.dtype)
