"""The data of `ferroconv lenet`: images in grey and the class of each, by a name or a path."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Part = tuple[Array, Array]
"""Images as uint8 or as float32 between 0 and 1, and their labels."""

SIDE = 28
"""Rows and columns that LeNet's lesson works on: MNIST's."""

WHAT = (
    "'digits' (1,797 that scikit-learn brings), 'mnist' (downloaded by Keras), an .npz file with x_train, y_train, "
    "x_test and y_test (or x and y: the last fifth tests), or a folder of MNIST's IDX files, .gz or not"
)


class DataError(ValueError):
    """The data can't be had, or are not what they should be."""


@dataclass(frozen=True)
class Data:
    """Images of shape (n, rows, columns, 1) between 0 and 1, and their labels, in two parts."""

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array

    @property
    def classes(self) -> int:
        """How many labels there are: ten, or more if the data say so."""
        return max(10, 1 + int(max(self.y_train.max(), self.y_test.max())))

    def sized(self, side: int) -> Data:
        """The same with images of `side` x `side`: black added around smaller ones."""
        return Data(self.name, _padded(self.x_train, side), self.y_train, _padded(self.x_test, side), self.y_test)

    def limited(self, count: int | None) -> Data:
        """The first `count` images of each part."""
        return Data(self.name, *(one[:count] for one in (self.x_train, self.y_train, self.x_test, self.y_test)))


def _padded(images: Array, side: int) -> Array:
    rows, columns = (side - size for size in images.shape[1:3])
    if rows < 0 or columns < 0:
        raise DataError(f"Images must be at most {side}x{side}. Received: {images.shape[1]}x{images.shape[2]}.")
    widths = ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
    return np.pad(images, widths) if rows or columns else images


def load(source: str) -> Data:
    """Read the data of a name or a path."""
    path = Path(source)
    if source == "digits":
        parts = _scikit_learn()
    elif source == "mnist":
        parts = _keras()
    elif path.is_dir():
        parts = _idx_folder(path)
    elif path.suffix == ".npz":
        parts = _npz(path)
    else:
        raise DataError(f"DATA must be {WHAT}. Received: {source!r}, which is none of them.")
    (x_train, y_train), (x_test, y_test) = (_checked(part, source) for part in parts)
    return Data(source if source in ("digits", "mnist") else path.name, x_train, y_train, x_test, y_test)


def _checked(part: Part, source: str) -> Part:
    images, labels = np.asarray(part[0]), np.asarray(part[1]).reshape(-1)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] != 1 or len(images) != len(labels) or not len(labels):
        raise DataError(
            f"Images must be grey and have a label each. Received: {source} with images of shape {images.shape} and "
            f"{len(labels)} labels."
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(f"Labels must be whole numbers from 0. Received: {source} with labels of {labels.dtype}.")
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255, labels.astype(np.int64)
    images = images.astype(np.float32)
    if not (images.min() >= 0 and images.max() <= 1):
        raise DataError(
            f"Images must be uint8, or between 0 and 1. Received: {source} with values from {images.min():g} to "
            f"{images.max():g}."
        )
    return images, labels.astype(np.int64)


def _scikit_learn() -> Sequence[Part]:
    """The 1,797 digits of 8x8, divided by 16 and enlarged: the first four fifths of a fixed shuffle train."""
    from PIL import Image
    from sklearn.datasets import load_digits

    small, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images = np.stack(
        [
            np.asarray(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
            for one in (small[order].reshape(-1, 8, 8) / 16).astype(np.float32)
        ]
    )
    return _split(np.clip(images, 0, 1), labels[order])


def _split(images: Array, labels: Array) -> Sequence[Part]:
    train = len(labels) * 4 // 5
    return (images[:train], labels[:train]), (images[train:], labels[train:])


def _keras() -> Sequence[Part]:
    import keras

    try:
        parts: Sequence[Part] = keras.datasets.mnist.load_data()
    except Exception as error:
        raise DataError(
            "MNIST could not be downloaded. Without a network, give a folder of its IDX files or an .npz file, or the "
            f"digits that need none: 'digits'. Keras says: {error}"
        ) from error
    return parts


def _npz(path: Path) -> Sequence[Part]:
    if not path.is_file():
        raise DataError(f"DATA must be {WHAT}. Received: {str(path)!r}, which is no file.")
    try:
        with np.load(path) as file:
            held = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read as .npz: {error}") from error
    if {"x_train", "y_train", "x_test", "y_test"} <= held.keys():
        return (held["x_train"], held["y_train"]), (held["x_test"], held["y_test"])
    if {"x", "y"} <= held.keys():
        return _split(held["x"], held["y"])
    raise DataError(f"{path} must hold x_train, y_train, x_test and y_test, or x and y. Received: {sorted(held)}.")


def _idx_folder(folder: Path) -> Sequence[Part]:
    """MNIST's four files, whose names are spelled with hyphens or dots."""
    return [
        (_idx(_found(folder, part, "images-idx3"), 3), _idx(_found(folder, part, "labels-idx1"), 1))
        for part in ("train", "t10k")
    ]


def _found(folder: Path, part: str, kind: str) -> Path:
    names = [
        f"{part}-{spelling}-ubyte{end}" for spelling in (kind, kind.replace("-idx", ".idx")) for end in ("", ".gz")
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"A folder of IDX files must hold {names[0]} (or .gz). Received: {folder}, which does not.")


def _idx(path: Path, dimensions: int) -> Array:
    """Read an IDX file of bytes: a number of dimensions, the sizes as big-endian integers, the samples."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read: {error}") from error
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{path} must be an IDX file of bytes with {dimensions} dimension(s). Its head is another.")
    shape = np.frombuffer(content, ">i4", dimensions, 4).tolist()
    samples = np.frombuffer(content, np.uint8, offset=head)
    if samples.size != np.prod(shape):
        raise DataError(f"{path} must hold {shape} samples, as its head says. Received: {samples.size}.")
    return samples.reshape(shape)


def picture(path: Path, side: int) -> tuple[Array, bool]:
    """Read an image file as a digit of `side` x `side`, white on black; whether it was dark on light and inverted."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            grey = file.convert("L")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} can't be read as an image: {error}") from error
    edge = np.asarray(grey)
    inverted = bool(np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]]).mean() > 127)
    if inverted:
        grey = grey.point(lambda value: 255 - value)
    longest = max(grey.size)
    square = Image.new("L", (longest, longest))
    square.paste(grey, ((longest - grey.width) // 2, (longest - grey.height) // 2))
    inner = min(side, SIDE)
    small = np.asarray(square.resize((inner, inner), Image.Resampling.BILINEAR), np.float32) / 255
    return _padded(small[None, ..., None], side), inverted
