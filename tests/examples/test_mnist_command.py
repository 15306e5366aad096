"""The command end to end, on a slice of the data."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from examples.mnist.__main__ import main
from examples.mnist.roster import ROSTER
from gdmethods.study.styles import STYLES


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.proof
def test_compares_methods(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "results"
    arguments = ["--methods", "adam,nesterov,adaptive_gains", "--passes", "2", "--seeds", "2"]
    arguments += ["--data", str(slice_directory), "--out", str(out), "--batch-size", "125"]
    assert main(arguments) == 0

    with (out / "points.csv").open() as file:
        points = list(csv.DictReader(file))
    assert {(line["method"], line["learning_rate"], line["seed"]) for line in points} == {
        (f"gdmethods.{text}", rate, seed)
        for text, rate in (
            ("adam(learning_rate=0.001)", "0.001"),
            ("nesterov(learning_rate=0.05, momentum=0.9)", "0.05"),
            ("adaptive_gains(learning_rate=0.05, momentum=0.9, agreement='velocity')", "0.05"),
        )
        for seed in ("1", "2")
    }
    assert {line["batch_size"] for line in points} == {"125"}
    assert max(int(line["steps"]) for line in points) == 2 * (875 // 125)
    summary = json.loads((out / "summary.json").read_text())
    for outcome in summary["outcomes"]:
        assert 0 < outcome["loss"] < 2
        assert 0 < outcome["judge"] < 0.8
    assert summary["command"].startswith("python -m examples.mnist --methods adam,nesterov")
    picture = (out / "zeiler-loss.svg").read_text()
    assert STYLES["adam"].color.lower() in picture
    assert STYLES["adagrad"].color.lower() not in picture

    output = capsys.readouterr().out
    assert output.startswith("6 runs, about ")
    assert "slice, 500 and 300 tanh units" in output
    assert str(out / "report.html") in output
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("All 6 runs are there already.")


def test_help_names_the_options_and_methods(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for option in ("methods", "passes", "batch-size", "seeds", "out", "data"):
        assert f"--{option} " in text
    for name in set(ROSTER) - {"rprop_full_batch"}:
        assert name in text


def test_unknown_method_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--methods", "adam,adamw,lion")
    assert "unknown: 'adamw', 'lion'; choose from sgd, momentum, nesterov, " in message


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--passes", "0"), "argument --passes/--epochs: 0 is less than 1"),
        (("--epochs", "many"), "argument --passes/--epochs: 'many' is not a whole number"),
        (("--batch-size", "1.5"), "argument --batch-size: '1.5' is not a whole number"),
        (("--seeds", "-1"), "argument --seeds: -1 is less than 1"),
        (("--methods", ""), "argument --methods: '' lacks a name; choose from sgd,"),
        (("--methods", ","), "argument --methods: ',' lacks a name"),
        (("--methods", "sgd,adam,sgd"), "'sgd,adam,sgd' has a name twice"),
    ],
)
def test_bad_values_are_refused(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refusal(capsys, *arguments)


def test_batch_larger_than_the_set_is_refused(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--data", str(slice_directory), "--out", str(tmp_path / "out"))
    message = refusal(capsys, "--batch-size", "876", *where)
    assert "batch_size must be from 1 to the 875 examples of train, got 876" in message
    assert not (tmp_path / "out").exists()


def test_files_at_fault_are_named(
    slice_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = slice_directory / "train-images-idx3-ubyte"
    labels = slice_directory / "train-labels-idx1-ubyte"
    compressed = images.with_name(f"{images.name}.gz")
    options = ["--data", str(slice_directory), "--out", str(slice_directory / "out")]

    compressed.write_bytes(gzip.compress(images.read_bytes())[:-100])
    images.unlink()
    assert f"{compressed} cannot be read" in refusal(capsys, *options)
    compressed.unlink()
    assert f"{images} is missing" in refusal(capsys, *options)
    images.write_bytes(labels.read_bytes())
    assert f"{images} begins with the bytes 00 00 08 01" in refusal(capsys, *options)


def test_out_that_cannot_be_written_is_refused_before_training(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    where = ("--data", str(slice_directory), "--out", str(tmp_path / "file"))
    assert f"--out {tmp_path / 'file'} cannot be written" in refusal(capsys, *where)
