"""The error for a state that a transformation did not make."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from gdmethods._engine.public_name import public_name

RESTORE = (
    "restore it into tx.init(params): flax.serialization.from_state_dict(tx.init(params), state), "
    "for instance."
)


def require_state(state: Any, state_type: type, kept: Sequence[str] | None) -> None:
    """Raises an error for anything but a state of this type with the fields `kept`, if given."""
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
        way_out = f" To continue from this state, pass tx.init(params)._replace({common})."
    elif isinstance(state, Mapping) and {*kept} <= {*state}:
        way_out = f" To continue from a checkpoint, {RESTORE}"
    return (
        f"update was given {came} as its state, but this transformation keeps "
        f"{expected}({', '.join(kept)}). Call tx.update(gradients, state, params) with the state "
        f"that tx.init(params), or the last update of this tx, returned.{way_out}"
    )
