"""The IDX reader: what it reads, and what it says about files that it cannot."""

import gzip
import hashlib
import lzma
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from examples.mnist.data import SHIPPED, DataError, Dataset, load, read_idx

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def test_shipped_files_are_mnist_as_published() -> None:
    published = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
    for name, digest in published.items():
        content = lzma.decompress((SHIPPED / f"{name}.xz").read_bytes())
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest


def test_shipped_data_loads() -> None:
    data = load()
    assert data.train.images.shape == (60_000, 784)
    assert data.test.images.shape == (10_000, 784)
    assert data.classes == 10
    assert data.train.images.dtype == np.float32
    assert data.train.labels.dtype == np.int32
    assert (data.train.images.min(), data.train.images.max()) == (0, 1)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_images_keep_their_order_and_scale(slice_directory: Path) -> None:
    pixels = read_idx(slice_directory / IMAGES, 3)
    images = load(slice_directory).train.images
    np.testing.assert_allclose(images[7].reshape(28, 28) * 255, pixels[7], rtol=1e-6)


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_files_read_alike(
    suffix: str,
    compress: Callable[[bytes], bytes],
    slice_directory: Path,
    small_data: Dataset,
) -> None:
    for path in list(slice_directory.iterdir()):
        path.with_name(path.name + suffix).write_bytes(compress(path.read_bytes()))
        path.unlink()
    again = load(slice_directory)
    np.testing.assert_array_equal(again.train.images, small_data.train.images)
    np.testing.assert_array_equal(again.test.labels, small_data.test.labels)


def _ends_early(content: bytes) -> bytes:
    return content[:-1]


def _goes_on(content: bytes) -> bytes:
    return content + b"\0"


def _ends_in_header(content: bytes) -> bytes:
    return content[:10]


def _is_empty(content: bytes) -> bytes:
    return b""


def _holds_floats(content: bytes) -> bytes:
    return content[:2] + b"\x0d" + content[3:]


def _has_one_dimension(content: bytes) -> bytes:
    return content[:3] + b"\x01" + content[4:]


def _is_no_idx(content: bytes) -> bytes:
    return b"<!DOCTYPE html>"


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (_ends_early, "holds 823199 bytes of data; its header announces 1050 × 28 × 28 = 823200"),
        (_goes_on, "holds 823201 bytes of data"),
        (_ends_in_header, "ends within its header"),
        (_is_empty, "begins with the bytes (none)"),
        (_holds_floats, "begins with the bytes 00 00 0d 03"),
        (_has_one_dimension, "begins with the bytes 00 00 08 01"),
        (_is_no_idx, "an IDX file of uint8 in 3 dimensions with 00 00 08 03"),
    ],
)
def test_broken_file_is_named(
    broken: Callable[[bytes], bytes], complaint: str, slice_directory: Path
) -> None:
    path = slice_directory / IMAGES
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(DataError, match=re.escape(complaint)) as error:
        load(slice_directory)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_damaged_compressed_file_is_named(
    suffix: str, compress: Callable[[bytes], bytes], damage: str, slice_directory: Path
) -> None:
    plain = slice_directory / IMAGES
    content = compress(plain.read_bytes())
    middle = len(content) // 2
    path = plain.with_name(IMAGES + suffix)
    path.write_bytes(
        content[:middle] if damage == "truncated" else content[:middle] + bytes(middle)
    )
    plain.unlink()
    with pytest.raises(DataError, match="cannot be read") as error:
        load(slice_directory)
    assert str(path) in str(error.value)


def test_missing_file_is_named(slice_directory: Path) -> None:
    (slice_directory / LABELS).unlink()
    with pytest.raises(DataError, match=r"is missing .* --data") as error:
        load(slice_directory)
    assert str(slice_directory / LABELS) in str(error.value)


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load(tmp_path / "nowhere")


def _write_labels(path: Path, labels: list[int]) -> None:
    path.write_bytes(struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + bytes(labels))


def test_more_images_than_labels_names_both_files(slice_directory: Path) -> None:
    _write_labels(slice_directory / LABELS, [0, 1, 2])
    with pytest.raises(DataError, match="holds 1050 images") as error:
        load(slice_directory)
    assert IMAGES in str(error.value)
    assert f"{slice_directory / LABELS} holds 3 labels" in str(error.value)


def test_empty_set_is_named(slice_directory: Path) -> None:
    (slice_directory / IMAGES).write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 0, 28, 28))
    _write_labels(slice_directory / LABELS, [])
    with pytest.raises(DataError, match=f"{IMAGES} holds no images"):
        load(slice_directory)


def test_test_label_unknown_in_training_is_named(slice_directory: Path) -> None:
    _write_labels(slice_directory / "t10k-labels-idx1-ubyte", [12] * 200)
    with pytest.raises(DataError, match="has the label 12, the training labels end at 9"):
        load(slice_directory)


def test_sets_of_different_image_sizes_are_refused(slice_directory: Path) -> None:
    pixels = bytes(200 * 10 * 10)
    (slice_directory / "t10k-images-idx3-ubyte").write_bytes(
        struct.pack(">4B3I", 0, 0, 8, 3, 200, 10, 10) + pixels
    )
    with pytest.raises(DataError, match="have 28 × 28 pixels, the test images 10 × 10"):
        load(slice_directory)
