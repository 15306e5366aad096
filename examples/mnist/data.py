"""MNIST and similar data sets: images and labels from the four IDX files of one folder.

IDX is big-endian: two zero bytes, a type byte (8 for uint8), the number of dimensions, each
dimension as uint32, and then the data, row-major. Fashion-MNIST and KMNIST come in the same
four files under the same names. A file may be plain or compressed, as .gz or .xz.
"""

import argparse
import gzip
import lzma
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

SHIPPED = Path(__file__).parent / "data"

_OPENERS: dict[str, Callable[..., IO[Any]]] = {"": open, ".gz": gzip.open, ".xz": lzma.open}
_UINT8 = 8


class DataError(Exception):
    """A file of the data set is missing, or is not what it should be."""


class Examples(NamedTuple):
    """Images, (n, pixels) in [0, 1], float32; and their labels, (n,), int32."""

    images: jax.Array
    labels: jax.Array


class Dataset(NamedTuple):
    """Two sets of images, each `shape` (height, width) before they were flattened."""

    name: str
    train: Examples
    test: Examples
    shape: tuple[int, int]

    @property
    def classes(self) -> int:
        return int(self.train.labels.max()) + 1


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        type=Path,
        default=SHIPPED,
        help="the four files of another data set in MNIST's format, such as Fashion-MNIST, plain, "
        ".gz or .xz (MNIST comes with this example)",
    )


def load(directory: Path = SHIPPED) -> Dataset:
    """Read and check a whole data set; a `DataError` names the faulty file."""
    train, shape = _examples(directory, "train")
    test, test_shape = _examples(directory, "t10k")
    name = "MNIST" if directory == SHIPPED else directory.resolve().name
    dataset = Dataset(name, train, test, shape)
    if shape != test_shape:
        raise DataError(
            f"The training images of {directory} have {' × '.join(map(str, shape))} pixels, the "
            f"test images {' × '.join(map(str, test_shape))}. Put the four files of one data set "
            "there."
        )
    if test.labels.max() >= dataset.classes:
        raise DataError(
            f"{_find(directory, 't10k-labels-idx1-ubyte')} has the label {test.labels.max()}, "
            f"the training labels end at {dataset.classes - 1}. Put the four files of one data "
            "set there."
        )
    return dataset


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of an IDX file of uint8 with that many dimensions."""
    try:
        with _OPENERS[path.suffix](path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Fetch it again.") from error
    magic = bytes([0, 0, _UINT8, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"{path} begins with the bytes {content[:4].hex(' ') or '(none)'}; an IDX file of "
            f"uint8 in {dimensions} dimensions with {magic.hex(' ')}. Put the right file there."
        )
    start = len(magic) + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path} ends within its header. Fetch it again.")
    shape = struct.unpack(f">{dimensions}I", content[len(magic) : start])
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} holds {len(content) - start} bytes of data; its header announces "
            f"{' × '.join(map(str, shape))} = {math.prod(shape)}. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _examples(directory: Path, split: str) -> tuple[Examples, tuple[int, int]]:
    images_path = _find(directory, f"{split}-images-idx3-ubyte")
    labels_path = _find(directory, f"{split}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, but {labels_path} holds {len(labels)} "
            "labels. Put the two files of one data set there."
        )
    if not images.size:
        raise DataError(f"{images_path} holds no images. Put a file with some there.")
    pixels = jnp.asarray(images.reshape(len(images), -1), jnp.float32)
    _, height, width = images.shape
    return Examples(pixels / 255, jnp.asarray(labels, jnp.int32)), (height, width)


def _find(directory: Path, stem: str) -> Path:
    for suffix in _OPENERS:
        path = directory / (stem + suffix)
        if path.is_file():
            return path
    raise DataError(
        f"{directory / stem} is missing (.gz and .xz would do as well). Point --data at a "
        "folder with the four IDX files of a data set: train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte."
    )
