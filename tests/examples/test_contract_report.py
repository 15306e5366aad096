"""The report finds what it is there to find in Optax."""

import re

import optax
import pytest

from examples.contract_report import ARGUMENTS, LEFT_OUT, main, optimizers


def test_it_finds_the_lag_of_rprop_and_the_drift_of_adam(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["rprop", "adam"])
    lines = capsys.readouterr().out
    assert max(map(len, lines.splitlines())) <= 80
    printed = lines.replace("\n   ", " ")
    assert re.search(r"^rprop: no_lag: the first update of weight.* is -0 after", printed, re.M)
    drift = "after an update with bfloat16 parameters and float32 gradients"
    assert re.search(rf"^adam: state_dtypes: state\[0\].mu.* is float32.* {drift}", printed, re.M)
    (row,) = re.findall(r"^adam .*", printed, re.M)
    assert row.count("×") == len(re.findall(r"^adam: ", printed, re.M))
    assert row.count("×") + row.count("·") == 19


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_optimizers_are_those_of_the_namespace() -> None:
    names = set(optimizers())
    assert {"adam", "rprop", "sgd", "lbfgs", "contrib.muon", "contrib.schedule_free"} <= names
    assert len(names) > 40
    assert set(ARGUMENTS) <= names
    for name in LEFT_OUT:
        assert hasattr(optax.contrib, name.removeprefix("contrib."))
    for build in optimizers().values():
        assert callable(build().update)


def test_an_unknown_optimizer_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["adamm"])
    assert "has no adamm; choose of adabelief, adadelta" in capsys.readouterr().err
