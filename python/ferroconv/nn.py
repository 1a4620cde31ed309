"""Pooling on arrays, in the layouts of neural networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import pair
from ferroconv._docs import PARAGRAPHS, fill

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "max_pool2d",
]

DataFormat = Literal["channels_last", "channels_first"]
Pair = int | Sequence[int]
Padding = str | Sequence[Sequence[int]]

PARAGRAPHS["pool_x"] = """x : array_like
    Images, four axes: ``(n, h, w, c)``, or ``(n, c, h, w)`` with ``data_format='channels_first'``. Any
    real dtype and any strides."""
PARAGRAPHS["pool_windows"] = """pool_size : int or pair of int, optional
    Rows and columns of a window.
strides : int or pair of int, optional
    Distance between windows; by default `pool_size`.
padding : {'valid', 'same'} or ((top, bottom), (left, right)), optional
    Samples added outside the image, at most half a window. 'same' is TensorFlow's: ``ceil(h / stride)``
    windows, the odd sample below and to the right.
dilation_rate : int or pair of int, optional
    Distance between a window's samples.
ceil_mode : bool, optional
    Keep a last window that hangs over the end, as torch does.
%(data_format)s"""
PARAGRAPHS["data_format"] = """data_format : {'channels_last', 'channels_first'}, optional
    The order of `x`'s axes and of the result's."""
PARAGRAPHS["pool_rest"] = """out : ndarray, optional
    Where the result is written: of its shape and dtype, apart from `x`.
%(workers)s"""
PARAGRAPHS["pool_raises"] = """Raises
------
ValueError
    For windows that do not fit, unknown names, or an `out` that does not fit.
TypeError
    For complex images, and for means of booleans."""
PARAGRAPHS[
    "max_notes"
] = """A NaN in a window is its maximum, as in torch; TensorFlow on CPU drops it. Of equal samples the first
in reading order has the index."""


@fill
def max_pool2d(
    x: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Pair = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    return_indices: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> Any:
    """Take the largest sample of each window.

    ``out[n, y, x, c] = max over i, j of x[n, y * sh + i * dh - top, x * sw + j * dw - left, c]``.

    Parameters
    ----------
    %(pool_x)s
    %(pool_windows)s
    return_indices : bool, optional
        Also return where each maximum is.
    %(pool_rest)s

    Returns
    -------
    ndarray
        The maxima, of `x`'s dtype.
    ndarray of int64
        Their positions ``i * w + j`` in the image without its padding, with `return_indices`.

    %(pool_raises)s

    Notes
    -----
    %(max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.nn import max_pool2d
    >>> max_pool2d(np.arange(16).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5,  7],
           [13, 15]])
    """
    windows = _windows(pool_size, strides, dilation_rate, padding, ceil_mode)
    return _max(x, windows, (0, 0), data_format, return_indices, out, workers)


@fill
def avg_pool2d(
    x: npt.ArrayLike,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: Pair = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    count_include_pad: bool = False,
    divisor_override: int | None = None,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Take the mean of each window.

    ``out[n, y, x, c] = sum over i, j of x[n, y * sh + i * dh - top, x * sw + j * dw - left, c] / count``.

    Parameters
    ----------
    %(pool_x)s
    %(pool_windows)s
    count_include_pad : bool, optional
        Count the samples of the padding, which are 0; by default only those of the image.
    divisor_override : int, optional
        Divide by this instead of the count.
    %(pool_rest)s

    Returns
    -------
    ndarray
        The means, of `x`'s dtype; those of integers are rounded half to even.

    %(pool_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.nn import avg_pool2d
    >>> avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    windows = _windows(pool_size, strides, dilation_rate, padding, ceil_mode)
    return _core.pool(x, "mean", windows, (0, 0), _last(data_format), count_include_pad, divisor_override, out, workers)


@fill
def adaptive_max_pool2d(
    x: npt.ArrayLike,
    output_size: Pair,
    *,
    data_format: DataFormat = "channels_last",
    return_indices: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> Any:
    """Take the largest sample of each of `output_size` windows that share the image evenly.

    Window ``o`` of ``m`` over ``n`` samples is ``floor(o * n / m) .. ceil((o + 1) * n / m)``.

    Parameters
    ----------
    %(pool_x)s
    output_size : int or pair of int
        Rows and columns of the result.
    %(data_format)s
    return_indices : bool, optional
        Also return where each maximum is.
    %(pool_rest)s

    Returns
    -------
    ndarray
        The maxima, of `x`'s dtype.
    ndarray of int64
        Their positions ``i * w + j``, with `return_indices`.

    %(pool_raises)s

    Notes
    -----
    %(max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.nn import adaptive_max_pool2d
    >>> adaptive_max_pool2d(np.arange(25).reshape(1, 5, 5, 1), 2)[0, :, :, 0]
    array([[12, 14],
           [22, 24]])
    """
    return _max(x, None, pair(output_size, "output_size"), data_format, return_indices, out, workers)


@fill
def adaptive_avg_pool2d(
    x: npt.ArrayLike,
    output_size: Pair,
    *,
    data_format: DataFormat = "channels_last",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Take the mean of each of `output_size` windows that share the image evenly.

    Window ``o`` of ``m`` over ``n`` samples is ``floor(o * n / m) .. ceil((o + 1) * n / m)``.

    Parameters
    ----------
    %(pool_x)s
    output_size : int or pair of int
        Rows and columns of the result.
    %(data_format)s
    %(pool_rest)s

    Returns
    -------
    ndarray
        The means, of `x`'s dtype; those of integers are rounded half to even.

    %(pool_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.nn import adaptive_avg_pool2d
    >>> adaptive_avg_pool2d(np.arange(25.0).reshape(1, 5, 5, 1), 2)[0, :, :, 0]
    array([[ 6.,  8.],
           [16., 18.]])
    """
    size = pair(output_size, "output_size")
    return _core.pool(x, "mean", None, size, _last(data_format), False, None, out, workers)


@fill
def global_max_pool2d(
    x: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    keepdims: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Take the largest sample of each channel of each image.

    Parameters
    ----------
    %(pool_x)s
    %(data_format)s
    keepdims : bool, optional
        Keep the axes of rows and columns, with length 1.
    %(pool_rest)s

    Returns
    -------
    ndarray
        ``(n, c)``, of `x`'s dtype.

    %(pool_raises)s

    Notes
    -----
    %(max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.nn import global_max_pool2d
    >>> global_max_pool2d(np.arange(8).reshape(1, 2, 2, 2))
    array([[6, 7]])
    """
    return _global("max", x, data_format, keepdims, out, workers)


@fill
def global_avg_pool2d(
    x: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    keepdims: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Take the mean of each channel of each image.

    Parameters
    ----------
    %(pool_x)s
    %(data_format)s
    keepdims : bool, optional
        Keep the axes of rows and columns, with length 1.
    %(pool_rest)s

    Returns
    -------
    ndarray
        ``(n, c)``, of `x`'s dtype; means of integers are rounded half to even.

    %(pool_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.nn import global_avg_pool2d
    >>> global_avg_pool2d(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 4.]])
    """
    return _global("mean", x, data_format, keepdims, out, workers)


def _last(data_format: str) -> bool:
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first'. Received: {data_format!r}.")
    return data_format == "channels_last"


def _windows(pool_size: Any, strides: Any, dilation: Any, padding: Any, ceil_mode: bool) -> tuple[Any, ...]:
    size = pair(pool_size, "pool_size")
    steps = size if strides is None else pair(strides, "strides")
    if not isinstance(padding, str):
        try:
            (top, bottom), (left, right) = padding
            padding = ((int(top), int(bottom)), (int(left), int(right)))
        except (TypeError, ValueError):
            raise ValueError(
                f"padding must be 'valid', 'same' or ((top, bottom), (left, right)). Received: {padding!r}."
            ) from None
    return size, steps, pair(dilation, "dilation_rate"), padding, bool(ceil_mode)


def _max(
    x: Any, windows: Any, size: tuple[int, int], data_format: str, return_indices: bool, out: Any,
    workers: int | None,
) -> Any:  # fmt: skip
    last = _last(data_format)
    x = np.asarray(x)
    largest = _core.pool(x, "max", windows, size, last, False, None, out, workers)
    if not return_indices:
        return largest
    return largest, _core.pool(x, "index", windows, size, last, False, None, None, workers)


def _global(name: str, x: Any, data_format: str, keepdims: bool, out: Any, workers: int | None) -> npt.NDArray[Any]:
    last = _last(data_format)
    axes = (1, 2) if last else (2, 3)
    target = out if out is None or keepdims or not isinstance(out, np.ndarray) else np.expand_dims(out, axes)
    result = _core.pool(x, name, None, (1, 1), last, False, None, target, workers)
    if keepdims:
        return result
    return out if out is not None else result.squeeze(axes)
