"""The functions of a problem whose model is an Equinox module."""

from collections.abc import Callable, Mapping
from typing import Any

import jax


def functions(
    build: Callable[[Any], Any],
    loss: Callable[[Any, Any, Any], Any],
    metrics: Mapping[str, Callable[[Any, Any], Any]],
) -> dict[str, Any]:
    """`init`, `loss` and `metrics` of a `Problem` with state: the arrays that do not train."""
    try:
        import equinox
    except ImportError:
        raise ImportError("Problem.from_equinox needs Equinox: pip install equinox.") from None

    def split(key: Any) -> tuple[Any, Any, Any]:
        params, rest = equinox.partition(build(key), equinox.is_inexact_array)
        state, static = equinox.partition(rest, equinox.is_array)
        return params, state, static

    def init(key: Any) -> tuple[Any, Any]:
        params, state, _ = split(key)
        return params, state

    def merged(params: Any, state: Any) -> Any:
        _, _, static = equinox.filter_eval_shape(split, jax.random.key(0))
        return equinox.combine(params, state, static)

    def stateful_loss(params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        module = merged(params, state)
        if key is None:
            module, key = equinox.nn.inference_mode(module), jax.random.key(0)
        return loss(module, batch, key), state

    def in_inference(metric: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
        return lambda params, state, batch: metric(
            equinox.nn.inference_mode(merged(params, state)), batch
        )

    return {
        "init": init,
        "loss": stateful_loss,
        "metrics": {name: in_inference(metric) for name, metric in metrics.items()},
    }
