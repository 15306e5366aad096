"""The bytes that one step moves through a device's memory, by its compiler, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax import export
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from gdmethods._costs.compile_step import Program, compiled
from gdmethods._costs.compiler_processes import compiler
from gdmethods._costs.devices import DEVICES, device_of
from gdmethods._costs.hlo import traffic
from gdmethods._costs.shardings import Layouts, abstract_state, bytes_on_a_device
from gdmethods._engine.hyperparameters import float_dtype
from gdmethods._engine.transformations import transformation_first


class StepBytes(NamedTuple):
    """What one step does on each device, by its compiler.

    Attributes:
      kernels: the number of passes over arrays.
      moved: bytes that the kernels read and write. Each reads its operands and
        writes its results once, and no cache keeps anything between kernels.
        Scalars do not count.
      least: bytes if gradients, parameters and state were read once, and
        parameters and state written once.
      temporaries: bytes of memory besides gradients, parameters and state.
      communicated: bytes that a device receives from others.
      cycles: the compiler's own estimate of the time; None on GPUs and CPUs.
    """

    kernels: int
    moved: int
    least: int
    temporaries: int
    communicated: int
    cycles: int | None


def step_bytes(
    tx: optax.GradientTransformation,
    params: optax.Params,
    sharding: Any = None,
    *,
    device: str | None = None,
    gradient_dtype: Any = None,
    **extra_args: Any,
) -> StepBytes:
    """What one step of `tx` moves on a device, which need not be there.

    A step is `update` and `optax.apply_updates` under one `jax.jit`, with
    parameters and state donated. The device's own compiler compiles it.
    Nothing is run or allocated.

    The figures come from the compiled program, and are no measurement. Bytes
    moved / bandwidth of the memory is a lower bound on the time of a step; most
    optimizers are limited by it. Small arrays may stay in a cache: choose
    shapes that do not fit, such as 2²⁷ weights. A loop of unknown length counts
    once. Of the branches of a `lax.cond`, the one that moves most counts.

    Arguments:
      tx: any transformation that JAX can trace, alone or in a chain.
      params: the parameters, or a `jax.ShapeDtypeStruct` in place of each.
      sharding: as in `state_bytes`, on one mesh.
      device: "v5e", "v5p" or "v6e", TPUs of Google; "a100", "h100" or "h200",
        GPUs of NVIDIA. They need the extra `accelerators`, and no hardware.
        None compiles for the device that JAX runs on here.
      gradient_dtype: of the gradients; None takes each parameter's own.
      **extra_args: of `update`, such as value=0.0; arrays and numbers are
        inputs of the step, by their shapes.

    Returns:
      `StepBytes`, with the figures of one device.

    Raises:
      TypeError: `tx` is no transformation, or its `init` needs values.
      ValueError: `device` is not known; `sharding` does not fit the parameters
        or the device.
      ImportError: the device's compiler is not installed, or does not fit JAX.
      RuntimeError: the device's compiler fails.

    Example:
      >>> import jax, jax.numpy as jnp, optax, gdmethods
      >>> w = {"kernel": jax.ShapeDtypeStruct((4096, 1024), jnp.float32)}
      >>> step = gdmethods.step_bytes(optax.sgd(0.1), w)  # device="h100"
      >>> print(step.moved, step.least, step.temporaries)
      50331648 50331648 0

    Elsewhere: `compiled.cost_analysis()` of JAX has "bytes accessed", which
    counts on-chip memory on a TPU and is None on a GPU.
    """
    tx = transformation_first("step_bytes", tx, params)
    dtype = float_dtype("gradient_dtype", gradient_dtype)
    layouts, state = Layouts(params, sharding), abstract_state(tx, params)
    params = _shapes(params)
    fast = params.fast if isinstance(params, optax.LookaheadParams) else params
    gradients = jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, dtype or w.dtype), fast)
    inputs = {name: _shapes(value) for name, value in extra_args.items() if _is_input(value)}

    replaced, others = (params, state), (gradients, inputs)
    leaves, structure = jax.tree.flatten((replaced, others))

    def step(*leaves: Any) -> tuple[Any, ...]:
        (params, state), (gradients, inputs) = jax.tree.unflatten(structure, leaves)
        try:
            updates, state = tx.update(gradients, state, params, **extra_args | inputs)
        except (TypeError, ValueError) as error:
            error.add_note(
                "step_bytes passes its keyword arguments to update: step_bytes(tx, params, "
                "value=0.0)."
            )
            raise
        return tuple(jax.tree.leaves((optax.apply_updates(params, updates), state)))

    where = layouts.of((replaced, others))
    donated = len(jax.tree.leaves(replaced))
    read = [
        bytes_on_a_device(leaf, layout) if leaf.shape else 0
        for leaf, layout in zip(leaves, where, strict=True)
    ]
    program, temporaries = _compiled(step, leaves, where, donated, device)
    counted = traffic(program)
    return StepBytes(
        kernels=counted.kernels,
        moved=counted.moved,
        least=sum(read) + sum(read[:donated]),
        temporaries=temporaries,
        communicated=counted.communicated,
        cycles=counted.cycles or None,
    )


def _compiled(
    step: Callable[..., Any],
    shapes: Sequence[jax.ShapeDtypeStruct],
    layouts: Sequence[Sharding],
    donated: int,
    device: str | None,
) -> Program:
    """The program of a step on `device`, or on the devices here."""
    mesh = _mesh(layouts)
    count = math.prod(mesh.values())
    specs = [x.spec if isinstance(x, NamedSharding) else PartitionSpec() for x in layouts]
    if device is None:
        devices = jax.devices()
        if len(devices) < count:
            raise ValueError(
                f"sharding has a mesh of {count} devices, and JAX has {len(devices)} here. To "
                f"compile for other devices, name one: {', '.join(DEVICES)}."
            )
        return compiled(step, shapes, specs, donated, mesh, devices)
    target = device_of(device)
    exported = export.export(jax.jit(step), platforms=[target.platform])(*shapes)
    return compiler(target.platform, device)(
        step=exported.serialize(),
        shapes=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in shapes],
        specs=specs,
        donated=donated,
        mesh=mesh,
        platform=target.platform,
        topology=target.topology(count),
        x64=jax.dtypes.canonicalize_dtype("float64") == "float64",
    )


def _mesh(layouts: Sequence[Sharding]) -> dict[str, int]:
    """The axes of the mesh that all layouts share."""
    named = [x for x in layouts if isinstance(x, NamedSharding)]
    meshes = {tuple(x.mesh.shape.items()) for x in named if x.mesh.size > 1}
    others = [x for x in layouts if x not in named and x.num_devices > 1]
    if len(meshes) > 1 or others:
        raise ValueError(
            "step_bytes compiles for one mesh. Give sharding as instances of "
            "jax.sharding.NamedSharding whose meshes have the same axes."
        )
    return dict(meshes.pop()) if meshes else {"device": 1}


def _shapes(tree: Any) -> Any:
    return jax.eval_shape(lambda tree: tree, tree)


def _is_input(value: Any) -> bool:
    """Whether it contains only arrays, numbers and shapes."""
    kinds = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct, bool, int, float, complex)
    return all(isinstance(leaf, kinds) for leaf in jax.tree.leaves(value))
