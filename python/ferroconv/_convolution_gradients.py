"""The gradients of convolution layers on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import DataFormat, Padding
from ferroconv._convolution import Array, Pair, _grouped, _layer, conv2d, depthwise_conv2d
from ferroconv._docs import PARAGRAPHS, fill

PARAGRAPHS["conv_grad"] = """grad : array_like
    The gradient with respect to what the layer gave, and of its shape."""
PARAGRAPHS["conv_return_bias"] = """return_bias : bool, optional
    Also return the gradient with respect to the bias: the sum of `grad` for each channel."""
PARAGRAPHS["conv_bias_returns"] = """bias : ndarray
    With `return_bias`: the gradient with respect to the bias."""


@fill
def conv2d_grad_input(
    input_shape: Sequence[int],
    filters: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    result: npt.ArrayLike | None = None,
    precision: str = "highest",
    out: Array | None = None,
    workers: int | None = None,
) -> Array:
    """Return the gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    input_shape : sequence of int
        The shape of the layer's input.
    %(conv_filters)s
    %(conv_grad)s
    %(conv_window)s
    %(conv_groups)s
    %(conv_grad_rest)s

    Returns
    -------
    ndarray
        The gradient, of shape `input_shape`.

    %(conv_raises)s

    %(conv_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.conv2d_grad_input((1, 2, 2, 1), np.ones((2, 2, 1, 1)), [[[[3.0]]]])[0, :, :, 0]
    array([[3., 3.],
           [3., 3.]])
    """
    layer = _layer(strides, padding, dilation_rate, groups, data_format, precision)
    return _core.conv2d_grad_input(_shape(input_shape, "input_shape"), filters, grad, result, layer, out, workers)


@fill
def conv2d_grad_filters(
    x: npt.ArrayLike,
    filters_shape: Sequence[int],
    grad: npt.ArrayLike,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation_rate: Pair = 1,
    groups: int = 1,
    data_format: DataFormat = "channels_last",
    result: npt.ArrayLike | None = None,
    return_bias: bool = False,
    precision: str = "highest",
    out: Array | None = None,
    workers: int | None = None,
) -> Any:
    """Return the gradient of `conv2d` with respect to its filters.

    Parameters
    ----------
    %(conv_x)s
    filters_shape : sequence of int
        The shape of the layer's filters.
    %(conv_grad)s
    %(conv_window)s
    %(conv_groups)s
    %(conv_return_bias)s
    %(conv_grad_rest)s

    Returns
    -------
    ndarray
        The gradient, of shape `filters_shape`.
    %(conv_bias_returns)s

    %(conv_raises)s

    %(conv_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> nn.conv2d_grad_filters(x, (2, 2, 1, 1), [[[[10.0]]]])[:, :, 0, 0]
    array([[ 0., 10.],
           [20., 30.]])
    """
    layer = _layer(strides, padding, dilation_rate, groups, data_format, precision)
    shape = _shape(filters_shape, "filters_shape")
    return _core.conv2d_grad_filters(x, shape, grad, result, layer, bool(return_bias), out, workers)


@fill
def depthwise_conv2d_grad_input(
    input_shape: Sequence[int], filters: npt.ArrayLike, grad: npt.ArrayLike, **options: Any
) -> Array:
    """Return the gradient of `depthwise_conv2d` with respect to its input.

    Parameters
    ----------
    input_shape : sequence of int
        The shape of the layer's input.
    filters : array_like
        Rows, columns, channels, multiplier.
    %(conv_grad)s
    **options
        Those of `conv2d_grad_input`, but `groups`.

    Returns
    -------
    ndarray
        The gradient, of shape `input_shape`.

    %(conv_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.depthwise_conv2d_grad_input((1, 1, 1, 2), np.ones((1, 1, 2, 1)), [[[[3.0, 4.0]]]])
    array([[[[3., 4.]]]])
    """
    grouped, channels = _grouped(filters)
    return conv2d_grad_input(input_shape, grouped, grad, groups=channels, **options)


@fill
def depthwise_conv2d_grad_filters(
    x: npt.ArrayLike, filters_shape: Sequence[int], grad: npt.ArrayLike, *, out: Array | None = None, **options: Any
) -> Any:
    """Return the gradient of `depthwise_conv2d` with respect to its filters.

    Parameters
    ----------
    %(conv_x)s
    filters_shape : sequence of int
        Rows, columns, channels, multiplier.
    %(conv_grad)s
    out : ndarray, optional
        Where the gradient is written: C-ordered, of its shape and dtype.
    **options
        Those of `conv2d_grad_filters`, but `groups`.

    Returns
    -------
    ndarray
        The gradient, of shape `filters_shape`.
    %(conv_bias_returns)s

    %(conv_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> nn.depthwise_conv2d_grad_filters(x, (1, 1, 2, 1), np.ones((1, 1, 2, 2))).ravel()
    array([2., 4.])
    """
    kh, kw, channels, multiplier = _shape(filters_shape, "filters_shape")
    if out is not None:
        if not out.flags.c_contiguous or out.shape != (kh, kw, channels, multiplier):
            raise ValueError(
                f"out= must be C-ordered and have the shape {[kh, kw, channels, multiplier]}. "
                f"Received: shape {list(out.shape)} with strides {out.strides}."
            )
        out = out.reshape(kh, kw, 1, channels * multiplier)
    found = conv2d_grad_filters(x, (kh, kw, 1, channels * multiplier), grad, groups=channels, out=out, **options)
    shape = (kh, kw, channels, multiplier)
    return (found[0].reshape(shape), found[1]) if isinstance(found, tuple) else found.reshape(shape)


_DEPTHWISE = ("strides", "padding", "dilation_rate")


def _parts(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a separable layer's two parts."""
    shared: dict[str, Any] = {
        name: options[name] for name in ("data_format", "precision", "workers") if name in options
    }
    return {**shared, **{name: options[name] for name in _DEPTHWISE if name in options}}, shared


@fill
def separable_conv2d_grad_input(
    input_shape: Sequence[int],
    depthwise_filters: npt.ArrayLike,
    pointwise_filters: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    result: npt.ArrayLike | None = None,
    out: Array | None = None,
    **options: Any,
) -> Array:
    """Return the gradient of `separable_conv2d` with respect to its input.

    Parameters
    ----------
    input_shape : sequence of int
        The shape of the layer's input.
    depthwise_filters, pointwise_filters : array_like
        The layer's filters.
    %(conv_grad)s
    result, out, **options
        Those of `conv2d_grad_input`, but `groups`.

    Returns
    -------
    ndarray
        The gradient, of shape `input_shape`.

    %(conv_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> ones = np.ones((1, 1, 2, 1))
    >>> nn.separable_conv2d_grad_input((1, 1, 1, 2), ones, ones, [[[[5.0]]]])
    array([[[[5., 5.]]]])
    """
    depthwise, pointwise = _parts(options)
    grad, points = np.asarray(grad), np.asarray(pointwise_filters)
    shape = list(grad.shape)
    shape[1 if options.get("data_format") == "channels_first" else -1] = points.shape[2]
    middle = conv2d_grad_input(shape, points, grad, result=result, **pointwise)
    return depthwise_conv2d_grad_input(input_shape, depthwise_filters, middle, out=out, **depthwise)


@fill
def separable_conv2d_grad_filters(
    x: npt.ArrayLike,
    depthwise_filters: npt.ArrayLike,
    pointwise_filters: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    result: npt.ArrayLike | None = None,
    return_bias: bool = False,
    **options: Any,
) -> tuple[Array, ...]:
    """Return the gradients of `separable_conv2d` with respect to its two filters.

    Parameters
    ----------
    %(conv_x)s
    depthwise_filters, pointwise_filters : array_like
        The layer's filters.
    %(conv_grad)s
    %(conv_return_bias)s
    result, **options
        Those of `conv2d_grad_filters`, but `groups` and `out`.

    Returns
    -------
    depthwise_filters, pointwise_filters : ndarray
        The gradients, of the filters' shapes.
    %(conv_bias_returns)s

    %(conv_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x, ones = np.arange(2.0).reshape(1, 1, 1, 2), np.ones((1, 1, 2, 1))
    >>> nn.separable_conv2d_grad_filters(x, ones, ones, [[[[5.0]]]])[1].ravel()
    array([0., 5.])
    """
    depthwise, pointwise = _parts(options)
    grad, points = np.asarray(grad), np.asarray(pointwise_filters)
    middle = depthwise_conv2d(x, depthwise_filters, **depthwise)
    found = conv2d_grad_filters(
        middle, points.shape, grad, result=result, return_bias=return_bias, **pointwise
    )  # fmt: skip
    back = conv2d_grad_input(middle.shape, points, grad, result=result, **pointwise)
    depths = depthwise_conv2d_grad_filters(x, np.shape(depthwise_filters), back, **depthwise)
    return (depths, *found) if return_bias else (depths, found)


@fill
def conv2d_transpose_grad_input(
    input_shape: Sequence[int], filters: npt.ArrayLike, grad: npt.ArrayLike, **options: Any
) -> Array:
    """Return the gradient of `conv2d_transpose` with respect to its input: `conv2d` of `grad`.

    Parameters
    ----------
    input_shape : sequence of int
        The shape of the transposed layer's input.
    filters : array_like
        Rows, columns, results of a group, channels.
    %(conv_grad)s
    **options
        Strides, padding (the explicit one, if the transposed layer had an `output_padding`), dilation_rate,
        groups, data_format, precision, out and workers, as in `conv2d`.

    Returns
    -------
    ndarray
        The gradient, of shape `input_shape`.

    %(conv_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.conv2d_transpose_grad_input((1, 1, 1, 1), np.ones((2, 2, 1, 1)), np.ones((1, 2, 2, 1)))
    array([[[[4.]]]])
    """
    found = conv2d(grad, filters, **options)
    if list(found.shape) != list(_shape(input_shape, "input_shape")):
        raise ValueError(
            "grad must have the shape that the transposed layer gives. "
            f"Received: {list(np.shape(grad))}, that of an input of {list(found.shape)}, not {list(input_shape)}."
        )
    return found


@fill
def conv2d_transpose_grad_filters(
    x: npt.ArrayLike, filters_shape: Sequence[int], grad: npt.ArrayLike, **options: Any
) -> Array:
    """Return the gradient of `conv2d_transpose` with respect to its filters.

    Parameters
    ----------
    %(conv_x)s
    filters_shape : sequence of int
        Rows, columns, results of a group, channels.
    %(conv_grad)s
    **options
        As in `conv2d_grad_filters`, with the padding of `conv2d_transpose_grad_input`.

    Returns
    -------
    ndarray
        The gradient, of shape `filters_shape`.

    %(conv_raises)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.conv2d_transpose_grad_filters([[[[3.0]]]], (2, 2, 1, 1), np.ones((1, 2, 2, 1))).ravel()
    array([3., 3., 3., 3.])
    """
    found: Array = conv2d_grad_filters(grad, filters_shape, x, **options)
    return found


def _shape(shape: Sequence[int], name: str) -> tuple[int, int, int, int]:
    sizes = tuple(int(n) for n in shape)
    if len(sizes) != 4 or min(sizes) < 0:
        raise ValueError(f"{name} must be four sizes from 0 on. Received: {shape!r}.")
    return sizes
