"""The study on a slice: what a run trains, what is chosen, and what a kill leaves."""

import csv
import dataclasses
import itertools
import math
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from examples.mnist.__main__ import main as mnist
from examples.mnist.data import Dataset
from examples.mnist.model import MLP
from examples.mnist.study.archive import Archive, ArchiveError
from examples.mnist.study.methods import parse
from examples.mnist.study.problems import PROBLEMS, Splits, split
from examples.mnist.study.runs import Point, Run, Settings, Trainer
from examples.mnist.study.study import Outcome, rates

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def splits(small_data: Dataset) -> Splits:
    return split(small_data, 50)  # 1,000 remain


def trainer(splits: Splits, problem: str, method: str, **changes: Any) -> Trainer:
    (parsed,) = parse(method)
    arguments = {"batch_size": 100, "points": 1, "together": 1} | changes
    return Trainer(PROBLEMS[problem], parsed, splits, **arguments)


def settings(**changes: Any) -> Settings:
    arguments = {
        "problem": "logreg",
        "method": "gdmethods.sgd",
        "learning_rate": 0.1,
        "seed": 0,
        "passes": 2,
        "batch_size": 100,
        "points": 1,
        "together": 1,
        "data": "slice",
        "data_crc32": 0,
        "validation_size": 50,
        "device": "cpu",
        "versions": {"gdmethods": "1"},
    }
    return Settings(**arguments | changes)


def train(trainer: Trainer, *runs: Settings) -> list[Run]:
    return trainer.train(runs, lambda: None)


def numbers(run: Run) -> list[tuple[float, float, float]]:
    """All that does not depend on the clock."""
    return [(p.train_cost, p.validation_error_percent, p.test_error_percent) for p in run.points]


def test_split_is_a_partition_and_always_the_same(small_data: Dataset) -> None:
    one, again = split(small_data, 50), split(small_data, 50)
    chex.assert_trees_all_equal(one[:3], again[:3])
    assert (len(one.train.labels), len(one.validation.labels)) == (1000, 50)
    together = np.concatenate([one.train.images, one.validation.images])
    whole = np.asarray(small_data.train.images)
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole))
    assert (np.asarray(one.train.images) != whole[:1000]).any()  # not the first, but drawn
    assert one.test is small_data.test
    assert (one.shape, one.classes) == ((28, 28), 10)


WEIGHTS = {
    "zeiler": 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10,
    "zeiler-relu": 784 * 500 + 500 + 500 * 300 + 300 + 300 * 10 + 10,
    "logreg": 784 * 10 + 10,
    "mlp": 784 * 1000 + 1000 + 1000 * 500 + 500 + 500 * 100 + 100 + 100 * 10 + 10,
    "dropout": 784 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 * 10 + 10,
    "cnn": 9 * 8 + 8 + 9 * 8 * 16 + 16 + 7 * 7 * 16 * 10 + 10,
}


def test_problems_have_their_weights(splits: Splits) -> None:
    def shapes(problem: str) -> Any:
        build = PROBLEMS[problem].build
        return jax.eval_shape(lambda: nnx.state(build(splits, jax.random.key(0)), nnx.Param))

    assert {
        problem: sum(w.size for w in jax.tree.leaves(shapes(problem))) for problem in PROBLEMS
    } == WEIGHTS


@pytest.mark.proof
@pytest.mark.parametrize("problem", PROBLEMS)
def test_problem_is_learnt(problem: str, splits: Splits) -> None:
    (run,) = train(trainer(splits, problem, "adam"), settings(learning_rate=3e-3, passes=6))
    assert run.weights == WEIGHTS[problem]
    assert 2.0 < run.points[0].train_cost < 3.5  # log 10 ≈ 2.3
    assert run.points[-1].train_cost < 0.7
    assert run.points[-1].test_error_percent < 30
    assert run.state_bytes_per_weight == pytest.approx(8, abs=0.01)
    assert [(p.passes, p.steps) for p in run.points] == [(n, 10 * n) for n in range(7)]


def test_full_batch_step_is_gradient_descent_by_hand(splits: Splits) -> None:
    """One step of logistic regression in NumPy: W − η Xᵀ(p − y)/n, whatever the order."""
    (run,) = train(
        trainer(splits, "logreg", "sgd", batch_size=1000),
        settings(learning_rate=0.5, passes=1, seed=7),
    )
    first_weights, _ = jax.random.split(jax.random.key(7))
    params = nnx.to_pure_dict(nnx.state(PROBLEMS["logreg"].build(splits, first_weights)))
    W = np.asarray(params["output"]["kernel"], np.float64)
    X, labels = np.asarray(splits.train.images, np.float64), np.asarray(splits.train.labels)
    y = np.eye(10)[labels]

    def probabilities(X: Any, W: Any, b: Any) -> Any:
        z = np.exp(X @ W + b)
        return z / z.sum(axis=1, keepdims=True)

    before = probabilities(X, W, 0)
    W1 = W - 0.5 * X.T @ (before - y) / 1000
    b1 = -0.5 * (before - y).mean(axis=0)
    for point, p in zip(run.points, (before, probabilities(X, W1, b1)), strict=True):
        assert point.train_cost == pytest.approx(-np.log((p * y).sum(axis=1)).mean(), rel=1e-5)
    wrong = probabilities(np.asarray(splits.test.images, np.float64), W1, b1).argmax(axis=1)
    errors = (wrong != np.asarray(splits.test.labels)).mean()
    assert run.points[1].test_error_percent == pytest.approx(100 * errors)


def test_points_are_measured_within_a_pass_and_take_no_part_in_it(splits: Splits) -> None:
    (coarse,) = train(trainer(splits, "logreg", "momentum"), settings())
    (fine,) = train(trainer(splits, "logreg", "momentum", points=5), settings(points=5))
    assert numbers(fine)[::5] == numbers(coarse)
    assert [p.passes for p in fine.points] == [n / 5 for n in range(11)]
    assert [p.steps for p in fine.points] == [2 * n for n in range(11)]
    seconds = [p.seconds for p in fine.points]
    assert seconds[0] == 0
    assert all(a < b for a, b in itertools.pairwise(seconds))


@pytest.mark.proof
def test_runs_at_once_are_the_runs_one_by_one(splits: Splits) -> None:
    wanted = [settings(learning_rate=r, seed=s) for r, s in ((0.1, 0), (0.01, 1), (0.1, 1))]
    alone = trainer(splits, "logreg", "adam")
    one_by_one = [run for each in wanted for run in train(alone, each)]
    at_once = train(trainer(splits, "logreg", "adam", together=4), *wanted)  # and one to spare
    assert [run.settings for run in at_once] == wanted
    for one, other in zip(one_by_one, at_once, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-4)
    assert len({run.compile_seconds for run in one_by_one}) == 1  # compiled once
    assert len({tuple(numbers(run)) for run in one_by_one}) == 3


def test_seed_decides_weights_and_order_and_dropout(splits: Splits) -> None:
    dropout = trainer(splits, "dropout", "sgd", batch_size=500)
    one, again, other = (
        numbers(train(dropout, settings(seed=seed, passes=1))[0]) for seed in (0, 0, 1)
    )
    assert one == again
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_dropout_is_of_the_training_alone(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(splits: Splits, key: jax.Array) -> MLP:
        return MLP(784, 10, (1000, 1000), nnx.relu, rngs=nnx.Rngs(key))

    (dropped,) = train(trainer(splits, "dropout", "sgd", batch_size=1000), settings(passes=1))
    problem = dataclasses.replace(PROBLEMS["dropout"], build=without)
    monkeypatch.setitem(PROBLEMS, "dropout", problem)
    (kept,) = train(trainer(splits, "dropout", "sgd", batch_size=1000), settings(passes=1))
    assert numbers(dropped)[0] == numbers(kept)[0]
    assert numbers(dropped)[1] != numbers(kept)[1]


def test_dropout_trains_with_half_of_the_units_and_measures_with_all(splits: Splits) -> None:
    model = PROBLEMS["dropout"].build(splits, jax.random.key(0))
    images = splits.train.images[:20]
    whole, key = model(images), jax.random.key(1)
    assert (model(images) == whole).all()
    assert (model(images, key) == model(images, key)).all()
    assert (model(images, key) != model(images, jax.random.key(2))).any()
    hidden = jnp.ones((20, 1000))
    kept = model.dropout(hidden, deterministic=False, rngs=nnx.Rngs(key))
    assert set(np.unique(kept)) == {0.0, 2.0}
    assert 0.45 < (np.asarray(kept) > 0).mean() < 0.55


def test_diverged_run_ends_where_it_shows(splits: Splits) -> None:
    sgd = trainer(splits, "zeiler-relu", "sgd")
    points: list[None] = []
    (run,) = sgd.train([settings(learning_rate=1e30, passes=9)], lambda: points.append(None))
    assert run.diverged
    assert len(run.points) == len(points) + 1 < 9
    assert math.isnan(run.points[-1].train_cost)
    assert not math.isnan(run.points[0].train_cost)


def test_archive_gives_back_what_it_got(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "not" / "yet")
    run = made(learning_rate=0.1, errors=[90.0, 3.0])
    assert archive.load(run.settings) is None
    archive.save(run)
    assert archive.load(run.settings) == run
    for change in ({"seed": 1}, {"passes": 3}, {"versions": {"gdmethods": "2"}}, {"together": 2}):
        assert archive.load(dataclasses.replace(run.settings, **change)) is None

    nan = dataclasses.replace(run.points[1], train_cost=math.nan)
    archive.save(dataclasses.replace(run, diverged=True, points=(run.points[0], nan)))
    (file,) = tmp_path.rglob("*.json")
    assert "NaN" not in file.read_text()
    again = archive.load(run.settings)
    assert again is not None
    assert math.isnan(again.points[1].train_cost)

    file.write_text(file.read_text()[:-9])
    with pytest.raises(ArchiveError, match="delete it to train again"):
        archive.load(run.settings)


def made(*, errors: list[float], diverged: bool = False, **changes: Any) -> Run:
    """A run with these validation errors, two steps and three seconds between points."""
    points = tuple(
        Point(2 * n, float(n), 3.0 * n, error / 10, error, error + 1)
        for n, error in enumerate(errors)
    )
    return Run(settings(**changes), diverged, 7850, 0.0, 1.0, points)


def test_figures_of_an_outcome() -> None:
    (method,) = parse("sgd")
    trials = tuple(
        made(learning_rate=rate, errors=[90, 10, end], diverged=rate == 10)
        for rate, end in ((0.01, 4.5), (0.1, 4.0), (1.0, 5.0), (10.0, 1.0))
    )
    repeats = tuple(
        made(learning_rate=0.1, seed=seed, errors=errors)
        for seed, errors in ((1, [90, 2, 5]), (2, [90, 4, 2]), (3, [90, 4, 4]))
    )
    outcome = Outcome(PROBLEMS["logreg"], method, trials, repeats, target=3.0)
    assert outcome.learning_rate == 0.1
    assert not outcome.at_the_edge
    assert outcome.near_best == 3  # the diverged run is not the best
    assert outcome.step_seconds == 1.5
    mean, deviation = outcome.last("test_error_percent")
    assert mean == pytest.approx((6 + 3 + 5) / 3)
    assert deviation == pytest.approx(statistics.stdev([6, 3, 5]))
    assert outcome.to_target("passes") == [1, 2]
    assert outcome.to_target("seconds") == [3, 6]
    for rate in (0.01, 10.0):
        edge = dataclasses.replace(outcome, repeats=(made(learning_rate=rate, errors=[1, 1]),))
        assert edge.at_the_edge
    assert math.isnan(edge.last("train_cost")[1])


def test_rates_are_even_on_a_log_scale() -> None:
    assert rates(1e-4, 1.0, 5) == [1e-4, 1e-3, 1e-2, 0.1, 1.0]
    assert rates(1e-4, 10.0, 11)[:3] == [1e-4, 0.000316, 1e-3]
    assert rates(0.5, 0.5, 1) == [0.5]


def command(out: Path, data: Path, *more: str) -> list[str]:
    what = "--problems logreg --methods sgd,optax.lion,rprop --rates 1e-3 1 --trials 3"
    how = "--seeds 2 --passes 2 --batch-size 100 --validation-size 50"
    where = ["--data", str(data), "--out", str(out)]
    return ["study", *what.split(), *how.split(), *where, *more]


def rows(out: Path) -> list[dict[str, str]]:
    """points.csv without what the clock says."""
    with (out / "points.csv").open() as file:
        return [
            {column: value for column, value in row.items() if "seconds" not in column}
            for row in csv.DictReader(file)
        ]


def finished(folder: Path) -> list[Path]:
    """The runs that a study has written whole: a kill may leave one half-written beside them."""
    files = (folder / "runs").rglob("*.json")
    return [path for path in files if not path.name.startswith("unfinished-")]


@pytest.mark.proof
def test_killed_study_goes_on_to_the_same_numbers(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    changes = ("--problems", "zeiler", "--methods", "optax.adamw,rprop")
    assert mnist(command(whole, slice_directory, *changes)) == 0
    expected = rows(whole)
    runs = 2 * (3 + 2)  # methods, trials and seeds
    assert len(expected) == runs * 5  # points
    assert len(list(whole.rglob("*.json"))) == runs + 1

    process = subprocess.Popen(
        [sys.executable, "-m", "examples.mnist", *command(killed, slice_directory, *changes)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(finished(killed)) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = {path: path.read_bytes() for path in finished(killed)}
    assert 3 <= len(left) < runs

    assert mnist(command(killed, slice_directory, *changes)) == 0
    assert rows(killed) == expected
    assert all(path.read_bytes() == content for path, content in left.items())
    capsys.readouterr()


@pytest.mark.proof
def test_study_tunes_equally_and_reports_only_repeats(
    slice_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(tmp_path, slice_directory, "--together", "2", "--select", "train-cost")
    assert mnist(arguments) == 0
    table = rows(tmp_path)
    for method in ("gdmethods.sgd", "optax.lion", "gdmethods.rprop"):
        ends = [row for row in table if row["method"] == method and row["passes"] == "2.0"]
        trials = [row for row in ends if row["stage"] == "trial"]
        repeats = [row for row in ends if row["stage"] == "repeat"]
        assert [(row["learning_rate"], row["seed"]) for row in trials] == [
            ("0.001", "0"),
            ("0.0316", "0"),
            ("1.0", "0"),
        ]
        best = min(trials, key=lambda row: float(row["train_cost"]))
        assert [(row["learning_rate"], row["seed"]) for row in repeats] == [
            (best["learning_rate"], "1"),
            (best["learning_rate"], "2"),
        ]
    assert {row["data"] for row in table} == {"slice"}
    assert {row["together"] for row in table} == {"2"}
    assert all(row["jax"] == jax.__version__ for row in table)

    lost = next(path for path in (tmp_path / "runs").rglob("*.json") if "seed 2" in path.name)
    lost.unlink()
    assert mnist(arguments) == 0
    assert lost.exists()
    assert rows(tmp_path) == table
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--problems", "mlp,lenet"), "unknown: 'lenet'; choose from zeiler, zeiler-relu"),
        (("--problems", "mlp,mlp"), "argument --problems: 'mlp,mlp' has a name twice"),
        (("--methods", "sgd,gdmethods.sgd"), "argument --methods: gdmethods.sgd is there twice"),
        (("--methods", "optax.adamm"), "argument --methods: optax.adamm cannot be imported"),
        (("--rates", "0", "1"), "argument --rates: 0 is not above 0 and finite"),
        (("--rates", "1", "much"), "argument --rates: 'much' is not a number"),
        (("--rates", "1", "0.1"), "--rates 1.0 0.1: the lowest comes first"),
        (("--trials", "0"), "argument --trials: 0 is less than 1"),
        (("--target", "101"), "--target 101.0 is more than 100 percent"),
        (("--validation-size", "1050"), "leaves none of the 1050 training images"),
        (("--batch-size", "500", "--points", "3"), "too few to measure --points 3 times a pass"),
        (
            ("--methods", "gdmethods.adam(b1=2)"),
            "gdmethods.adam(b1=2) cannot train logreg: b1 must be in [0, 1), got 2.0.",
        ),
        (("--methods", "optax.lbfgs"), "optax.lbfgs cannot train logreg: "),
        (("--methods", "optax.noisy_sgd(seed='a')"), "optax.noisy_sgd(seed='a') cannot train"),
    ],
)
def test_refuses_before_any_training(
    arguments: tuple[str, ...],
    complaint: str,
    slice_directory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        mnist(command(tmp_path / "out", slice_directory, *arguments))
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert not list(tmp_path.rglob("*.json"))


def interrupted(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_interrupted_study_promises_to_go_on_only_if_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.mnist.study.command._study", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist(command(tmp_path, tmp_path))
    Archive(tmp_path / "runs").save(made(errors=[90.0, 3.0]))
    assert mnist(command(tmp_path, tmp_path)) == 130
    assert "The same command goes on from here." in capsys.readouterr().out


@pytest.mark.proof
@pytest.mark.parametrize("problem", ["cnn", "logreg"])
def test_data_of_another_size_and_number_of_classes(problem: str, splits: Splits) -> None:
    small = splits._replace(
        **{
            name: examples._replace(
                images=examples.images.reshape(-1, 28, 28)[:, ::4, ::3].reshape(-1, 70)
            )
            for name, examples in splits._asdict().items()
            if name in ("train", "validation", "test")
        },
        shape=(7, 10),
        classes=12,
    )
    (run,) = train(trainer(small, problem, "adam"), settings(learning_rate=3e-3))
    assert run.points[-1].train_cost < run.points[0].train_cost - 0.1
