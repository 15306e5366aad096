"""t-SNE against the paper's formulas in NumPy float64, and against scikit-learn."""

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.image
import numpy as np
import pytest
import sklearn
from numpy.typing import NDArray

from examples import tsne
from examples.mnist.data import Dataset

Array = NDArray[np.float64]
IMAGES = 120


class Run(NamedTuple):
    printed: list[str]
    scikit_learn: Any


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def random_p(n: int) -> Array:
    p = np.random.default_rng(1).random((n, n)) ** 8
    p = p + p.T
    np.fill_diagonal(p, 0)
    return p / p.sum()


def random_y(n: int) -> Array:
    return np.random.default_rng(2).normal(size=(n, 2))


def q_of(y: Array) -> Array:
    """qᵢⱼ = (1 + |yᵢ − yⱼ|²)⁻¹ / Σₖₗ (1 + |yₖ − yₗ|²)⁻¹ over k ≠ l."""
    n = len(y)
    q = np.array(
        [
            [0 if i == j else 1 / (1 + ((y[i] - y[j]) ** 2).sum()) for j in range(n)]
            for i in range(n)
        ]
    )
    return q / q.sum()


def gradient_of(p: Array, y: Array) -> Array:
    """4 Σⱼ (pᵢⱼ − qᵢⱼ) (yᵢ − yⱼ) (1 + |yᵢ − yⱼ|²)⁻¹, term by term."""
    n, q, total = len(y), q_of(y), np.zeros_like(y)
    for i in range(n):
        for j in range(n):
            apart = y[i] - y[j]
            total[i] += 4 * (p[i, j] - q[i, j]) * apart / (1 + (apart**2).sum())
    return total


def test_rows_have_the_perplexity() -> None:
    """2 to the entropy in bits, of Gaussians: log p falls along a line of the squared distance."""
    x = np.random.default_rng(0).normal(size=(60, 5)) * np.geomspace(1, 50, 60)[:, None]
    conditional = tsne.conditional_probabilities(jnp.asarray(x, jnp.float32), 12.0)
    for i, row in enumerate(np.asarray(conditional, np.float64)):
        assert row[i] == 0
        likely = row > 1e-6
        bits = -(row[likely] * np.log2(row[likely])).sum()
        assert 2**bits == pytest.approx(12, rel=1e-3)
        squares = ((x[likely] - x[i]) ** 2).sum(axis=1)
        line = np.polynomial.Polynomial.fit(squares, np.log(row[likely]), 1)
        assert line.convert().coef[1] < 0
        np.testing.assert_allclose(line(squares), np.log(row[likely]), atol=1e-2)


def test_joint_probabilities_are_symmetric_and_sum_to_one() -> None:
    x = jax.random.normal(jax.random.key(0), (50, 3))
    p = np.asarray(tsne.joint_probabilities(x, 5.0))
    conditional = np.asarray(tsne.conditional_probabilities(x, 5.0))
    assert p.sum() == pytest.approx(1)
    np.testing.assert_array_equal(p, p.T)
    assert p[3, 7] == pytest.approx((conditional[3, 7] + conditional[7, 3]) / 100)


@pytest.mark.usefixtures("float64")
def test_gradient_is_the_papers() -> None:
    """Of an exaggerated p too, which does not sum to 1."""
    p, y = random_p(12), random_y(12)
    for exaggeration in (1, 12):
        np.testing.assert_allclose(
            tsne.gradient(jnp.asarray(exaggeration * p), jnp.asarray(y)),
            gradient_of(exaggeration * p, y),
            rtol=1e-10,
            atol=1e-15,
        )


@pytest.mark.usefixtures("float64")
def test_gradient_is_that_of_the_divergence() -> None:
    """By central differences."""
    p, y, step = jnp.asarray(random_p(8)), jnp.asarray(random_y(8)), 1e-5
    differences = np.zeros(y.shape)
    for index in np.ndindex(*y.shape):
        ahead = tsne.kl_divergence(p, y.at[index].add(step))
        behind = tsne.kl_divergence(p, y.at[index].add(-step))
        differences[index] = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(tsne.gradient(p, y), differences, rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_steps_are_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the change of momentum and exaggeration, down to gains at their limit.

    The change comes at step 20: after 250 steps the last bit of the start has grown to everything.
    """
    monkeypatch.setattr(tsne, "EARLY_STEPS", 20)
    n = 30
    p, y = random_p(n), 1e-2 * random_y(n)
    start, gain, velocity = y, np.ones_like(y), np.zeros_like(y)
    lowest = 1.0
    for t in range(60):
        g = gradient_of((12 if t < 20 else 1) * p, y)
        gain = np.where(g * velocity < 0, gain + 0.2, np.maximum(0.8 * gain, 0.01))
        velocity = (0.5 if t < 20 else 0.8) * velocity - 50 * gain * g
        y = y + velocity
        lowest = min(lowest, gain.min())
    done: list[int] = []
    tx = tsne.with_gains(n)
    ours = tsne.embed(jnp.asarray(p), jnp.asarray(start), tx, steps=60, done=done.append)
    np.testing.assert_allclose(ours, y, atol=1e-5 * np.abs(y).max())
    assert lowest == 0.01
    assert done == [50, 10]


def test_the_change_comes_at_step_250() -> None:
    momentum = tsne.early_and_late(0.5, 0.8)
    assert [float(momentum(t)) for t in (0, 249, 250, 999)] == pytest.approx([0.5, 0.5, 0.8, 0.8])


@pytest.mark.parametrize(("n", "expected"), [(1500, 50.0), (4800, 100.0)])
def test_learning_rate(n: int, expected: float) -> None:
    assert tsne.learning_rate(n) == pytest.approx(expected)


def test_turned_finds_a_rotation_and_a_reflection() -> None:
    y = jnp.asarray(random_y(20), jnp.float32)
    for moved in (y @ jnp.array([[0.6, 0.8], [-0.8, 0.6]]), y * jnp.array([[-1.0, 1.0]])):
        np.testing.assert_allclose(tsne.turned(moved, to=y), y, atol=1e-5)


@pytest.fixture(scope="module")
def run(small_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The program on few images."""
    fitted: list[Any] = []
    printed = io.StringIO()

    class Recorded(tsne.TSNE):  # type: ignore[misc]
        def fit_transform(self, X: Any) -> Any:
            fitted.append(self)
            return super().fit_transform(X)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(tsne, "load", lambda: small_data)
        patch.setattr(tsne, "DIGITS", IMAGES)
        patch.setattr(tsne, "TSNE", Recorded)
        tsne.main(["--out", str(tmp_path_factory.mktemp("tsne") / "new")])
    (scikit_learn,) = fitted
    return Run(printed.getvalue().splitlines(), scikit_learn)


@pytest.mark.proof
def test_the_divergence_is_the_one_that_scikit_learn_finds(run: Run) -> None:
    """Of its embedding, by its own p."""
    printed = re.fullmatch(
        rf"scikit-learn {sklearn.__version__}: KL\(P‖Q\) = (.+) after 1000 steps, .+ s",
        run.printed[2],
    )
    assert printed is not None
    assert float(printed[1]) == pytest.approx(run.scikit_learn.kl_divergence_, abs=1e-3)
    assert run.scikit_learn.n_iter_ == 999  # the last step's number


@pytest.mark.proof
def test_the_divergence_is_no_more_than_scikit_learns(run: Run, small_data: Dataset) -> None:
    """The least of sixteen starts, since one ends up to a tenth above or below another."""
    p = tsne.joint_probabilities(small_data.train.images[:IMAGES], tsne.PERPLEXITY)
    starts = 1e-2 * jax.random.normal(jax.random.key(1), (16, IMAGES, 2))
    tx = tsne.with_gains(IMAGES)
    least = min(float(tsne.kl_divergence(p, tsne.embed(p, start, tx))) for start in starts)
    assert least < 1.05 * run.scikit_learn.kl_divergence_


@pytest.mark.proof
def test_gains_that_stay_at_one_are_measured_too(run: Run) -> None:
    assert [line.partition(":")[0] for line in run.printed[:2]] == [
        "gdmethods",
        "gdmethods without gains",
    ]
    assert run.printed[0].split(":")[1] != run.printed[1].split(":")[1]


@pytest.mark.proof
def test_draws_both(run: Run) -> None:
    """Every digit's colour in either half of the picture."""
    picture = matplotlib.image.imread(run.printed[-1])[..., :3]
    for half in np.array_split(picture, 2, axis=1):
        for color in matplotlib.color_sequences["tab10"]:
            assert np.isclose(half, color, atol=1 / 255).all(axis=-1).any()
