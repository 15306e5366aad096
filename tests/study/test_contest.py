"""Who tries what, what is chosen, what is recorded, and what the archive keeps."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_problems import changed, classifier, quadratic

from gdmethods.study import Problem, study
from gdmethods.study.archive import Archive, ArchiveError, Memory
from gdmethods.study.contest import Contest, Plan, StudyError
from gdmethods.study.methods import parse
from gdmethods.study.outcomes import Outcome, Point, Run, Settings
from gdmethods.study.problem import ProblemError
from gdmethods.study.trials import Trainer


def outcomes(*problems: Problem, **options: Any) -> dict[tuple[str, str], Outcome]:
    """By problem and label; few and short runs."""
    few = {"methods": "sgd", "rates": (0.01, 1.0), "trials": 3, "seeds": 2, "passes": 1}
    done = study(problems, **few | {"points": 1, "quiet": True} | options)
    return {(each.problem.name, each.label): each for each in done.results.outcomes}


def tried(outcome: Outcome) -> list[float]:
    return [run.settings.arguments["learning_rate"] for run in outcome.trials]


def test_all_try_the_same_rates_and_repeat_the_best() -> None:
    done = outcomes(classifier, methods="sgd, adam")
    for outcome in done.values():
        assert tried(outcome)[:3] == [0.01, 0.1, 1.0]
        assert {run.settings.seed for run in outcome.trials} == {0}
        best = min(
            outcome.trials,
            key=lambda run: (run.points[-1].validation["error"], run.points[-1].loss),
        )
        assert [dict(run.settings.arguments) for run in outcome.repeats] == [
            dict(best.settings.arguments)
        ] * 2
        assert [run.settings.seed for run in outcome.repeats] == [1, 2]
    sgd, adam = done.values()
    for one, other in zip(sgd.repeats, adam.repeats, strict=True):
        assert one.points[0].loss == other.points[0].loss  # the same first weights


@pytest.mark.proof
def test_tuned_arguments_take_as_many_trials_as_further_rates() -> None:
    values = [0.5, 0.9, 0.99]
    done = outcomes(
        classifier, methods="momentum, momentum(momentum=0.7), sgd", tune={"momentum": values}
    )
    planned = {label: outcome.trials[:6] for (_, label), outcome in done.items()}
    momentum = [dict(run.settings.arguments) for run in planned["momentum"]]
    assert momentum[:3] == [{"learning_rate": rate, "momentum": 0.9} for rate in (0.01, 0.1, 1.0)]
    for point in momentum[3:]:
        assert point["learning_rate"] in (0.01, 0.1, 1.0)
        assert point["momentum"] in values
    assert len({tuple(point.values()) for point in momentum}) == 6
    fixed, sgd = (
        [dict(run.settings.arguments) for run in planned[label]]
        for label in ("momentum(momentum=0.7)", "sgd")
    )
    assert fixed == sgd
    further = [point["learning_rate"] for point in sgd[3:]]
    assert len({*further} - {0.01, 0.1, 1.0}) == 3
    assert all(0.01 < rate < 1 for rate in further)


@pytest.mark.parametrize(
    ("rates", "beyond"), [((1e-4, 1e-3), [0.00316, 0.01]), ((0.1, 1.0), [0.0316, 0.01])]
)
def test_a_best_rate_at_the_edge_extends_the_grid_once(
    rates: tuple[float, float], beyond: list[float]
) -> None:
    """Of the rates here, 0.01 is the nearest to the best one, 2 / (1 + 100)."""
    (outcome,) = outcomes(quadratic, rates=rates, passes=4).values()
    assert tried(outcome)[3:] == beyond
    assert outcome.extended
    assert outcome.arguments["learning_rate"] == 0.01
    assert outcome.at_the_edge  # it may lie further still
    (inside,) = outcomes(quadratic, rates=(1e-3, 0.1), passes=4).values()
    assert (len(inside.trials), inside.extended, inside.at_the_edge) == (3, False, False)


def test_a_single_rate_needs_no_trial() -> None:
    (outcome,) = outcomes(quadratic, rates=(0.01, 0.01)).values()
    assert (outcome.trials, outcome.extended) == ((), False)
    assert [run.settings.seed for run in outcome.repeats] == [1, 2]
    assert outcome.arguments == {"learning_rate": 0.01}


def test_methods_with_learning_rates_are_repeated_at_once(tmp_path: Path) -> None:
    """To the same numbers as those that a tuned method has at this rate."""
    given = "sgd(learning_rate=0.1), sgd(learning_rate=1), adam(learning_rate=0.01)"
    done = study(classifier, methods=given, seeds=2, passes=2, quiet=True)
    assert [outcome.label for outcome in done.results.outcomes] == [
        "sgd(learning_rate=0.1)",
        "sgd(learning_rate=1)",
        "adam",
    ]
    assert [dict(outcome.arguments) for outcome in done.results.outcomes] == [
        {"learning_rate": rate} for rate in (0.1, 1.0, 0.01)
    ]
    (tuned,) = outcomes(classifier, rates=(0.1, 0.1), passes=2, points=2).values()
    for run, same in zip(done.results.outcomes[0].repeats, tuned.repeats, strict=True):
        assert [point.loss for point in run.points] == [point.loss for point in same.points]
    assert "rates" not in done.results.settings
    assert "rates" not in done.figures[classifier.name]
    assert sorted(done.tables["outcomes"]["learning_rate"]) == [0.01, 0.1, 1.0]
    done.write(tmp_path)
    assert "Nothing is tuned" in (tmp_path / "report.html").read_text()


def test_select_and_direction() -> None:
    """The loss has its least at 0.01 of the rates, and the greatest judge that is finite, too."""
    upside_down = dataclasses.replace(
        quadratic,
        metrics={"height": lambda w, batch: jnp.sum(w**2) + 0 * batch.sum()},
        greater_is_better=["height"],
    )
    options: dict[str, Any] = {"rates": (1e-3, 0.1), "passes": 4}
    (judged,) = outcomes(upside_down, **options, trials=3).values()
    assert judged.arguments["learning_rate"] < 1e-3  # stays highest, so that the grid goes on
    (by_loss,) = outcomes(upside_down, **options, select="loss").values()
    assert by_loss.arguments["learning_rate"] == 0.01


def raising(learning_rate: Any) -> optax.GradientTransformation:
    """Trains on paper, and raises when it runs."""

    def stop(rate: Any) -> Any:
        raise RuntimeError("the device is on fire")

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        factor = jax.pure_callback(
            stop, jax.ShapeDtypeStruct((), jnp.float32), learning_rate, vmap_method="sequential"
        )
        return jax.tree.map(lambda u: u * factor, updates), state

    return optax.GradientTransformation(lambda params: (), update)


def test_a_method_that_raises_is_recorded_and_the_others_go_on() -> None:
    failed, sgd = outcomes(classifier, methods=[raising, "sgd"]).values()
    assert failed.error is not None
    assert "the device is on fire" in failed.error
    assert (failed.trials, failed.repeats) == ((), ())
    assert sgd.error is None
    assert len(sgd.repeats) == 2


def test_a_method_that_raises_is_spared() -> None:
    plan = Plan(
        [classifier], parse([raising, "sgd"]), "", rates=(0.01, 1.0), trials=3, seeds=2, passes=1
    )
    contest = Contest(plan, Memory())
    contest.estimate()
    heard: list[float] = []
    for _ in contest.outcomes(lambda what, done=0.0, spared=0.0: heard.append(done + spared)):
        pass
    assert sum(heard) == pytest.approx(1.0)


def matrices(learning_rate: Any) -> optax.GradientTransformation:
    """Takes parameters in a dictionary alone."""
    return optax.GradientTransformation(
        lambda params: params["w"], lambda updates, state, params=None: (updates, state)
    )


def test_a_method_that_cannot_train_any_problem_is_refused_at_once() -> None:
    with pytest.raises(StudyError, match=r"matrices cannot train quadratic: \w+Error"):
        outcomes(quadratic, methods=[matrices])
    done = outcomes(quadratic, classifier, methods=[matrices, "sgd"], rates=(1e-3, 1e-2))
    recorded = {key: outcome.error is None for key, outcome in done.items()}
    assert list(recorded.values()) == [False, True, True, True]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"rates": (1.0, 0.1)}, "rates must be the lowest, above 0, and the highest"),
        ({"trials": 0}, "trials must be 1 or more, got 0"),
        ({"select": "error"}, "select must be 'judge' or 'loss', got 'error'"),
        ({"tune": {"momentum": [0.5]}}, "no method has an argument 'momentum' that is free"),
        ({"tune": {"learning_rate": [0.5]}}, "the learning rate is tuned anyway"),
        ({"methods": "adam(b1=2)"}, r"gdmethods.adam(b1=2) cannot train classifier: ValueError: "),
        ({"methods": "optax.lbfgs"}, "optax.lbfgs cannot train classifier: "),
        (
            {"methods": "adam(learning_rate=0.1), sgd"},
            "gdmethods.sgd has no learning rate, and other methods come with theirs",
        ),
        (
            {"methods": "momentum(learning_rate=0.1)", "tune": {"momentum": [0.5]}},
            "methods that come with their learning rates are not tuned: see tune",
        ),
    ],
)
def test_refused_before_any_training(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(StudyError) as refused:
        outcomes(classifier, **options)
    assert complaint in str(refused.value)


def test_problems_have_names_of_their_own() -> None:
    with pytest.raises(ProblemError, match="two problems have the name classifier"):
        outcomes(classifier, classifier)
    with pytest.raises(ProblemError, match=r"names a folder; got '\.\./up'"):
        outcomes(changed(name="../up"))
    with pytest.raises(ProblemError, match=r"begin with a letter or digit"):
        outcomes(changed(name=".."))
    names = {name for name, _ in outcomes(changed(name=""), quadratic)}
    assert names == {"problem 1", "quadratic"}


def made(**changes: Any) -> Run:
    settings: dict[str, Any] = {
        "problem": "plane",
        "problem_crc32": 1,
        "method": "gdmethods.momentum",
        "arguments": {"learning_rate": 0.1, "momentum": 0.9},
        "seed": 0,
        "passes": 1,
        "batch_size": None,
        "points": 1,
        "together": 1,
        "device": "cpu",
        "versions": {"gdmethods": "1"},
    }
    points = (
        Point(0, 0.0, 0.0, 2.3, {"error": 0.5}, {}),
        Point(2, 1.0, 3.0, 1.3, {"error": 0.25}, {}),
    )
    return Run(Settings(**settings | changes), False, 21, 4.0, 1.0, points)


@pytest.mark.parametrize("kind", [Archive, Memory])
def test_an_archive_gives_back_what_it_got(kind: Any, tmp_path: Path) -> None:
    archive = kind() if kind is Memory else Archive(tmp_path / "not" / "yet")
    run = made()
    assert archive.load(run.settings) is None
    archive.save(run)
    assert archive.load(run.settings) == run
    for change in (
        {"seed": 1},
        {"passes": 3},
        {"versions": {"gdmethods": "2"}},
        {"arguments": {"learning_rate": 0.1, "momentum": 0.8}},
        {"problem_crc32": 2},
        {"method_crc32": 2},
    ):
        assert archive.load(dataclasses.replace(run.settings, **change)) is None


def test_a_diverged_run_is_json_and_a_broken_one_is_named(tmp_path: Path) -> None:
    archive, run = Archive(tmp_path), made()
    ends = dataclasses.replace(run.points[1], loss=np.inf, validation={"error": np.nan})
    archive.save(dataclasses.replace(run, diverged=True, points=(run.points[0], ends)))
    (file,) = tmp_path.rglob("*.json")
    assert "NaN" not in file.read_text()
    assert "Infinity" not in file.read_text()
    again = archive.load(run.settings)
    assert again is not None
    assert np.isnan([again.points[1].loss, again.points[1].validation["error"]]).all()
    file.write_text(file.read_text()[:-9])
    with pytest.raises(ArchiveError, match="delete it to train again"):
        archive.load(run.settings)


def files(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (out / "runs").rglob("*.json")}


def not_again(*_: Any) -> Any:
    raise AssertionError("trains a run that is there")


def test_finished_runs_are_kept_and_others_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = outcomes(classifier, out=tmp_path)
    kept = files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", not_again)
        assert outcomes(classifier, out=tmp_path) == first
    outcomes(classifier, seeds=3, out=tmp_path)
    assert len(files(tmp_path)) == len(kept) + 1
    outcomes(changed(loss=lambda *args: 2 * classifier.loss(*args)), out=tmp_path)
    assert len(files(tmp_path)) >= 2 * len(kept) + 1
    assert all(path.read_bytes() == content for path, content in kept.items())


FACTOR = 0.5


def scaled(learning_rate: Any) -> optax.GradientTransformation:
    return optax.chain(optax.scale(FACTOR), optax.sgd(learning_rate))


@pytest.mark.proof
def test_an_edited_method_is_trained_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (half,) = outcomes(classifier, methods=[scaled], out=tmp_path).values()
    monkeypatch.setitem(globals(), "FACTOR", 0.25)
    (quarter,) = outcomes(classifier, methods=[scaled], out=tmp_path).values()
    assert half.trials[0].points[1].loss != quarter.trials[0].points[1].loss


def test_a_full_disk_loses_no_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, written = os.fsync, []

    def full(file: int) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(file)
        synced(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"json cannot be written .*No space left"):
            outcomes(classifier, out=tmp_path)
    kept = files(tmp_path)
    assert len(kept) == 3
    expected, done = outcomes(classifier), outcomes(classifier, out=tmp_path)
    assert all(path.read_bytes() == content for path, content in kept.items())
    for key, outcome in done.items():
        for one, other in zip(outcome.repeats, expected[key].repeats, strict=True):
            assert [p.loss for p in one.points] == [p.loss for p in other.points]


def contest(problem: Problem, archive: Archive | Memory) -> Contest:
    plan = Plan([problem], parse("sgd"), "", rates=(0.01, 1.0), trials=3, seeds=2, passes=1)
    return Contest(plan, archive)


def test_the_estimate_counts_what_is_missing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    fresh = contest(classifier, archive)
    there, missing, seconds = fresh.estimate()
    assert (there, missing) == (0, 5)
    assert seconds is not None
    assert 0 < seconds < 60
    heard: list[float] = []
    (outcome,) = fresh.outcomes(lambda what, done=0.0, spared=0.0: heard.append(done + spared))
    assert sum(heard) == pytest.approx(1.0)
    assert contest(classifier, archive).estimate() == (len(outcome.trials) + 2, 0, 0.0)
    unknown = changed(train=None, batches=lambda key: iter([classifier.train]))
    assert contest(unknown, archive).estimate() == (0, 5, None)


def test_a_study_says_what_came_of_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = study(
        classifier, methods="sgd, adam", trials=2, seeds=2, passes=1, points=1, quiet=True
    )
    assert capsys.readouterr() == ("", "")
    assert str(done) == "\n".join(done.answer)
    assert "Adam" in str(done)
    assert len(done.results.outcomes) == done.results.planned == 2
    assert all(path.exists() for path in done.write(tmp_path / "report"))
    assert len(done.tables["points"]) == sum(
        len(run.points)
        for outcome in done.results.outcomes
        for run in (*outcome.trials, *outcome.repeats)
    )
