"""The command end to end, on a slice of the data."""

import csv
import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest

import gdmethods
from examples.mnist import plots, results
from examples.mnist.__main__ import main
from examples.mnist.roster import ROSTER

COMMAND = (sys.executable, "-m", "examples.mnist")
INTERRUPTIBLE = """  # also where a shell in the background has its children ignore the signal
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("examples.mnist", run_name="__main__")
"""
REPOSITORY = Path(__file__).parents[2]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def shows(picture: Path, method: str) -> bool:
    """Whether the picture has pixels of the method's colour."""
    image = matplotlib.image.imread(picture)[..., :3]
    color = matplotlib.colors.to_rgb(plots.STYLES[method][0])
    return bool(np.isclose(image, color, atol=1 / 255).all(axis=-1).any())


def test_compares_methods(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "results"
    arguments = "--methods adam,rprop,rprop_full_batch --epochs 2 --full-batch-epochs 5 --seed 3"
    where = ["--data-dir", str(slice_directory), "--out", str(out)]
    assert main([*arguments.split(), "--batch-size", "128", *where]) == 0

    with (out / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(line["method"], int(line["passes"])) for line in table] == [
        *(("rprop", passes) for passes in range(3)),
        *(("rprop_full_batch", passes) for passes in range(6)),
        *(("adam", passes) for passes in range(3)),
    ]
    assert {line["seed"] for line in table} == {"3"}
    assert {line["data"] for line in table} == {"slice"}
    assert {line["gdmethods"] for line in table} == {gdmethods.__version__}
    adam, full_batch = table[-1], table[5]
    assert adam["settings"] == "learning_rate=0.001"
    assert adam["state_bytes_per_weight"].startswith("8.00")
    assert (adam["batch_size"], adam["steps_per_pass"]) == ("128", "8")
    assert (full_batch["batch_size"], full_batch["steps_per_pass"]) == ("1050", "1")
    assert 0 < float(adam["train_cost"]) < 2
    assert 0 < float(adam["test_error_percent"]) < 80

    output = capsys.readouterr().out
    for text in ("Adam", "minibatches", f"{float(adam['train_cost']):.4g}", "results.csv"):
        assert text in output
    assert shows(out / "curves.png", "adam")
    assert shows(out / "curves.png", "rprop")
    assert not shows(out / "curves.png", "adagrad")


def test_diverged_method_is_shown_as_such(
    slice_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    diverging = dataclasses.replace(ROSTER["sgd"], settings={"learning_rate": 1e38})
    monkeypatch.setitem(ROSTER, "sgd", diverging)
    where = ["--data-dir", str(slice_directory), "--out", str(tmp_path)]
    assert main(["--methods", "sgd,momentum", "--epochs", "1", *where]) == 0
    assert "diverged" in capsys.readouterr().out
    sgd, momentum = results.read(tmp_path / "results.csv")
    assert sgd[-1].train_cost != sgd[-1].train_cost
    assert momentum[-1].train_cost < momentum[0].train_cost
    assert shows(tmp_path / "curves.png", "sgd")
    assert shows(tmp_path / "curves.png", "momentum")


def test_interrupt_leaves_what_was_measured(slice_directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", INTERRUPTIBLE, "--methods", "sgd,adam", "--epochs", "1000000"]
    process = subprocess.Popen(
        [*command, "--data-dir", str(slice_directory), "--out", str(out)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while lines(out / "results.csv") < 5 and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "SGD" in output
    (rows,) = results.read(out / "results.csv")
    assert [row.passes for row in rows] == list(range(len(rows)))
    assert len(rows) >= 4
    assert shows(out / "curves.png", "sgd")


def test_help_names_the_options_and_methods() -> None:
    process = subprocess.run(
        [*COMMAND, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for option in ("methods", "epochs", "full-batch-epochs", "batch-size", "seed", "out"):
        assert f"--{option} " in process.stdout
    assert "--data-dir" in process.stdout
    for name in ROSTER:
        assert name in process.stdout


def test_unknown_method_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--methods", "adam,adamw,lion")
    assert "unknown: 'adamw', 'lion'" in message
    assert ", ".join(ROSTER) in message


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--epochs", "0"), "argument --epochs: 0 is not between 1 and"),
        (("--epochs", "many"), "argument --epochs: 'many' is not a whole number"),
        (("--full-batch-epochs", "-1"), "argument --full-batch-epochs: -1 is not between"),
        (("--batch-size", "1.5"), "argument --batch-size: '1.5' is not a whole number"),
        (("--seed", "-1"), "argument --seed: -1 is not between 0 and 4294967295"),
        (("--methods", ""), "unknown: ''"),
    ],
)
def test_bad_values_are_refused(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refusal(capsys, *arguments)


def test_batch_larger_than_the_set_is_refused(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--data-dir", str(slice_directory), "--out", str(tmp_path / "out"))
    message = refusal(capsys, "--batch-size", "1051", *where)
    assert "--batch-size 1051 is more than the 1050 training images" in message
    assert not (tmp_path / "out").exists()


def test_missing_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--data-dir", str(tmp_path), "--out", str(tmp_path / "out"))
    assert f"{tmp_path / 'train-images-idx3-ubyte'} is missing" in message


def test_out_that_cannot_be_written_is_refused_before_training(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    where = ("--data-dir", str(slice_directory), "--out", str(tmp_path / "file"))
    assert f"--out {tmp_path / 'file'} cannot be written" in refusal(capsys, *where)


def test_each_method_has_a_style_of_its_own() -> None:
    assert set(plots.STYLES) == set(ROSTER)
    assert len({style[1:] for style in plots.STYLES.values()}) == len(ROSTER)
