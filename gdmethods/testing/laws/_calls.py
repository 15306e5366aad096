"""What varies is how `init` and `update` are called: again, abstractly, with more arguments."""

from typing import Any

import jax
import jax.numpy as jnp

from gdmethods.testing._differences import (
    first_difference,
    require_same_types,
    require_same_updates,
)
from gdmethods.testing._subject import Subject, stacked


def purity(subject: Subject) -> None:
    """Same inputs give same outputs: a step that is thrown away leaves no trace."""

    def disturbed(params: Any, state: Any, gradients: Any, loss: Any) -> Any:
        subject.step(params, state, jax.tree.map(jnp.negative, gradients), loss)
        return subject.step(params, state, gradients, loss)

    wanted = subject.eager.updates
    with jax.disable_jit():
        actual = subject.walk(disturbed).updates
    require_same_updates(
        subject, actual, wanted, subject.gradients, "after steps thrown away", "at first", rtol=0
    )


def fresh_init(subject: Subject) -> None:
    """`init` depends on its argument alone: earlier calls leave no trace."""
    params = subject.params
    others = [jax.tree.map(lambda w: 2 * w + 1, params)]
    if not subject.own_params:
        others.append({"kernel": jnp.ones(4), "another": jnp.zeros((2, 2))})

    def walk(tx: Any) -> Any:
        state, path = tx.init(params), []
        for other in others[::-1] if tx is used else ():
            tx.init(other)
        weights = params
        for g, loss in subject.course()[:2]:
            weights, state, updates = subject.step(weights, state, g, loss, tx=tx)
            path.append(updates)
        return tx.init(params), stacked(path)

    new, used = subject.make(), subject.make()
    with jax.disable_jit():
        wanted = walk(new)
        for other in others:
            used.init(other)
        actual = walk(used)
    require_same_types(actual[0], wanted[0], "after init of other weights", "at first")
    difference = first_difference(actual[0], wanted[0])
    if difference:
        raise AssertionError(
            f"init gives state{difference.path} {difference.got} if it was given other weights "
            f"before, and {difference.wanted} at first"
        )
    gradients = jax.tree.map(lambda g: g[:2], subject.gradients)
    here = "if init was given other weights before"
    require_same_updates(subject, actual[1], wanted[1], gradients, here, "at first", rtol=0)


def abstract_init(subject: Subject) -> None:
    """`init` takes `jax.ShapeDtypeStruct`, and `jax.eval_shape` sees the types of the state."""
    structs = jax.eval_shape(lambda: subject.params)
    state = subject.tx.init(subject.params)
    seen = jax.eval_shape(subject.tx.init, structs)
    require_same_types(seen, state, "by eval_shape", "in fact")
    try:
        made = subject.tx.init(structs)
    except Exception as error:
        raise AssertionError(
            "init was given jax.ShapeDtypeStruct for the weights, and raised "
            f"{type(error).__name__}: {error} (jax.eval_shape(tx.init, structs) works)"
        ) from error
    require_same_types(made, state, "made of structs", "made of arrays")


def extra_args(subject: Subject) -> None:
    """Unknown extra arguments are ignored."""
    gradients, loss = subject.course()[0]
    state = subject.tx.init(subject.params)
    words = subject.words(subject.params, gradients, loss)
    with jax.disable_jit():
        wanted = subject.tx.update(gradients, state, subject.params, **words)
        others = words | {"batch_size": 7, "an_unknown_word": "unknown"}
        actual = subject.tx.update(gradients, state, subject.params, **others)
    difference = first_difference(actual, wanted)
    if difference:
        raise AssertionError(
            f"batch_size=7 makes {difference.got} of {difference.wanted} in update's result at "
            f"{difference.path}"
        )
