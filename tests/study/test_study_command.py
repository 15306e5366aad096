"""`python -m gdmethods.study`: its refusals, its help, a kill, and two that share a folder."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_problems import changed, classifier

from gdmethods.study import command
from gdmethods.study.command import main
from gdmethods.study.tables import duration

HERE = Path(__file__).parent


def arguments(out: Path, *more: str) -> list[str]:
    how = "--methods adam,optax.lion --rates 1e-3 1 --trials 3 --seeds 2 --passes 1"
    return ["small_problems:classifier", *how.split(), "--out", str(out), *more]


def started(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "gdmethods.study", *words],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files(out: Path) -> list[Path]:
    return [*(out / "runs").rglob("*.json")]


def whole(out: Path) -> list[Path]:
    """A kill may leave one half-written beside these."""
    return [path for path in files(out) if not path.name.startswith("unfinished-")]


def numbers(out: Path) -> dict[str, Any]:
    """All runs without what the clock says, by the names of their files."""
    runs = {path.name: json.loads(path.read_text()) for path in whole(out)}
    for run in runs.values():
        del run["compile_seconds"]
        for point in run["points"]:
            del point["seconds"]
    return runs


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than the runs."""
    monkeypatch.setattr(command.Study, "write", lambda self, out: [out / "report.html"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command leaves when nothing gets in its way."""
    out = tmp_path_factory.mktemp("whole")
    assert main(arguments(out)) == 0
    assert {path.name for path in out.iterdir()} >= {
        "report.html",
        "summary.json",
        "points.csv",
        "runs",
    }
    return numbers(out)


@pytest.mark.proof
def test_a_killed_study_goes_on_to_the_same_numbers(
    expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = started(*arguments(tmp_path))
    deadline = time.monotonic() + 120
    while len(whole(tmp_path)) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = {path: path.read_bytes() for path in whole(tmp_path)}
    assert 2 <= len(left) < len(expected)
    assert main(arguments(tmp_path)) == 0
    assert numbers(tmp_path) == expected
    assert all(path.read_bytes() == content for path, content in left.items())
    assert f"({len(left)} are there already), " in capsys.readouterr().out


@pytest.mark.proof
def test_two_at_once_in_a_folder_leave_what_one_does(
    expected: dict[str, Any], tmp_path: Path
) -> None:
    processes = [started(*arguments(tmp_path)) for _ in range(2)]
    for process in processes:
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert "about " in output
        assert errors == ""
    assert numbers(tmp_path) == expected
    assert not [*tmp_path.rglob("unfinished-*")]


def test_says_what_is_left_before_it_begins(
    expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path)) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("10 runs, ")
    assert last == str(tmp_path / "report.html")
    assert main(arguments(tmp_path)) == 0
    assert capsys.readouterr().out.startswith(f"All {len(expected)} runs are there already.")
    assert numbers(tmp_path) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "less than a second"),
        (1, "1 second"),
        (1.23, "1.2 seconds"),
        (75, "75 seconds"),
        (99.6, "1.7 minutes"),
        (2400, "40 minutes"),
        (7200, "2 hours"),
        (200000, "2.3 days"),
        (1e8, "1157 days"),
    ],
)
def test_durations_are_said_as_one_would(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m gdmethods.study: ")
    return line


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--methods", "sgd,gdmethods.sgd"), "argument --methods: gdmethods.sgd is there twice"),
        (("--methods", "optax.adam("), "'optax.adam(' has a '(' that is not closed"),
        (("--methods", "optax.adamm"), "argument --methods: optax.adamm cannot be imported"),
        (("--rates", "0", "1"), "argument --rates: 0 is not above 0 and finite"),
        (("--rates", "1", "0.1"), "rates must be the lowest"),
        (("--trials", "0"), "argument --trials: 0 is less than 1"),
        (("--target", "inf"), "argument --target: inf is not finite"),
        (("--target", "low"), "argument --target: 'low' is not a number"),
        (("--tune", "b1"), "'b1' must be a name and numbers, such as momentum=0.5,0.9,0.99"),
        (("--tune", "momentum=0.5"), "no method has an argument 'momentum'"),
        (("--batch-size", "101"), "classifier: batch_size must be from 1 to the 100 examples"),
        (("--methods", "gdmethods.adam(b1=2)"), "b1 must be in [0, 1), got 2.0."),
    ],
)
def test_refuses_in_a_line(
    words: tuple[str, ...], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refusal(capsys, *arguments(tmp_path / "out", *words))
    assert not (tmp_path / "out").exists()


def test_a_problem_that_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_problem.py").write_text("x = 1\ny = undefined\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, complaint in (
        ("small_problems", "'small_problems' must be as my_problem:problem"),
        ("small_problems:nothing", "has no attribute 'nothing'"),
        ("small_problems:TRAIN", "must be a gdmethods.study.Problem, but is a tuple"),
        ("no_such_module:problem", "No module named 'no_such_module'"),
        (
            "broken_problem:problem",
            "(NameError: name 'undefined' is not defined; broken_problem.py, line 2)",
        ),
    ):
        assert complaint in refusal(capsys, name)


def test_a_name_is_the_attribute_or_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("small_problems.classifier", changed(name=""))
    monkeypatch.setattr("small_problems.problem", lambda: classifier, raising=False)
    assert command._problem("small_problems:classifier").name == "classifier"
    assert command._problem("small_problems:problem") is classifier


def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("usage: python -m gdmethods.study")
    assert max(map(len, lines)) <= 80


def test_interrupted_it_promises_to_go_on_only_if_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "Contest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main(arguments(tmp_path))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one.json").touch()
    assert main(arguments(tmp_path)) == 130
    assert "The same command goes on from here." in capsys.readouterr().out
