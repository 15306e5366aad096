"""A method: the slots that it keeps, and the rule that moves them, as an Optax transformation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import at
from gdmethods._engine.lifting import Rule, lift, with_gradients
from gdmethods._engine.slots import Slots, State
from gdmethods._numbers.kinds import Kind


class Method(optax.GradientTransformationExtraArgs):  # type: ignore[misc]  # Optax is untyped
    """The transformation that keeps some slots and moves by a rule; `method` makes it.

    Attributes:
      slots, rule, numbers: as `method` was given them, so that `around` can
        build on them.
      reads_weights: whether the rule reads the weights; then nothing can stand
        around it.
    """

    slots: Slots[Any]
    rule: Callable[[Any, Any], Rule]
    numbers: Callable[..., dict[str, Any]]
    reads_weights: bool


def method(
    slots: Slots[State],
    rule: Callable[[State, State], Rule],
    numbers: Callable[..., dict[str, Any]] = lambda state, **extra_args: {},
    mask: Any = False,
) -> Method:
    """The transformation that keeps `slots` and moves by `rule`.

    Arguments:
      slots: the state.
      rule: from the state before the update, and the same with its numbers
        renewed, to the rule that lifts the slots from the one to the other.
      numbers: from the state and update's extra arguments to the new values of
        its numbers; the count counts by itself.
      mask: the weights that the rule reads, as `lift` has it; or a function of
        the parameters.
    """

    def update(
        updates: optax.Updates,
        state: State,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, State]:
        if updates is None and jax.tree.leaves(params):
            raise ValueError("update was given None for the gradients. Return them from the loss.")
        given, params = params, with_gradients(params, updates)
        slots.check(state, updates, params)
        if mask is not False and params is None:
            raise ValueError(
                "Weight decay needs the parameters. Call tx.update(grads, state, params)."
            )
        if slots.needs_weights and params is None and jax.tree.leaves(updates):
            raise ValueError(
                "State in 8 bits is rounded by the bits of the parameters, and update was given "
                "none. Call tx.update(grads, state, params)."
            )
        new = {
            name: jnp.asarray(number, getattr(state, name).dtype)
            for name, number in numbers(state, **extra_args).items()
        }
        for name in slots.of(Kind.COUNT):
            new[name] = optax.safe_increment(getattr(state, name))
        trees = {name: getattr(state, name) for name in slots.trees}
        displacements, *new_trees = lift(
            rule(state, state._replace(**new)),
            updates,
            trees,
            slots.kinds,
            params,
            new["count"],
            mask(params) if callable(mask) else mask,
            given,
        )
        new |= dict(zip(trees, new_trees, strict=True))
        return displacements, state._replace(**new)

    made = Method(slots.init, update)
    made.slots, made.rule, made.numbers = slots, rule, numbers
    made.reads_weights = mask is not False
    return made


def around(
    inner: optax.GradientTransformation,
    outer: Callable[..., tuple[Any, ...]],
    mask: Any = False,
    **scalars: Any,
) -> Method:
    """A method with the slots of `inner`, and a rule around its rule.

    Arguments:
      inner: another method of ours.
      outer: a function at module level that takes the rule of `inner` as
        `rule`.
      mask: the weights that `outer` reads, as in `method`.
      **scalars: of `outer`; a callable is a schedule.
    """
    assert isinstance(inner, Method)
    assert not inner.reads_weights

    def rule(old: Any, new: Any) -> Rule:
        own = {name: at(scalar, old.count) for name, scalar in scalars.items()}
        return Rule(outer, rule=inner.rule(old, new), **own)

    return method(inner.slots, rule, inner.numbers, mask)


def negated(method: optax.GradientTransformation) -> Method:
    """`method` with its displacements' sign turned; a learning rate turns it back."""
    return around(method, _negation)


def _negation(g: jax.Array, *rest: Any, rule: Rule) -> tuple[Any, ...]:
    displacement, *new = rule(g, *rest)
    return -displacement, *new
