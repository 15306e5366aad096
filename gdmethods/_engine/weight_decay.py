"""Weight decay beside a method: the same for weights of large and of small gradients."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from gdmethods._engine.hyperparameters import (
    Scalar,
    ScalarOrSchedule,
    optional,
    scalar_or_schedule,
)
from gdmethods._engine.leaf_state import LeafState
from gdmethods._engine.method import Method, around


def decaying(
    method: optax.GradientTransformation,
    learning_rate: ScalarOrSchedule,
    weight_decay: Scalar | None,
    mask: Any = None,
) -> Method:
    """`method`, plus −ηₜ λ wₜ."""
    return around(
        method,
        _rule,
        True if mask is None else mask,
        rate=scalar_or_schedule("learning_rate", learning_rate, "[0, inf)"),
        weight_decay=optional("weight_decay", weight_decay, "[0, inf)"),
    )


def _rule(
    g: jax.Array,
    s: LeafState,
    *,
    rule: Callable[..., jax.Array],
    rate: Scalar,
    weight_decay: Scalar,
) -> jax.Array:
    return rule(g, s) - rate * weight_decay * s.w
