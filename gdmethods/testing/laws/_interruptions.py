"""What varies is what happens between two steps: a checkpoint, a gradient that is not finite."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from gdmethods.testing._differences import (
    first_difference,
    is_key,
    named_leaves,
    require_same_types,
    require_same_updates,
    to_numpy,
)
from gdmethods.testing._subject import Subject, stacked


def checkpoint(subject: Subject) -> None:
    """A state that is saved, and restored into a new build, continues to the same bits."""
    half = subject.steps // 2
    course, params = subject.course(), subject.params
    state = subject.tx.init(params)
    with jax.disable_jit():
        for inputs in course[:half]:
            params, state, _ = subject.step(params, state, *inputs)
    chex.assert_tree_has_only_ndarrays(state)
    keys = {path: jax.random.key_impl(leaf) for path, leaf in named_leaves(state) if is_key(leaf)}
    written = {path: to_numpy(leaf) for path, leaf in named_leaves(state)}

    tx = subject.make()
    layout = jax.eval_shape(tx.init, subject.params)
    require_same_types(state, layout, f"after {half} updates", "after init")
    read = [
        jax.random.wrap_key_data(written[path], impl=keys[path])
        if path in keys
        else jnp.asarray(written[path])
        for path, _ in named_leaves(layout)
    ]
    state = jax.tree.unflatten(jax.tree.structure(layout), read)
    path = []
    with jax.disable_jit():
        for g, loss in course[half:]:
            params, state, updates = subject.step(params, state, g, loss, tx=tx)
            path.append(updates)
    rest, gradients = (
        jax.tree.map(lambda leaf: leaf[half:], tree)
        for tree in (subject.eager.updates, subject.gradients)
    )
    require_same_updates(
        subject, stacked(path), rest, gradients, "from a checkpoint", "without one", rtol=0
    )


def non_finite_step(subject: Subject) -> None:
    """Under `optax.apply_if_finite` a gradient with a NaN leaves the state as it was."""
    guarded = optax.apply_if_finite(subject.tx, max_consecutive_errors=3)

    def step(params: Any, state: Any, gradients: Any, loss: Any) -> Any:
        return subject.step(params, state, gradients, loss, tx=guarded)

    first, (gradients, loss) = subject.course()[:2]
    broken = jax.tree.map(lambda g: g * jnp.nan, gradients), loss
    start = subject.params, guarded.init(subject.params)
    jax.eval_shape(step, *start, *first)
    with jax.disable_jit():
        params, state, _ = step(*start, *first)
        params_after, state_after, _ = step(params, state, *broken)
    before, after = (params, state.inner_state), (params_after, state_after.inner_state)
    difference = first_difference(after, before)
    if difference:
        raise AssertionError(f"a NaN makes {difference.got} of {difference.wanted}")
