"""A method: its slots and its rule, as an Optax transformation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdmethods._engine.built import Built, tell
from gdmethods._engine.hyperparameters import at
from gdmethods._engine.leaf_state import LeafState, without_weights
from gdmethods._engine.lifting import Rule, lift, with_gradients
from gdmethods._engine.slots import Slots, State
from gdmethods._numbers.kinds import Kind


class StepState:
    """What is the same for all weights in a step: the `s` of a function `once`.

    A number of the state reads as the last update stored it; an assignment
    stores a new one. Any other name that is assigned is a number of this step,
    which the rule reads as `s.name`. If it is the name of a hyperparameter, it
    replaces this hyperparameter in this step. `s.count` is the number of this
    update, an int32, 1 in the first.
    """

    _kinds: dict[str, Kind]
    _numbers: dict[str, Any]

    def __init__(self, state: Any, kinds: dict[str, Kind], count: jax.Array) -> None:
        numbers = {name: getattr(state, name) for name, x in kinds.items() if x is Kind.NUMBER}
        vars(self).update(_kinds=kinds, _numbers={**numbers, "count": count})

    def __getattr__(self, name: str) -> jax.Array:
        if name in self._numbers:
            x: jax.Array = self._numbers[name]
            return x
        raise AttributeError(f"s has {', '.join(self._numbers)} here, and no {name!r}.")

    def __setattr__(self, name: str, x: float | jax.Array) -> None:
        kind = self._kinds.get(name)
        if kind is Kind.COUNT:
            raise AttributeError(f"s.{name} counts by itself.")
        if kind not in (None, Kind.NUMBER):
            raise AttributeError(f"s.{name} is not a number for all weights; the rule stores it.")
        if np.shape(x) != ():
            raise ValueError(
                f"s.{name} was given an array of shape {np.shape(x)}, but is one number for all "
                "weights."
            )
        self._numbers[name] = x if kind is None else jnp.asarray(x, self._numbers[name].dtype)


class Method(optax.GradientTransformationExtraArgs):  # type: ignore[misc]  # Optax is untyped
    """The transformation that `method` makes from slots and a rule.

    Attributes:
      slots, rule, once, mask: as `method` was given them, so that `around` can
        build on them.
      factory, options: the public function that built it, and its arguments
        with the defaults; None and {} if none did.
    """

    slots: Slots[Any]
    rule: Callable[[jax.Array, Mapping[str, Any]], Rule]
    once: Callable[..., None]
    mask: Any
    factory: Callable[..., Any] | None
    options: Mapping[str, Any]


def method(
    slots: Slots[State],
    rule: Callable[[jax.Array, Mapping[str, Any]], Rule],
    once: Callable[..., None] = lambda s, **extra_args: None,
    mask: Any = None,
) -> Method:
    """The transformation that keeps `slots` and moves weights by `rule`.

    Arguments:
      slots: the state.
      rule: returns the rule of an update, given the number of updates before it
        and the numbers that `once` has computed.
      once: computes what is the same for all weights, given a `StepState` and
        update's extra arguments.
      mask: the weights that the rule reads, as in `lift`; or a function that
        returns them from the parameters.
    """

    def init(params: optax.Params) -> State:
        state = slots.init(params)
        tell(Built(made, params, state))
        return state

    def update(
        updates: optax.Updates,
        state: State,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, State]:
        if updates is None and jax.tree.leaves(params):
            raise ValueError(
                "update was given None for the gradients. Pass what jax.grad returns."
            )
        given, params = params, with_gradients(params, updates)
        slots.check(state, updates, params)
        if mask is not None and mask is not False and params is None:
            raise ValueError(
                "The rule reads the parameters, for weight decay for instance, but update was "
                "given none. Call tx.update(grads, state, params)."
            )
        if slots.needs_weights and params is None and jax.tree.leaves(updates):
            raise ValueError(
                "State in 8 bits needs the parameters for its rounding, but update was given "
                "none. Call tx.update(grads, state, params)."
            )
        before: jax.Array = state.count  # type: ignore[assignment]  # a field, not tuple.count
        s = StepState(state, slots.kinds, optax.safe_increment(before))
        once(s, **extra_args)
        numbers = s._numbers
        trees = {name: getattr(state, name) for name in slots.trees}
        displacements, *new_trees = lift(
            rule(before, numbers),
            numbers,
            updates,
            trees,
            slots.kinds,
            params,
            numbers["count"],
            mask(params) if callable(mask) else mask,
            given,
        )
        new = {name: numbers[name] for name in slots.of(Kind.COUNT, Kind.NUMBER)}
        return displacements, state._replace(**new, **dict(zip(trees, new_trees, strict=True)))

    made = Method(init, update)
    made.slots, made.rule, made.once, made.mask = slots, rule, once, mask
    made.factory, made.options = None, {}
    return made


def around(
    inner: optax.GradientTransformation,
    outer: Callable[..., Any],
    mask: Any = None,
    **scalars: Any,
) -> Method:
    """A method with the slots of `inner`, and a rule around its rule.

    Arguments:
      inner: another method of ours.
      outer: a rule at module level that takes the rule of `inner` as `rule`.
      mask: the weights that `outer` reads, as in `method`, if `inner` reads
        none; None keeps those that `inner` reads.
      **scalars: of `outer`; a callable is a schedule.
    """
    assert isinstance(inner, Method)
    reads = mask is not None
    assert not (reads and inner.mask is not None)

    def rule(count: jax.Array, computed: Mapping[str, Any]) -> Rule:
        own = {name: at(scalar, count) for name, scalar in scalars.items()}
        of_inner = inner.rule(count, computed)
        return Rule(outer, rule=weightless(of_inner) if reads else of_inner, **own)

    return method(inner.slots, rule, inner.once, mask if reads else inner.mask)


def weightless(rule: Callable[..., Any]) -> Rule:
    """The rule without `s.w`, which only the rule around it reads."""
    return Rule(_weightless, rule=rule)


def _weightless(
    g: jax.Array, s: LeafState, *args: Any, rule: Callable[..., Any], **kwargs: Any
) -> Any:
    return rule(g, without_weights(s), *args, **kwargs)


def negated(method: optax.GradientTransformation) -> Method:
    """`method` with its displacements' sign turned; a learning rate turns it back."""
    return around(method, _negation)


def _negation(g: jax.Array, s: LeafState, *, rule: Callable[..., jax.Array]) -> jax.Array:
    return -rule(g, s)
