"""What a picture shows: the pixels of its curves' colours."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np


def colors_in(picture: Path, colors: Iterable[str]) -> set[str]:
    """Those of the colours that it has pixels of."""
    pixels = np.unique(matplotlib.image.imread(picture)[..., :3].reshape(-1, 3), axis=0)
    return {
        color
        for color in colors
        if np.isclose(pixels, matplotlib.colors.to_rgb(color), atol=1 / 255).all(axis=1).any()
    }
