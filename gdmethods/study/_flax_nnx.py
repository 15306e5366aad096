"""The functions of a problem whose model is a Flax NNX module."""

from collections.abc import Callable, Mapping
from typing import Any

import jax


def functions(
    build: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
    metrics: Mapping[str, Callable[[Any, Any], Any]],
) -> dict[str, Any]:
    """`init`, `loss` and `metrics` of a `Problem` with state."""
    try:
        from flax import nnx
    except ImportError:
        raise ImportError("Problem.from_nnx needs Flax: pip install flax.") from None

    def split(module: Any) -> tuple[Any, Any, Any]:
        parts: Any = nnx.split(module, nnx.Param, ...)
        graphdef, params, state = parts
        return graphdef, params, state

    def init(key: Any) -> tuple[Any, Any]:
        _, params, state = split(build(nnx.Rngs(key)))
        return params, state

    def merged(params: Any, state: Any) -> Any:
        graphdef, _, _ = split(nnx.eval_shape(lambda: build(nnx.Rngs(0))))
        own = jax.tree.map(lambda array: array, (params, state))  # may be written to at this level
        return nnx.merge(graphdef, *own)

    def stateful_loss(params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        module = merged(params, state)
        if key is None:
            module.eval()
        else:
            module.train()
        value = loss(module, batch)
        return value, split(module)[2]

    def in_eval(metric: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
        def measured(params: Any, state: Any, batch: Any) -> Any:
            module = merged(params, state)
            module.eval()
            return metric(module, batch)

        return measured

    return {
        "init": init,
        "loss": stateful_loss,
        "metrics": {name: in_eval(metric) for name, metric in metrics.items()},
    }
