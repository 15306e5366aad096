"""What the wrappers of narrow weights share."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from gdmethods._engine.states import states_in

State = TypeVar("State")

_STATES: set[type] = set()


def weights_state(state_type: type[State]) -> type[State]:
    """Registers the state of a wrapper of weights. A weight can have only one such wrapper."""
    _STATES.add(state_type)
    return state_type


def refuse_another(inner_state: Any, name: str) -> None:
    """Raises an error if the wrapped state contains the state of a wrapper of weights."""
    for other in states_in(inner_state, *_STATES):
        raise ValueError(
            f"{name} is around a transformation with a {type(other).__name__}, but weights are "
            "rounded only once. Wrap the whole optimizer in one wrapper of weights: "
            "with_float32_master or with_stochastic_rounding."
        )


def require_params(params: Any, name: str) -> None:
    """Raises an error if the `update` of the wrapper `name` was not given the parameters."""
    if params is None:
        raise ValueError(
            f"{name} rounds the new parameters, but was given none. Call "
            "tx.update(grads, state, params)."
        )


def is_narrow(leaf: Any) -> bool:
    """Whether it is an array of bfloat16 or float16."""
    dtype = getattr(leaf, "dtype", None)
    return (
        dtype is not None
        and jnp.issubdtype(dtype, jnp.floating)
        and bool(jnp.finfo(dtype).bits < 32)
    )


def in_float32(tree: Any) -> Any:
    """The tree with its narrow leaves in float32."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if is_narrow(x) else x, tree)
