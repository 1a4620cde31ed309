"""Images in files: one list of formats, reading, and writing that leaves no half-written file."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

QUALITY = 95
MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "P", "PA", "RGB", "RGBA")
"""Pillow's names of what has grey or red, green and blue, and alpha last; others (CMYK, Lab) are turned into RGB."""


class PictureError(Exception):
    """A file that can't be read or written, and why."""


@dataclass(frozen=True)
class Format:
    """A kind of file: what it holds, and who reads and writes it."""

    suffixes: tuple[str, ...]
    dtypes: tuple[str, ...]
    """NumPy's names of the dtypes that it holds; empty: any."""
    channels: tuple[int, ...]
    """How many channels it holds; empty: an array of any shape."""
    read: Callable[[Path], Array]
    write: Callable[[Path, Array, bool], None]
    """Writes an array to a new path; the flag says whether the last axis are channels."""

    @property
    def name(self) -> str:
        """As messages have it."""
        return self.suffixes[0]


def _need(module: str) -> Any:
    """A module of the extra [images]."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise PictureError(
            f"this needs {module.partition('.')[0]}, which is not installed. "
            'Install it with: pip install "ferroconv[images]"'
        ) from error


def _read_picture(path: Path) -> Array:
    iio = import_module("imageio.v3")
    if _deep(path):
        # Pillow would cut 16 bits down to 8.
        cv2 = _need("cv2")
        image = cv2.imread(os.fspath(path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise PictureError("OpenCV can't read this PNG of 16 bits and several channels.")
        return np.ascontiguousarray(_swapped(image))
    if iio.improps(path, plugin="pillow").n_images not in (None, 0, 1):
        raise PictureError("an animation; extract the frame first.")
    mode = iio.immeta(path, plugin="pillow", exclude_applied=False)["mode"]
    return np.asarray(iio.imread(path, plugin="pillow", rotate=True, mode=None if mode in MODES else "RGB"))


def _deep(path: Path) -> bool:
    """Whether a file is a PNG of 16 bits with more than one channel, by its header."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[24] == 16 and head[25] in (2, 4, 6)


def _swapped(image: Array) -> Array:
    """OpenCV's order of colours and ours, one from the other."""
    return image[..., [2, 1, 0, *range(3, image.shape[-1])]]


def _write_picture(path: Path, image: Array, channels: bool) -> None:
    if image.dtype == np.uint16 and channels:
        if image.shape[-1] < 3:
            raise PictureError("a PNG of 16 bits, grey and alpha, can't be written; write a .tif.")
        if not _need("cv2").imwrite(os.fspath(path), _swapped(image)):
            raise PictureError("OpenCV can't write this PNG.")
        return
    options = {"quality": QUALITY} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
    import_module("imageio.v3").imwrite(path, image, plugin="pillow", **options)


def _read_tiff(path: Path) -> Array:
    return np.asarray(_need("tifffile").imread(path))


def _write_tiff(path: Path, image: Array, channels: bool) -> None:
    colours = image.shape[-1] if channels else 1
    _need("tifffile").imwrite(
        path, image, photometric="rgb" if colours >= 3 else "minisblack",
        extrasamples=["unassalpha"] if colours in (2, 4) else None,
        **({"planarconfig": "contig"} if channels else {}),
    )  # fmt: skip


def _read_zarr(path: Path) -> Array:
    return np.asarray(_need("zarr").open_array(os.fspath(path), mode="r")[...])


def _write_zarr(path: Path, image: Array, channels: bool) -> None:
    _need("zarr").save_array(os.fspath(path), image)


def _write_npy(path: Path, image: Array, channels: bool) -> None:
    np.save(path, image, allow_pickle=False)


FORMATS = (
    Format((".png",), ("bool", "uint8", "uint16"), (1, 2, 3, 4), _read_picture, _write_picture),
    Format((".jpg", ".jpeg"), ("uint8",), (1, 3), _read_picture, _write_picture),
    Format((".webp",), ("uint8",), (3, 4), _read_picture, _write_picture),
    Format((".bmp",), ("uint8",), (1, 3), _read_picture, _write_picture),
    Format((".tif", ".tiff"), (), (), _read_tiff, _write_tiff),
    Format((".npy",), (), (), lambda path: np.asarray(np.load(path, allow_pickle=False)), _write_npy),
    Format((".zarr",), (), (), _read_zarr, _write_zarr),
)

BY_SUFFIX = {suffix: each for each in FORMATS for suffix in each.suffixes}


def format_of(path: Path) -> Format:
    """The format that a file's suffix names."""
    try:
        return BY_SUFFIX[path.suffix.lower()]
    except KeyError:
        raise PictureError(f"no format has the suffix {path.suffix!r}. Known: {' '.join(BY_SUFFIX)}.") from None


def read(path: Path) -> Array:
    """An image, of at least two axes."""
    form = format_of(path)
    if not path.exists():
        raise PictureError("there is no such file.")
    try:
        image = form.read(path)
    except (PictureError, MemoryError):
        raise
    except ModuleNotFoundError:
        raise
    except Exception as error:  # each library has errors of its own
        raise PictureError(f"can't be read as {form.name}: {_line(error)}") from error
    if image.ndim < 2 or image.size == 0 or image.dtype.kind not in "biufc":
        raise PictureError(f"an image has pixels and two axes at least. Received: {image.dtype} of {image.shape}.")
    return image


def check(path: Path, dtype: np.dtype[Any], shape: Sequence[int], channels: bool) -> None:
    """Refuse what a file's format does not hold."""
    form = format_of(path)
    count = shape[-1] if channels else 1
    if form.dtypes and dtype.name not in form.dtypes:
        raise PictureError(
            f"{form.name} holds {', '.join(form.dtypes)}. Received: {dtype}; pass --dtype, or write a .tif or .npy."
        )
    if form.channels and (len(shape) != 2 + channels or count not in form.channels):
        raise PictureError(
            f"{form.name} holds images of {' or '.join(map(str, form.channels))} channel(s). "
            f"Received: {'x'.join(map(str, shape))}; write a .tif or .npy."
        )


def write(path: Path, image: Array, channels: bool) -> None:
    """Write an image under a name of the moment in the same folder, then give it its own: never half a file."""
    form = format_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        form.write(partial, image, channels)
        if path.is_dir():  # a folder can't be replaced in one step
            old = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old)
        else:
            partial.replace(path)
    except (PictureError, MemoryError):
        raise
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise PictureError(f"can't be written as {form.name}: {_line(error)}") from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
