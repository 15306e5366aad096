"""A map of adaptive gains: how fast each weight of MNIST's first layer learns at the end.

    python -m examples.gains

trains the network of examples/mnist for two passes with Hinton's gains. It draws the gains of the
first layer over the 28 × 28 pixels, and against how often each pixel is lit.

A pixel that is black in all images of a minibatch gives its weights gradients of exactly 0. These
do not agree with anything, so the gains shrink by × 0.95, though nothing was learnt about the
weights. If a pixel is never lit, its gains reach the lower limit of 0.1 within 45 steps. That does
no harm, since there is no gradient to multiply. If a pixel is seldom lit, its gains reach the
limit too, and its rare gradients count a tenth; AdaGrad would make the most of them. All other
gains are what a coin toss would give: on minibatches of 100, signs agree about every other time,
and + 0.05 and × 0.95 balance at a gain of 1.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from examples.gallery import pictures
from examples.mnist.data import Dataset, load
from examples.mnist.roster import ROSTER
from examples.mnist.training import train
from gdmethods._programs.files import whole

PASSES = 2
BATCH_SIZE = 100
MIN_GAIN, MAX_GAIN = 0.1, 10.0
NEVER = 3e-6  # where an axis of shares on a log scale puts 0


def first_layer_gains(data: Dataset, *, passes: int, batch_size: int) -> NDArray[np.float32]:
    """The gains at the end of training: a row for each pixel, a column for each hidden unit."""
    opt_state: Any = None

    def keep(last: Any, params: Any) -> Any:
        nonlocal opt_state
        opt_state = last
        return params

    optimizer = ROSTER["adaptive_gains"].optimizer()
    for measured in train(
        optimizer, data, passes=passes, batch_size=batch_size, seed=0, eval_params=keep
    ):
        print(f"pass {measured.passes}: test error {measured.test_error_percent:.2f} %")
    return np.asarray(nnx.to_pure_dict(opt_state.gains)["hidden"][0]["kernel"])


def of_tosses(lit: ArrayLike, batch_size: int) -> NDArray[np.float64]:
    """The gain of a pixel that is lit in a share `lit` of the images, if a coin set the signs.

    A minibatch lights it with probability π = 1 − (1 − lit)ⁿ, and then the signs agree every
    other time. In balance 0.05 · π/2 = 0.05 · gain · (1 − π/2), so gain = π / (2 − π).
    """
    seen = 1 - (1 - np.asarray(lit, np.float64)) ** batch_size
    return np.maximum(seen / (2 - seen), MIN_GAIN)


def draw(gains: NDArray[np.float32], images: NDArray[np.float32], picture: Path) -> None:
    lit, mean_gain = (images > 0).mean(axis=0), np.exp(np.log(gains).mean(axis=1))
    figure = Figure(figsize=(9, 7.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"MNIST's first layer after {PASSES} passes in minibatches of {BATCH_SIZE}")
    grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.3))

    above = [figure.add_subplot(grid[0, column]) for column in range(3)]
    limits = LogNorm(MIN_GAIN, MAX_GAIN)
    _map(above[0], "mean image", images.mean(axis=0), cmap="gray_r")
    _map(above[1], f"mean gain of {gains.shape[1]} units", mean_gain, cmap="RdBu_r", norm=limits)
    drawn = _map(above[2], "gains of one unit", gains[:, 0], cmap="RdBu_r", norm=limits)
    bar = figure.colorbar(drawn, ax=above, label="gain", format="{x:g}")
    bar.set_ticks([0.1, 0.2, 0.5, 1, 2, 5, 10])
    bar.minorticks_off()

    below = figure.add_subplot(grid[1, :])
    x = np.maximum(lit, NEVER)
    low, high = np.quantile(gains, (0.05, 0.95), axis=1)
    below.vlines(x, low, high, color="0.85", label="gains of a pixel, 5 to 95 % of the units")
    below.scatter(x, mean_gain, s=12, color="#0072B2", zorder=2, label="their geometric mean")
    share = np.geomspace(1 / len(images), 1, 200)
    below.plot(share, of_tosses(share, BATCH_SIZE), color="#D55E00", label="by tossing a coin")
    below.axhline(1, color="0.6", linewidth=0.8)
    below.set(xscale="log", yscale="log", xlabel="images that light the pixel", ylabel="gain")
    below.set_xticks(
        [NEVER, 1e-4, 1e-3, 1e-2, 1e-1, 1], ["none", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"]
    )
    below.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    below.minorticks_off()
    below.legend(loc="upper left")
    with whole(picture) as file:
        figure.savefig(file, dpi=150)


def _map(axes: Axes, title: str, pixels: NDArray[np.float32], **colors: Any) -> AxesImage:
    side = math.isqrt(len(pixels))
    axes.set(title=title, xticks=[], yticks=[])
    return axes.imshow(pixels.reshape(side, side), **colors)


def main(arguments: Sequence[str] | None = None) -> None:
    (picture,) = pictures(
        arguments,
        "examples.gains",
        "The gains of MNIST's first layer, as a map.",
        "gains.png",
    )

    data = load()
    gains = first_layer_gains(data, passes=PASSES, batch_size=BATCH_SIZE)
    images = np.asarray(data.train.images)
    print(
        f"{np.mean(gains <= MIN_GAIN):.1%} of the gains are at the lower limit of {MIN_GAIN:g}, "
        f"{np.mean(gains >= MAX_GAIN):.1%} at the upper of {MAX_GAIN:g}; "
        f"the median is {np.median(gains):.2f}"
    )
    draw(gains, images, picture)
    print(picture)


if __name__ == "__main__":
    main()
