"""The native forms of correlation and convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import check_precision, pair
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._lazy import deferred, is_lazy
from ferroconv._normalised import LeftOut, ignoring

Extent = Literal["full", "same", "valid"]

PARAGRAPHS["native_parameters"] = """image : array_like
    The image, or any number of them: the filter works on two of its axes. Any real or complex dtype;
    read-only, strided, unaligned or byte-swapped arrays are fine.
weights : array_like
    The window's values, two axes.
%(native_options)s"""

PARAGRAPHS["native_options"] = """extent : {'full', 'same', 'valid'}, optional
    Which positions are computed: all where window and image meet, as many as the image has, or those
    where the window lies inside the image.
border : str or pair of str, optional
    How the image goes on past its edges, for both axes or for rows and columns:

%(borders)s
cval : scalar, optional
    The value of ``k`` above.
origin : int or pair of int, optional
    Displacement of the window in pixels; a positive one moves the result towards higher indices.
stride : int or pair of int, optional
    Distance between neighbouring results; every ``stride``-th of the dense result is computed.
dilation : int or pair of int, optional
    Distance between neighbouring taps.
axes : pair of int, optional
    The image's axes of rows and columns.
channel_axis : int, optional
    An axis of channels; the filter then works on the last two of the others.
dtype : dtype, optional
    The result's. By default the image's, or the complex type that holds a complex product.
overflow : {'saturate', 'wrap'}, optional
    What an integer result does with a sum that it can't hold.
nan : {'propagate', 'ignore'}, optional
    NaN stays where the mathematics puts it, or is left out like a masked pixel.
mask : array_like of bool, optional
    True where a pixel is left out; of the image's shape, or one that broadcasts to it. See Notes.
precision : {'highest', 'high', 'medium'}, optional
    How exact the result has to be. Filters are as exact in every class: ``float32`` images are summed in ``float32``.
out : ndarray, optional
    Where the result is written: of its shape and dtype, apart from the inputs.
%(workers)s"""

PARAGRAPHS["native_rest"] = """Returns
-------
ndarray
    The filtered image.

Raises
------
ValueError
    For impossible sizes, unknown names, or an `out` that does not fit.
TypeError
    For dtypes without arithmetic, and for real results of complex sums.

Notes
-----
``float16``, ``bfloat16`` and ``float32`` are summed in ``float32``, ``float64`` in ``float64``. Integer
images with whole-numbered weights are summed exactly. With other weights they are summed in ``float32``
where that errs by less than 1/64 of a level, else in ``float64``, and rounded half to even.
`ferroconv.explain` says which it is and states the bound.

%(ignoring)s"""


@fill
def correlate(
    image: npt.ArrayLike,
    weights: npt.ArrayLike,
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
    """Correlate: ``out[y, x] = sum of weights[i, j] * image[y + i - kh // 2, x + j - kw // 2]``.

    Parameters
    ----------
    %(native_parameters)s

    %(native_rest)s

    See Also
    --------
    convolve : the same with the window turned by half a turn.
    ferroconv.ndimage.correlate : SciPy's signature and integer arithmetic.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> ferroconv.correlate(np.array([[1, 2, 4]], np.uint8), [[-1, 0, 1]], border="nearest")
    array([[1, 3, 2]], dtype=uint8)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(correlate, locals())
    return _native(
        False, image, weights, extent, border, cval, origin, stride, dilation, axes, channel_axis,
        dtype, overflow, nan, mask, precision, out, workers,
    )  # fmt: skip


@fill
def convolve(
    image: npt.ArrayLike,
    weights: npt.ArrayLike,
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
    """Convolve: ``out[y, x] = sum of weights[i, j] * image[y + kh // 2 - i, x + kw // 2 - j]``.

    The window is turned by half a turn before it is laid on the image; for a window of even size the
    centre is scipy.ndimage's.

    Parameters
    ----------
    %(native_parameters)s

    %(native_rest)s

    See Also
    --------
    correlate : the same without the turn.
    ferroconv.signal.convolve2d, ferroconv.ndimage.convolve : SciPy's signatures.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> impulse = np.zeros((3, 3))
    >>> impulse[1, 1] = 1
    >>> ferroconv.convolve(impulse, [[1, 2, 3]])[1]
    array([1., 2., 3.])
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(convolve, locals())
    return _native(
        True, image, weights, extent, border, cval, origin, stride, dilation, axes, channel_axis,
        dtype, overflow, nan, mask, precision, out, workers,
    )  # fmt: skip


def _native(
    turn: bool, image: Any, weights: Any, extent: str, border: Any, cval: Any, origin: Any, stride: Any,
    dilation: Any, axes: Any, channel_axis: int | None, dtype: Any, overflow: str, nan: str, mask: Any,
    precision: str, out: Any, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    check_precision(precision)
    check(overflow, nan)
    image = np.asarray(image)
    weights = np.asarray(weights)
    row, col = pair(origin, "origin")
    steps = pair(dilation, "dilation")
    if turn and weights.ndim == 2 and extent == "same":
        # scipy.ndimage.convolve: the origin turns with the window, and an even window has its
        # centre one tap further on.
        row, col = (-o - d * (1 - n % 2) for o, d, n in zip((row, col), steps, weights.shape, strict=True))
    plane, strides = spatial(axes, channel_axis, image.ndim), pair(stride, "stride")

    def run(image: Any, cval: Any, dtype: Any, out: Any, left_out: LeftOut | None = None) -> npt.NDArray[Any]:
        return _core.correlate(
            image, weights, plane, overflow, turn, False, extent, border, cval, (row, col), strides, steps,
            None if dtype is None else np.dtype(dtype), out, workers, left_out,
        )  # fmt: skip

    if nan == "propagate" and mask is None:
        return run(image, cval, dtype, out)
    return ignoring(run, image, [weights], nan=nan, mask=mask, cval=cval, dtype=dtype, out=out, fused=run)


def check(overflow: str, nan: str) -> None:
    """Refuse names that no native form knows."""
    if overflow not in ("saturate", "wrap"):
        raise ValueError(f"overflow must be 'saturate' or 'wrap'. Received: {overflow!r}.")
    if nan not in ("propagate", "ignore"):
        raise ValueError(f"nan must be 'propagate' or 'ignore'. Received: {nan!r}.")


def spatial(axes: Sequence[int], channel_axis: int | None, ndim: int) -> tuple[int, int]:
    """The image's axes of rows and columns."""
    if channel_axis is None:
        return pair(axes, "axes")
    if not -ndim <= channel_axis < ndim or ndim < 3:
        raise ValueError(
            f"channel_axis must be an axis of an image of three axes or more. "
            f"Received: channel_axis={channel_axis} for {ndim} axes."
        )
    first, second = [axis for axis in range(ndim) if axis != channel_axis % ndim][-2:]
    return first, second
