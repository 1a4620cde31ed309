"""Files that are read and written in boxes: ``.npy`` and TIFF.

A file is written under a name of its own, with calls that report a full disk (a memory map would end the
process), and has its real name only when it is whole.
"""

from __future__ import annotations

import itertools
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._extras import needed
from ferroconv._halo import Box

TILE = 512
"""Rows and columns of a TIFF file's tiles."""

SAMPLES = 4
"""Components of a pixel of a TIFF file, at most: red, green, blue and another."""

TIFF = (".tif", ".tiff", ".btf", ".tf8")
NPY = (".npy",)


def kind(path: Path) -> str:
    """``"tiff"`` or ``"npy"``."""
    for name, suffixes in (("tiff", TIFF), ("npy", NPY)):
        if path.suffix.lower() in suffixes:
            return name
    raise ValueError(
        f"a path must end in {', '.join(TIFF + NPY)}; for other formats open the file and pass the array. "
        f"Received: {str(path)!r}."
    )


@contextmanager
def source(given: Any) -> Iterator[Any]:
    """An array that reads boxes of a file; what is no path is one already."""
    if not isinstance(given, (str, os.PathLike)):
        yield given
        return
    path = Path(given)
    if kind(path) == "npy":
        yield np.load(path, mmap_mode="r", allow_pickle=False)
        return
    with needed("tifffile").TiffFile(path) as file:
        series = file.series[0]
        if series.dataoffset is not None:
            dtype = series.dtype.newbyteorder(file.byteorder)
            yield np.memmap(path, dtype, "r", series.dataoffset, series.shape)
            return
        store = series.aszarr(level=0)
        try:
            yield needed("zarr").open(store, mode="r")
        finally:
            store.close()


class Target(ABC):
    """An unfinished file. Parts of it lie at places that are known from the start."""

    chunks: tuple[int, ...] | None = None
    """What boxes should be multiples of."""

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self.path, self.shape, self.dtype = path, tuple(shape), dtype
        self._file = -1

    @abstractmethod
    def create(self) -> None:
        """Make the file, and have the disk set aside what it needs."""

    @abstractmethod
    def places(self, box: Box, part: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Contiguous pieces of a box with their offsets in the file."""

    def open(self, *, anew: bool) -> None:
        """Open the file, made anew or as it is."""
        if anew:
            self.create()
        self._file = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        if anew and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, 0, max(os.fstat(self._file).st_size, 1))

    def write(self, box: Box, part: npt.NDArray[Any]) -> None:
        """Write a box."""
        for offset, piece in self.places(box, np.ascontiguousarray(part, self.dtype)):
            data = np.ascontiguousarray(piece).data.cast("B")
            os.lseek(self._file, offset, os.SEEK_SET)
            while data:
                data = data[os.write(self._file, data) :]

    def close(self, *, whole: Path | None = None) -> None:
        """Close the file; one that is whole has its name now."""
        if self._file >= 0:
            if whole is not None:
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1
        if whole is not None:
            self.path.replace(whole)


class NpyTarget(Target):
    """A ``.npy`` file in C order."""

    def create(self) -> None:
        """Write the header, and let the file have its length."""
        with self.path.open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_2_0(file, header)
            file.truncate(file.tell() + math.prod(self.shape) * self.dtype.itemsize)

    def open(self, *, anew: bool) -> None:
        """Open the file, made anew or as it is."""
        super().open(anew=anew)
        self._start = os.fstat(self._file).st_size - math.prod(self.shape) * self.dtype.itemsize

    def places(self, box: Box, part: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Rows, or as many axes as the box has whole."""
        whole = len(box)
        while whole > 0 and box[whole - 1] == (0, self.shape[whole - 1]):
            whole -= 1
        outer = max(whole - 1, 0)
        strides = [math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize for axis in range(len(box))]
        first = self._start + sum(start * stride for (start, _), stride in zip(box, strides, strict=True))
        for place in np.ndindex(part.shape[:outer]):
            yield first + sum(i * stride for i, stride in zip(place, strides, strict=False)), part[place]


class TiffTarget(Target):
    """A BigTIFF file of uncompressed tiles: rows and columns, pages of them, or pixels of a few components."""

    def __init__(self, path: Path, shape: Sequence[int], dtype: np.dtype[Any], tile: Sequence[int] | None) -> None:
        super().__init__(path, shape, dtype.newbyteorder("<"))
        colours = len(self.shape) == 3 and self.shape[2] in (3, SAMPLES)
        if len(self.shape) not in (2, 3) or 0 in self.shape or dtype.kind not in "iufc":
            raise ValueError(
                "a TIFF file has two or three axes, none of them empty, of numbers: write a .npy file, or to a zarr "
                f"array. Received: shape {self.shape}, {dtype}."
            )
        self._rows = 0 if colours or len(self.shape) == 2 else 1
        wanted = (TILE, TILE) if tile is None else tuple(tile[self._rows : self._rows + 2])
        limits = self.shape[self._rows : self._rows + 2]
        self._tile = [
            math.gcd(side, TILE) if side < limit else TILE for side, limit in zip(wanted, limits, strict=True)
        ]
        if any(side % 16 for side in self._tile):
            raise ValueError(f"tiles of a TIFF file have multiples of 16 rows and columns. Received: tile={tile!r}.")
        self.chunks = tuple(([1] * self._rows) + self._tile + ([self.shape[2]] if colours else []))

    def create(self) -> None:
        """Write the file with all its tiles empty."""
        tifffile = needed("tifffile")
        with tifffile.TiffWriter(self.path, bigtiff=True, byteorder="<") as file:
            photometric = "rgb" if len(self.shape) == 3 and self._rows == 0 else "minisblack"
            file.write(
                None, shape=self.shape, dtype=self.dtype, tile=self._tile, photometric=photometric, metadata=None
            )

    def open(self, *, anew: bool) -> None:
        """Open the file, made anew or as it is."""
        super().open(anew=anew)
        with needed("tifffile").TiffFile(self.path) as file:
            self._offsets = [page.dataoffsets for page in file.pages]
        self._across = -(-self.shape[self._rows + 1] // self._tile[1])

    def places(self, box: Box, part: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The file's tiles; what lies beyond the image is zero."""
        rows, cols = box[self._rows : self._rows + 2]
        pages = range(*box[0]) if self._rows else [0]
        high, wide = self._tile
        starts = itertools.product(range(*rows, high), range(*cols, wide))
        for page, (y, x) in itertools.product(pages, list(starts)):
            source = part[page - box[0][0]] if self._rows else part
            piece = source[y - rows[0] : y - rows[0] + high, x - cols[0] : x - cols[0] + wide]
            if piece.shape[:2] != (high, wide):
                beyond = [(0, high - piece.shape[0]), (0, wide - piece.shape[1]), *([(0, 0)] * (piece.ndim - 2))]
                piece = np.pad(piece, beyond)
            yield self._offsets[page][y // high * self._across + x // wide], piece


def new_target(whole: Path, shape: Sequence[int], dtype: np.dtype[Any], tile: Sequence[int] | None) -> Target:
    """An unfinished file beside the place where the whole one will be."""
    path = whole.with_name(whole.name + ".partial")
    if kind(whole) == "npy":
        return NpyTarget(path, shape, dtype)
    return TiffTarget(path, shape, dtype, tile)
