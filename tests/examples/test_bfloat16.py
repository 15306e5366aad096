"""bfloat16 weights on a slice of MNIST: every method learns as with float32 ones."""

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import colors_in

from examples import accumulators, bfloat16
from examples.bfloat16 import FORMATS, METHODS, REFERENCE, result
from examples.mnist.data import Dataset
from examples.mnist.roster import ROSTER
from examples.mnist.training import Measurement

TOLERANCE = 0.03  # of a cost that begins at 2.4, and ends below 0.5


def costs(name: str, format: str, data: Dataset, *, passes: int = 5, **settings: float) -> float:
    method = ROSTER[name]
    if settings:
        method = dataclasses.replace(method, settings=settings)
    of = result(method, FORMATS[format], data, passes=passes, seeds=[0], batch_size=25)
    return float(of.costs[0])


@pytest.fixture(scope="module")
def cost_of(small_data: Dataset) -> Callable[..., float]:
    """`costs` on the slice; a method is trained once in each format."""
    return functools.cache(functools.partial(costs, data=small_data))


@pytest.mark.proof
@pytest.mark.parametrize("format", [name for name in FORMATS if name != REFERENCE])
@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_reaches_the_cost_of_float32(
    name: str, format: str, cost_of: Callable[..., float]
) -> None:
    passes = 4 if METHODS[name].full_batch else 5
    float32 = cost_of(name, REFERENCE, passes=passes)
    assert float32 < 0.5
    assert cost_of(name, format, passes=passes) == pytest.approx(float32, abs=TOLERANCE)


@pytest.mark.proof
def test_rounded_to_the_nearest_no_step_is_taken_that_is_small(small_data: Dataset) -> None:
    """At a rate of 0.002 most are below half a unit in the last place of their weights."""
    end = {
        format: costs("sgd", format, small_data, learning_rate=0.002)
        for format in (REFERENCE, "master/float32", "stochastic/float32", "nearest/float32")
    }
    float32, master, stochastic, nearest = end.values()
    assert nearest > float32 + 3 * TOLERANCE
    assert master == pytest.approx(float32, abs=TOLERANCE / 3)
    assert stochastic == pytest.approx(float32, abs=TOLERANCE)


def test_differences_are_paired_by_seed() -> None:
    """Costs that differ by seed, and by 0.01 ± 0.001 from those of float32 at each."""
    float32, other = np.array([0.1, 0.5, 0.9]), np.array([0.109, 0.51, 0.911])
    assert bfloat16.beside(other, float32) == "+0.0100 ± 0.0006"
    assert bfloat16.beside(other[:1], float32[:1]) == "+0.0090"


@pytest.mark.proof
def test_the_program_shows_bytes_costs_and_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a training whose cost is 1 with float32 weights, and 1.5 with others; 1 more by seed.

    Momentum keeps nothing in 8 bits.
    """

    def train(tx, data, *, seed, param_dtype, **others):  # type: ignore[no-untyped-def]
        w = jnp.zeros(1000, param_dtype)
        state = (
            sum(leaf.nbytes for leaf in jax.tree.leaves(tx.init(w)) if leaf.size == 1000) / 1000
        )
        cost = (1.0 if param_dtype == jnp.float32 else 1.5) + seed
        yield Measurement(0, 9.0, 90.0, 0.0, 0.0, state)
        yield Measurement(1, cost, 5.0, 0.0, 0.0, state)

    monkeypatch.setattr(bfloat16, "train", train)
    bfloat16.main(["--methods", "adam,momentum", "--seeds", "2", "--out", str(tmp_path)])
    rows = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    second = cells.index(["Momentum"])
    adam, momentum = cells[:second], cells[second:]
    for table, sizes in (
        (adam, [12, 8, 6, 12, 8, 6, 10, 6, 4, 10]),
        (momentum, [8, 6, 8, 6, 6, 4, 6]),
    ):
        printed = {row[0]: row[1:] for row in table if row and row[0] in FORMATS}
        for (name, row), size in zip(printed.items(), sizes, strict=True):
            cost = "1.5000" if FORMATS[name].weights == jnp.float32 else "2.0000"
            beside = [] if name == REFERENCE else [f"+{float(cost) - 1.5:.4f} ± 0.0000"]
            assert row == [str(size), f"{cost} ± 0.5000", *beside, "5.00 ± 0.00"], name
    colors = {format.color for format in FORMATS.values()}
    assert colors_in(tmp_path / "bfloat16.png", colors) == colors


def test_formats_that_were_chosen_beside_float32(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(tx, data, *, seed, **others):  # type: ignore[no-untyped-def]
        yield Measurement(1, float(seed), 5.0, 0.0, 0.0, 8.0)

    monkeypatch.setattr(bfloat16, "train", train)
    options = ["--seeds", "2", "--first-seed", "7", "--out", str(tmp_path)]
    bfloat16.main(["--methods", "adam", "--formats", "stochastic/8bit", *options])
    printed = capsys.readouterr().out
    assert [name for name in FORMATS if name in printed] == [REFERENCE, "stochastic/8bit"]
    assert printed.count("7.5000 ± 0.5000") == 2


@pytest.mark.parametrize(
    "arguments", [["--methods", "sgd"], ["--passes", "0"], ["--formats", "float16"]]
)
def test_options_that_are_wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bfloat16.main(arguments)
    assert capsys.readouterr().err.startswith("python -m examples.bfloat16: ")


def test_accumulators_beside_float32() -> None:
    """AdaGrad's sum has stalled after 1,000 steps where it is rounded to the nearest."""
    make, watched, steps = accumulators.rows()["AdaGrad's sum, 1,000 steps"]
    nearest, stochastic = accumulators.ratios(make, watched, steps)
    assert nearest.mean() < 0.9
    assert abs(stochastic.mean() - 1) < 5 * stochastic.std() / np.sqrt(accumulators.WEIGHTS)


@pytest.mark.proof
@pytest.mark.parametrize("name", accumulators.rows())
def test_every_row_of_accumulators(name: str) -> None:
    """Unbiased within 5 standard errors, but for AMSGrad's largest, which gathers the noise."""
    _, stochastic = accumulators.ratios(*accumulators.rows()[name])
    assert stochastic.std() < 0.07
    if "largest" in name:
        assert 1 < stochastic.mean() < 1.1
    else:
        assert abs(stochastic.mean() - 1) < 5 * stochastic.std() / np.sqrt(accumulators.WEIGHTS)
