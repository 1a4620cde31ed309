"""The native forms of sliding windows: mean, least and greatest of a rectangle."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import later, per_axis
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._filters import Extent, check, spatial
from ferroconv._lazy import deferred, is_lazy
from ferroconv._normalised import ignoring

PARAGRAPHS["sliding_parameters"] = """image : array_like
    The image, or any number of them. Read-only, strided, unaligned or byte-swapped arrays are fine.
size : int or sequence of int
    The window's sizes, for all axes or one for each. The centre of an even one is scipy.ndimage's.
extent : {'full', 'same', 'valid'}, optional
    Which positions are computed: all where window and image meet, as many as the image has, or those
    where the window lies inside the image.
border : str or sequence of str, optional
    How the image goes on past its edges, for all axes or one for each:

%(borders)s
cval : scalar, optional
    The value of ``k`` above.
origin : int or sequence of int, optional
    Displacement of the window in pixels; a positive one moves the result towards higher indices.
stride, dilation : 1, optional
    Other numbers come later.
axes : sequence of int, optional
    The axes that the window covers: any number of them.
channel_axis : int, optional
    An axis of channels; the filter then works on the last two of the others.
dtype : dtype, optional
    The result's; by default the image's.
overflow : {'saturate', 'wrap'}, optional
    What an integer result does with a number that it can't hold."""

PARAGRAPHS["sliding_out"] = """out : ndarray, optional
    Where the result is written: of its shape and dtype, apart from the image.
%(workers)s"""

PARAGRAPHS["sliding_rest"] = """Returns
-------
ndarray
    The filtered image.

Raises
------
ValueError
    For impossible sizes, unknown names, or an `out` that does not fit.
TypeError
    For dtypes without such arithmetic.
NotImplementedError
    For options that come later."""


def _axes(axes: Sequence[int], channel_axis: int | None, ndim: int) -> list[int]:
    if channel_axis is None:
        over = [int(axis) for axis in axes]
        if len({axis % ndim for axis in over if ndim}) != len(over):
            raise ValueError(f"axes must be different axes of the image. Received: {axes!r} for {ndim} axes.")
        return over
    return list(spatial(axes, channel_axis, ndim))


def _windows(
    kind: str, ndim: int, size: Any, border: Any, origin: Any, stride: Any, dilation: Any, axes: Any,
    channel_axis: int | None, overflow: str, nan: str,
) -> list[tuple[int, Any, Any, Any]]:  # fmt: skip
    """A window along each axis, of checked options."""
    later(stride=(stride, 1), dilation=(dilation, 1))
    if kind != "mean":
        later(nan=(nan, "propagate"))
    check(overflow, nan)
    over = _axes(axes, channel_axis, ndim)
    count = len(over)
    given = (per_axis(one, count, name) for one, name in ((size, "size"), (origin, "origin"), (border, "border")))
    return list(zip(over, *given, strict=True))


def _whole(value: Any) -> bool:
    """Whether a value is made of plain integers: (3.0, 3.0), which is no size, would be the same key as (3, 3)."""
    return type(value) is int or (type(value) is tuple and all(type(one) is int for one in value))


# Types are part of the key, but not those within a tuple.
_kept = functools.lru_cache(maxsize=128, typed=True)(_windows)


def _slide(
    kind: str, image: Any, size: Any, extent: str, border: Any, cval: Any, origin: Any, stride: Any, dilation: Any,
    axes: Any, channel_axis: int | None, dtype: Any, overflow: str, nan: str, mask: Any, out: Any, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    if kind != "mean":
        later(mask=(mask, None))
    image = np.asarray(image)
    options = (kind, image.ndim, size, border, origin, stride, dilation, axes, channel_axis, overflow, nan)
    if _whole(size) and _whole(origin):
        try:
            windows = _kept(*options)
        except TypeError:  # no key: a list; or an error, which comes again
            windows = _windows(*options)
    else:
        windows = _windows(*options)

    def run(image: npt.NDArray[Any], cval: Any, dtype: Any, out: Any) -> npt.NDArray[Any]:
        kept = None if dtype is None else np.dtype(dtype)
        if kind == "mean" and image.dtype.kind == "c":
            return _complex_mean(image, overflow, windows, extent, cval, kept, out, workers)
        return _core.sliding(image, kind, overflow, windows, extent, cval, kept, out, workers)

    if nan == "propagate" and mask is None:
        return run(image, cval, dtype, out)
    # The weights of a mean sum to one, whatever their number.
    return ignoring(run, image, [np.ones(1)], nan=nan, mask=mask, cval=cval, dtype=dtype, out=out)


def _complex_mean(
    image: npt.NDArray[Any], overflow: str, windows: list[Any], extent: str, cval: Any, kept: Any, out: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Two real means."""
    kept = image.dtype.newbyteorder("=") if kept is None else kept
    if kept.kind != "c":
        raise TypeError(f"a complex image gives a complex result. Received: dtype={kept}.")
    real = np.empty(0, kept).real.dtype
    parts = [
        _core.sliding(
            getattr(image, name), "mean", overflow, windows, extent, getattr(np, name)(cval), real, None, workers
        )
        for name in ("real", "imag")
    ]
    if out is None:
        out = np.empty(parts[0].shape, kept)
    elif not isinstance(out, np.ndarray) or out.shape != parts[0].shape or out.dtype != kept:
        raise ValueError(f"out= must be an array of shape {parts[0].shape} and dtype {kept}. Received: {out!r}.")
    out.real, out.imag = parts
    return out


@fill
def box(
    image: npt.ArrayLike,
    size: int | Sequence[int],
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
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Mean of a rectangle: ``out[y, x] = mean of image[y + i - kh // 2, x + j - kw // 2]``.

    Parameters
    ----------
    %(sliding_parameters)s
    nan : {'propagate', 'ignore'}, optional
        NaN stays in the windows that hold it, or is left out like a masked pixel.
    mask : array_like of bool, optional
        True where a pixel is left out; of the image's shape, or one that broadcasts to it. See Notes.
    %(sliding_out)s

    %(sliding_rest)s

    Notes
    -----
    Integer images are summed exactly and the mean is rounded half to even, once. ``float16``, ``bfloat16`` and
    ``float32`` are summed in ``float32``, ``float64`` in ``float64``, without a running sum: the error does not grow
    with the image, and a NaN stays in its windows. `ferroconv.explain` states the bound.

    %(ignoring)s

    See Also
    --------
    ferroconv.ndimage.uniform_filter : SciPy's signature and integer arithmetic.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> ferroconv.box(np.array([[1, 2, 4, 8]], np.uint8), (1, 3))
    array([[1, 2, 5, 7]], dtype=uint8)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(box, locals())
    return _slide(
        "mean", image, size, extent, border, cval, origin, stride, dilation, axes, channel_axis, dtype, overflow,
        nan, mask, out, workers,
    )  # fmt: skip


@fill
def minimum(
    image: npt.ArrayLike,
    size: int | Sequence[int],
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
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Least sample of a rectangle: ``out[y, x] = min of image[y + i - kh // 2, x + j - kw // 2]``.

    Parameters
    ----------
    %(sliding_parameters)s
    nan : {'propagate'}, optional
        NaN stays in the windows that hold it. 'ignore' comes later.
    mask : None, optional
        Comes later.
    %(sliding_out)s

    %(sliding_rest)s

    Notes
    -----
    Exact for every dtype. A NaN is the result of every window that holds one.

    See Also
    --------
    ferroconv.ndimage.minimum_filter : SciPy's signature and integer arithmetic.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> ferroconv.minimum(np.array([[1, 2, 4, 8]], np.uint8), (1, 3))
    array([[1, 1, 2, 4]], dtype=uint8)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(minimum, locals())
    return _slide(
        "minimum", image, size, extent, border, cval, origin, stride, dilation, axes, channel_axis, dtype, overflow,
        nan, mask, out, workers,
    )  # fmt: skip


@fill
def maximum(
    image: npt.ArrayLike,
    size: int | Sequence[int],
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
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Greatest sample of a rectangle: ``out[y, x] = max of image[y + i - kh // 2, x + j - kw // 2]``.

    Parameters
    ----------
    %(sliding_parameters)s
    nan : {'propagate'}, optional
        NaN stays in the windows that hold it. 'ignore' comes later.
    mask : None, optional
        Comes later.
    %(sliding_out)s

    %(sliding_rest)s

    Notes
    -----
    Exact for every dtype. A NaN is the result of every window that holds one.

    See Also
    --------
    ferroconv.ndimage.maximum_filter : SciPy's signature and integer arithmetic.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> ferroconv.maximum(np.array([[1, 2, 4, 8]], np.uint8), (1, 3))
    array([[2, 4, 8, 8]], dtype=uint8)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(maximum, locals())
    return _slide(
        "maximum", image, size, extent, border, cval, origin, stride, dilation, axes, channel_axis, dtype, overflow,
        nan, mask, out, workers,
    )  # fmt: skip
