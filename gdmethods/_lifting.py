"""A rule of one weight, lifted to a tree of weights.

Every method of this library is a *rule*: a plain function of arrays that holds the paper's lines
in the paper's order, and takes a gradient and the slots of its state to a displacement and the new
slots. This module is what all methods share around their rules:

* `require_float_leaves`, `accumulator` and `no_signs` lay out a state shaped like the parameters,
  and `sign_after` renews the signs without a copy;
* `lift` runs a rule over the leaves: it compares trees and shapes, computes in float32 or wider,
  and rounds once, when a displacement goes back to its parameter's dtype and a slot to its own;
* `negated` turns a method of learning rate 1 into its core, the direction that a rate scales.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

Rule: TypeAlias = Callable[..., tuple[Any, ...]]
"""`rule(gradient, *slots, **scalars)` → `(displacement, *slots)`, elementwise."""

NOT_KEPT = 0.0
"""What a rule reads from a slot that its state does not keep: the zero it would start from."""


def require_float_leaves(params: optax.Params, *, real_for: str | None = None) -> None:
    """Refuses leaves that no gradient can move, by path; with `real_for`, complex ones too.

    Arguments:
      params: the parameters.
      real_for: the name of a method that goes by the sign of the gradient.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        name = f"The parameter {at_path(path)} has dtype {dtype}"
        if not jnp.issubdtype(getattr(leaf, "dtype", type(leaf)), jnp.inexact):
            raise TypeError(
                f"{name}, and gradient descent moves only floating-point weights. Wrap the "
                "transformation in optax.masked (or optax.partition) so that it leaves this one "
                "out."
            )
        if real_for is not None and jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(
                f"{name}, and {real_for} goes by the sign of the gradient, which a complex number "
                "does not have. Wrap the transformation in "
                "optax.contrib.split_real_and_imaginary, or leave this one out with optax.masked."
            )


def accumulator(
    params: optax.Params,
    value: Any = 0.0,
    *,
    dtype: jnp.dtype | None = None,
    real: bool = False,
) -> optax.Updates:
    """A slot of the parameters' shapes, filled with `value`.

    Without `dtype` it takes each parameter's own, float32 for narrower ones. It is complex where
    the parameter is, unless `real` says that it holds squared magnitudes.
    """

    def of_leaf(leaf: Any) -> jax.Array:
        slot = _at_least_float32(_dtype(leaf)) if dtype is None else dtype
        if jnp.issubdtype(_dtype(leaf), jnp.complexfloating) and not real:
            slot = jnp.promote_types(slot, jnp.complex64)
        return _full_like(leaf, value, slot)

    return jax.tree.map(of_leaf, params)


def no_signs(params: optax.Params) -> optax.Updates:
    """A slot for what only lends its sign, one byte a weight, before there was any."""
    return jax.tree.map(lambda leaf: _full_like(leaf, 0, jnp.dtype(jnp.int8)), params)


def sign_after(slot: jax.Array, sign: jax.Array) -> jax.Array:
    """`sign` as `no_signs` keeps it, computed after the new `slot` that its old values decide.

    XLA overwrites the old signs in place once it knows that nobody will read them, and for that
    the new ones have to depend on their last reader; otherwise it copies them first.
    """
    return jnp.where(jnp.isnan(slot), jnp.int8(0), sign.astype(jnp.int8)).astype(slot.dtype)


def lift(
    rule: Rule,
    gradients: optax.Updates,
    slots: tuple[optax.Updates | None, ...],
    params: optax.Params | None,
    **scalars: Any,
) -> tuple[Any, ...]:
    """Runs `rule` over every leaf: to the tree of displacements, and those of the new slots.

    Arguments:
      rule: a function at module level: calls with the same one share its traces.
      gradients: a tree like the parameters.
      slots: the state's trees in the rule's order, None for one that is not kept and stays so.
      params: lends the displacements its dtypes; without it they take the gradients'.
      **scalars: keywords of the rule. Arrays are inputs of the compiled step, all else its
        constants.

    Raises:
      ValueError: trees or shapes differ.
      TypeError: a gradient is complex where its parameter is real.
    """
    leaves, structure = jax.tree.flatten(gradients)

    def like_gradients(tree: Any, owner: str) -> list[Any]:
        others, other_structure = jax.tree.flatten(tree)
        if (other_structure, list(map(np.shape, others))) != (structure, shapes):
            raise ValueError(_difference(gradients, tree, owner))
        return others

    shapes = list(map(np.shape, leaves))
    models = leaves if params is None else like_gradients(params, "the parameters")
    dtypes = list(map(_dtype, models))
    _require_real(gradients, dtypes)
    columns = [
        [None] * len(leaves)
        if slot is None
        else like_gradients(slot, "the parameters that this state was made for")
        for slot in slots
    ]
    inputs = {name: x for name, x in scalars.items() if isinstance(x, jax.Array)}
    constants = tuple((name, x) for name, x in scalars.items() if name not in inputs)

    rows = [
        _on_leaf(leaf, row, inputs, rule=rule, dtype=dtype, constants=constants)
        for leaf, dtype, *row in zip(leaves, dtypes, *columns, strict=True)
    ]
    displacements, *new = zip(*rows, strict=True) if rows else [()] * (1 + len(slots))
    return jax.tree.unflatten(structure, displacements), *(
        None if slot is None else jax.tree.unflatten(structure, column)
        for slot, column in zip(slots, new, strict=True)
    )


# An inner jit, because JAX then traces and lowers a rule once for all leaves of one shape and
# dtype: a thousand leaves cost a thousand calls, not a thousand traces. Outside of jit it also
# makes an update one fused kernel a leaf.
@functools.partial(jax.jit, static_argnames=("rule", "dtype", "constants"))
def _on_leaf(
    gradient: jax.Array,
    slots: list[jax.Array | None],
    inputs: dict[str, jax.Array],
    *,
    rule: Rule,
    dtype: jnp.dtype,
    constants: tuple[tuple[str, Any], ...],
) -> tuple[jax.Array | None, ...]:
    floats = [x.dtype for x in slots if x is not None and jnp.issubdtype(x.dtype, jnp.inexact)]
    real = functools.reduce(jnp.promote_types, map(_at_least_float32, [dtype, *floats]))

    def widen(x: jax.Array) -> jax.Array:
        return x.astype(jnp.promote_types(real, jnp.complex64) if jnp.iscomplexobj(x) else real)

    displacement, *new = rule(
        widen(gradient),
        *(NOT_KEPT if x is None else widen(x) for x in slots),
        **{name: widen(x) for name, x in inputs.items()},
        **dict(constants),
    )
    return displacement.astype(dtype), *(
        None if old is None else x.astype(old.dtype) for x, old in zip(new, slots, strict=True)
    )


def negated(
    method: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """`method` with its displacements' sign turned; a learning rate turns it back."""

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        displacements, state = method.update(updates, state, params, **extra_args)
        return jax.tree.map(jnp.negative, displacements), state

    return optax.GradientTransformationExtraArgs(method.init, update)


def _require_real(gradients: optax.Updates, dtypes: list[jnp.dtype]) -> None:
    """Raises the first complex gradient of a parameter of a real dtype."""
    for leaf, dtype in zip(jax.tree.leaves(gradients), dtypes, strict=True):
        if np.iscomplexobj(leaf) and not jnp.issubdtype(dtype, jnp.complexfloating):
            path = next(path for path, x in jax.tree.leaves_with_path(gradients) if x is leaf)
            raise TypeError(
                f"The gradient {at_path(path)} is complex, and its parameter has dtype {dtype}. "
                "Differentiate a real-valued loss, or make the parameter complex."
            )


def _difference(gradients: optax.Updates, params: optax.Params, owner: str) -> str:
    """The message of the first difference of the gradients from `params`, called `owner`."""
    return (
        f"The gradients differ from {owner}: {_first_difference(gradients, params)}. "
        "Differentiate with respect to the tree that init was given, and pass update that "
        "gradient, that state and those parameters."
    )


def _first_difference(gradients: optax.Updates, params: optax.Params) -> str:
    got, expected = (
        {path: np.shape(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (gradients, params)
    )
    for path in expected | got:
        if path not in got:
            return f"there is no gradient {at_path(path)}"
        if path not in expected:
            return f"there is no parameter {at_path(path)}, but a gradient"
        if got[path] != expected[path]:
            return f"the shape {at_path(path)} is {got[path]} for a parameter of {expected[path]}"
    containers = (jax.tree.structure(tree) for tree in (gradients, params))
    return "the same leaves in other containers, {} for {}".format(*containers)


def at_path(path: tuple[Any, ...]) -> str:
    """A leaf's place, for a message."""
    return f"at {jax.tree_util.keystr(path)}" if path else "(the only one)"


def _full_like(leaf: Any, value: Any, dtype: jnp.dtype) -> jax.Array:
    """`jnp.full_like`, laid out as the leaf also under jit, where only the compiler knows how."""
    like = _computed_like if isinstance(leaf, jax.core.Tracer) else jnp.full_like
    slot: jax.Array = like(leaf, value, dtype=dtype)
    return slot


# XLA gives a result the layout of what it is computed from. So the leaf chooses between the value
# and itself, which the barrier hides. An inner jit for the same reason as that of `_on_leaf`.
@functools.partial(jax.jit, static_argnames="dtype")
def _computed_like(leaf: jax.Array, value: Any, *, dtype: jnp.dtype) -> jax.Array:
    value = jnp.asarray(value, dtype)
    value, itself = jax.lax.optimization_barrier((value, value))
    return jnp.where(leaf == leaf, value, itself)


def _dtype(leaf: Any) -> jnp.dtype:
    """As JAX keeps it: NumPy's float64 is float32 unless JAX is in 64-bit mode."""
    return jax.dtypes.canonicalize_dtype(leaf.dtype if hasattr(leaf, "dtype") else type(leaf))


def _at_least_float32(dtype: jnp.dtype) -> jnp.dtype:
    real = jnp.finfo(dtype).dtype
    return real if jnp.finfo(real).bits >= 32 else jnp.dtype(jnp.float32)
