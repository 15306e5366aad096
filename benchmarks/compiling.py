"""The time before the first step: tracing, lowering and compiling, each from a cold start."""

import time

import jax
import jax.numpy as jnp
import optax

from benchmarks.peers import Method
from benchmarks.stepping import traced_step

LEAF = jax.ShapeDtypeStruct((64, 64), jnp.float32)


def interleaved(method: Method, leaves: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """The seconds of each library and stage, measured in turns: A B A B."""
    seconds: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for library, tx in method.transformations().items():
            for stage, taken in _stages(tx, leaves).items():
                seconds.setdefault(library, {}).setdefault(stage, []).append(taken)
    return seconds


def _stages(tx: optax.GradientTransformation, leaves: int) -> dict[str, float]:
    params = leaves * [LEAF]
    state = jax.eval_shape(tx.init, params)
    jax.clear_caches()
    start = time.perf_counter()
    jax.jit(lambda g, s, p: tx.update(g, s, p)).trace(params, state, params)
    seconds = {"trace of update": time.perf_counter() - start}

    jax.clear_caches()
    start = time.perf_counter()
    traced = traced_step(tx, params, state, params)
    seconds["trace"] = time.perf_counter() - start
    start = time.perf_counter()
    lowered = traced.lower()
    seconds["lower"] = time.perf_counter() - start
    start = time.perf_counter()
    lowered.compile()
    seconds["compile"] = time.perf_counter() - start
    return seconds
