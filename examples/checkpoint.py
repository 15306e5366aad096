"""Train with every method; if killed at any time, continue to the same end, to the bit.

    python -m examples.checkpoint

saves every twenty steps, and starts from the last saved step: kill it and start it again. Orbax
restores into a new run, so that states come back as the same NamedTuples.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp

import gdmethods
from examples.programs import orbax_writes
from gdmethods._programs.options import Parser

STEPS, INTERVAL = 200, 20
METHODS = {
    "sgd": gdmethods.sgd(0.1),
    "momentum": gdmethods.momentum(0.1, gdmethods.sutskever_momentum_schedule()),
    "nesterov": gdmethods.nesterov(0.1, gdmethods.sutskever_momentum_schedule()),
    "adaptive_gains": gdmethods.adaptive_gains(0.01, 0.9, agreement="velocity"),
    "adagrad": gdmethods.adagrad(0.1),
    "adadelta": gdmethods.adadelta(),
    "rprop-": gdmethods.rprop(0.1, variant="rprop-"),
    "rprop+": gdmethods.rprop(0.1, variant="rprop+"),
    "irprop-": gdmethods.rprop(0.1, variant="irprop-"),
    "irprop+": gdmethods.rprop(0.1, variant="irprop+"),
    "rmsprop": gdmethods.rmsprop(0.01, centered=True, momentum=0.9, bias_correction=True),
    "adam": gdmethods.adam(0.1),
    "adam, float32 master": gdmethods.with_float32_master(gdmethods.adam(0.1)),
}


def start() -> dict[str, tuple[Any, Any]]:
    """The parameters and the state of each method, before the first step."""
    narrow = {name: jnp.bfloat16 for name in METHODS if "master" in name}
    weights = {
        name: {"w": jnp.ones(8, narrow.get(name)), "b": jnp.zeros((), narrow.get(name))}
        for name in METHODS
    }
    return {name: (weights[name], tx.init(weights[name])) for name, tx in METHODS.items()}


def loss(params: Any, step: jax.Array) -> jax.Array:
    """The loss of a minibatch. The step's number draws it, so that a restart draws the same."""
    x = jax.random.normal(jax.random.fold_in(jax.random.key(0), step), (16, 8))
    error = x @ params["w"] + params["b"] - jnp.sin(x).sum(axis=1)
    return jnp.mean(error**2)


@jax.jit
def train_step(run: dict[str, tuple[Any, Any]], step: jax.Array) -> dict[str, tuple[Any, Any]]:
    following = {}
    for name, (params, state) in run.items():
        value, gradients = jax.value_and_grad(loss)(params, step)
        updates, state = METHODS[name].update(gradients, state, params, value=value)
        following[name] = optax.apply_updates(params, updates), state
    return following


def digest(run: dict[str, tuple[Any, Any]]) -> str:
    """A digest of all bits of parameters and states."""
    leaves = jax.tree.leaves(run)
    return hashlib.sha256(b"".join(jax.device_get(leaf).tobytes() for leaf in leaves)).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(
        "examples.checkpoint",
        "Train with every method; if killed at any time, continue to the same end, to the bit.",
    )
    parser.add_directory("--checkpoints", "results/checkpoint", "where the checkpoints are")
    directory = parser.parse_args(arguments).checkpoints
    parser.make_directory("--checkpoints", directory)

    run, done, mark = start(), 0, {"methods": [*METHODS]}
    handler = ocp.StandardCheckpointHandler()
    with (
        orbax_writes(directory),
        ocp.CheckpointManager(directory.resolve(), item_handlers=handler) as checkpoints,
    ):
        if (saved := checkpoints.latest_step()) is not None:
            if checkpoints.metadata(saved).custom_metadata != mark:
                parser.error(
                    f"--checkpoints {directory} has checkpoints of another program; "
                    "name another directory"
                )
            run, done = checkpoints.restore(saved, args=ocp.args.StandardRestore(run)), saved
            print(f"restored step {done}", flush=True)
        for step in range(done + 1, STEPS + 1):
            run = train_step(run, jnp.int32(step))
            if step % INTERVAL == 0:
                checkpoints.save(step, args=ocp.args.StandardSave(run), custom_metadata=mark)
                print(f"step {step}", flush=True)
    print(f"end {digest(run)}")


if __name__ == "__main__":
    main()
