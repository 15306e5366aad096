"""The curves are those of plain loops, and the picture and the table show them."""

from pathlib import Path

import numpy as np
import pytest
from oracles.schedules import sutskever_momentum
from pictures import colors_in

from examples import schedules

PICTURE = Path(schedules.__file__).parent / "pictures" / "schedules.png"
COLORS = set(schedules.COLORS.values())
MOMENTA = {
    "0.5": lambda t: 0.5,
    "0.9": lambda t: 0.9,
    "0.99": lambda t: 0.99,
    "schedule": lambda t: sutskever_momentum(t, period=50),
}


def costs(momentum):
    curvatures = 10 ** (np.arange(41) / 10 - 4)
    w, velocity = np.ones(41), np.zeros(41)
    for t in range(3000):
        velocity = momentum(t) * velocity - curvatures * w
        w = w + velocity
        yield curvatures @ w**2 / sum(curvatures)


@pytest.mark.proof
def test_the_program_shows_the_costs_of_plain_loops(tmp_path, capsys):
    out = tmp_path / "new" / "results"
    schedules.main(["--out", str(out)])
    assert colors_in(out / "schedules.png", COLORS) == COLORS
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["From", "step", "45", "to", "448", "the", "schedule", "is", "behind", "0.9."] in rows
    assert [str(out / "schedules.png")] in rows
    for name, momentum in MOMENTA.items():
        expected = list(costs(momentum))
        (printed,) = [row[1:] for row in rows if row[:1] == [name]]
        for step, cost in zip((10, 100, 1000, 3000), printed, strict=True):
            assert float(cost) == pytest.approx(expected[step - 1], rel=0.1)


def test_the_numbers_of_the_readme():
    """The schedule is behind 0.9 for a while, and never behind the others."""
    courses = {name: schedules.costs(mu) for name, mu in schedules.MOMENTA.items()}
    schedule = courses.pop("schedule")
    steps = {name: np.flatnonzero(schedule > 1.001 * other) + 1 for name, other in courses.items()}
    assert (steps["0.9"][0], steps["0.9"][-1]) == (45, 448)
    assert not any(steps[name].size for name in ("0.5", "0.99"))


@pytest.mark.parametrize("name", ["0.5", "0.9", "0.99"])
def test_the_speed_tends_to_its_limit(name):
    """(1 − μᵗ) / (1 − μ) steps of plain descent."""
    mu, t = float(name), np.arange(1, 3001)
    expected = (1 - mu**t) / (1 - mu)
    speeds = schedules.speeds(schedules.MOMENTA[name])
    np.testing.assert_allclose(speeds, expected, rtol=1e-4)
    assert speeds[-1] == pytest.approx(1 / (1 - mu), rel=1e-4)


def test_the_gallery_has_all_curves():
    assert colors_in(PICTURE, COLORS) == COLORS
