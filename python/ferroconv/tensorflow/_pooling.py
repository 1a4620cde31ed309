"""Pooling on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow import executing_eagerly

from ferroconv._args import DataFormat, Padding, pair
from ferroconv._docs import PARAGRAPHS
from ferroconv.tensorflow._arguments import (
    axes,
    cached,
    checked_format,
    padding_attributes,
    pooled_size,
    public,
    shape,
    symbolic,
)
from ferroconv.tensorflow._ops import OPS

_MAX = OPS["FerroconvMaxPool2D"]
_MAX_WITH_INDICES = OPS["FerroconvMaxPool2DWithIndices"]
_AVG = OPS["FerroconvAvgPool2D"]

PARAGRAPHS["tf_window"] = """pool_size : int or pair of int, optional
    Rows and columns of the window.
strides : int or pair of int, optional
    Distance between windows; by default `pool_size`.
padding : {'valid', 'same'} or pair of pair of int, optional
    None; TensorFlow's; or ``((top, bottom), (left, right))``, at most half the window. Nothing of the padding enters
    a result.
dilation_rate : int or pair of int, optional
    Distance between neighbouring taps.
ceil_mode : bool, optional
    Keep a last window that hangs over the end, if it begins inside the image or the padding before it.
data_format : {'channels_last', 'channels_first'}, optional
    Where the channels stand."""


@cached
def _window(
    pool_size: Any, strides: Any, padding: Padding, dilation_rate: Any, ceil_mode: bool, data_format: str
) -> tuple[Any, ...]:
    """Give the attributes of a window, in the order that the ops take them."""
    window = pair(pool_size, "pool_size")
    steps = window if strides is None else pair(strides, "strides")
    dilation = pair(dilation_rate, "dilation_rate")
    return (window, steps, dilation, *padding_attributes(padding), bool(ceil_mode), checked_format(data_format))


def _pool(
    op: Any, x: Any, pool_size: Any, strides: Any, padding: Padding, dilation_rate: Any, ceil_mode: bool,
    data_format: str, name: str | None, *more: Any,
) -> Any:  # fmt: skip
    window = _window(pool_size, strides, padding, dilation_rate, ceil_mode, data_format)
    if executing_eagerly():
        return op(x, *window, *more, name=name)
    x = symbolic(x)
    n, h, w, c = axes(x, data_format)
    size, steps, dilation, *_, ceil, _ = window
    rows_and_columns = pooled_size((h, w), size, steps, padding, dilation, ceil)
    results = op(x, *window, *more, name=name)
    for result in results if isinstance(results, (tuple, list)) else [results]:
        result.set_shape(shape(n, rows_and_columns, c, data_format))
    return results


@public
def max_pool2d(
    x: Any,
    pool_size: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    return_indices: bool = False,
    name: str | None = None,
) -> Any:
    """Return the greatest sample of each window, for each channel.

    Parameters
    ----------
    %(tf_x)s
    %(tf_window)s
    return_indices : bool, optional
        Also return where each maximum stands.
    %(tf_name)s

    Returns
    -------
    Tensor
        The maxima, of the dtype of `x`.
    indices : Tensor of int64
        With `return_indices`: the positions ``y * width + x`` in the image, without its padding.

    %(tf_raises)s

    Notes
    -----
    Of equal samples the first in the window counts, and gets the gradient. A NaN is greater than any number;
    TensorFlow's max pooling on a CPU drops NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import max_pool2d
    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), data_format="channels_first").numpy()[0, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    op = _MAX_WITH_INDICES if return_indices else _MAX
    results = _pool(op, x, pool_size, strides, padding, dilation_rate, ceil_mode, data_format, name)
    return tuple(results) if return_indices else results


@public
def avg_pool2d(
    x: Any,
    pool_size: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    count_include_pad: bool = False,
    name: str | None = None,
) -> Any:
    """Return the mean of each window, for each channel.

    Parameters
    ----------
    %(tf_x)s
    %(tf_window)s
    count_include_pad : bool, optional
        Count the taps in the padding as zeros. Samples that a last window of `ceil_mode` has beyond the padding
        never count.
    %(tf_name)s

    Returns
    -------
    Tensor
        The means, of the dtype of `x`.

    %(tf_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import avg_pool2d
    >>> avg_pool2d(np.array([1.0, 2.0, 5.0, 8.0]).reshape(1, 1, 4, 1), (1, 2)).numpy().ravel()
    array([1.5, 6.5])
    """
    count = bool(count_include_pad)
    return _pool(_AVG, x, pool_size, strides, padding, dilation_rate, ceil_mode, data_format, name, count)


def _global(pool: Any, x: Any, data_format: str, keepdims: bool, name: str | None) -> Any:
    checked_format(data_format)
    x = symbolic(x)
    _, h, w, _ = axes(x, data_format)
    rows, cols = (1, 2) if data_format == "channels_last" else (2, 3)
    if x.shape.rank is None or h is None or w is None:
        # The size is known only when the graph runs, and a window is an attribute.
        reduce = tf.reduce_max if pool is max_pool2d else tf.reduce_mean
        return reduce(x, axis=(rows, cols), keepdims=keepdims, name=name)
    y = pool(x, (h, w), data_format=data_format, name=name)
    return y if keepdims else tf.squeeze(y, axis=(rows, cols))


@public
def global_max_pool2d(
    x: Any, *, data_format: DataFormat = "channels_last", keepdims: bool = False, name: str | None = None
) -> Any:
    """Return the greatest sample of each channel of each image.

    Parameters
    ----------
    %(tf_x)s
    data_format : {'channels_last', 'channels_first'}, optional
        Where the channels stand.
    keepdims : bool, optional
        Keep the axes of rows and columns, with one position each.
    %(tf_name)s

    Returns
    -------
    Tensor
        The maxima: batch, channels, or four axes with `keepdims`.

    %(tf_raises)s

    Notes
    -----
    In a graph that does not know the images' size this is ``tf.reduce_max``.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import global_max_pool2d
    >>> global_max_pool2d(np.arange(12.0).reshape(2, 3, 2, 1)).numpy()
    array([[ 5.],
           [11.]])
    """
    return _global(max_pool2d, x, data_format, keepdims, name)


@public
def global_avg_pool2d(
    x: Any, *, data_format: DataFormat = "channels_last", keepdims: bool = False, name: str | None = None
) -> Any:
    """Return the mean of each channel of each image.

    Parameters
    ----------
    %(tf_x)s
    data_format : {'channels_last', 'channels_first'}, optional
        Where the channels stand.
    keepdims : bool, optional
        Keep the axes of rows and columns, with one position each.
    %(tf_name)s

    Returns
    -------
    Tensor
        The means: batch, channels, or four axes with `keepdims`.

    %(tf_raises)s

    Notes
    -----
    In a graph that does not know the images' size this is ``tf.reduce_mean``.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import global_avg_pool2d
    >>> global_avg_pool2d(np.arange(12.0).reshape(2, 3, 2, 1)).numpy()
    array([[2.5],
           [8.5]])
    """
    return _global(avg_pool2d, x, data_format, keepdims, name)
