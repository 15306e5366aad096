"""bfloat16 weights on a slice of MNIST: every method learns as with float32 ones."""

import dataclasses

import pytest

from examples.bfloat16 import costs
from examples.mnist.data import Dataset
from examples.mnist.roster import ROSTER

TOLERANCE = 0.03  # of a cost that begins at 2.4, and ends below 0.5


@pytest.mark.proof
@pytest.mark.parametrize("name", ROSTER)
def test_bfloat16_weights_reach_the_cost_of_float32_ones(name: str, small_data: Dataset) -> None:
    method = ROSTER[name]
    size = len(small_data.train.labels)
    passes, batch_size = (20, size) if method.full_batch else (5, 25)
    row = costs(method, small_data, passes=passes, batch_size=batch_size)
    assert row.float32 < 0.5
    assert row.bfloat16 == pytest.approx(row.float32, abs=TOLERANCE)
    assert row.master == pytest.approx(row.float32, abs=TOLERANCE)


@pytest.mark.proof
def test_only_a_master_takes_steps_that_are_small(small_data: Dataset) -> None:
    """At a rate of 0.002 most steps are below half a unit in the last place of their weights."""
    method = dataclasses.replace(ROSTER["sgd"], settings={"learning_rate": 0.002})
    row = costs(method, small_data, passes=5, batch_size=25)
    assert row.bfloat16 > row.float32 + 3 * TOLERANCE
    assert row.master == pytest.approx(row.float32, abs=TOLERANCE / 3)
