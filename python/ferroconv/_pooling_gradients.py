"""Gradients of pooling with respect to its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import DataFormat, Padding, channels_first, pair
from ferroconv._docs import PARAGRAPHS, fill

__all__ = [
    "adaptive_avg_pool2d_grad_input",
    "adaptive_max_pool2d_grad_input",
    "avg_pool2d_grad_input",
    "global_avg_pool2d_grad_input",
    "global_max_pool2d_grad_input",
    "max_pool2d_grad_input",
]

PARAGRAPHS["pool_grad_x"] = """x : array_like
    The input of the forward pass, of a floating-point dtype."""

PARAGRAPHS["pool_grad_shape"] = """input_shape : sequence of int
    The shape of the forward pass's input."""

PARAGRAPHS["pool_grad_grad"] = """grad : array_like
    The gradient with respect to the forward pass's result, of that result's shape and dtype."""

PARAGRAPHS["pool_grad_window"] = """pool_size, strides, padding, dilation_rate, ceil_mode, data_format : optional
    As the forward pass was given them."""

PARAGRAPHS["pool_grad_indices"] = """indices : array_like of int64, optional
    The positions that the forward pass returned with `return_indices`. Only the shape and the dtype of `x` are
    used then."""

PARAGRAPHS["pool_grad_rest"] = """out : ndarray, optional
    Where the result is written: of its shape and dtype, apart from the arrays that are read.
%(workers)s"""

PARAGRAPHS["pool_grad_returns"] = """Returns
-------
ndarray
    The gradient with respect to the input, of its shape and of the dtype of `grad`."""

PARAGRAPHS["pool_grad_raises"] = """Raises
------
ValueError
    For sizes that can't be meant, and arrays that do not fit each other or the arguments.
TypeError
    For integers, and for dtypes that differ."""

PARAGRAPHS["pool_grad_max_notes"] = """Notes
-----
As in torch, the gradient of a window goes to the sample that the forward pass gives the index of: the
first of equal ones, a NaN before any number. ``float16``, ``bfloat16`` and ``float32`` gradients of
windows that overlap are summed in ``float32``."""

PARAGRAPHS["pool_grad_mean_notes"] = """Notes
-----
``float16``, ``bfloat16`` and ``float32`` are summed in ``float32``, windows with more than 512 rows and
columns together in ``float64``."""


@fill
def max_pool2d_grad_input(
    x: npt.ArrayLike,
    grad: npt.ArrayLike,
    pool_size: int | Sequence[int] = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    *,
    dilation_rate: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    data_format: DataFormat = "channels_last",
    indices: npt.ArrayLike | None = None,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the gradient of `max_pool2d` with respect to its input.

    Parameters
    ----------
    %(pool_grad_x)s
    %(pool_grad_grad)s
    %(pool_grad_window)s
    %(pool_grad_indices)s
    %(pool_grad_rest)s

    %(pool_grad_returns)s

    %(pool_grad_raises)s

    %(pool_grad_max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.array([1.0, 3.0, 3.0, 2.0]).reshape(1, 2, 2, 1)
    >>> nn.max_pool2d_grad_input(x, np.full((1, 1, 1, 1), 5.0))[0, :, :, 0]
    array([[0., 5.],
           [0., 0.]])
    """
    window = pair(pool_size, "pool_size")
    return _core.pool2d_gradient(
        x, grad, indices, "max", window, window if strides is None else pair(strides, "strides"), padding,
        pair(dilation_rate, "dilation_rate"), bool(ceil_mode), channels_first(data_format), False, None, out, workers,
    )  # fmt: skip


@fill
def avg_pool2d_grad_input(
    input_shape: Sequence[int],
    grad: npt.ArrayLike,
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
    """Return the gradient of `avg_pool2d` with respect to its input.

    Parameters
    ----------
    %(pool_grad_shape)s
    %(pool_grad_grad)s
    %(pool_grad_window)s
    count_include_pad, divisor_override : optional
        Likewise.
    %(pool_grad_rest)s

    %(pool_grad_returns)s

    %(pool_grad_raises)s

    %(pool_grad_mean_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.avg_pool2d_grad_input((1, 2, 4, 1), np.array([4.0, 8.0]).reshape(1, 1, 2, 1))[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    """
    window = pair(pool_size, "pool_size")
    return _core.pool2d_gradient(
        input_shape, grad, None, "mean", window, window if strides is None else pair(strides, "strides"), padding,
        pair(dilation_rate, "dilation_rate"), bool(ceil_mode), channels_first(data_format), bool(count_include_pad),
        divisor_override, out, workers,
    )  # fmt: skip


@fill
def adaptive_max_pool2d_grad_input(
    x: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    indices: npt.ArrayLike | None = None,
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the gradient of `adaptive_max_pool2d`, whose output size is that of `grad`, with respect to its input.

    Parameters
    ----------
    %(pool_grad_x)s
    %(pool_grad_grad)s
    %(data_format)s
    %(pool_grad_indices)s
    %(pool_grad_rest)s

    %(pool_grad_returns)s

    %(pool_grad_raises)s

    %(pool_grad_max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> x = np.arange(5.0).reshape(1, 1, 5, 1)
    >>> nn.adaptive_max_pool2d_grad_input(x, np.array([1.0, 2.0]).reshape(1, 1, 2, 1)).ravel()
    array([0., 0., 1., 0., 2.])
    """
    return _core.adaptive_pool2d_gradient(x, grad, indices, "max", channels_first(data_format), out, workers)


@fill
def adaptive_avg_pool2d_grad_input(
    input_shape: Sequence[int],
    grad: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the gradient of `adaptive_avg_pool2d`, whose output size is that of `grad`, with respect to its input.

    Parameters
    ----------
    %(pool_grad_shape)s
    %(pool_grad_grad)s
    %(data_format)s
    %(pool_grad_rest)s

    %(pool_grad_returns)s

    %(pool_grad_raises)s

    %(pool_grad_mean_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.adaptive_avg_pool2d_grad_input((1, 1, 5, 1), np.array([3.0, 6.0]).reshape(1, 1, 2, 1)).ravel()
    array([1., 1., 3., 2., 2.])
    """
    return _core.adaptive_pool2d_gradient(input_shape, grad, None, "mean", channels_first(data_format), out, workers)


def _of_global(grad: npt.ArrayLike, channels_first: bool) -> npt.NDArray[Any]:
    """The gradient with the axes of rows and columns, which the forward pass may have left out."""
    given = np.asarray(grad)
    rows, cols = (2, 3) if channels_first else (1, 2)
    if given.ndim == 2:
        return np.expand_dims(given, (rows, cols))
    if given.ndim != 4 or given.shape[rows] != 1 or given.shape[cols] != 1:
        raise ValueError(
            "grad must have the shape of the forward pass's result, batch and channels, or four axes with one "
            f"row and one column. Received: {list(given.shape)}."
        )
    return given


@fill
def global_max_pool2d_grad_input(
    x: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the gradient of `global_max_pool2d`, with or without `keepdims`, with respect to its input.

    Parameters
    ----------
    %(pool_grad_x)s
    %(pool_grad_grad)s
    %(data_format)s
    %(pool_grad_rest)s

    %(pool_grad_returns)s

    %(pool_grad_raises)s

    %(pool_grad_max_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.global_max_pool2d_grad_input(np.arange(4.0).reshape(1, 2, 2, 1), [[5.0]])[0, :, :, 0]
    array([[0., 0.],
           [0., 5.]])
    """
    first = channels_first(data_format)
    return _core.adaptive_pool2d_gradient(x, _of_global(grad, first), None, "max", first, out, workers)


@fill
def global_avg_pool2d_grad_input(
    input_shape: Sequence[int],
    grad: npt.ArrayLike,
    *,
    data_format: DataFormat = "channels_last",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Return the gradient of `global_avg_pool2d`, with or without `keepdims`, with respect to its input.

    Parameters
    ----------
    %(pool_grad_shape)s
    %(pool_grad_grad)s
    %(data_format)s
    %(pool_grad_rest)s

    %(pool_grad_returns)s

    %(pool_grad_raises)s

    %(pool_grad_mean_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv import nn
    >>> nn.global_avg_pool2d_grad_input((1, 2, 2, 1), [[8.0]])[0, :, :, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    first = channels_first(data_format)
    return _core.adaptive_pool2d_gradient(input_shape, _of_global(grad, first), None, "mean", first, out, workers)
