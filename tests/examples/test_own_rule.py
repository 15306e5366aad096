"""The example's rule, and what the program says of it."""

import jax.numpy as jnp
import pytest

import gdmethods
from examples import own_rule
from examples.mnist.data import Dataset


def test_the_rule_is_that_of_the_paper() -> None:
    assert own_rule.difference_from_numpy() < 1e-13


@pytest.mark.proof
def test_it_trains_in_4_bytes_as_in_12(small_data: Dataset) -> None:
    wide = own_rule.cost(own_rule.nadam(1e-3), jnp.float32, small_data, 5, 0)
    narrow = own_rule.cost(own_rule.in_four_bytes(1e-3), jnp.bfloat16, small_data, 5, 0)
    assert wide < 1.5
    assert narrow == pytest.approx(wide, abs=0.1)


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
    assert [line.partition(":")[0] for line in lines] == [
        "state in float32",
        "state in bfloat16",
        "state in 8 bits",
        "largest difference from NumPy",
        "v5e",
        "h100",
        *own_rule.RUNS,
    ]
    assert max(map(len, lines)) <= 80
