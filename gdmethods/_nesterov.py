"""Nesterov's accelerated gradient: jump along the velocity first, and take the gradient there.

A transformation is given gradients at the parameters that its user holds, so those are the
look-ahead points y here, and the weights w are a subtraction away. Hence the μ of the state: y was
built with it.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._hyperparameters import ScalarOrSchedule, at, float_dtype, scalar_or_schedule
from gdmethods._lifting import Rule
from gdmethods._method import method
from gdmethods._slots import Count, Number, Signed, Slots
from gdmethods._trees import at_path, serializable


@serializable
class NesterovState(NamedTuple):
    """State of `nesterov` and `nesterov_velocity`.

    Attributes:
      count: updates so far; int32, shape ().
      velocity: Δₜ; a tree like the parameters, at least float32.
      next_momentum: μₜ₊₁, with which the parameters look ahead; float32 (float64 in 64-bit JAX),
        shape ().
    """

    count: Count  # type: ignore[assignment]  # a field, not tuple.count
    velocity: Signed
    next_momentum: Number


def _rule(
    g: jax.Array, velocity: jax.Array, *, learning_rate: Any, momentum: Any, next_momentum: Any
) -> tuple[Any, Any]:
    velocity = momentum * velocity - learning_rate * g
    return next_momentum * velocity - learning_rate * g, velocity


def nesterov(
    learning_rate: ScalarOrSchedule,
    momentum: ScalarOrSchedule = 0.9,
    *,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Nesterov's accelerated gradient, exact for any course of the momentum and the learning rate.

        yₜ = wₜ + μₜ Δₜ₋₁
        Δₜ = μₜ Δₜ₋₁ − ηₜ ∇E(yₜ),    Δ₀ = 0
        wₜ₊₁ = wₜ + Δₜ

    The parameters that you hold and differentiate at are the look-ahead points y, and the update
    is yₜ₊₁ − yₜ = −ηₜ gₜ + μₜ₊₁ Δₜ: one gradient a step. `nesterov_eval_params` gives the weights
    w, at which to evaluate. Nothing may scale the updates after this in a chain, or y is not at
    yₜ. An infinite or NaN gradient stays in the velocity: all updates of its weight are so from
    then on.

    Arguments:
      learning_rate: η ≥ 0; a number or a schedule.
      momentum: μ in [0, 1]; a number or a schedule, such as `sutskever_momentum_schedule()`. One
        that `optax.inject_hyperparams` changes counts from the next look-ahead on, so that the
        step under way stays exact: the value present in update t is μₜ₊₁.
      accumulator_dtype: of Δ; None keeps each parameter's own, float32 for narrower ones.

    Returns:
      A transformation with the state `NesterovState`. Its updates have the parameters' shapes and
      dtypes (the gradients' dtypes, if `update` is not given the parameters).

    Raises:
      ValueError, TypeError: when built, if a concrete argument is out of range or no number; at
        `init`, if a parameter is not floating point; at `update`, if the gradients do not fit.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.nesterov(0.1, 0.5)
      >>> y = jnp.array(1.0)
      >>> state = tx.init(y)
      >>> for _ in range(2):
      ...     update, state = tx.update(y, state, y)  # the gradient of y²/2
      ...     y = y + update
      ...     print(f"y {y:.4f}, w {gdmethods.nesterov_eval_params(state, y):.4f}")
      y 0.8500, w 0.9000
      y 0.6975, w 0.7650

    Elsewhere: `optax.sgd(η, momentum=μ, nesterov=True)`, `torch.optim.SGD(nesterov=True)` and
    `keras.optimizers.SGD(nesterov=True)` make the same steps of y while μ and η are constant, and
    have no way back to w.

    Source: Y. Nesterov, A method of solving a convex programming problem with convergence rate
    O(1/k²), Soviet Mathematics Doklady 27, 1983; in the form of I. Sutskever, J. Martens, G. Dahl,
    G. Hinton, On the importance of initialization and momentum in deep learning, ICML 2013.
    """
    learning_rate = scalar_or_schedule("learning_rate", learning_rate, "[0, inf)")
    return _nesterov(learning_rate, momentum, accumulator_dtype)


def nesterov_velocity(
    momentum: ScalarOrSchedule = 0.9, *, accumulator_dtype: Any = None
) -> optax.GradientTransformationExtraArgs:
    """The velocity of `nesterov`, for a chain of one's own that has scaled its updates already.

        Δₜ = μₜ Δₜ₋₁ + uₜ
        yₜ₊₁ − yₜ = uₜ + μₜ₊₁ Δₜ

    Arguments, returns and errors are those of `nesterov`; u is the update that comes down the
    chain, which ends here. `nesterov_eval_params` serves as it does there.

    Example:
      >>> import optax, gdmethods
      >>> tx = optax.chain(  # what nesterov(0.1, 0.9) does
      ...     gdmethods.scale_by_learning_rate(0.1), gdmethods.nesterov_velocity(0.9)
      ... )

    Elsewhere: `optax.trace(μ, nesterov=True)`, for constant μ.
    """
    return _nesterov(-1.0, momentum, accumulator_dtype)


def nesterov_eval_params(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The weights to evaluate, from the look-ahead points that `nesterov` trains at.

        wₜ₊₁ = yₜ₊₁ − μₜ₊₁ Δₜ

    Arguments:
      opt_state: any state that holds a `NesterovState`, at whatever depth: of `optax.chain`,
        `partition`, `masked`, `inject_hyperparams`, `MultiSteps`, `flatten`,
        `split_real_and_imaginary`, …; of an ensemble under `jax.vmap` as well, with the members
        along the leading axes.
      params: y, the parameters that the last update was applied to; in Flax
        `nnx.state(model, nnx.Param)` or `state.params`, not the model.

    Returns:
      w, in the tree, shapes and dtypes of `params`; parameters of other methods as they are.

    Raises:
      ValueError: `opt_state` holds no `NesterovState`, or one of other parameters, or of an
        ensemble whose members lie along other axes.

    Example:
      >>> import jax.numpy as jnp, gdmethods
      >>> tx = gdmethods.nesterov(0.1, momentum=0.5)
      >>> y = jnp.array(1.0)
      >>> update, state = tx.update(jnp.array(1.0), tx.init(y), y)
      >>> print(f"{gdmethods.nesterov_eval_params(state, y + update):.2f}")  # 1 − 0.1
      0.90

    Elsewhere: `optax.contrib.schedule_free_eval_params` is the like for schedule-free methods.
    """
    states = list(filter(_is_state, jax.tree.leaves(opt_state, is_leaf=_is_state)))
    if not states:
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
                    "nnx.state(model, nnx.Param) or state.params; where optax.flatten sees only "
                    "a part of them, that part."
                )
            weights[path] = _behind(jnp.asarray(weights[path]), momentum, velocity)
    return jax.tree.unflatten(structure, weights.values())


def _velocities(
    state: NesterovState, members: tuple[int, ...], weights: dict[tuple[Any, ...], Any]
) -> dict[tuple[Any, ...], jax.Array]:
    """The velocities by their parameters' paths, also where `optax.flatten` made them one vector.

    `members` is the shape of an ensemble, () for one model; each member has its own vector.
    """
    velocities = dict(jax.tree.leaves_with_path(_joined(state.velocity)))
    one_array = dict(jax.tree.leaves_with_path(state.next_momentum))
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
        return jax.lax.complex(*(x.astype(jnp.result_type(x.dtype, jnp.float32)) for x in pair))

    return jax.tree.map(
        lambda node: jax.tree.map(join, *node) if is_pair(node) else node,
        velocity,
        is_leaf=is_pair,
    )


def _behind(y: jax.Array, momentum: jax.Array, velocity: jax.Array) -> jax.Array:
    """w behind y, for one momentum or for that of each member of an ensemble."""
    if velocity.shape[: momentum.ndim] != momentum.shape:
        raise ValueError(
            f"opt_state has a momentum of shape {momentum.shape}, and a velocity of shape "
            f"{velocity.shape} that does not begin so. Map an ensemble along its leading axes: "
            "jax.vmap with in_axes=0 and out_axes=0."
        )
    dtype = jnp.result_type(y.dtype, velocity.dtype, jnp.float32)
    momentum = jnp.expand_dims(momentum, range(momentum.ndim, velocity.ndim))
    w = y.astype(dtype) - momentum.astype(dtype) * velocity.astype(dtype)
    return w.astype(y.dtype)


def _is_state(node: Any) -> bool:
    return isinstance(node, NesterovState)


def _nesterov(
    learning_rate: ScalarOrSchedule, momentum: ScalarOrSchedule, accumulator_dtype: Any
) -> optax.GradientTransformationExtraArgs:
    momentum = scalar_or_schedule("momentum", momentum, "[0, 1]")
    dtype = float_dtype("accumulator_dtype", accumulator_dtype)

    def numbers(state: NesterovState, **extra_args: Any) -> dict[str, Any]:
        return {"next_momentum": at(momentum, optax.safe_increment(state.count))}

    def rule(old: NesterovState, new: NesterovState) -> Rule:
        return Rule(
            _rule,
            learning_rate=at(learning_rate, old.count),
            momentum=old.next_momentum,
            next_momentum=new.next_momentum,
        )

    return method(Slots(NesterovState, dtype, next_momentum=momentum), rule, numbers)
