"""scipy.ndimage's morphology of grey images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import MirrorError, per_axis
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._lazy import deferred, is_lazy
from ferroconv.ndimage._arguments import read_axes
from ferroconv.ndimage._extrema import extreme
from ferroconv.ndimage._windows import whole

__all__ = ["grey_closing", "grey_dilation", "grey_erosion", "grey_opening"]

PARAGRAPHS["mirror_morphology"] = """input : array_like
    The image, of any number of axes.
size : int or sequence of int, optional
    The sizes of a flat rectangular window. Ignored, with a warning, where there is a footprint.
footprint : array_like of bool, optional
    A flat window of any shape: where it is true.
structure : array_like, optional
    What is subtracted from samples of an erosion and added to those of a dilation; it is the window,
    unless there is a footprint too.
%(mirror_output)s
%(mirror_modes)s
origin : int or sequence of int, optional
    Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2`` on each axis; that of a dilation turns with it.
%(mirror_axes)s
%(workers)s"""

PARAGRAPHS["mirror_morphology_rest"] = """Returns
-------
ndarray
    The filtered image, of the dtype of `input` unless `output` says otherwise.

Raises
------
ValueError, RuntimeError, TypeError
    For arguments that SciPy refuses, and for sizes below 1.

Notes
-----
%(mirror_extreme_notes)s Under a structure, sums are SciPy's: the first tap's in ``float64``, the others in
the image's dtype, where the structure is truncated and integers wrap."""


def _erode(
    input: Any, size: Any, footprint: Any, structure: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    if size is None and footprint is None and structure is None:
        raise ValueError("a window is needed: pass size, footprint or structure. Received: none of them.")
    return extreme(False, input, size, footprint, structure, output, mode, cval, origin, axes, workers)


def _dilate(
    input: Any, size: Any, footprint: Any, structure: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    if size is None and footprint is None and structure is None:
        raise ValueError("a window is needed: pass size, footprint or structure. Received: none of them.")
    image = np.asarray(input)
    structure = None if structure is None else np.flip(structure)
    footprint = None if footprint is None else np.flip(footprint)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    window = footprint if footprint is not None else structure
    sizes = [whole(n) for n in per_axis(size, len(over), "size", MirrorError)] if window is None else list(window.shape)
    # The window is turned by half a turn, and with it the centre of an even one.
    shifts = per_axis(origin, len(over), "origin", MirrorError)
    origins = [-o - (1 - n % 2) for o, n in zip(shifts, sizes, strict=False)]
    return extreme(True, image, size, footprint, structure, output, mode, cval, origins, axes, workers)


def _warn(size: Any, footprint: Any) -> None:
    if size is not None and footprint is not None:
        warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=3)


@fill
def grey_erosion(
    input: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    footprint: npt.ArrayLike | None = None,
    structure: npt.ArrayLike | None = None,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Erosion of a grey image, as scipy.ndimage.grey_erosion.

    ``out[p] = min of input[p + t] - structure[t]`` over the window's taps ``t``.

    Parameters
    ----------
    %(mirror_morphology)s

    %(mirror_morphology_rest)s

    Examples
    --------
    >>> from ferroconv.ndimage import grey_erosion
    >>> grey_erosion([0, 0, 7, 7, 7, 0, 0, 7, 0], size=3)
    array([0, 0, 0, 7, 0, 0, 0, 0, 0])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(grey_erosion, locals())
    return _erode(input, size, footprint, structure, output, mode, cval, origin, axes, workers)


@fill
def grey_dilation(
    input: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    footprint: npt.ArrayLike | None = None,
    structure: npt.ArrayLike | None = None,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Dilation of a grey image, as scipy.ndimage.grey_dilation.

    ``out[p] = max of input[p - t] + structure[t]`` over the window's taps ``t``.

    Parameters
    ----------
    %(mirror_morphology)s

    %(mirror_morphology_rest)s

    Examples
    --------
    >>> from ferroconv.ndimage import grey_dilation
    >>> grey_dilation([0, 0, 7, 7, 7, 0, 0, 7, 0], size=3)
    array([0, 7, 7, 7, 7, 7, 7, 7, 7])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(grey_dilation, locals())
    return _dilate(input, size, footprint, structure, output, mode, cval, origin, axes, workers)


@fill
def grey_opening(
    input: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    footprint: npt.ArrayLike | None = None,
    structure: npt.ArrayLike | None = None,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Opening of a grey image, as scipy.ndimage.grey_opening.

    A dilation of an erosion: bright parts that don't hold the window vanish.

    Parameters
    ----------
    %(mirror_morphology)s

    %(mirror_morphology_rest)s

    Examples
    --------
    >>> from ferroconv.ndimage import grey_opening
    >>> grey_opening([0, 0, 7, 7, 7, 0, 0, 7, 0], size=3)
    array([0, 0, 7, 7, 7, 0, 0, 0, 0])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(grey_opening, locals())
    _warn(size, footprint)
    between = _erode(input, size, footprint, structure, None, mode, cval, origin, axes, workers)
    return _dilate(between, size, footprint, structure, output, mode, cval, origin, axes, workers)


@fill
def grey_closing(
    input: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    footprint: npt.ArrayLike | None = None,
    structure: npt.ArrayLike | None = None,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Closing of a grey image, as scipy.ndimage.grey_closing.

    An erosion of a dilation: dark parts that don't hold the window vanish.

    Parameters
    ----------
    %(mirror_morphology)s

    %(mirror_morphology_rest)s

    Examples
    --------
    >>> from ferroconv.ndimage import grey_closing
    >>> grey_closing([0, 0, 7, 7, 7, 0, 0, 7, 0], size=3)
    array([0, 0, 7, 7, 7, 7, 7, 7, 7])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(grey_closing, locals())
    _warn(size, footprint)
    between = _dilate(input, size, footprint, structure, None, mode, cval, origin, axes, workers)
    return _erode(between, size, footprint, structure, output, mode, cval, origin, axes, workers)
