"""The native forms of the derivatives: Sobel and Laplace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _weights
from ferroconv._args import check_precision
from ferroconv._docs import fill
from ferroconv._filters import Extent, check
from ferroconv._lazy import deferred, is_lazy
from ferroconv._native import Options, Window, direct, separable

CROSS = np.array([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])


@fill
def sobel(
    image: npt.ArrayLike,
    axis: int | None = -1,
    *,
    extent: Extent = "same",
    border: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    axes: Sequence[int] = (-2, -1),
    channel_axis: int | None = None,
    dtype: npt.DTypeLike | None = None,
    overflow: Literal["saturate", "wrap"] = "saturate",
    nan: Literal["propagate", "ignore"] = "propagate",
    mask: npt.ArrayLike | None = None,
    precision: Literal["highest", "high", "medium"] = "highest",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Sobel filter: ``[-1, 0, 1]`` along one axis, ``[1, 2, 1]`` along the other, or the magnitude.

    A derivative is `correlate` with the outer product of the two; the magnitude is the square root of
    the sum of the squares of both. An integer image that shall keep its signs asks for a wider result:
    ``sobel(image, dtype=np.int16)`` of uint8 is exact.

    Parameters
    ----------
    image : array_like
        The image, or any number of them: the filter works on two of its axes. Any real or complex dtype;
        read-only, strided, unaligned or byte-swapped arrays are fine.
    axis : {-1, 1, -2, 0, None}, optional
        The axis of the derivative among the two that are filtered: columns (-1 or 1, across vertical
        edges), rows (-2 or 0), or None for the magnitude of both.
    %(native_options)s

    %(native_rest)s

    See Also
    --------
    ferroconv.ndimage.sobel : SciPy's signature and integer arithmetic, and any number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> step = np.array([[0, 0, 200, 200]], np.uint8)
    >>> ferroconv.sobel(step, dtype=np.int16)
    array([[  0, 800, 800,   0]], dtype=int16)
    >>> ferroconv.sobel(step, axis=None)
    array([[  0, 255, 255,   0]], dtype=uint8)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(sobel, locals())
    check_precision(precision)
    check(overflow, nan)
    _refuse_gaps(nan, mask)
    image = np.asarray(image)
    options = Options(extent, border, cval, origin, stride, dilation, axes, channel_axis, overflow, workers)
    down, across = (_weights.DIFFERENCE, _weights.SOBEL), (_weights.SOBEL, _weights.DIFFERENCE)
    if axis is None:
        return _magnitude(image, (down, across), options, dtype, out)
    if axis not in (-2, -1, 0, 1):
        raise ValueError(
            f"axis must be one of the two that are filtered: 0 or -2 for rows, 1 or -1 for columns, or None. "
            f"Received: {axis!r}."
        )
    return separable(image, across if axis in (-1, 1) else down, options, cval, dtype, out)


@fill
def laplace(
    image: npt.ArrayLike,
    *,
    extent: Extent = "same",
    border: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    axes: Sequence[int] = (-2, -1),
    channel_axis: int | None = None,
    dtype: npt.DTypeLike | None = None,
    overflow: Literal["saturate", "wrap"] = "saturate",
    nan: Literal["propagate", "ignore"] = "propagate",
    mask: npt.ArrayLike | None = None,
    precision: Literal["highest", "high", "medium"] = "highest",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Laplace filter: `correlate` with ``[[0, 1, 0], [1, -4, 1], [0, 1, 0]]``.

    An integer image that shall keep its signs asks for a wider result: ``laplace(image,
    dtype=np.int16)`` of uint8 is exact.

    Parameters
    ----------
    image : array_like
        The image, or any number of them: the filter works on two of its axes. Any real or complex dtype;
        read-only, strided, unaligned or byte-swapped arrays are fine.
    %(native_options)s

    %(native_rest)s

    See Also
    --------
    ferroconv.ndimage.laplace : SciPy's signature and integer arithmetic, and any number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> spot = np.zeros((3, 3), np.uint8)
    >>> spot[1, 1] = 50
    >>> ferroconv.laplace(spot, dtype=np.int16)
    array([[   0,   50,    0],
           [  50, -200,   50],
           [   0,   50,    0]], dtype=int16)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(laplace, locals())
    check_precision(precision)
    check(overflow, nan)
    _refuse_gaps(nan, mask)
    image = np.asarray(image)
    options = Options(extent, border, cval, origin, stride, dilation, axes, channel_axis, overflow, workers)
    return direct(image, CROSS, options, cval, dtype, out)


def _refuse_gaps(nan: str, mask: Any) -> None:
    if nan != "propagate" or mask is not None:
        raise ValueError(
            "nan='ignore' and mask= divide by the sum of the weights that are left, and a derivative's weights sum to "
            f"zero. Received: nan={nan!r}, mask={'None' if mask is None else 'an array'}; fill the gaps in first."
        )


def _magnitude(
    image: npt.NDArray[Any], windows: tuple[Window, Window], options: Options, dtype: Any,
    out: npt.NDArray[Any] | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """The root of the sum of two squared derivatives, in floating point, rounded once."""
    first, second = (np.multiply.outer(rows.array, cols.array) for rows, cols in windows)
    return direct(image, (first, second), options, options.cval, dtype, out)
