"""A step whose gradients are not finite is skipped, and nothing of it stays in the state."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.foreign_states import require_state
from gdmethods._engine.hyperparameters import flag, whole_number
from gdmethods._engine.states import serializable
from gdmethods._engine.transformations import transformation
from gdmethods._engine.trees import by_path, owner
from gdmethods._numbers.dtypes import dtype_of
from gdmethods._numbers.fusion import waiting_for


@serializable
class SkipNonfiniteStepsState(NamedTuple):
    """State of `skip_nonfinite_steps`.

    Attributes:
      notfinite_count: steps in a row, up to the last, that were not finite;
        int32, shape ().
      total_notfinite: all steps so far that were not finite; int32, shape ().
      inner_state: of the wrapped transformation.
    """

    notfinite_count: jax.Array
    total_notfinite: jax.Array
    inner_state: optax.OptState


def skip_nonfinite_steps(
    inner: optax.GradientTransformation,
    max_consecutive_errors: int | None,
    *,
    check_updates: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Skips each step that has an infinite or NaN gradient, exactly.

    A skipped step leaves the parameters and the state of `inner` as they were,
    to the bit. Counts do not advance, and so schedules do not either.

    Wrap the whole optimizer, its gradient clipping, `with_float32_master` and
    `optax.MultiSteps` included. A wrapper outside that keeps a count or a state
    would still change it in a skipped step; `optax.MultiSteps` would keep a NaN
    in its sum.

    One infinite or NaN gradient skips the step for all weights, on all devices.
    Under `jax.vmap` each member of an ensemble skips by itself. Under
    `jax.shard_map` each device does, from the gradients that it holds.

    The test reads the gradients once more: on a TPU and a GPU, a step of
    float32 `adam` moves 32 bytes a weight instead of 28. On a CPU, XLA also
    copies accumulators, as for `optax.apply_if_finite`.

    Arguments:
      inner: an optimizer of gdmethods, Optax or your own.
      max_consecutive_errors: at most so many steps in a row are skipped. The
        following ones are taken until one is finite, so that you see the
        failure. None skips all of them; then watch `notfinite_count` of the
        state.
      check_updates: tests the updates of `inner` as well. A large, finite
        gradient can make them overflow, above all in float16. It takes a second
        pass over memory: 48 bytes a weight instead of 32, and 4 bytes of
        temporaries.

    Returns:
      A transformation with the state `SkipNonfiniteStepsState`. All updates of
      a skipped step are −0.0, which also keeps the sign of a weight of −0.0.

    Raises:
      TypeError: when built, if an argument has the wrong type; at `update`, if
        the state belongs to another transformation.
      ValueError: when built, if `max_consecutive_errors` is negative.

    Example:
      >>> import jax.numpy as jnp, optax, gdmethods
      >>> tx = gdmethods.skip_nonfinite_steps(gdmethods.adam(0.1), 10)
      >>> w = jnp.array([1.0, -2.0])
      >>> state = tx.init(w)
      >>> updates, state = tx.update(jnp.array([jnp.inf, 1.0]), state, w)
      >>> print(optax.apply_updates(w, updates), state.notfinite_count)
      [ 1. -2.] 1
      >>> print(optax.tree.get(state, "AdamState").count)
      0

    Elsewhere: `optax.apply_if_finite` skips the same steps, with the same
    counts. Its branch moves 48 bytes a weight on a TPU instead of 32. It does
    not test the updates, and raises an error if updates and gradients differ
    in dtype.
    """
    inner = optax.with_extra_args_support(transformation("inner", inner))
    limit = whole_number("max_consecutive_errors", max_consecutive_errors)
    check_updates = flag("check_updates", check_updates)

    def init(params: optax.Params) -> SkipNonfiniteStepsState:
        return SkipNonfiniteStepsState(
            notfinite_count=jnp.zeros([], jnp.int32),
            total_notfinite=jnp.zeros([], jnp.int32),
            inner_state=inner.init(params),
        )

    def update(
        updates: optax.Updates,
        state: SkipNonfiniteStepsState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, SkipNonfiniteStepsState]:
        require_state(state, SkipNonfiniteStepsState, SkipNonfiniteStepsState._fields)
        finite = _all_finite(updates)
        count = optax.safe_increment(state.notfinite_count)
        given_up = False if limit is None else count > limit
        # In a skipped step `inner` gets 0, since its derivative at ∞ would make NaN of 0 · ∞.
        seen = jax.tree.map(functools.partial(_if_taken, finite | given_up), updates)
        updates, inner_state = inner.update(seen, state.inner_state, params, **extra_args)
        if check_updates:
            finite &= _all_finite(updates)
        count = jnp.where(finite, 0, count)
        total = state.total_notfinite
        total = jnp.where(finite, total, optax.safe_increment(total))
        taken = finite | given_up
        inner_state = jax.tree.map(
            functools.partial(jnp.where, taken), inner_state, state.inner_state
        )
        updates = jax.lax.platform_dependent(
            inner_state, updates, cpu=lambda state, updates: updates, default=_after
        )
        updates = jax.tree.map(functools.partial(_if_taken, taken), updates)
        return updates, SkipNonfiniteStepsState(count, total, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def _all_finite(tree: Any) -> jax.Array:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(dtype_of(x), jnp.inexact)]
    return functools.reduce(jnp.logical_and, map(_is_finite, leaves), jnp.array(True))


@jax.jit  # for the same reason as in `lift`
def _is_finite(x: jax.Array) -> jax.Array:
    return jnp.all(jnp.isfinite(x))


def _after(state: optax.OptState, updates: optax.Updates) -> optax.Updates:
    """The updates, each computed after what the state keeps of its weight: one pass on a TPU."""
    waiting = by_path(updates)
    paths = {path: path for path in waiting}
    for path, slot in jax.tree.leaves_with_path(state):
        weight = owner(path, paths)
        if weight is not None and jnp.shape(slot) == jnp.shape(waiting[weight]):
            waiting[weight] = waiting_for(slot, waiting[weight])
    return jax.tree.unflatten(jax.tree.structure(updates), waiting.values())


def _if_taken(taken: jax.Array, update: Any) -> Any:
    """The gradient or update; or −0.0, which keeps the sign of a weight of −0.0."""
    if dtype_of(update) == jax.dtypes.float0:  # JAX's gradient of an integer
        return update
    return jnp.where(taken, update, -jnp.zeros((), dtype_of(update)))
