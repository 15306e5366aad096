"""What one step moves through the memory of a device, told by the compiler from shapes alone."""

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
      kernels: how many passes over arrays it makes.
      moved: bytes that they read and write, each its operands and results
        once, whole, and nothing kept in a cache from one to the next. Scalars
        count for nothing.
      least: bytes if gradients, parameters and state were read once, and
        parameters and state written once.
      temporaries: bytes of memory beside those.
      communicated: bytes that a device receives from others.
      cycles: the compiler's own estimate of the time; None where it has none,
        as on GPUs and CPUs.
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
    parameters and state donated. It is compiled by the device's own compiler
    and not run; nothing is allocated.

    The figures are those of the compiled program, not a measurement. The bytes
    that a step moves bound its time from below where memory is the limit, as
    it is in most optimizers: bytes / the memory's bandwidth. A cache may hold
    arrays that are small; choose shapes that do not fit one, such as 2²⁷
    weights. A loop whose length the compiler does not know counts once; of the
    branches of a `lax.cond` the one counts that moves most.

    Arguments:
      tx: any transformation that JAX can trace, alone or in a chain.
      params: the parameters, or a `jax.ShapeDtypeStruct` in place of each.
      sharding: as in `state_bytes`, on one mesh; a leaf of the state that
        belongs to a parameter is cut as the parameter is, and all else is
        whole on each device.
      device: "v5e", "v5p" or "v6e", TPUs of Google; "a100", "h100" or "h200",
        GPUs of NVIDIA. They take the extra `accelerators`, and no hardware.
        None compiles for what JAX runs on here.
      gradient_dtype: of the gradients; None takes each parameter's own.
      **extra_args: of `update`, such as value=0.0; arrays and numbers are
        inputs of the step, by their shapes.

    Returns:
      `StepBytes`, with the figures of one device.

    Raises:
      TypeError: `tx` is no transformation, or its `init` needs values.
      ValueError: `device` is not known; `sharding` does not fit the parameters
        or the device.
      ImportError: the device's compiler is not installed, or another JAX's.
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
                "step_bytes hands its keyword arguments on to update: step_bytes(tx, params, "
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
    """The program of a step on `device`, or on what is here."""
    mesh = _mesh(layouts)
    count = math.prod(mesh.values())
    specs = [x.spec if isinstance(x, NamedSharding) else PartitionSpec() for x in layouts]
    if device is None:
        devices = jax.devices()
        if len(devices) < count:
            raise ValueError(
                f"sharding has a mesh of {count} devices, and JAX has {len(devices)} here. Name "
                f"a device to compile for those that are not here: {', '.join(DEVICES)}."
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
    """The axes of the one mesh that all layouts are on."""
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
    """Whether it holds arrays and numbers alone, or the shapes of such."""
    kinds = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct, bool, int, float, complex)
    return all(isinstance(leaf, kinds) for leaf in jax.tree.leaves(value))
