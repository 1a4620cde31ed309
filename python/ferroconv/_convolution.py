"""Convolution layers on arrays, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import DataFormat, Padding, channels_first, check_precision, pair
from ferroconv._docs import PARAGRAPHS, fill

Pair = int | Sequence[int]
Array = npt.NDArray[Any]

PARAGRAPHS["conv_x"] = """x : array_like
    A batch of images: batch, rows, columns, channels, or with the channels second; ``float16``,
    ``bfloat16``, ``float32`` or ``float64``, which all arrays of a layer share. Read-only, strided,
    unaligned or byte-swapped arrays are fine."""
PARAGRAPHS["conv_filters"] = """filters : array_like
    Rows, columns, channels of a group, results, in both data formats, as Keras has them. They are not
    flipped."""
PARAGRAPHS["conv_bias"] = """bias : array_like, optional
    A number that is added to each channel of the result."""
PARAGRAPHS["conv_window"] = """strides : int or pair of int, optional
    Distance between windows.
padding : {'valid', 'same'} or pair of pair of int, optional
    None; TensorFlow's, which makes ``ceil(size / stride)`` results and puts the odd sample at the
    bottom and the right; or ``((top, bottom), (left, right))`` samples of zero.
dilation_rate : int or pair of int, optional
    Distance between neighbouring taps; may go together with strides."""
PARAGRAPHS["conv_groups"] = """groups : int, optional
    Groups of channels that know nothing of each other."""
PARAGRAPHS["conv_rest"] = """%(data_format)s
activation : {None, 'relu'}, optional
    What is done to each result.
precision : {'highest', 'high', 'medium'}, optional
    How exact the result has to be: from 'high' on, layers of 3x3 filters may run by Winograd's F(4, 3).
out : ndarray, optional
    Where the result is written: of its shape and dtype, apart from the inputs.
%(workers)s"""
PARAGRAPHS["conv_grad_rest"] = """%(data_format)s
result : array_like, optional
    What the layer gave, if its activation is a relu: where it is not positive, no gradient comes
    through.
precision : {'highest', 'high', 'medium'}, optional
    How exact the result has to be: from 'high' on, gradients of layers of 3x3 filters may run by Winograd's
    F(4, 3), and by F(3, 2) over any number of pixels.
out : ndarray, optional
    Where the gradient is written: of its shape and dtype, apart from the inputs.
%(workers)s"""
PARAGRAPHS["conv_raises"] = """Raises
------
ValueError
    For shapes that don't fit each other, sizes that can't be meant, or an `out` that does not fit.
TypeError
    For integer or complex arrays, or arrays of several dtypes."""
PARAGRAPHS["conv_notes"] = """Notes
-----
Sums are made in ``float32``, of ``float64`` arrays in ``float64``, one product after the other in the order
of the taps: a result is within ``(n + 1) u sum|x w|`` of the exact one, ``n`` being the products of a sum
and ``u`` half the distance from 1 to the next number."""


def _relu(activation: str | None) -> bool:
    if activation not in (None, "relu"):
        raise ValueError(f"activation must be None or 'relu'; apply another to the result. Received: {activation!r}.")
    return activation == "relu"


def _like(bias: npt.ArrayLike | None, x: npt.ArrayLike) -> npt.ArrayLike | None:
    """A bias given as a list, in the dtype of the images."""
    if bias is None or isinstance(bias, np.ndarray):
        return bias
    return np.asarray(bias, dtype=getattr(x, "dtype", None))


def _layer(
    strides: Pair, padding: Padding, dilation: Pair, groups: int, data_format: str, precision: str
) -> tuple[Any, ...]:
    check_precision(precision)
    pairs = pair(strides, "strides"), pair(dilation, "dilation_rate")
    return pairs[0], padding, pairs[1], groups, channels_first(data_format), precision


def _grouped(filters: npt.ArrayLike) -> tuple[Array, int]:
    """Depthwise filters as those of a layer with as many groups as channels."""
    array = np.asarray(filters)
    if array.ndim != 4:
        raise ValueError(
            "depthwise filters must have four axes: rows, columns, channels, multiplier. "
            f"Received: shape {list(array.shape)}."
        )
    kh, kw, channels, multiplier = array.shape
    return array.reshape(kh, kw, 1, channels * multiplier), channels


@fill
def conv2d(
    x: npt.ArrayLike,
    filters: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    activation: Literal["relu"] | None = None,
    precision: str = "highest",
    out: Array | None = None,
    workers: int | None = None,
    addend: npt.ArrayLike | None = None,
) -> Array:
    """Convolve a batch of images with filters, as convolution layers do: without flipping them.

    ``y[n, p, q, o] = sum over i, j, c of x[n, p sh + i dh - top, q sw + j dw - left, c] w[i, j, c, o]``

    Parameters
    ----------
    %(conv_x)s
    %(conv_filters)s
    %(conv_bias)s
    %(conv_window)s
    %(conv_groups)s
    %(conv_rest)s
    addend : array_like, optional
        An array of the result's shape that is added to it before the activation: a residual block's shortcut
        (He et al. 2016).

    Returns
    -------
    ndarray
        The images that the layer makes, of the dtype of `x`, with the channels where `x` has them.

    %(conv_raises)s

    %(conv_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> nn.conv2d(x, np.ones((2, 2, 1, 1)), [0.5], strides=2)[0, :, :, 0]
    array([[10.5, 18.5],
           [42.5, 50.5]])
    """
    layer = _layer(strides, padding, dilation_rate, groups, data_format, precision)
    return _core.conv2d(x, filters, _like(bias, x), addend, layer, _relu(activation), out, workers)


@fill
def depthwise_conv2d(
    x: npt.ArrayLike,
    filters: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    data_format: DataFormat = "channels_last",
    activation: Literal["relu"] | None = None,
    precision: str = "highest",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Convolve each channel with filters of its own.

    Parameters
    ----------
    %(conv_x)s
    filters : array_like
        Rows, columns, channels, multiplier: result ``c * multiplier + m`` is of channel ``c``.
    %(conv_bias)s
    %(conv_window)s
    %(conv_rest)s

    Returns
    -------
    ndarray
        The images that the layer makes, with ``channels * multiplier`` channels.

    %(conv_raises)s

    %(conv_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> nn.depthwise_conv2d(x, np.ones((2, 2, 2, 1)))
    array([[[[12., 16.]]]])
    """
    grouped, channels = _grouped(filters)
    return conv2d(
        x, grouped, bias, strides=strides, padding=padding, dilation_rate=dilation_rate, groups=channels,
        data_format=data_format, activation=activation, precision=precision, out=out, workers=workers,
    )  # fmt: skip


@fill
def separable_conv2d(
    x: npt.ArrayLike,
    depthwise_filters: npt.ArrayLike,
    pointwise_filters: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    data_format: DataFormat = "channels_last",
    activation: Literal["relu"] | None = None,
    precision: str = "highest",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Convolve each channel by itself, then mix the channels: `depthwise_conv2d`, then `conv2d` with 1x1 filters.

    Parameters
    ----------
    %(conv_x)s
    depthwise_filters : array_like
        Rows, columns, channels, multiplier.
    pointwise_filters : array_like
        1, 1, ``channels * multiplier``, results.
    %(conv_bias)s
    %(conv_window)s
    %(conv_rest)s

    Returns
    -------
    ndarray
        The images that the layer makes.

    %(conv_raises)s

    %(conv_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> nn.separable_conv2d(x, np.ones((2, 2, 2, 1)), np.ones((1, 1, 2, 1)))
    array([[[[28.]]]])
    """
    depths = depthwise_conv2d(
        x, depthwise_filters, strides=strides, padding=padding, dilation_rate=dilation_rate,
        data_format=data_format, precision=precision, workers=workers,
    )  # fmt: skip
    return conv2d(
        depths, pointwise_filters, bias, data_format=data_format, activation=activation, precision=precision,
        out=out, workers=workers,
    )  # fmt: skip


@fill
def conv2d_transpose(
    x: npt.ArrayLike,
    filters: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    output_padding: Pair | None = None,
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    activation: Literal["relu"] | None = None,
    precision: str = "highest",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Apply the transpose of a convolution layer: the gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    %(conv_x)s
    filters : array_like
        Rows, columns, results of a group, channels: those of the layer that this is the transpose of.
    %(conv_bias)s
    %(conv_window)s
        The padding is the layer's, and so taken away from the result.
    output_padding : int or pair of int, optional
        Rows and columns added at the bottom and the right, less than the strides. By default, without
        padding or with 'same', the result is as large as Keras makes it: ``size * stride``, and
        what of the window is longer than the stride without padding.
    %(conv_groups)s
    %(conv_rest)s

    Returns
    -------
    ndarray
        The images that the transposed layer makes.

    %(conv_raises)s

    %(conv_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.array([1.0, 10.0]).reshape(1, 1, 2, 1)
    >>> nn.conv2d_transpose(x, np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1), strides=(1, 2)).ravel()
    array([ 1.,  2., 13., 20., 30.])
    """
    layer = _layer(strides, padding, dilation_rate, groups, data_format, precision)
    extra = None if output_padding is None else pair(output_padding, "output_padding")
    return _core.conv2d_transpose(x, filters, _like(bias, x), layer, extra, _relu(activation), out, workers)
