"""The checkpoint example, killed in mid-run: no warning, and the end of a run that was not."""

import signal
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from examples import checkpoint

REPOSITORY = Path(__file__).parents[2]


def started(directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "examples.checkpoint", "--checkpoints", directory],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.proof
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path / "killed") as process:
        for line in process.stdout or ():
            if line == "step 100\n":
                process.kill()
        assert process.wait() == -signal.SIGKILL
    checkpoint.main(["--checkpoints", str(tmp_path / "undisturbed")])
    *steps, end = capsys.readouterr().out.splitlines()
    checkpoint.main(["--checkpoints", str(tmp_path / "killed")])
    restored, *printed = capsys.readouterr().out.splitlines()
    word, done = restored.rsplit(maxsplit=1)
    assert word == "restored step"
    assert 0 < int(done) < checkpoint.STEPS
    assert printed == [*steps[int(done) // checkpoint.INTERVAL :], end]
    assert end.startswith("end ")


def test_checkpoints_of_another_program_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ocp.CheckpointManager(tmp_path) as checkpoints:
        checkpoints.save(1, args=ocp.args.StandardSave({"w": jnp.ones(3)}))
    with pytest.raises(SystemExit) as exit_:
        checkpoint.main(["--checkpoints", str(tmp_path)])
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--checkpoints {tmp_path} has checkpoints of another program" in line


@pytest.mark.proof
def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    """Of every method: in its containers, its dtypes and its bits."""
    state = checkpoint.train_step(checkpoint.start(), jnp.int32(1))
    with ocp.CheckpointManager(tmp_path) as checkpoints:
        checkpoints.save(1, args=ocp.args.StandardSave(state))
        checkpoints.wait_until_finished()
        restored = checkpoints.restore(1, args=ocp.args.StandardRestore(checkpoint.start()))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    chex.assert_trees_all_equal(restored, state, strict=True)
