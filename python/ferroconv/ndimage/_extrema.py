"""scipy.ndimage's least and greatest samples of sliding windows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import MirrorError
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._lazy import deferred, is_lazy
from ferroconv.ndimage._windows import along, rectangle
from ferroconv.ndimage._windows import footprint as any_window

__all__ = ["maximum_filter", "maximum_filter1d", "minimum_filter", "minimum_filter1d"]

PARAGRAPHS["mirror_size_footprint"] = """size : int or sequence of int, optional
    The sizes of a rectangular window. Ignored, with a warning, where there is a footprint.
footprint : array_like of bool, optional
    A window of any shape: where it is true."""

PARAGRAPHS[
    "mirror_extreme_notes"
] = """Results are SciPy's exactly. A NaN is the result of every window that holds one; SciPy's comparisons
let some of them fall. 64-bit integers are compared as such, not as ``float64``."""


def extreme(
    maximum: bool, input: npt.ArrayLike, size: Any, footprint: Any, structure: Any, output: Any, mode: Any, cval: Any,
    origin: Any, axes: Any, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """SciPy's choice between a rectangle and a window of any shape."""
    if size is not None and footprint is not None:
        warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=3)
    taps = None if footprint is None else np.asarray(footprint, dtype=bool)
    if structure is None:
        if taps is not None and not taps.any():
            raise ValueError("a footprint must have one true element at least. Received: none.")
        if taps is None or taps.all():
            size = size if taps is None else taps.shape
            if size is None:
                raise MirrorError("a window is needed: pass size or footprint. Received: neither.")
            kind = "maximum" if maximum else "minimum"
            return rectangle(kind, input, size, output, mode, cval, origin, axes, workers)
        return any_window(maximum, np.asarray(input), taps, None, output, mode, cval, origin, axes, workers)
    added = np.asarray(structure, dtype=np.float64)
    taps = np.ones(added.shape, bool) if taps is None else taps
    if not taps.any():
        raise ValueError("a footprint must have one true element at least. Received: none.")
    return any_window(maximum, np.asarray(input), taps, added, output, mode, cval, origin, axes, workers)


@fill
def minimum_filter(
    input: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    footprint: npt.ArrayLike | None = None,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Least sample of a window, as scipy.ndimage.minimum_filter.

    ``out[y, x] = min of input[y + i - kh // 2 - oy, x + j - kw // 2 - ox]`` over ``i < kh, j < kw``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    %(mirror_size_footprint)s
    %(mirror_output)s
    %(mirror_modes)s
    origin : int or sequence of int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2`` on each axis.
    %(mirror_axes)s
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        For arguments that SciPy refuses, and for sizes below 1.
    NotImplementedError
        For a signed or floating-point image under a rectangle into a uint64 array.

    Notes
    -----
    %(mirror_extreme_notes)s

    Examples
    --------
    >>> from ferroconv.ndimage import minimum_filter
    >>> minimum_filter([[2, 8, 0], [4, 1, 9]], size=(1, 3))
    array([[2, 0, 0],
           [1, 1, 1]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(minimum_filter, locals())
    return extreme(False, input, size, footprint, None, output, mode, cval, origin, axes, workers)


@fill
def maximum_filter(
    input: npt.ArrayLike,
    size: int | Sequence[int] | None = None,
    footprint: npt.ArrayLike | None = None,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Greatest sample of a window, as scipy.ndimage.maximum_filter.

    ``out[y, x] = max of input[y + i - kh // 2 - oy, x + j - kw // 2 - ox]`` over ``i < kh, j < kw``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    %(mirror_size_footprint)s
    %(mirror_output)s
    %(mirror_modes)s
    origin : int or sequence of int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2`` on each axis.
    %(mirror_axes)s
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        For arguments that SciPy refuses, and for sizes below 1.
    NotImplementedError
        For a signed or floating-point image under a rectangle into a uint64 array.

    Notes
    -----
    %(mirror_extreme_notes)s

    Examples
    --------
    >>> from ferroconv.ndimage import maximum_filter
    >>> maximum_filter([[2, 8, 0], [4, 1, 9]], size=(1, 3))
    array([[8, 8, 8],
           [4, 9, 9]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(maximum_filter, locals())
    return extreme(True, input, size, footprint, None, output, mode, cval, origin, axes, workers)


@fill
def minimum_filter1d(
    input: npt.ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Least sample of a window along one axis, as scipy.ndimage.minimum_filter1d.

    ``out[x] = min of input[x + j - k // 2 - origin]`` over ``j < k``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    size : int
        The window's size.
    axis : int, optional
        The axis of `input` that is filtered.
    %(mirror_output)s
    %(mirror_mode)s
    origin : int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2``.
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        For arguments that SciPy refuses.
    NotImplementedError
        For a signed or floating-point image under a rectangle into a uint64 array.

    Notes
    -----
    %(mirror_extreme_notes)s

    Examples
    --------
    >>> from ferroconv.ndimage import minimum_filter1d
    >>> minimum_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([2, 0, 0, 0, 1, 1, 0, 0])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(minimum_filter1d, locals())
    return along("minimum", input, size, axis, output, mode, cval, origin, workers)


@fill
def maximum_filter1d(
    input: npt.ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Greatest sample of a window along one axis, as scipy.ndimage.maximum_filter1d.

    ``out[x] = max of input[x + j - k // 2 - origin]`` over ``j < k``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    size : int
        The window's size.
    axis : int, optional
        The axis of `input` that is filtered.
    %(mirror_output)s
    %(mirror_mode)s
    origin : int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2``.
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        For arguments that SciPy refuses.
    NotImplementedError
        For a signed or floating-point image under a rectangle into a uint64 array.

    Notes
    -----
    %(mirror_extreme_notes)s

    Examples
    --------
    >>> from ferroconv.ndimage import maximum_filter1d
    >>> maximum_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([8, 8, 8, 4, 9, 9, 9, 9])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(maximum_filter1d, locals())
    return along("maximum", input, size, axis, output, mode, cval, origin, workers)
