"""scipy.ndimage's means of sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._lazy import deferred, is_lazy
from ferroconv.ndimage._windows import along, rectangle

__all__ = ["uniform_filter", "uniform_filter1d"]

PARAGRAPHS["mirror_modes"] = """mode : str or sequence of str, optional
    How the image goes on past its edges, for all axes or one for each, in scipy.ndimage's names:

%(ndimage_modes)s

cval : scalar, optional
    The value of ``k`` above."""

PARAGRAPHS["mirror_axes"] = """axes : tuple of int, optional
    The axes of `input` that are filtered; by default all. Sequences have an entry for each of them."""


@fill
def uniform_filter(
    input: npt.ArrayLike,
    size: int | Sequence[int] = 3,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Mean of a rectangular window, as scipy.ndimage.uniform_filter.

    ``out[y, x] = mean of input[y + i - kh // 2 - oy, x + j - kw // 2 - ox]`` over ``i < kh, j < kw``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    size : int or sequence of int, optional
        The window's sizes.
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
    ValueError, RuntimeError
        For arguments that SciPy refuses, and for sizes below 1.
    NotImplementedError
        For a signed image into a uint64 array, and for an integer image into a bool one or under a fractional
        `cval`.

    Notes
    -----
    Integer results are SciPy's exactly: the mean along each axis in turn, truncated towards zero after each.
    Floating-point results are within ``c n eps mean|x|`` of SciPy's. A NaN stays in the windows that
    hold it; SciPy's running sums carry it to the end of the line.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import uniform_filter
    >>> uniform_filter(np.array([[0.0, 0, 0], [0, 9, 0], [0, 0, 0]]))
    array([[1., 1., 1.],
           [1., 1., 1.],
           [1., 1., 1.]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(uniform_filter, locals())
    return rectangle("mean", input, size, output, mode, cval, origin, axes, workers)


@fill
def uniform_filter1d(
    input: npt.ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Mean of a window along one axis, as scipy.ndimage.uniform_filter1d.

    ``out[x] = mean of input[x + j - k // 2 - origin]`` over ``j < k``.

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
    ValueError, RuntimeError
        For arguments that SciPy refuses.
    NotImplementedError
        For a signed image into a uint64 array, and for an integer image into a bool one or under a fractional
        `cval`.

    Notes
    -----
    Numbers and NaN are those of `uniform_filter`.

    Examples
    --------
    >>> from ferroconv.ndimage import uniform_filter1d
    >>> uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(uniform_filter1d, locals())
    return along("mean", input, size, axis, output, mode, cval, origin, workers)
