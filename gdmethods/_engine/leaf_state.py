"""The state of one leaf, as its rule reads and stores it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gdmethods._numbers.formats import (
    Kinds,
    Seed,
    Stored,
    in_eight_bits,
    read_slots,
    root_beside,
    square_of,
    store,
)
from gdmethods._numbers.fusion import sign_after
from gdmethods._numbers.kinds import Kind
from gdmethods._numbers.rounding import noise


class _NotKept(float):
    """What a rule reads for a slot that its state does not keep: 0, which a sum leaves out."""

    def __add__(self, x: Any) -> Any:
        return x

    __radd__ = __add__

    def __sub__(self, x: Any) -> Any:
        return -x

    def __mul__(self, x: Any) -> Any:
        return self

    __rmul__ = __mul__


_NOT_KEPT = _NotKept()


class LeafState:
    """The state `s` of a rule `(g, s, …)`.

    `s.mu` reads a slot, and `s.mu = m` stores a new value in it. From then on
    `s.mu` reads the stored value, so that a step uses the number that a resumed
    run would read. A slot that the configuration does not keep reads as 0, and
    then as what was assigned to it. `s.count` is the number of this update, 1
    in the first, and other names are the numbers that `once` computed. With
    optimizer(…, weights=True), `s.w` is the weight.

    Each slot is stored once. A signed slot in 8 bits is relative to the root of
    a square, and is stored after it.
    """

    _slots: Stored
    _kinds: Kinds
    _old: dict[str, Any]
    _read: dict[str, Any]
    _numbers: dict[str, Any]
    _gradient: jax.Array
    _seed: Seed | None
    _stored: dict[str, Any]
    _followed: set[str]

    def __init__(
        self,
        slots: Stored,
        kinds: Kinds,
        numbers: Mapping[str, Any],
        gradient: jax.Array,
        seed: Seed | None,
        computing: Any,
    ) -> None:
        """The state of a leaf.

        Arguments:
          slots, kinds: as they are stored.
          numbers: what else can be read; no weight can set it.
          gradient, seed: what the noise is drawn from.
          computing: casts an array to the dtype that the rule computes in.
        """
        old = read_slots(slots, kinds)
        vars(self).update(
            _slots=slots,
            _kinds=kinds,
            _old=old,
            _read={n: _NOT_KEPT if x is None else computing(x) for n, x in old.items()},
            _numbers=dict(numbers),
            _gradient=gradient,
            _seed=seed,
            _stored={},
            _followed=set(),
        )

    def __getattr__(self, name: str) -> jax.Array:
        if name in self._stored:
            self._followed.add(name)
        for known in (self._read, self._numbers):
            if name in known:
                x: jax.Array = known[name]
                return x
        raise AttributeError(self._lacks(name))

    def __setattr__(self, name: str, x: jax.Array) -> None:
        if name in self._numbers:
            raise AttributeError(
                f"s.{name} is the same for all weights, and a rule computes for one. The count "
                "counts by itself. Renew other numbers in the function `once` of optimizer."
            )
        if name not in self._slots:
            raise AttributeError(self._lacks(name))
        if name in self._stored:
            raise AttributeError(
                f"s.{name} is stored twice. Compute with a variable, and store its last value."
            )
        require_like(f"s.{name} was given", x, self._gradient)
        if jnp.iscomplexobj(x) and self._kinds[name] is not Kind.SIGNED:
            raise TypeError(
                f"s.{name} is real, and was given a complex number. Store square(g), or declare "
                "the field as Signed."
            )
        self._read[name] = self._store(name, x)

    def _lacks(self, name: str) -> str:
        if name == "w":
            return "The rule reads the weight s.w: write optimizer(…, weights=True)."
        if name in ("_replace", "_asdict"):
            return "s is no NamedTuple here: store a slot by an assignment, as in s.mu = m."
        known = [*self._slots, *self._numbers]
        near = difflib.get_close_matches(name, known, 1)
        meant = f"Did you mean s.{near[0]}? If not, add" if near else "Add"
        return (
            f"The state has no field {name!r}, and s has {', '.join(known)}. {meant} {name} to "
            "the state, compute it in `once`, or use a variable."
        )

    def _store(self, name: str, x: Any) -> Any:
        slot, kind = self._slots[name], self._kinds[name]
        if kind is Kind.SIGN and self._kept():
            x = sign_after(self._read[self._kept()[0]], x)
        if slot is None:
            self._stored[name] = None
            return x
        square = square_of(self._slots, self._kinds)
        if in_eight_bits(slot) and kind is not Kind.SQUARE and square not in self._stored:
            raise AttributeError(
                f"s.{name} is stored before s.{square}. In 8 bits it is relative to the root of "
                f"s.{square}: store s.{square} first."
            )
        root = root_beside(self._stored, self._kinds)
        self._stored[name], x = store(x, kind, slot.dtype, root, lambda: self._noise(name))
        return x

    def _kept(self) -> list[str]:
        """The slots that have been stored, in that order."""
        return [name for name, x in self._stored.items() if x is not None]

    def _noise(self, name: str) -> jax.Array:
        assert self._seed is not None
        place, old = list(self._slots).index(name), self._old[name]
        return noise(self._seed.count, place, self._gradient, self._seed.weight, old)


def without_weights(s: LeafState) -> LeafState:
    """The same state without `s.w`: for a rule that does not read it, within one that does."""
    same = LeafState.__new__(LeafState)
    others = {name: x for name, x in s._numbers.items() if name != "w"}
    vars(same).update(vars(s), _numbers=others)
    return same


def new_slots(s: LeafState) -> list[Any]:
    """What the rule has stored, in the state's order."""
    for name, slot in s._slots.items():
        if slot is not None and name not in s._stored:
            raise AttributeError(
                f"The rule never stores s.{name}. Write s.{name} = …, or remove {name} from the "
                "state."
            )
    return [s._stored.get(name) for name in s._slots]


def end_of(s: LeafState) -> jax.Array | None:
    """The last stored slot that the rule did not read again; None if there is none.

    A slot that is read again leads to the displacement by itself. Codes are
    left out: they have no NaN to tie by.
    """
    ends = [s._stored[name] for name in s._kept() if name not in s._followed]
    return next((x for x in reversed(ends) if not in_eight_bits(x)), None)


def require_like(what: str, x: Any, gradient: jax.Array) -> None:
    """Raises an error for anything but an array of the gradient's shape."""
    if isinstance(x, int | float):
        raise TypeError(f"{what} {x!r}, which is no array. Write jnp.full_like(g, {x!r}).")
    if not isinstance(x, jax.Array):
        raise TypeError(
            f"{what} a {type(x).__name__}, and not an array like the gradient. A rule returns Δ "
            "alone, and stores the state in s."
        )
    if x.shape != gradient.shape:
        raise ValueError(
            f"{what} an array of shape {x.shape}, for a gradient of shape {gradient.shape}. A "
            "rule computes for each weight by itself."
        )
