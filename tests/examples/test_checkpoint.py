"""The checkpoint example, killed in mid-run: no warning, and the end of a run that was not."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from examples import checkpoint

REPOSITORY = Path(__file__).parents[2]


def run(directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "examples.checkpoint", directory],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    assert process.stdout is not None
    return map(str.strip, process.stdout)


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    with run(tmp_path / "undisturbed") as undisturbed, run(tmp_path / "killed") as killed:
        for line in lines(killed):
            if line == "step 100":
                killed.kill()
        assert killed.wait() == -signal.SIGKILL
        *steps, end = lines(undisturbed)
    with run(tmp_path / "killed") as again:
        restored, *printed = lines(again)
    word, done = restored.rsplit(maxsplit=1)
    assert word == "restored step"
    assert 0 < int(done) < checkpoint.STEPS
    assert printed == [*steps[int(done) // checkpoint.INTERVAL :], end]
    assert end.startswith("end ")


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    """Of every method: in its containers, its dtypes and its bits."""
    state = checkpoint.train_step(checkpoint.start(), jnp.int32(1))
    with ocp.CheckpointManager(tmp_path) as checkpoints:
        checkpoints.save(1, args=ocp.args.StandardSave(state))
        checkpoints.wait_until_finished()
        restored = checkpoints.restore(1, args=ocp.args.StandardRestore(checkpoint.start()))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    chex.assert_trees_all_equal(restored, state, strict=True)
