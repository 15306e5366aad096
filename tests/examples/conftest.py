"""A small slice of MNIST, written as the four IDX files of a data set."""

import struct
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.typing import NDArray

from examples.mnist.data import SHIPPED, Dataset, load, read_idx

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_networks() -> Iterator[None]:
    """Those of several files are too many to keep."""
    yield
    jax.clear_caches()


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="session")
def slice_contents() -> dict[str, bytes]:
    """The content of each file: 1,050 training and 200 test images."""
    arrays = {name: read_idx(SHIPPED / f"{name}.xz", 3 if "idx3" in name else 1) for name in FILES}
    return {
        name: idx(array[: 1050 if name.startswith("train") else 200])
        for name, array in arrays.items()
    }


def write_slice(contents: dict[str, bytes], directory: Path) -> Path:
    directory.mkdir()
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def slice_directory(slice_contents: dict[str, bytes], tmp_path: Path) -> Path:
    """A directory of its own for each test, to break files in."""
    return write_slice(slice_contents, tmp_path / "slice")


@pytest.fixture(scope="session")
def small_data(
    slice_contents: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    return load(write_slice(slice_contents, tmp_path_factory.mktemp("data") / "slice"))
