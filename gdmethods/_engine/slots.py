"""Slots: what a state keeps of each weight in one configuration of a method.

A state declares what kind of number each field keeps. `Slots` adds what depends
on the configuration: where a slot starts, whether it is kept, its dtype. From
both it makes a new state, and checks that a given state belongs to this method
and configuration.
"""

import functools
from collections.abc import Collection
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.foreign_states import require_state
from gdmethods._engine.hyperparameters import ScalarOrSchedule, at
from gdmethods._engine.states import kinds
from gdmethods._engine.trees import at_path, by_path
from gdmethods._numbers.dtypes import at_least_float32, dtype_of, promoted
from gdmethods._numbers.eight_bits import EIGHT_BITS
from gdmethods._numbers.formats import format_of
from gdmethods._numbers.kinds import Kind

State = TypeVar("State", bound=NamedTuple)


class Slots(Generic[State]):
    """The state of one configuration of a method.

    Arguments:
      state_type: declares the fields.
      dtype: of the slots; None keeps each parameter's own, float32 for
        narrower ones.
      eight_bits: the slots for which 8 bits are enough. With `dtype` of 8 bits,
        the other slots are bfloat16.
      **starts: the start of each field that does not start at 0; None for a
        slot that is not kept. A number for all weights may start with a
        schedule's first value.
    """

    def __init__(
        self,
        state_type: type[State],
        dtype: jnp.dtype | None = None,
        eight_bits: Collection[str] = (),
        /,
        **starts: ScalarOrSchedule | None,
    ) -> None:
        _require_eight_bits(state_type, eight_bits)
        coded = dtype == EIGHT_BITS
        self.state_type, self.eight_bits = state_type, eight_bits if coded else ()
        self.dtype = jnp.dtype(jnp.bfloat16) if coded else dtype
        self.kinds = kinds(state_type)
        self.starts = dict.fromkeys(self.kinds, 0.0) | starts
        if self.starts.keys() != self.kinds.keys():
            raise TypeError(
                f"{state_type.__name__} has no field {sorted(starts.keys() - self.kinds)}."
            )
        self.trees = self.of(Kind.SIGNED, Kind.POSITIVE, Kind.SQUARE, Kind.SIGN)
        self.kept = [name for name, start in self.starts.items() if start is not None]
        self.needs_weights = bool(self.eight_bits)

    def of(self, *some: Kind) -> list[str]:
        """The fields of these kinds, in the state's order."""
        return [name for name, kind in self.kinds.items() if kind in some]

    def init(self, params: optax.Params) -> State:
        """A new state."""
        if params is None:
            raise ValueError("init was given None for the parameters.")
        self._require_movable(params)
        count = jnp.zeros([], jnp.int32)

        def start(name: str, kind: Kind) -> Any:
            value = self.starts[name]
            if value is None:
                return None
            if kind is Kind.COUNT:
                return count
            if kind is Kind.NUMBER:
                return jnp.asarray(at(value, count), jnp.result_type(float))
            return jax.tree.map(
                lambda w: _full_like(w, value, kind, self._dtype(name, dtype_of(w))), params
            )

        return self.state_type._make(start(name, kind) for name, kind in self.kinds.items())

    def _dtype(self, name: str, weight: jnp.dtype) -> jnp.dtype:
        """The dtype of a slot, for a parameter of dtype `weight`."""
        asked = EIGHT_BITS if name in self.eight_bits else self.dtype
        return _slot_dtype(self.kinds[name], weight, asked)

    def check(self, state: Any, gradients: optax.Updates, params: optax.Params | None) -> None:
        """Raises an error for a state of another method or configuration, or for other dtypes."""
        fields = self.kept if jax.tree.leaves(gradients) else None  # an empty tree keeps nothing
        require_state(state, self.state_type, fields)
        for name in self.of(Kind.COUNT, Kind.NUMBER):
            if jnp.shape(getattr(state, name)) != ():
                raise ValueError(
                    f"{name} of the state has shape {jnp.shape(getattr(state, name))}, as in an "
                    "ensemble whose init ran under jax.vmap. Run update under jax.vmap as well."
                )
        if params is not None:
            self._check_dtypes(state, params)

    def _require_movable(self, params: optax.Params) -> None:
        """Raises an error for parameters that the method cannot move, with their path."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            dtype = getattr(leaf, "dtype", type(leaf))
            if not hasattr(leaf, "dtype") and not isinstance(leaf, complex | float | int):
                what = "function" if callable(leaf) else type(leaf).__name__
                raise TypeError(
                    f"The parameter {at_path(path)} is a {what}, and gradient descent "
                    "moves only arrays. Give init the arrays of a model alone: nnx.state(model, "
                    "nnx.Param) in Flax, eqx.filter(model, eqx.is_inexact_array) in Equinox."
                )
            name = f"The parameter {at_path(path)} has dtype {getattr(dtype, '__name__', dtype)}"
            if not jnp.issubdtype(dtype, jnp.inexact):
                raise TypeError(
                    f"{name}, and gradient descent moves only floating-point weights. Wrap the "
                    "transformation in optax.masked (or optax.partition) so that it leaves this "
                    "one out."
                )
            if Kind.SIGN in self.kinds.values() and jnp.issubdtype(dtype, jnp.complexfloating):
                raise TypeError(
                    f"{name}, and {self.state_type.__name__} keeps the sign of its gradient, "
                    "which a complex number does not have. Wrap the transformation in "
                    "optax.contrib.split_real_and_imaginary, or leave this one out with "
                    "optax.masked."
                )

    def _check_dtypes(self, state: State, params: optax.Params) -> None:
        weights = [getattr(w, "dtype", type(w)) for w in jax.tree.leaves(params)]
        if not all(jnp.issubdtype(w, jnp.inexact) for w in set(weights)):
            self._require_movable(params)
        for name in self.trees:
            slot = getattr(state, name)
            if slot is None:
                continue
            dtypes = {w: self._dtype(name, jnp.dtype(w)) for w in set(weights)}
            expected = [dtypes[w] for w in weights]
            if [getattr(x, "dtype", None) for x in jax.tree.leaves(slot)] == expected:
                continue
            kept = by_path(slot)
            for (path, _), weight, dtype in zip(
                jax.tree.leaves_with_path(params), weights, expected, strict=True
            ):
                if path in kept and dtype_of(kept[path]) != dtype:
                    came = dtype_of(kept[path])
                    way_out = "Cast the state, or start from tx.init(params)."
                    if is_accumulator(came) and is_accumulator(dtype):
                        way_out = (
                            "Give the factory the accumulator_dtype that the state was made with, "
                            "or convert the state: gdmethods.convert_state(tx, params, state)."
                        )
                    raise TypeError(
                        f"{name} of the state {at_path(path)} has dtype {came}, and this "
                        f"transformation keeps {dtype} for a parameter of {weight}. {way_out}"
                    )


def _require_eight_bits(state_type: type, names: Collection[str]) -> None:
    """Raises an error for slots that no format keeps in 8 bits."""
    slots = kinds(state_type)
    for name in names:
        if name not in slots:
            raise TypeError(f"eight_bits names {name!r}, which {state_type.__name__} lacks.")
        if slots[name] not in (Kind.SIGNED, Kind.SQUARE):
            raise TypeError(
                f"eight_bits names {name!r}, but 8 bits keep only slots that are Square or Signed."
            )
        squares = [n for n in names if slots.get(n) is Kind.SQUARE]
        if not squares:
            raise TypeError(
                f"eight_bits names {name!r}. In 8 bits it is relative to the root of a Square, "
                f"and {state_type.__name__} has none in 8 bits. Name a Square too."
            )


def is_accumulator(dtype: jnp.dtype) -> bool:
    """Whether a slot can have this dtype by its `accumulator_dtype`."""
    return bool(dtype == EIGHT_BITS or jnp.issubdtype(dtype, jnp.inexact))


def _slot_dtype(kind: Kind, weight: jnp.dtype, asked: jnp.dtype | None) -> jnp.dtype:
    weight = jax.dtypes.canonicalize_dtype(weight)
    dtype: jnp.dtype = at_least_float32(weight) if asked is None else asked
    if kind is Kind.SIGN:
        dtype = jnp.dtype(jnp.int8)
    elif kind is Kind.SIGNED and jnp.issubdtype(weight, jnp.complexfloating):
        dtype = promoted(dtype, jnp.complex64)
    return dtype


def _full_like(leaf: Any, value: Any, kind: Kind, dtype: jnp.dtype) -> jax.Array:
    """`jnp.full_like` in the leaf's layout, under jit too, where only the compiler knows it."""
    if dtype == EIGHT_BITS:
        value = format_of(kind, dtype).write(jnp.asarray(value, jnp.float32), 0.0)
    like = _computed_like if isinstance(leaf, jax.core.Tracer) else jnp.full_like
    slot: jax.Array = like(leaf, value, dtype=dtype)
    return slot


# XLA gives a result the layout of its operands. So the leaf selects between two equal values; the
# barrier hides that they are equal. An inner jit for the same reason as in `lift`.
@functools.partial(jax.jit, static_argnames="dtype")
def _computed_like(leaf: jax.Array, value: Any, *, dtype: jnp.dtype) -> jax.Array:
    value = jnp.asarray(value, dtype)
    value, itself = jax.lax.optimization_barrier((value, value))
    return jnp.where(leaf == leaf, value, itself)
