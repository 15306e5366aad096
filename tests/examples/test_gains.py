"""The map of the gains: where they end, by arithmetic and by a game of tosses."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from examples import gains
from examples.mnist.data import Dataset


@pytest.mark.proof
def test_gains_shrink_where_no_light_falls(small_data: Dataset) -> None:
    """A gradient of 0 agrees with nothing, so that 0.95ᵗ is left after t steps."""
    lit = (np.asarray(small_data.train.images) > 0).mean(axis=0)
    last = gains.first_layer_gains(small_data, passes=1, batch_size=100)
    assert last.shape == (784, 500)
    assert (lit == 0).sum() > 100
    np.testing.assert_allclose(last[lit == 0], 0.95**10, rtol=1e-5)
    assert not np.isclose(last[lit > 0.1], 0.95**10, rtol=1e-5).all(axis=1).any()


@pytest.mark.parametrize("lit", [0.0, 0.003, 0.01, 0.5])
def test_the_curve_is_where_tossed_gains_settle(lit: float) -> None:
    """The mean of 20,000 gains after 500 tosses each."""
    rng = np.random.default_rng(0)
    gain = np.ones(20_000)
    for _ in range(500):
        seen = rng.random(gain.shape) < 1 - (1 - lit) ** 20
        agrees = seen & (rng.random(gain.shape) < 0.5)
        gain = np.where(agrees, gain + 0.05, 0.95 * gain)
    assert gains.of_tosses(lit, 20) == pytest.approx(max(gain.mean(), 0.1), rel=0.02)


@pytest.mark.proof
def test_draws_the_gains_and_prints_their_shares(
    small_data: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gains, "load", lambda: small_data)
    monkeypatch.setattr(gains, "PASSES", 5)  # 50 steps; the lower limit is 45 away
    draw, drawn = gains.draw, []
    monkeypatch.setattr(gains, "draw", lambda *all_: (drawn.append(all_[0]), draw(*all_)))
    gains.main(["--out", str(tmp_path / "new" / "results")])

    (last,) = drawn
    black = ~np.asarray(small_data.train.images).any(axis=0)
    np.testing.assert_allclose(last[black], 0.1, rtol=1e-6)
    *passes, shares, path = capsys.readouterr().out.splitlines()
    assert len(passes) == 6
    assert shares == (
        f"{np.isclose(last, 0.1).mean():.1%} of the gains are at the lower limit of 0.1, 0.0% at "
        f"the upper of 10; the median is {np.median(last):.2f}"
    )
    assert path == str(tmp_path / "new" / "results" / "gains.png")
    picture = matplotlib.image.imread(path)
    assert (picture[..., :3] != picture[..., :1]).any(axis=-1).mean() > 0.05  # coloured
