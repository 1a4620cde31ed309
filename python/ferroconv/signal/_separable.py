"""scipy.signal.sepfir2d."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorTypeError
from ferroconv._docs import fill

__all__ = ["sepfir2d"]


@fill
def sepfir2d(
    input: npt.ArrayLike,
    hrow: npt.ArrayLike,
    hcol: npt.ArrayLike,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Convolve the rows of an image with one window and its columns with another, as scipy.signal.sepfir2d.

    ``out[y, x] = sum of hcol[i] * hrow[j] * input[y + kh // 2 - i, x + kw // 2 - j]``, where the image is continued
    by reflection about its edges: ``b a | a b c d | d c``.

    Parameters
    ----------
    input : array_like
        An image: two axes.
    hrow, hcol : array_like
        The windows along rows and along columns: one axis, an odd number of taps.
    %(workers)s

    Returns
    -------
    ndarray
        ``float32`` for images of ``float32``, ``float16``, booleans and integers of one or two bytes, ``complex64``
        for ``complex64``, else ``float64`` or ``complex128``.

    Raises
    ------
    ValueError
        For arrays of other shapes, and for windows of even length.
    TypeError
        For windows that the image's precision can't hold.
    NotImplementedError
        For complex long double.

    Notes
    -----
    SciPy's documentation calls the continuation mirror-symmetric; its function reflects about the edges, not about
    the outermost samples. Windows longer than the image, for which it reads outside of it, are right here.

    Examples
    --------
    >>> from ferroconv.signal import sepfir2d
    >>> sepfir2d([[1.0, 2.0, 4.0]], [1.0, 2.0, 1.0], [1.0])
    array([[ 5.,  9., 14.]])
    """
    image = np.asarray(input)
    if image.ndim != 2:
        raise ValueError(f"input must be an image of two axes. Received: {image.ndim} axes.")
    dtype = _precision(image.dtype)
    rows, cols = _window(hrow, "hrow", dtype), _window(hcol, "hcol", dtype)
    if rows.size % 2 == 0 or cols.size % 2 == 0:
        raise ValueError(f"hrow and hcol must be odd length. Received: {rows.size} and {cols.size} taps.")
    along = _pass(image, rows[None], dtype, workers)
    return _pass(along, cols[:, None], dtype, workers)


def _pass(image: npt.NDArray[Any], taps: npt.NDArray[Any], dtype: np.dtype[Any], workers: int | None) -> Any:
    return _core.correlate(
        image, taps, (0, 1), "signal", True, False, "same", "symm", 0, (0, 0), (1, 1), (1, 1), dtype, None, workers
    )


def _precision(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which SciPy's loop runs: the first of its own to which the image's casts safely."""
    if dtype.char == "G":
        raise NotImplementedError(f"float64 and complex128 are the widest dtypes supported. Received: {dtype}.")
    for own in (np.float32, np.float64, np.complex64, np.complex128):
        if np.can_cast(dtype, own) or (dtype.kind in "iu" and own is np.float64):
            return np.dtype(own)
    raise MirrorTypeError(f"input must be an image of numbers. Received: dtype {dtype}.")


def _window(taps: Any, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if isinstance(taps, np.ndarray) and not np.can_cast(taps.dtype, dtype):
        raise TypeError(f"{name} must cast safely to the image's {dtype}; cast it first. Received: {taps.dtype}.")
    if np.iscomplexobj(taps) and dtype.kind != "c":
        raise TypeError(f"{name} must be real for a real image. Received: {taps!r}.")
    window = np.asarray(taps, dtype)
    if window.ndim != 1:
        raise ValueError(f"{name} must have one axis. Received: {window.ndim}.")
    return window
