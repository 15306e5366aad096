"""The report finds what it is there to find in Optax, and in what a user names."""

import re
from pathlib import Path

import optax
import pytest
from optax_cases import CASES, accused_of

from examples.contract_report import (
    ARGUMENTS,
    EXTRA_ARGS,
    LEFT_OUT,
    LETTERS,
    main,
    optimizers,
    report,
)


@pytest.mark.proof
def test_it_finds_the_lag_of_rprop_and_the_drift_of_adam(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "report.md"
    main(["rprop", "adam", "--output", str(file)])
    lines = capsys.readouterr().out
    assert max(map(len, lines.replace(str(file), "").splitlines())) <= 80
    for letter in LETTERS.values():
        assert re.search(rf"^{letter}  [a-z_]+: ", lines, re.M)
    assert re.search(r"^×  broken: ", lines, re.M)
    printed = lines.replace("\n   ", " ")
    assert re.search(r"^rprop: no_lag: the first update of weight.* is -0 after", printed, re.M)
    drift = "after an update with bfloat16 parameters and float32 gradients"
    assert re.search(rf"^adam: state_dtypes: state\[0\].mu.* is float32.* {drift}", printed, re.M)
    (row,) = re.findall(r"^adam .*", printed, re.M)
    assert row.count("×") == len(re.findall(r"^adam: ", printed, re.M))
    assert row.count("×") + row.count("·") == len(LETTERS)
    (written,) = re.findall(r"^\| `adam` .*", file.read_text(), re.M)
    assert written.replace("|", "").replace("`", "").split() == row.split()
    assert '      Reproduce: check_law("no_lag", make)' in file.read_text()


OWN = """
import optax
def slow(): return optax.sgd(0.01)
def eager(rate): return optax.sgd(rate)
"""


def test_a_function_of_ones_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_optimizers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    page = tmp_path / "report.html"
    main(["my_optimizers:slow", "--output", str(page)])
    assert re.search(r"^my_optimizers:slow ·", capsys.readouterr().out, re.M)
    assert '<td title="update_dtypes: with bfloat16 parameters' in page.read_text()
    for name, complaint in {
        "my_optimizers:eager": "eager is missing a required argument: 'rate'",
        "my_optimizers:fast": "cannot be imported",
        "adamm": "has no adamm; choose of adabelief, adadelta",
    }.items():
        with pytest.raises(SystemExit):
            main([name])
        assert complaint in capsys.readouterr().err


def test_another_kind_of_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sgd", "--output", "report.pdf"])
    assert "--output report.pdf must end with .md or .html" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_optimizers_are_those_of_the_namespace() -> None:
    names = set(optimizers())
    assert {"adam", "rprop", "sgd", "lbfgs", "contrib.muon", "contrib.schedule_free"} <= names
    assert len(names) > 40
    assert {*ARGUMENTS, *EXTRA_ARGS} <= names
    for name in LEFT_OUT:
        assert hasattr(optax.contrib, name.removeprefix("contrib."))
    for build in optimizers().values():
        assert callable(build().update)


@pytest.mark.proof
@pytest.mark.skipif(optax.__version__ != "0.2.8", reason="the cases are those of Optax 0.2.8")
@pytest.mark.parametrize("name", optimizers())
def test_nothing_in_optax_is_accused_without_a_reason(name: str) -> None:
    found = report(name, optimizers()[name])
    assert set(found.broken) == accused_of(name)
    assert found.not_tried == {}


def test_each_case_is_of_an_optimizer() -> None:
    names = [
        each for reasons in CASES.values() for names in reasons.values() for each in names.split()
    ]
    assert set(names) == set(optimizers())
