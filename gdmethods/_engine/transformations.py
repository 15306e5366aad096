"""What a transformation is, and the errors for anything else in its place."""

from typing import Any


def is_transformation(value: Any) -> bool:
    """Whether it has what every Optax transformation has."""
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


def transformation(name: str, value: Any) -> Any:
    """An Optax transformation, and not the factory that makes one."""
    if not is_transformation(value):
        what = getattr(value, "__name__", type(value).__name__)
        hint = f"{what}(1e-3)" if callable(value) else "gdmethods.adam(1e-3)"
        raise TypeError(
            f"{name} must be a transformation, with init and update, got {what}. Pass what a "
            f"factory returns, such as {hint}."
        )
    return value


def transformation_first(function: str, tx: Any, params: Any) -> Any:
    """`tx`; raises an error if it is no transformation, or the arguments are swapped."""
    if is_transformation(params) and not is_transformation(tx):
        raise TypeError(
            "tx must be a transformation, and params is one. The arguments are in the wrong "
            f"order: write {function}(tx, params)."
        )
    return transformation("tx", tx)
