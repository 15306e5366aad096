"""A tenth method: what its file would hold, with annotations that are strings."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdmethods import rules
from gdmethods._engine.slots import Slots
from gdmethods._engine.states import (
    Count,
    Number,
    Positive,
    Sign,
    Signed,
    Square,
    kinds,
    serializable,
)
from gdmethods._numbers.kinds import Kind


class LionState(NamedTuple):
    count: Count  # type: ignore[assignment]
    mu: Signed


@rules.optimizer(LionState)
def lion(
    g: jax.Array,
    s: rules.LeafState,
    learning_rate: rules.Rate,
    b1: rules.Decay = 0.9,
    b2: rules.Decay = 0.99,
) -> jax.Array:
    direction = jnp.sign(b1 * s.mu + (1 - b1) * g)
    s.mu = b2 * s.mu + (1 - b2) * g
    return -learning_rate * direction


def test_a_tenth_method_is_optax_lion():
    ours, theirs = lion(0.1), optax.lion(0.1, weight_decay=0.0)
    w = {"w": jnp.linspace(-1, 1, 8), "b": jnp.array(0.5, jnp.bfloat16)}
    state, their_state = ours.init(w), theirs.init(w)
    for t in range(5):
        g = jax.tree.map(lambda x, t=t: jnp.cos(3 * x + t).astype(x.dtype), w)
        updates, state = ours.update(g, state, w)
        expected, their_state = theirs.update(g, their_state, w)
        np.testing.assert_array_equal(updates["w"], expected["w"])
    assert state.count == 5
    assert state.mu["b"].dtype == jnp.float32


def test_kinds():
    class State(NamedTuple):
        count: Count  # type: ignore[assignment]
        a: Signed
        b: Square | None
        c: Positive
        d: Sign
        e: Number

    assert list(kinds(State).values()) == [
        Kind.COUNT,
        Kind.SIGNED,
        Kind.SQUARE,
        Kind.POSITIVE,
        Kind.SIGN,
        Kind.NUMBER,
    ]


def test_a_field_without_a_kind():
    class State(NamedTuple):
        count: Count  # type: ignore[assignment]
        trace: jax.Array

    with pytest.raises(TypeError, match="trace of State is declared as"):
        Slots(State)


def test_a_start_without_a_field():
    with pytest.raises(TypeError, match=r"LionState has no field \['nu'\]"):
        Slots(LionState, nu=1.0)


def test_where_slots_start():
    class State(NamedTuple):
        count: Count  # type: ignore[assignment]
        gains: Positive
        sign: Sign
        nu: Square | None
        mu: Signed
        rate: Number

    slots = Slots(State, jnp.dtype(jnp.bfloat16), gains=1.5, nu=None, rate=lambda t: 0.5 + t)
    state = slots.init({"z": jnp.ones(3, jnp.float32)})
    assert (state.count, state.rate, state.nu) == (0, 0.5, None)
    assert state.gains["z"].dtype == jnp.bfloat16
    assert np.all(state.gains["z"] == 1.5)
    assert state.sign["z"].dtype == jnp.int8
    assert not np.any(state.mu["z"])
    with pytest.raises(TypeError, match="State keeps the sign"):
        slots.init({"z": jnp.ones(3, jnp.complex64)})


def test_a_state_is_registered_once():
    """Also where its module is imported a second time."""
    assert serializable(serializable(LionState)) is LionState
