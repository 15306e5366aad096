"""Slots: what a state keeps of each weight, declared once where the state is.

The annotations of a state say what kind of number each field keeps:

    class AdamState(NamedTuple):
        count: Count
        mu: Signed
        nu: Square

`Slots` adds what a configuration decides: where a slot starts, whether it is
kept, its dtype. From the two follow a new state and the refusal of one that
belongs to another method or configuration.
"""

import functools
import inspect
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ForwardRef, Generic, NamedTuple, TypeAlias, TypeVar, get_args

import jax
import jax.numpy as jnp
import optax

from gdmethods._engine.hyperparameters import ScalarOrSchedule, at
from gdmethods._engine.lifting import at_least_float32, dtype_of
from gdmethods._engine.options import public_name
from gdmethods._engine.trees import at_path
from gdmethods._numbers.eight_bits import EIGHT_BITS
from gdmethods._numbers.formats import format_of
from gdmethods._numbers.kinds import Kind

State = TypeVar("State", bound=NamedTuple)


Count: TypeAlias = Annotated[jax.Array, Kind.COUNT]
Number: TypeAlias = Annotated[jax.Array, Kind.NUMBER]
Signed: TypeAlias = Annotated[optax.Updates, Kind.SIGNED]
Positive: TypeAlias = Annotated[optax.Updates, Kind.POSITIVE]
Square: TypeAlias = Annotated[optax.Updates, Kind.SQUARE]
Sign: TypeAlias = Annotated[optax.Updates, Kind.SIGN]


@functools.cache
def kinds(state_type: type) -> dict[str, Kind]:
    """The kind of each field of a state, in the state's order."""
    scope = vars(sys.modules[state_type.__module__])
    hints = inspect.get_annotations(state_type)
    return {name: _kind(hint, scope) for name, hint in hints.items()}


def kinds_of(state: Any) -> dict[str, Kind]:
    """The kind of each field of a state of a method."""
    state_type: Any = type(state)
    return kinds(state_type)


def _kind(hint: Any, scope: dict[str, Any]) -> Kind:
    if isinstance(hint, ForwardRef):  # under `from __future__ import annotations`
        hint = eval(hint.__forward_arg__, scope)
    for part in (hint, *get_args(hint)):  # of `Signed | None` too
        for kind in getattr(part, "__metadata__", ()):
            if isinstance(kind, Kind):
                return kind
    raise TypeError(f"A field of a state is declared as Count, Number or a slot, not as {hint}.")


def slots_of(state: Any) -> dict[str, Any]:
    """The trees of a state that keep a number for each weight, by their names."""
    shared = (Kind.COUNT, Kind.NUMBER)
    return {
        name: getattr(state, name)
        for name, kind in kinds_of(state).items()
        if kind not in shared and getattr(state, name) is not None
    }


def is_state(node: Any) -> bool:
    """Whether a node of a tree is the state of a method, whose fields declare their kinds."""
    if not hasattr(node, "_fields") or public_name(type(node)).split(".")[0] != "gdmethods":
        return False
    try:
        return bool(kinds_of(node))
    except TypeError:  # the state of a wrapper
        return False


class Slots(Generic[State]):
    """The state of one configuration of a method.

    Arguments:
      state_type: declares the fields.
      dtype: of the slots; None keeps each parameter's own, float32 for
        narrower ones.
      eight_bits: the slots that 8 bits are enough for; where `dtype` asks for
        them, the others are bfloat16.
      **starts: where fields start that do not start at 0; None for a slot that
        is not kept. A number for all weights may start as a schedule does.
    """

    def __init__(
        self,
        state_type: type[State],
        dtype: jnp.dtype | None = None,
        eight_bits: Collection[str] = (),
        /,
        **starts: ScalarOrSchedule | None,
    ) -> None:
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
        """Of a slot, for a parameter of this dtype."""
        asked = EIGHT_BITS if name in self.eight_bits else self.dtype
        return _slot_dtype(self.kinds[name], weight, asked)

    def check(self, state: Any, gradients: optax.Updates, params: optax.Params | None) -> None:
        """Refuses a state of another method or configuration, or for other dtypes."""
        fields = self.kept if jax.tree.leaves(gradients) else None  # an empty tree keeps nothing
        require_state(state, self.state_type, fields)
        for name in self.of(Kind.COUNT, Kind.NUMBER):
            if jnp.shape(getattr(state, name)) != ():
                raise ValueError(
                    f"{name} of the state has shape {jnp.shape(getattr(state, name))}, as that of "
                    "an ensemble whose init was under jax.vmap. Put update under jax.vmap as well."
                )
        if params is not None:
            self._check_dtypes(state, params)

    def _require_movable(self, params: optax.Params) -> None:
        """Refuses parameters that the method cannot move, by path."""
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
            kept = dict(jax.tree.leaves_with_path(slot))
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


def is_accumulator(dtype: jnp.dtype) -> bool:
    """Whether a dtype is one of those that `accumulator_dtype` chooses between."""
    return bool(dtype == EIGHT_BITS or jnp.issubdtype(dtype, jnp.floating))


def _slot_dtype(kind: Kind, weight: jnp.dtype, asked: jnp.dtype | None) -> jnp.dtype:
    weight = jax.dtypes.canonicalize_dtype(weight)
    dtype: jnp.dtype = at_least_float32(weight) if asked is None else asked
    if kind is Kind.SIGN:
        dtype = jnp.dtype(jnp.int8)
    elif kind is Kind.SIGNED and jnp.issubdtype(weight, jnp.complexfloating):
        dtype = jnp.promote_types(dtype, jnp.complex64)
    return dtype


def require_state(state: Any, state_type: type, kept: Sequence[str] | None) -> None:
    """Refuses what is no state of this type with these fields; None admits any of them."""
    if not isinstance(state, state_type) or (kept is not None and _kept(state) != [*kept]):
        raise TypeError(_foreign(state, state_type, kept or ()))


def _kept(state: Any) -> list[str]:
    return [name for name, value in state._asdict().items() if value is not None]


def _foreign(state: Any, state_type: type, kept: Sequence[str]) -> str:
    """The message for a state that is not of `state_type` with the fields `kept`."""
    came, expected, way_out = type(state).__name__, state_type.__name__, ""
    if came == expected and type(state) is not state_type:
        came, expected = public_name(type(state)), public_name(state_type)
    if state is None:
        came = "None"
    elif inspect.isroutine(state):
        came = f"the function {state.__name__} (not called)"
    elif hasattr(state, "_asdict"):
        came += f"({', '.join(_kept(state))})"
    else:
        came = f"{'an' if came[0] in 'AEIOUaeiou' else 'a'} {came}"
    if isinstance(state, state_type):
        common = ", ".join(f"{name}=state.{name}" for name in kept if name in _kept(state))
        way_out = f" To go on from this one, pass tx.init(params)._replace({common})."
    elif isinstance(state, Mapping) and {*kept} <= {*state}:
        way_out = (
            " To go on from a checkpoint, restore it into tx.init(params): "
            "flax.serialization.from_state_dict(tx.init(params), state), for instance."
        )
    return (
        f"update was given {came} for its state, and this transformation keeps "
        f"{expected}({', '.join(kept)}). Call tx.update(gradients, state, params) with the state "
        f"that tx.init(params), or the update before, of this tx returned.{way_out}"
    )


def _full_like(leaf: Any, value: Any, kind: Kind, dtype: jnp.dtype) -> jax.Array:
    """`jnp.full_like`, laid out as the leaf also under jit, where only the compiler knows how."""
    if dtype == EIGHT_BITS:
        value = format_of(kind, dtype).write(jnp.asarray(value, jnp.float32), 0.0)
    like = _computed_like if isinstance(leaf, jax.core.Tracer) else jnp.full_like
    slot: jax.Array = like(leaf, value, dtype=dtype)
    return slot


# XLA gives a result the layout of what it is computed from. So the leaf chooses between the value
# and itself, which the barrier hides. An inner jit for the same reason as in `lift`.
@functools.partial(jax.jit, static_argnames="dtype")
def _computed_like(leaf: jax.Array, value: Any, *, dtype: jnp.dtype) -> jax.Array:
    value = jnp.asarray(value, dtype)
    value, itself = jax.lax.optimization_barrier((value, value))
    return jnp.where(leaf == leaf, value, itself)
