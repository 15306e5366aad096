"""The functions of a problem whose model is an Equinox module."""

from collections.abc import Callable, Mapping
from typing import Any

import jax


def functions(
    build: Callable[[Any], Any],
    loss: Callable[..., Any],
    metrics: Mapping[str, Callable[..., Any]],
) -> dict[str, Any]:
    """`init`, `loss` and `metrics` of a `Problem` with state.

    The state is the pair of the module's arrays that do not train, and of an `equinox.nn.State`,
    or None.
    """
    try:
        import equinox
    except ImportError:
        raise ImportError("Problem.from_equinox needs Equinox: pip install equinox.") from None

    def split(key: Any) -> tuple[Any, Any, Any]:
        built = build(key)
        pair = isinstance(built, tuple) and isinstance(built[-1], equinox.nn.State)
        module, kept = built if pair else (built, None)
        params, rest = equinox.partition(module, equinox.is_inexact_array)
        arrays, static = equinox.partition(rest, equinox.is_array)
        return params, (arrays, kept), static

    def init(key: Any) -> tuple[Any, Any]:
        params, state, _ = split(key)
        return params, state

    def merged(params: Any, arrays: Any) -> Any:
        _, _, static = equinox.filter_eval_shape(split, jax.random.key(0))
        return equinox.combine(params, arrays, static)

    def stateful_loss(params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        arrays, kept = state
        module = merged(params, arrays)
        if key is None:
            module, key = equinox.nn.inference_mode(module), jax.random.key(0)
        if kept is None:
            return loss(module, batch, key), state
        value, kept = loss(module, kept, batch, key)
        return value, (arrays, kept)

    def in_inference(metric: Callable[..., Any]) -> Callable[[Any, Any, Any], Any]:
        def measured(params: Any, state: Any, batch: Any) -> Any:
            arrays, kept = state
            module = equinox.nn.inference_mode(merged(params, arrays))
            return metric(module, batch) if kept is None else metric(module, kept, batch)

        return measured

    return {
        "init": init,
        "loss": stateful_loss,
        "metrics": {name: in_inference(metric) for name, metric in metrics.items()},
    }
