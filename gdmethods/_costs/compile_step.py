"""Compiles a step for devices; `compiler_processes` runs it for devices that are not here.

It reads requests from standard input and answers on standard output, both pickled, until the input
ends. It imports nothing of gdmethods, so that it starts fast.
"""

import functools
import math
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import export
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Program = tuple[str, int]
"""The text of an optimised program, and the bytes of its temporaries on each device."""


def compiled(
    step: Callable[..., Any],
    shapes: Sequence[jax.ShapeDtypeStruct],
    specs: Sequence[PartitionSpec],
    donated: int,
    mesh: Mapping[str, int],
    devices: Sequence[Any],
) -> Program:
    """The program of a step.

    Arguments:
      step: a function of arrays, which returns new values of the first
        `donated` of them.
      shapes, specs: of all arguments, and how they are cut.
      mesh: the axes' sizes.
      devices: at least as many as the mesh has.
    """
    grid = np.array(devices[: math.prod(mesh.values())]).reshape(tuple(mesh.values()))
    layouts = [NamedSharding(Mesh(grid, tuple(mesh)), spec) for spec in specs]
    arguments = [
        jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=layout)
        for x, layout in zip(shapes, layouts, strict=True)
    ]
    jitted = jax.jit(
        step, donate_argnums=tuple(range(donated)), out_shardings=tuple(layouts[:donated])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about donated arguments that a step does not use
        program = jitted.lower(*arguments).compile()
    text, memory = program.as_text(), program.memory_analysis()
    if text is None or memory is None:
        raise RuntimeError(f"The compiler for {devices[0].platform} does not show its programs.")
    return text, memory.temp_size_in_bytes


def _compiled_there(
    step: bytes, platform: str, topology: Mapping[str, str], x64: bool, **others: Any
) -> Program:
    """The program of an exported step, for a device that `get_topology_desc` describes."""
    jax.config.update("jax_enable_x64", x64)
    devices = _devices(platform, tuple(topology.items()))
    return compiled(export.deserialize(bytearray(step)).call, devices=devices, **others)


@functools.cache
def _devices(platform: str, topology: tuple[tuple[str, str], ...]) -> list[Any]:
    jax.devices()  # finds the plugins
    return list(topologies.get_topology_desc(platform=platform, **dict(topology)).devices)


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the compilers print
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: tuple[Any, ...]
        try:
            answer = ("", *_compiled_there(**request))
        except Exception as error:
            answer = (f"{type(error).__name__}: {error}",)
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
