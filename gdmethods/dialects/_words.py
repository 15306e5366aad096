"""What the dialects of the two frameworks share: weight decay, and options that are refused."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeAlias

import jax
import jax.numpy as jnp
import optax

from gdmethods._hyperparameters import ScalarOrSchedule, at
from gdmethods._lifting import lift

P = ParamSpec("P")
Transformation: TypeAlias = optax.GradientTransformationExtraArgs


class WeightDecayState(NamedTuple):
    """State of `weight_decay`.

    Attributes:
      count: updates so far; int32, shape ().
    """

    count: jax.Array  # type: ignore[assignment]  # a field, not tuple.count


def _rule(u: jax.Array, w: jax.Array, *, rate: Any) -> tuple[Any, Any]:
    return u + rate * w, w


def weight_decay(rate: ScalarOrSchedule) -> optax.GradientTransformationExtraArgs:
    """Adds rate · w to what comes down the chain, in at least float32, and rounds once."""

    def init(params: optax.Params) -> WeightDecayState:
        return WeightDecayState(count=jnp.zeros([], jnp.int32))

    def update(
        updates: optax.Updates,
        state: WeightDecayState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, WeightDecayState]:
        if params is None:
            raise ValueError(
                "Weight decay needs the parameters. Call tx.update(grads, state, params)."
            )
        rule = functools.partial(_rule, rate=at(rate, state.count))
        updates, _ = lift(rule, updates, {"w": params}, params)
        return updates, WeightDecayState(optax.safe_increment(state.count))

    return optax.GradientTransformationExtraArgs(init, update)


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
