"""Pooling on arrays, in the layouts of neural networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import DataFormat, Padding, channels_first, pair
from ferroconv._docs import PARAGRAPHS, fill

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "max_pool2d",
]


PARAGRAPHS["pool_x"] = """x : array_like
    A batch of images: batch, rows, columns, channels, or with the channels second. Read-only, strided,
    unaligned or byte-swapped arrays are fine."""

PARAGRAPHS["pool_window"] = """pool_size : int or pair of int, optional
    Rows and columns of the window.
strides : int or pair of int, optional
    Distance between windows; by default `pool_size`.
padding : {'valid', 'same'} or pair of pair of int, optional
    None; TensorFlow's, which makes ``ceil(size / stride)`` results and puts the odd sample at the
    bottom and the right; or ``((top, bottom), (left, right))``, at most half the window. Nothing of
    the padding enters a result.
dilation_rate : int or pair of int, optional
    Distance between neighbouring taps.
ceil_mode : bool, optional
    Keep a last window that hangs over the end, if it begins inside the image or the padding before it.
%(data_format)s"""

PARAGRAPHS["pool_rest"] = """out : ndarray, optional
    Where the result is written: of its shape and dtype, apart from `x`.
%(workers)s"""

PARAGRAPHS["pool_indices"] = """return_indices : bool, optional
    Also return where each maximum stands."""

PARAGRAPHS["pool_max_returns"] = """Returns
-------
ndarray
    The maxima, of the dtype of `x`.
indices : ndarray of int64
    With `return_indices`: the positions ``y * width + x`` in the image, without its padding."""

PARAGRAPHS["pool_raises"] = """Raises
------
ValueError
    For sizes that can't be meant, a window without a sample of the image, or an `out` that does not fit.
TypeError
    For complex images%(pool_no_bool)s."""
PARAGRAPHS["pool_no_bool"] = ", and for averages of booleans"

PARAGRAPHS["pool_max_notes"] = """Notes
-----
As torch does it: of equal samples the first in the window counts, and a NaN is greater than any number
(of several, the position is the last one's). TensorFlow's max pooling on a CPU drops NaN. The sign of a
zero that is the maximum is that of any zero in the window. The maximum of booleans is their logical or."""

PARAGRAPHS["pool_mean_notes"] = """Notes
-----
Means of integers are exact and then rounded half to even. ``float16``, ``bfloat16`` and ``float32`` are
summed in ``float32``, windows with more than 512 rows and columns together in ``float64``."""


@fill
def max_pool2d(
    x: npt.ArrayLike,
    pool_size: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    return_indices: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> Any:
    """Return the greatest sample of each window, for each channel.

    Parameters
    ----------
    %(pool_x)s
    %(pool_window)s
    %(pool_indices)s
    %(pool_rest)s

    %(pool_max_returns)s

    %(pool_raises)s

    %(pool_max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> nn.max_pool2d(x, data_format="channels_first")[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    >>> maxima, indices = nn.max_pool2d(x, (1, 4), data_format="channels_first", return_indices=True)
    >>> indices.ravel()
    array([ 3,  7, 11, 15])
    """
    window = pair(pool_size, "pool_size")
    return _core.pool2d(
        x, "max-indices" if return_indices else "max", window, window if strides is None else pair(strides, "strides"),
        padding, pair(dilation_rate, "dilation_rate"), bool(ceil_mode), channels_first(data_format), False, None, out,
        workers,
    )  # fmt: skip


@fill
def avg_pool2d(
    x: npt.ArrayLike,
    pool_size: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    count_include_pad: bool = False,
    divisor_override: int | None = None,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the mean of each window, for each channel.

    Parameters
    ----------
    %(pool_x)s
    %(pool_window)s
    count_include_pad : bool, optional
        Count the taps in the padding as zeros. Samples that a last window of `ceil_mode` has beyond
        the padding never count.
    divisor_override : int, optional
        Divides each sum, instead of the number of taps.
    %(pool_rest)s

    Returns
    -------
    ndarray
        The means, of the dtype of `x`.

    %(pool_raises)s

    %(pool_mean_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.avg_pool2d(np.array([1, 2, 5, 8], np.uint8).reshape(1, 1, 4, 1), (1, 2)).ravel()
    array([2, 6], dtype=uint8)
    """
    window = pair(pool_size, "pool_size")
    return _core.pool2d(
        x, "mean", window, window if strides is None else pair(strides, "strides"), padding,
        pair(dilation_rate, "dilation_rate"), bool(ceil_mode), channels_first(data_format), bool(count_include_pad),
        divisor_override, out, workers,
    )  # fmt: skip


@fill
def adaptive_max_pool2d(
    x: npt.ArrayLike,
    output_size: int | Sequence[int],
    *,
    data_format: DataFormat = "channels_last",
    return_indices: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> Any:
    """Return the maxima over ``output_size`` windows that share the image, for each channel.

    Window ``i`` of ``m`` over ``n`` samples is ``floor(i n / m) .. ceil((i + 1) n / m)``, as torch has it.

    Parameters
    ----------
    %(pool_x)s
    output_size : int or pair of int
        Rows and columns of the result.
    %(data_format)s
    %(pool_indices)s
    %(pool_rest)s

    %(pool_max_returns)s

    %(pool_raises)s

    %(pool_max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.adaptive_max_pool2d(np.arange(5).reshape(1, 1, 5, 1), (1, 2)).ravel()
    array([2, 4])
    """
    return _core.adaptive_pool2d(
        x, "max-indices" if return_indices else "max", pair(output_size, "output_size"), channels_first(data_format),
        out, workers,
    )  # fmt: skip


@fill
def adaptive_avg_pool2d(
    x: npt.ArrayLike,
    output_size: int | Sequence[int],
    *,
    data_format: DataFormat = "channels_last",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the means over ``output_size`` windows that share the image, for each channel.

    Window ``i`` of ``m`` over ``n`` samples is ``floor(i n / m) .. ceil((i + 1) n / m)``, as torch has it.

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
        The means, of the dtype of `x`.

    %(pool_raises)s

    %(pool_mean_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.adaptive_avg_pool2d(np.arange(5.0).reshape(1, 1, 5, 1), (1, 2)).ravel()
    array([1., 3.])
    """
    return _core.adaptive_pool2d(x, "mean", pair(output_size, "output_size"), channels_first(data_format), out, workers)


def _global(kind: str, x: npt.ArrayLike, data_format: str, keepdims: bool, out: Any, workers: int | None) -> Any:
    first = channels_first(data_format)
    axes = (2, 3) if first else (1, 2)
    if out is None or keepdims:
        result = _core.adaptive_pool2d(x, kind, (1, 1), first, out, workers)
        return result if keepdims else result.squeeze(axes)
    # A view of the caller's array with the axes that it lacks.
    view = np.expand_dims(out, axes) if isinstance(out, np.ndarray) and out.ndim == 2 else out
    _core.adaptive_pool2d(x, kind, (1, 1), first, view, workers)
    return out


@fill
def global_max_pool2d(
    x: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    keepdims: bool = False,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the greatest sample of each channel of each image.

    Parameters
    ----------
    %(pool_x)s
    %(data_format)s
    keepdims : bool, optional
        Keep the axes of rows and columns, with one position each.
    %(pool_rest)s

    Returns
    -------
    ndarray
        The maxima: batch, channels, or four axes with `keepdims`.

    %(pool_raises)s

    %(pool_max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.global_max_pool2d(np.arange(12).reshape(2, 3, 2, 1))
    array([[ 5],
           [11]])
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
    """Return the mean of each channel of each image.

    Parameters
    ----------
    %(pool_x)s
    %(data_format)s
    keepdims : bool, optional
        Keep the axes of rows and columns, with one position each.
    %(pool_rest)s

    Returns
    -------
    ndarray
        The means: batch, channels, or four axes with `keepdims`.

    %(pool_raises)s

    %(pool_mean_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.global_avg_pool2d(np.arange(12.0).reshape(2, 3, 2, 1))
    array([[2.5],
           [8.5]])
    """
    return _global("mean", x, data_format, keepdims, out, workers)
