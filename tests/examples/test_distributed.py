"""Training in several processes: the numbers of one, also after a death or in another topology."""

import functools
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from examples.distributed import main
from examples.mnist.data import Dataset
from examples.mnist.model import MLP
from examples.mnist.roster import ROSTER
from examples.zero1 import TrainState, network, step

REPOSITORY = Path(__file__).parents[2]
BATCH_SIZE, SAVE_EVERY = 520, 4
PATIENCE = 10
SECONDS = 240
# The largest difference of a weight, and how many of the 545,810 may differ by more. A sum over
# another number of processes rounds otherwise: where a gradient is near zero, Adam divides by
# little, and Rprop may see another sign.
TOLERANCES = {"momentum": (1e-6, 0), "rprop": (1e-6, 50), "adam": (1e-4, 0)}


Running: TypeAlias = "subprocess.Popen[str]"


@contextmanager
def started(*arguments: Any, devices: int = 1) -> Iterator[Running]:
    """The command, and an end of all that it started."""
    fixed = {"--batch-size": BATCH_SIZE, "--save-every": SAVE_EVERY, "--patience": PATIENCE}
    flags = f"--xla_force_host_platform_device_count={devices}"
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.distributed"]
        + [str(word) for word in (*itertools.chain(*fixed.items()), *arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0"},  # quick
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ran(*arguments: Any, devices: int = 1, status: int = 0) -> str:
    with started(*arguments, devices=devices) as process:
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == status, output
    return output


def read_until(process: Running, words: str) -> str:
    output = ""
    for line in process.stdout or ():
        output += line
        if words in line:
            return output
    raise AssertionError(output)


@pytest.fixture(scope="session")
def weights(small_data: Dataset) -> tuple[nnx.GraphDef[MLP], Any]:
    graphdef, first_weights = network(small_data, seed=0)
    return graphdef, jax.jit(first_weights)()


@pytest.fixture
def one_process(
    small_data: Dataset, weights: tuple[nnx.GraphDef[MLP], Any]
) -> Callable[[str, int], TrainState]:
    """A function of a method and a number of steps: what one process does with whole batches."""
    graphdef, params = weights

    def train(method: str, steps: int) -> TrainState:
        tx = ROSTER[method].optimizer()
        state = TrainState(params, tx.init(params))
        take = jax.jit(functools.partial(step, tx, graphdef))
        in_a_pass = len(small_data.train.labels) // BATCH_SIZE
        for t in range(steps):
            order = np.random.default_rng((0, t // in_a_pass)).permutation(1050)
            rows = order[t % in_a_pass * BATCH_SIZE :][:BATCH_SIZE]
            state, _ = take(state, jax.tree.map(lambda x, rows=rows: x[rows], small_data.train))
        return state

    return train


def saved(checkpoints: Path, step: int, like: TrainState) -> TrainState:
    """A checkpoint, on the one device of this process."""
    with ocp.StandardCheckpointer() as checkpointer:
        state: TrainState = checkpointer.restore(checkpoints / str(step) / "default", like)
    return state


def last_step(checkpoints: Path) -> int:
    return max(int(path.name) for path in checkpoints.iterdir() if path.name.isdigit())


def assert_equal(method: str, actual: TrainState, expected: TrainState) -> None:
    tolerance, exceptions = TOLERANCES[method]
    differences = np.concatenate(
        [
            np.abs(np.subtract(a, b)).ravel()
            for a, b in zip(
                jax.tree.leaves(actual.params), jax.tree.leaves(expected.params), strict=True
            )
        ]
    )
    assert np.count_nonzero(differences > tolerance) <= exceptions, differences.max()


@pytest.mark.proof
@pytest.mark.parametrize("method", ["momentum", "rprop"])
def test_two_processes_have_the_numbers_of_one(
    method: str,
    slice_directory: Path,
    tmp_path: Path,
    one_process: Callable[[str, int], TrainState],
) -> None:
    where = ["--data", slice_directory, "--checkpoints", tmp_path / "checkpoints"]
    output = ran("--method", method, "--steps", 8, *where)
    assert [int(n) for n in re.findall(r"step (\d+): cost", output)] == [4, 8]
    expected = one_process(method, 8)
    assert_equal(method, saved(tmp_path / "checkpoints", 8, expected), expected)


@pytest.mark.proof
def test_eight_devices_then_two_processes(
    slice_directory: Path, tmp_path: Path, one_process: Callable[[str, int], TrainState]
) -> None:
    """An eighth of Adam's state on each device becomes a half of it in each process."""
    where = ["--data", slice_directory, "--checkpoints", tmp_path / "checkpoints"]
    ran("--processes", 1, "--steps", 4, *where, devices=8)
    assert "goes on from step 4" in ran("--processes", 2, "--steps", 8, *where)
    expected = one_process("adam", 8)
    assert_equal("adam", saved(tmp_path / "checkpoints", 8, expected), expected)

    refusal = ran("--processes", 1, "--method", "momentum", *where, status=2)
    assert "has a run of --method adam and --data slice, not of --method momentum" in refusal
    assert "Traceback" not in refusal


@pytest.mark.proof
def test_a_process_that_dies(
    slice_directory: Path, tmp_path: Path, one_process: Callable[[str, int], TrainState]
) -> None:
    """The other one ends, with an error and soon; a new start goes on from what was saved."""
    checkpoints = tmp_path / "checkpoints"
    where = ["--data", slice_directory, "--checkpoints", checkpoints, "--save-every", 20]
    with started("--processes", 2, "--steps", 100_000, *where) as process:
        output = read_until(process, "step 20: cost")
        (victim,) = re.findall(r"process 1 has the id (\d+)", output)
        os.kill(int(victim), signal.SIGKILL)
        died = time.monotonic()
        output, _ = process.communicate(timeout=SECONDS)
        assert time.monotonic() - died < PATIENCE + 10
    assert process.returncode == 1
    assert "process 1 was ended by SIGKILL" in output
    assert "Process 0 ends in step" in output

    steps = last_step(checkpoints) + 2
    output = ran("--processes", 2, "--steps", steps, *where)
    assert f"goes on from step {steps - 2}" in output
    expected = one_process("adam", steps)
    assert_equal("adam", saved(checkpoints, steps, expected), expected)


def test_a_launcher_that_is_ended_leaves_nobody_behind(
    slice_directory: Path, tmp_path: Path
) -> None:
    where = ["--data", slice_directory, "--checkpoints", tmp_path / "checkpoints"]
    with started("--processes", 2, "--steps", 100_000, *where) as process:
        output = read_until(process, "process 1 has the id")
        process.terminate()
        process.communicate(timeout=SECONDS)
        assert process.returncode == 128 + signal.SIGTERM
        children = [int(number) for number in re.findall(r"has the id (\d+)", output)]
        assert len(children) == 2
        for child in children:
            with pytest.raises(ProcessLookupError):
                os.kill(child, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--process", "0"], "--coordinator go together"),
        (["--processes", "0"], "--processes: 0 is less than 1"),
        (["--process", "2", "--coordinator", "localhost:1"], "--process 2 is not below"),
        (["--seed", "-1"], "--seed: -1 is less than 0"),
        (["--checkpoints", __file__], "--checkpoints"),
        (["--method", "sdg"], "'sdg'"),
    ],
)
def test_wrong_arguments(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
