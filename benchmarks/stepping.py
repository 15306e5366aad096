"""The time of a step: gradients are given; weights and state are overwritten in place."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from benchmarks.layouts import Shapes
from benchmarks.peers import Method

Step = Callable[[], None]
"""Takes one step, and returns when it is done."""

REST_SECONDS = 0.01
"""A pause before each measurement, since threads of the last library may still spin for work."""


def traced_step(
    tx: optax.GradientTransformation, params: Any, state: Any, gradients: Any
) -> jax.stages.Traced:
    """`update` and `apply_updates` in one jitted function, parameters and state donated."""

    def step(params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(0, 1)).trace(params, state, gradients)


def contenders(method: Method, shapes: Shapes) -> Iterator[tuple[str, Step]]:
    """Each library's step; PyTorch's only if it is installed."""
    for library, tx in method.transformations().items():
        yield library, _in_jax(tx, shapes)
    for library, tx in method.narrow().items():
        yield library, _in_jax(tx, shapes, jnp.bfloat16)
    if method.torch is not None:
        name, arguments = method.torch
        for variant in ("foreach", "fused") if method.fused else ("foreach",):
            step = _in_torch(name, arguments | {variant: True}, shapes)
            if step is not None:
                yield f"torch {variant}", step


def scaling(weights: int) -> Step:
    """w ← c w in place, which reads and writes each weight once and does nothing else."""
    scale = jax.jit(lambda w: 0.999 * w, donate_argnums=0)
    kept = [jnp.ones(weights)]

    def step() -> None:
        kept[0] = jax.block_until_ready(scale(kept[0]))

    return step


def interleaved(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """The seconds of each, measured in turns: A B A B. A first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(1 + rounds):
        for name, step in steps.items():
            time.sleep(REST_SECONDS)
            start = time.perf_counter()
            step()
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _in_jax(
    tx: optax.GradientTransformation, shapes: Shapes, dtype: DTypeLike = jnp.float32
) -> Step:
    keys = jax.random.split(jax.random.key(0), len(shapes))
    gradients = [jax.random.normal(*each, dtype) for each in zip(keys, shapes, strict=True)]
    params = [jnp.ones(shape, dtype) for shape in shapes]
    state = jax.jit(tx.init)(params)
    compiled = traced_step(tx, params, state, gradients).lower().compile()
    kept = [params, state]
    del params, state

    def step() -> None:
        kept[:] = jax.block_until_ready(compiled(*kept, gradients))

    return step


def _in_torch(name: str, arguments: dict[str, Any], shapes: Shapes) -> Step | None:
    try:
        import torch
    except ModuleNotFoundError:
        return None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    params = [torch.ones(shape, device=device) for shape in shapes]
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer = getattr(torch.optim, name)(params, **arguments)

    def step() -> None:
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step
