"""The paths are those of plain loops, the rate is the grid's best, and the pictures show them."""

from pathlib import Path

import numpy as np
import pytest
from pictures import colors_in
from PIL import Image

import gdmethods
from examples import ravine
from gdmethods.study.styles import STYLES

PICTURES = Path(ravine.__file__).parent / "pictures"
COLORS = {style[0] for style in STYLES.values()}
RATES = [10 ** (i / 8 - 4) for i in range(57)]
UNMOVED, TURNED, BENT = ravine.VALLEYS


class Turned:
    """(0.01 u² + v²) / 2, with u at 30° to the first axis and v across."""

    along, across = np.array([[3**0.5, 1], [-1, 3**0.5]]) / 2
    start = -2 * along + 0.5 * across

    def loss(self, w):
        return (0.01 * (w @ self.along) ** 2 + (w @ self.across) ** 2) / 2

    def gradient(self, w):
        return 0.01 * (w @ self.along) * self.along + (w @ self.across) * self.across


class Bent:
    """(1 − x)² + 100 (y − x²)²."""

    start = np.array([-1.2, 1.0])

    def loss(self, w):
        x, y = np.moveaxis(w, -1, 0)
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def gradient(self, w):
        x, y = w
        return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


def adagrad(gradient, w, rate):
    s = np.zeros(2)
    for _ in range(200):
        g = gradient(w)
        s += g**2
        w = w - rate * g / (np.sqrt(s) + 1e-10)
        yield w


def nesterov(gradient, w, rate):
    """The weights themselves, with the gradients of the points ahead of them."""
    velocity = np.zeros(2)
    for _ in range(200):
        velocity = 0.9 * velocity - rate * gradient(w + 0.9 * velocity)
        w = w + velocity
        yield w


def score(losses):
    """Whether they climb, the steps until the last above a hundredth, and the loss in the end."""
    above = [t for t, loss in enumerate(losses) if not loss <= losses[0] / 100]
    return not max(losses) <= losses[0], above[-1], losses[-1]


@pytest.mark.parametrize("method", [adagrad, nesterov])
@pytest.mark.parametrize(("valley", "oracle"), [(TURNED, Turned()), (BENT, Bent())])
def test_the_descent_is_the_best_of_plain_loops(method, valley, oracle):
    with np.errstate(over="ignore", invalid="ignore"):
        paths = np.array(
            [[oracle.start, *method(oracle.gradient, oracle.start, rate)] for rate in RATES]
        )
        losses = oracle.loss(paths)
    scores = [score(of_rate) for of_rate in losses.tolist()]
    best = min(range(57), key=scores.__getitem__)

    descent = ravine.best(getattr(gdmethods, method.__name__), valley)
    assert descent.rate == pytest.approx(RATES[best])
    assert descent.steps == scores[best][1] + 1
    np.testing.assert_allclose(descent.weights, paths[best], atol=2e-3)
    np.testing.assert_allclose(descent.losses, losses[best], rtol=0.02, atol=1e-6)
    if (method, valley) == (adagrad, BENT):  # so that it tells whether climbing counts
        assert min(scores, key=lambda score: score[1:]) != scores[best]


def test_the_numbers_of_the_readme():
    """A turn is nothing to one rate, and much to a rate for each weight."""
    sgd, adagrad = (
        [ravine.best(alias, valley) for valley in (UNMOVED, TURNED)]
        for alias in (gdmethods.sgd, gdmethods.adagrad)
    )
    assert [descent.steps for descent in sgd + adagrad] == [74, 74, 4, 79]
    np.testing.assert_allclose(sgd[0].losses, sgd[1].losses, rtol=0.01)


def frames(animation):
    with Image.open(animation) as image:
        return image.n_frames


@pytest.mark.proof
def test_the_program_shows_what_it_finds(tmp_path, capsys, monkeypatch):
    """Of invented paths, side by side: to find the true ones takes longer."""

    def best(alias, valley):
        i = [*STYLES].index(alias.__name__)
        x, y = valley.corner
        weights = np.stack(
            [np.linspace(x + 0.2, x + 2.8, 201), np.full(201, y + 0.15 * i)], axis=1
        )
        losses = np.geomspace(1, 0.5**i, 201)
        return ravine.Descent(rate=0.01 * i, weights=weights, losses=losses, steps=25 * i)

    monkeypatch.setattr(ravine, "best", best)
    monkeypatch.setattr(ravine, "FRAMES", (0, 1, 50, 200))
    out = tmp_path / "new" / "results"
    ravine.main(["--out", str(out)])

    assert colors_in(out / "ravine.png", COLORS) == COLORS
    assert frames(out / "ravine.gif") == 4
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines.count(["momentum", "0.01", "25", "5.0e-01"]) == 3
    assert lines.count(["adam", "0.08", "200", "3.9e-03"]) == 3
    for valley in ravine.VALLEYS:
        assert valley.name.split() in lines
    assert [str(out / "ravine.png")] in lines
    assert [str(out / "ravine.gif")] in lines


def test_the_gallery_has_all_methods_and_all_frames():
    assert colors_in(PICTURES / "ravine.png", COLORS) == COLORS
    assert frames(PICTURES / "ravine.gif") == len(ravine.FRAMES) == 20 + 46
