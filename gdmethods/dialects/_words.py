"""What the dialects of the two frameworks share: options that are refused."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeAlias

import optax

P = ParamSpec("P")
Transformation: TypeAlias = optax.GradientTransformationExtraArgs


def refusing(
    reasons: Mapping[str, str],
) -> Callable[[Callable[P, Transformation]], Callable[P, Transformation]]:
    """Decorates a dialect: an option that it does not have is a `TypeError` with the reason."""

    def decorate(dialect: Callable[P, Transformation]) -> Callable[P, Transformation]:
        options = inspect.signature(dialect).parameters

        @functools.wraps(dialect)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Transformation:
            for name in kwargs:
                if name not in options:
                    where = f"{dialect.__module__}.{dialect.__name__}"
                    reason = reasons.get(name, "and neither has its peer")
                    raise TypeError(f"{where} has no option {name!r}, {reason}.")
            return dialect(*args, **kwargs)

        return checked

    return decorate
