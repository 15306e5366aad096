"""What varies is how JAX runs a step: one by one, compiled, batched, scanned, on which device."""

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gdmethods.testing._differences import (
    named_leaves,
    require_same_types,
    require_same_walk,
)
from gdmethods.testing._subject import Subject, Walk, stacked


def jit_equals_eager(subject: Subject) -> None:
    """A compiled step computes what its operations do one by one."""
    walk = subject.compiled(subject.params, subject.gradients)
    require_same_walk(subject, walk, subject.eager, subject.gradients, "compiled", "one by one")


def vmap_equals_loop(subject: Subject) -> None:
    """Walks batched by `jax.vmap` equal walks one after another."""
    problems = [jax.tree.map(lambda g, c=c: c * g, subject.gradients) for c in (1.0, -0.5)]
    params = stacked([subject.params] * len(problems))
    state, path = jax.vmap(subject.tx.init)(params), []
    batched = jax.jit(jax.vmap(subject.step, in_axes=(0, 0, 0, None)))
    for steps in zip(*map(subject.course, problems), strict=True):
        gradients, loss = stacked([gradients for gradients, _ in steps]), steps[0][1]
        params, state, updates = batched(params, state, gradients, loss)
        path.append(updates)
    walks = Walk(stacked(path, axis=1), state)
    for k, problem in enumerate(problems):
        walk = jax.tree.map(lambda leaf, k=k: leaf[k], walks)
        alone = subject.compiled(subject.params, problem)
        require_same_walk(subject, walk, alone, problem, "in a batch", "alone")


def scan_equals_loop(subject: Subject) -> None:
    """`jax.lax.scan` accepts the state as its carry, and equals a loop."""
    state = subject.tx.init(subject.params)
    require_same_types(subject.eager.state, state, "after a step", "before")

    def body(carry: Any, inputs: Any) -> Any:
        params, state, updates = subject.step(*carry, *inputs)
        return (params, state), updates

    course = subject.gradients, subject.losses
    (_, state), updates = jax.jit(partial(jax.lax.scan, body))((subject.params, state), course)
    walk = Walk(updates, state)
    require_same_walk(subject, walk, subject.eager, subject.gradients, "in a scan", "in a loop")


def one_compilation(subject: Subject) -> None:
    """The second step compiles nothing: the state keeps its tree and its types, weak ones too."""
    _, following = subject.compiled(subject.params, subject.gradients)
    traces = subject.traces[str(jax.eval_shape(lambda: subject.params))]
    if traces == 1:
        return
    state = jax.eval_shape(subject.tx.init, subject.params)
    require_same_types(following, state, "after a step", "before")
    for (path, before), after in zip(named_leaves(state), jax.tree.leaves(following), strict=True):
        if before.weak_type != after.weak_type:
            weak = {True: "weakly typed", False: "strictly typed"}
            raise AssertionError(
                f"state{path} is {weak[after.weak_type]} after a step, and "
                f"{weak[before.weak_type]} before"
            )
    raise AssertionError(f"{traces} compilations in {subject.steps} steps")


def donation(subject: Subject) -> None:
    """No buffer is both state and parameter, and `donate_argnums=(0, 1)` can reuse each."""
    params = jax.tree.map(jnp.copy, subject.params)
    state = subject.tx.init(params)
    owners: dict[int, str] = {}
    for tree_name, tree in (("params", params), ("state", state)):
        for path, leaf in named_leaves(tree):
            if isinstance(leaf, jax.Array) and leaf.size:
                name = tree_name + path
                owner = owners.setdefault(leaf.unsafe_buffer_pointer(), name)
                if owner != name:
                    raise AssertionError(f"{owner} and {name} are one buffer after init")
    donating = jax.jit(lambda *inputs: subject.step(*inputs)[:2], donate_argnums=(0, 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        donating.lower(params, state, *subject.course()[0])
    for warning in caught:
        if "donated buffers were not usable" in str(warning.message):
            raise AssertionError(f"no output of a step can take over: {warning.message}")


def sharding(subject: Subject) -> None:
    """State of a parameter's shape has its sharding, after init and after a step."""
    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("x",), (AxisType.Auto,), devices=devices)
    split = NamedSharding(mesh, PartitionSpec("x"))
    params = {"kernel": jax.device_put(jnp.ones((2 * len(devices), 3)), split)}
    state = subject.tx.init(params)
    states = {"init": state}
    if len(devices) > 1:  # on one device a compiled step has nothing to split
        compiled = jax.jit(subject.step)
        states["a step"] = compiled(params, state, params, jnp.float32(1))[1]
    for when, tree in states.items():
        for path, leaf in named_leaves(tree):
            if leaf.shape == params["kernel"].shape and not (
                isinstance(leaf.sharding, NamedSharding)
                and leaf.sharding.is_equivalent_to(split, leaf.ndim)
            ):
                raise AssertionError(f"state{path} has {leaf.sharding} after {when}, not {split}")
