"""The example's rule, and what the program says of it."""

import pytest

import gdmethods
from examples import own_rule
from examples.mnist.data import Dataset


def test_the_rule_is_that_of_the_paper() -> None:
    assert own_rule.difference_from_numpy() < 1e-13


@pytest.mark.proof
def test_it_trains_in_4_bytes_as_in_12(small_data: Dataset) -> None:
    wide, narrow = (
        done.tables["outcomes"] for done in own_rule.compared(small_data, passes=5, seeds=1)
    )
    assert [*wide["label"]] == ["adam", "nadam"] or [*wide["label"]] == ["nadam", "adam"]
    (nadam,) = wide[wide["label"] == "nadam"]
    (in_four_bytes,) = narrow
    assert nadam["loss"] < 1.5
    assert in_four_bytes["loss"] == pytest.approx(nadam["loss"], abs=0.1)
    assert nadam["state_bytes_per_weight"] == pytest.approx(8, abs=0.01)
    assert in_four_bytes["state_bytes_per_weight"] == pytest.approx(2, abs=0.01)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise ImportError

    monkeypatch.setattr(gdmethods, "step_bytes", missing)
    assert own_rule.step_on("v5e") == (
        'its compiler is missing; pip install "gdmethods[accelerators]"'
    )


@pytest.mark.proof
def test_the_program(
    small_data: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(own_rule, "load", lambda: small_data)
    own_rule.main(["--passes", "1", "--seeds", "1"])
    lines = capsys.readouterr().out.splitlines()
    begun = [line.partition(":")[0] for line in lines]
    assert begun[:6] == [
        "state in float32",
        "state in bfloat16",
        "state in 8 bits",
        "largest difference from NumPy",
        "v5e",
        "h100",
    ]
    adam, nadam, four = (
        begun.index(f"{label}, state of {state} bytes")
        for label, state in (("adam", 8), ("nadam", 8), ("in_four_bytes", 2))
    )
    assert {adam, nadam} == {6, 7}
    assert lines[8].startswith("On zeiler, ")
    assert lines[four + 1].startswith(
        "On zeiler in bfloat16, in_four_bytes ends with an error of "
    )
    assert max(map(len, lines)) <= 80
