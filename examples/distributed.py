"""Data-parallel MNIST over several processes, which continues from its last checkpoint.

    python -m examples.distributed --processes 2 --method adam --checkpoints results/adam

starts two processes on the CPUs of this machine. Each reads its part of every batch, holds all
weights, and keeps its part of the optimizer's state, as in `examples.zero1`. On a cluster, start
one process on each machine yourself, with its number:

    python -m examples.distributed --processes 2 --process 0 --coordinator 10.0.0.1:1234 …
    python -m examples.distributed --processes 2 --process 1 --coordinator 10.0.0.1:1234 …

The processes need a common directory for checkpoints. If a process dies, the others end with an
error within `--patience` seconds (twice as many if it hangs instead). The same command then
continues from the last checkpoint, also with another number of processes or devices.
"""

import argparse
import functools
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import jax
import numpy as np
import orbax.checkpoint as ocp
from numpy.typing import NDArray

from examples.mnist import data
from examples.mnist.data import Dataset, Examples
from examples.mnist.roster import ROSTER
from examples.programs import orbax_writes
from examples.zero1 import TrainState, cut, network, of_state, replicas, share, step, whole
from gdmethods._programs.endings import UNREAD
from gdmethods._programs.options import Parser, positive, seed, whole_number
from gdmethods._programs.progress import Progress

FAILED, REFUSED = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.process is None) != (options.coordinator is None):
        parser.error("--process and --coordinator go together; give both or none")
    parser.make_directory("--checkpoints", options.checkpoints)
    if options.process is None:
        return _launch(options.processes, options.patience, arguments)
    if options.process >= options.processes:
        parser.error(f"--process {options.process} is not below --processes {options.processes}")

    jax.distributed.initialize(
        options.coordinator,
        options.processes,
        options.process,
        heartbeat_timeout_seconds=options.patience,
    )
    try:
        dataset = data.load(options.data)
    except data.DataError as error:
        return _refuse(str(error))
    images, devices = len(dataset.train.labels), jax.device_count()
    if options.batch_size > images or options.batch_size % devices:
        return _refuse(
            f"--batch-size {options.batch_size} must be a multiple of the {devices} devices, and "
            f"at most the {images} training images in {options.data}."
        )
    return _train(options, dataset)


def _train(options: argparse.Namespace, dataset: Dataset) -> int:
    mesh, tx = replicas(), ROSTER[options.method].optimizer()
    graphdef, first_weights = network(dataset, options.seed)
    params = jax.eval_shape(first_weights)
    layout = TrainState(whole(mesh), of_state(tx, params, cut(params, mesh), mesh))

    def start() -> TrainState:
        params = first_weights()
        return TrainState(params, tx.init(params))

    train = jax.jit(
        functools.partial(step, tx, graphdef),
        donate_argnums=0,
        out_shardings=(layout, whole(mesh)),
    )
    checkpoints = ocp.CheckpointManager(
        options.checkpoints.absolute(),
        options=ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False),
        item_handlers=ocp.StandardCheckpointHandler(),
    )
    run = {"method": options.method, "data": dataset.name}
    done = checkpoints.latest_step() or 0
    if done:
        saved = checkpoints.metadata(done).custom_metadata
        if saved != run:
            return _refuse(
                f"--checkpoints {options.checkpoints} has a run of {_text(saved)}, not of "
                f"{_text(run)}; name another directory."
            )
        state = restore(checkpoints, jax.eval_shape(start), layout)
        _say(f"goes on from step {done}")
    else:
        state = jax.jit(start, out_shardings=layout)()

    batches = _batches(options, dataset.train, first=done + 1)
    try:
        with Progress(options.steps - done, quiet=jax.process_index() > 0) as progress:
            for number, batch in progress.over(batches, lambda step: f"step {step[0]}"):
                rows = (jax.make_array_from_process_local_data(share(mesh), x) for x in batch)
                state, cost = train(state, Examples(*rows))
                if number % options.save_every == 0 or number == options.steps:
                    with orbax_writes(options.checkpoints):
                        what = ocp.args.StandardSave(state)
                        checkpoints.save(number, args=what, custom_metadata=run)
                    _say(f"step {number}: cost {cost:.4f}")
        checkpoints.close()
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # the latter in jax 0.8
        print(
            f"Process {options.process} ends in step {number}: it lost another process "
            f"({str(error).splitlines()[0][-200:]}). Start all of them again; they go on from the "
            "last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(FAILED)  # sys.exit would wait for the lost process
    return 0


def restore(
    checkpoints: ocp.CheckpointManager, state: TrainState, layout: TrainState
) -> TrainState:
    """The last checkpoint, with the shapes and shardings of this state."""
    shardings = jax.tree.broadcast(layout, state)
    abstract = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        state,
        shardings,
    )
    restored: TrainState = checkpoints.restore(
        checkpoints.latest_step(), args=ocp.args.StandardRestore(abstract)
    )
    return restored


def _batches(
    options: argparse.Namespace, examples: Examples, first: int
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """For each step that is left, its number and this process' rows of its batch.

    Every process draws the same order, so that a batch is the same for any number of them.
    """
    images, labels = map(np.asarray, examples)
    per_pass = len(labels) // options.batch_size
    for number in range(first, options.steps + 1):
        passes, position = divmod(number - 1, per_pass)
        order = np.random.default_rng((options.seed, passes)).permutation(len(labels))
        batch = order[position * options.batch_size :][: options.batch_size]
        rows = np.split(batch, options.processes)[options.process]
        yield number, [images[rows], labels[rows]]


def _text(run: Mapping[str, str] | None) -> str:
    if not run:
        return "another program"
    return " and ".join(f"--{name} {value}" for name, value in run.items())


def _say(text: str, file: TextIO | None = None) -> None:
    if jax.process_index() == 0:
        print(text, file=file, flush=True)


def _refuse(text: str) -> int:
    _say(text, file=sys.stderr)
    return REFUSED


def _launch(processes: int, patience: int, arguments: Sequence[str]) -> int:
    """Runs all processes on this machine; if one fails, the others end soon."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the children inherit it
    with socket.socket() as port:
        # A bound socket that does not listen keeps the port from others; gRPC can share it.
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{port.getsockname()[1]}"
        environment = {"JAX_PLATFORMS": "cpu"} | os.environ
        environment["JAX_COORDINATOR_BIND_ADDRESS"] = coordinator
        command = [sys.executable, "-m", "examples.distributed", *arguments]
        command += ["--coordinator", coordinator, "--process"]
        children = [
            subprocess.Popen([*command, str(number)], env=environment)
            for number in range(processes)
        ]
        signal.signal(signal.SIGINT, interrupt)
        try:
            for number, child in enumerate(children):
                print(f"process {number} has the id {child.pid}", flush=True)
            return _watch(children, patience)
        finally:
            for child in reversed(children):  # the coordinator last, or the others would complain
                child.kill()
                child.wait()


def _watch(children: Sequence["subprocess.Popen[bytes]"], patience: int) -> int:
    """Waits for all, or for `patience` seconds after the first that fails."""
    deadline = math.inf
    while None in (statuses := [child.poll() for child in children]):
        if UNREAD in statuses or time.monotonic() > deadline:
            break
        if any(statuses):
            deadline = min(deadline, time.monotonic() + patience)
        time.sleep(0.1)
    if UNREAD in statuses:
        return UNREAD
    if all(status in (0, REFUSED) for status in statuses):
        return max(filter(None, statuses), default=0)
    ends = [_end(number, status) for number, status in enumerate(statuses)]
    print(
        f"The run failed: {'; '.join(filter(None, ends))}. The same command goes on from the last "
        "checkpoint.",
        file=sys.stderr,
        flush=True,
    )
    return FAILED


def _end(number: int, status: int | None) -> str | None:
    if status is None:
        return f"process {number} did not end by itself"
    if status < 0:
        return f"process {number} was ended by {signal.Signals(-status).name}"
    return f"process {number} ended with status {status}" if status else None


def _parser() -> Parser:
    parser = Parser(
        "examples.distributed",
        "Train the network of examples.mnist in several processes, each on its part of every "
        "batch, and continue from the last checkpoint.",
    )
    parser.add_argument(
        "--processes", metavar="N", type=positive, default=2, help="how many (%(default)s)"
    )
    parser.add_argument(
        "--process",
        metavar="I",
        type=whole_number(0),
        help="the number of this one, from 0, on a cluster",
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="where process 0 listens, on a cluster"
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        choices=ROSTER,
        default="adam",
        help=f"%(default)s by default; one of {', '.join(ROSTER)}",
    )
    parser.add_argument(
        "--steps", metavar="N", type=positive, default=600, help="in all (%(default)s)"
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=100,
        help="images in a batch of all processes together (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=seed,
        default=0,
        help="for the first weights and the order of the images (%(default)s)",
    )
    parser.add_argument(
        "--save-every",
        metavar="N",
        type=positive,
        default=100,
        help="steps from one checkpoint to the next (%(default)s)",
    )
    parser.add_directory("--checkpoints", "results/checkpoints", "shared by all processes")
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=positive,
        default=30,
        help="until a process that does not answer counts as dead (%(default)s)",
    )
    data.add_option(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
