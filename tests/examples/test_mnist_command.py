"""The command end to end, on a slice of the data."""

import csv
import dataclasses
import gzip
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest

import gdmethods
from examples.mnist import plots, results
from examples.mnist.__main__ import main
from examples.mnist.roster import ROSTER
from examples.mnist.training import Measurement
from gdmethods.study.styles import STYLES


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def shows(picture: Path, method: str) -> bool:
    """Whether the picture has pixels of the method's colour."""
    image = matplotlib.image.imread(picture)[..., :3]
    color = matplotlib.colors.to_rgb(STYLES[method][0])
    return bool(np.isclose(image, color, atol=1 / 255).all(axis=-1).any())


@pytest.mark.proof
def test_compares_methods(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "results"
    arguments = "--methods adam,rprop,rprop_full_batch --epochs 2 --full-batch-epochs 5 --seed 3"
    where = ["--data", str(slice_directory), "--out", str(out)]
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
    for text in (
        "slice, seed 3",
        "Adam",
        "minibatches",
        f"{float(adam['train_cost']):.4g}",
        "results.csv",
    ):
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
    where = ["--data", str(slice_directory), "--out", str(tmp_path)]
    assert main(["--methods", "sgd,momentum", "--epochs", "1", *where]) == 0
    assert "diverged" in capsys.readouterr().out
    sgd, momentum = results.read(tmp_path / "results.csv")
    assert sgd[-1].train_cost != sgd[-1].train_cost
    assert momentum[-1].train_cost < momentum[0].train_cost
    assert shows(tmp_path / "curves.png", "sgd")
    assert shows(tmp_path / "curves.png", "momentum")


def interrupted_after(measurements: int) -> Callable[..., Iterator[Measurement]]:
    def train(*_: Any, **__: Any) -> Iterator[Measurement]:
        for passes in range(measurements):
            yield Measurement(passes, 2.0 / (1 + passes), 90.0, 0.1, 1.0, 0.0)
        raise KeyboardInterrupt

    return train


def test_interrupt_leaves_what_was_measured(
    slice_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("examples.mnist.__main__.train", interrupted_after(3))
    assert main(["--data", str(slice_directory), "--out", str(tmp_path)]) == 130
    output = capsys.readouterr().out
    assert "Interrupted. What was measured so far is kept." in output
    assert "SGD" in output
    (rows,) = results.read(tmp_path / "results.csv")
    assert [row.passes for row in rows] == [0, 1, 2]
    assert shows(tmp_path / "curves.png", "sgd")


def test_interrupt_before_the_first_measurement_leaves_what_was_there(
    slice_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results.csv").write_text("of another run")
    (tmp_path / "curves.png").write_text("of another run")
    monkeypatch.setattr("examples.mnist.__main__.train", interrupted_after(0))
    with pytest.raises(KeyboardInterrupt):
        main(["--data", str(slice_directory), "--out", str(tmp_path)])
    left = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name for path in left} == {"results.csv", "curves.png"}
    assert {path.read_text() for path in left} == {"of another run"}


def test_help_names_the_options_and_methods(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for option in ("methods", "epochs", "full-batch-epochs", "batch-size", "seed", "out", "data"):
        assert f"--{option} " in text
    for name in ROSTER:
        assert name in text


def test_unknown_method_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--methods", "adam,adamw,lion")
    assert f"unknown: 'adamw', 'lion'; choose from {', '.join(ROSTER)}" in message


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--epochs", "0"), "argument --epochs: 0 is less than 1"),
        (("--epochs", "many"), "argument --epochs: 'many' is not a whole number"),
        (("--full-batch-epochs", "-1"), "argument --full-batch-epochs: -1 is less than 1"),
        (("--batch-size", "1.5"), "argument --batch-size: '1.5' is not a whole number"),
        (("--seed", "-1"), "argument --seed: -1 is less than 0"),
        (("--seed", "4294967296"), "4294967296 is more than 4294967295"),
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
    message = refusal(capsys, "--batch-size", "1051", *where)
    assert "--batch-size 1051 is more than the 1050 training images" in message
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


def row(method: str, passes: int, steps_per_pass: int, cost: float) -> results.Row:
    label, settings = ROSTER[method].label, ROSTER[method].settings_text
    fixed = (0.1, 1.0, 0.0, "0", "0", "0")
    return results.Row(
        method, label, settings, "clothes", 100, steps_per_pass, 0, passes, cost, 2.5, *fixed
    )


def test_each_method_has_panels_of_its_own() -> None:
    """Those on minibatches in front of the others, and one on full batches alone."""
    steps = {"sgd": 600, "adam": 600, "rprop_full_batch": 1}
    runs = [
        [row(name, 0, steps[name], 2.4), row(name, 1, steps[name], math.nan)] for name in steps
    ]
    runs[1][1] = row("adam", 1, 600, 0.02448)
    drawn = plots.figure(runs)
    assert drawn.get_suptitle() == "clothes, seed 0"
    costs, errors = drawn.axes[:3], drawn.axes[3:]
    for panels in (costs, errors):
        assert [{line.get_label() for line in axes.lines} for axes in panels] == [
            {"sgd", "adam"},
            {"sgd", "adam"},
            {"rprop_full_batch"},
        ]
        for axes, name in zip(panels, steps, strict=True):
            own = {line.get_label() for line in axes.lines if line.get_color() != "0.8"}
            assert own == {name}
    texts = [[text.get_text() for text in axes.texts] for axes in drawn.axes]
    assert texts == [["diverged"], ["ends at 0.0245"], ["diverged"], *[["ends at 2.50"]] * 3]


def test_each_method_has_a_style_of_its_own() -> None:
    assert set(STYLES) == set(ROSTER)
    assert len({style[1:] for style in STYLES.values()}) == len(ROSTER)
