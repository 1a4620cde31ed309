"""Convolution layers on tensors."""

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
    convolved_size,
    filter_axes,
    padding_attributes,
    public,
    refuse,
    shape,
    symbolic,
)
from ferroconv.tensorflow._ops import OPS

_CONV = OPS["FerroconvConv2D"]
_TRANSPOSE = OPS["FerroconvConv2DTranspose"]

DEPTHWISE = 0
"""As the attribute `groups`: each channel is a group, and the filters have an axis for the results of a channel."""

PARAGRAPHS["tf_bias"] = """bias : Tensor, optional
    A number for each channel of the result, of the dtype of `x`."""

PARAGRAPHS["tf_layer"] = """strides : int or pair of int, optional
    Distance between windows.
padding : {'valid', 'same'} or pair of pair of int, optional
    No zeros around the image; TensorFlow's, which makes ``ceil(size / stride)`` results and puts the odd zero at the
    bottom and the right; or ``((top, bottom), (left, right))``."""

PARAGRAPHS["tf_layer_rest"] = """data_format : {'channels_last', 'channels_first'}, optional
    Where the channels stand. The filters' layout is the same for both.
activation : {None, 'relu'}, optional
    What the results go through, as part of the op.
%(tf_name)s"""


@cached
def _layer(strides: Any, padding: Padding, dilation_rate: Any, groups: int, data_format: str) -> tuple[Any, ...]:
    """Give the attributes of a layer, in the order that the ops take them."""
    steps, dilation = pair(strides, "strides"), pair(dilation_rate, "dilation_rate")
    return (steps, dilation, *padding_attributes(padding), groups, checked_format(data_format))


def _relu(activation: str | None) -> bool:
    if activation is None or activation == "relu":
        return activation is not None
    raise ValueError(f"activation must be None or 'relu'; apply others to the result. Received: {activation!r}.")


def _of_layer(array: Any, name: str, dtype: Any) -> Any:
    """Give filters or a bias of a graph, of the dtype of `x`."""
    array = tf.convert_to_tensor(array, dtype_hint=dtype)
    if array.dtype != dtype:
        refuse(f"{name} must have the dtype of x, {dtype.name}; convert it. Received: {array.dtype.name}.")
    return array


def _fits(what: str, received: int | None, wanted: int | None) -> None:
    if received is not None and wanted is not None and received != wanted:
        refuse(f"{what} must be {wanted}. Received: {received}.")


def _convolve(
    x: Any, filters: Any, bias: Any, strides: Any, padding: Padding, dilation_rate: Any, groups: int, data_format: str,
    activation: str | None, name: str | None, addend: Any = None, keep_filters: bool = False,
) -> Any:  # fmt: skip
    layer = _layer(strides, padding, dilation_rate, groups, data_format)
    relu = _relu(activation)
    if executing_eagerly():
        lists = [[] if one is None else [one] for one in (bias, addend)]
        # One kernel serves all eager calls of such layers: none of them would find its own filters.
        return _CONV(x, filters, *lists, *layer, relu, False, name=name)
    x = symbolic(x)
    filters = _of_layer(filters, "filters", x.dtype)
    biases = [] if bias is None else [_of_layer(bias, "bias", x.dtype)]
    addends = [] if addend is None else [_of_layer(addend, "addend", x.dtype)]
    (n, h, w, c), (kh, kw, deep, wide) = axes(x, data_format), filter_axes(filters)
    size = convolved_size((h, w), (kh, kw), layer[0], padding, layer[1])
    if groups == DEPTHWISE:
        _fits("the channels of depthwise filters", deep, c)
        wide = deep * wide if deep is not None and wide is not None else None
    else:
        _fits("the channels of all groups of the filters", deep and deep * groups, c)
    for one in biases:
        one.shape.assert_has_rank(1)
        _fits("the length of bias", one.shape[0], wide)
    # Memory that others write to in place must not be taken for what it was.
    keep = keep_filters and filters.op.type in ("ReadVariableOp", "Const")
    y = _CONV(x, filters, biases, addends, *layer, relu, keep, name=name)
    y.set_shape(shape(n, size, wide, data_format))
    for one in addends:
        y.set_shape(one.shape)
    return y


def _groups(groups: int) -> int:
    if groups < 1:
        refuse(f"groups must be at least 1. Received: {groups}.")
    return int(groups)


@public
def conv2d(
    x: Any,
    filters: Any,
    bias: Any = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation_rate: int | Sequence[int] = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    activation: str | None = None,
    name: str | None = None,
    addend: Any = None,
    keep_filters: bool = False,
) -> Any:
    """Return a convolution layer's results, bias and relu in the same op.

    Parameters
    ----------
    %(tf_x)s
    filters : Tensor
        Rows, columns, channels of a group, results; of the dtype of `x`. They are not turned.
    %(tf_bias)s
    %(tf_layer)s
    dilation_rate : int or pair of int, optional
        Distance between neighbouring taps; with strides too.
    groups : int, optional
        Groups of channels that know nothing of each other.
    %(tf_layer_rest)s
    addend : Tensor, optional
        What is added to the results before the activation, of their shape: a residual block's shortcut.
    keep_filters : bool, optional
        In a graph, of filters that are a constant or the value of a variable: hold their tensor, and what they were
        packed to, for the next call, which packs them again only if its tensor is another one. For models that are
        not trained any further.

    Returns
    -------
    Tensor
        The results, of the dtype of `x`. ``float16``, ``bfloat16`` and ``float32`` are summed in ``float32``.

    %(tf_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import conv2d
    >>> conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), np.array([-1.0]), strides=2).numpy().ravel()
    array([3.])
    """
    groups = _groups(groups)
    return _convolve(
        x, filters, bias, strides, padding, dilation_rate, groups, data_format, activation, name, addend, keep_filters
    )


@public
def depthwise_conv2d(
    x: Any,
    filters: Any,
    bias: Any = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation_rate: int | Sequence[int] = 1,
    data_format: DataFormat = "channels_last",
    activation: str | None = None,
    name: str | None = None,
) -> Any:
    """Return a layer's results that convolves each channel by filters of its own.

    Parameters
    ----------
    %(tf_x)s
    filters : Tensor
        Rows, columns, channels, results of a channel; of the dtype of `x`.
    %(tf_bias)s
    %(tf_layer)s
    dilation_rate : int or pair of int, optional
        Distance between neighbouring taps; with strides too.
    %(tf_layer_rest)s

    Returns
    -------
    Tensor
        The results, those of a channel together.

    %(tf_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import depthwise_conv2d
    >>> depthwise_conv2d(np.ones((1, 2, 2, 2)), np.arange(8.0).reshape(2, 2, 2, 1)).numpy().ravel()
    array([12., 16.])
    """
    return _convolve(x, filters, bias, strides, padding, dilation_rate, DEPTHWISE, data_format, activation, name)


@public
def separable_conv2d(
    x: Any,
    depthwise_filters: Any,
    pointwise_filters: Any,
    bias: Any = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation_rate: int | Sequence[int] = 1,
    data_format: DataFormat = "channels_last",
    activation: str | None = None,
    name: str | None = None,
) -> Any:
    """Return a separable layer's results: depthwise, then one by one.

    Parameters
    ----------
    %(tf_x)s
    depthwise_filters : Tensor
        Rows, columns, channels, results of a channel.
    pointwise_filters : Tensor
        One, one, results of the depthwise layer, results.
    %(tf_bias)s
    %(tf_layer)s
    dilation_rate : int or pair of int, optional
        Distance between neighbouring taps; with strides too.
    %(tf_layer_rest)s

    Returns
    -------
    Tensor
        The results.

    %(tf_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import separable_conv2d
    >>> separable_conv2d(np.ones((1, 2, 2, 1)), np.ones((2, 2, 1, 2)), np.ones((1, 1, 2, 1))).numpy().ravel()
    array([8.])
    """
    _relu(activation)
    between = depthwise_conv2d(
        x, depthwise_filters, strides=strides, padding=padding, dilation_rate=dilation_rate, data_format=data_format
    )
    return conv2d(between, pointwise_filters, bias, data_format=data_format, activation=activation, name=name)


@public
def conv2d_transpose(
    x: Any,
    filters: Any,
    bias: Any = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    output_padding: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    activation: str | None = None,
    name: str | None = None,
) -> Any:
    """Return a transposed convolution layer's results, bias and relu in the same op.

    Parameters
    ----------
    %(tf_x)s
    filters : Tensor
        Rows, columns, results of a group, channels; of the dtype of `x`.
    %(tf_bias)s
    strides : int or pair of int, optional
        Distance between the windows that are added.
    padding : {'valid', 'same'} or pair of pair of int, optional
        Nothing is cut off the result; as Keras does it, which makes ``size * stride`` results; or
        ``((top, bottom), (left, right))``, so many rows and columns.
    output_padding : int or pair of int, optional
        Rows and columns more at the bottom and the right, less than `strides`. None: as Keras, without.
    dilation_rate : int or pair of int, optional
        Distance between neighbouring taps.
    groups : int, optional
        Groups of channels that know nothing of each other.
    %(tf_layer_rest)s

    Returns
    -------
    Tensor
        The results, of the dtype of `x`.

    %(tf_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.tensorflow import conv2d_transpose
    >>> conv2d_transpose(np.ones((1, 1, 2, 1)), np.ones((1, 2, 1, 1))).numpy().ravel()
    array([1., 2., 1.])
    """
    groups = _groups(groups)
    layer = _layer(strides, padding, dilation_rate, groups, data_format)
    extra = () if output_padding is None else pair(output_padding, "output_padding")
    relu = _relu(activation)
    if executing_eagerly():
        return _TRANSPOSE(x, filters, [] if bias is None else [bias], *layer, extra, relu, name=name)
    x = symbolic(x)
    filters = _of_layer(filters, "filters", x.dtype)
    biases = [] if bias is None else [_of_layer(bias, "bias", x.dtype)]
    (n, h, w, c), (kh, kw, deep, wide) = axes(x, data_format), filter_axes(filters)
    size = convolved_size((h, w), (kh, kw), layer[0], padding, layer[1], True, extra or None)
    _fits("the channels of the filters, their last axis,", wide, c)
    outputs = deep and deep * groups
    for one in biases:
        one.shape.assert_has_rank(1)
        _fits("the length of bias", one.shape[0], outputs)
    y = _TRANSPOSE(x, filters, biases, *layer, extra, relu, name=name)
    y.set_shape(shape(n, size, outputs, data_format))
    return y
