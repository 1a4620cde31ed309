"""What the native forms of separable filters share: options, and the choice of passes or of one window."""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ferroconv import _core, _passes
from ferroconv._args import apart, pair, per_axis
from ferroconv._filters import spatial
from ferroconv._normalised import LeftOut
from ferroconv._passes import Pass
from ferroconv._weights import Taps

Window = tuple[Taps, Taps]
"""Weights of rows and of columns: the window is their outer product."""

FEW = 9
"""Taps of a window that is left to the kernel of two axes: 3x3 took it half the time of two walks (f32, 2048x2048)."""


class Options(NamedTuple):
    """Options of a native form, as they are given."""

    extent: str
    border: Any
    cval: Any
    origin: Any
    stride: Any
    dilation: Any
    axes: Any
    channel_axis: int | None
    overflow: str
    workers: int | None


def separable(
    image: npt.NDArray[Any], window: Window, options: Options, cval: Any, dtype: Any, out: npt.NDArray[Any] | None,
    left_out: LeftOut | None = None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Correlate with a window by a pass along each axis where that is the same; else directly.

    Passes give every result of the image's size. Other extents, strides and dilations, and sums of
    integers beyond ``float64``, are left to the kernel of two axes, and so are windows that it is done
    with before a pass has walked over the image.
    """
    target = result_dtype(image, dtype)
    if window[0].size * window[1].size <= FEW:
        return direct(image, _outer(*window), options, cval, target, out, left_out)
    passes = plan(image, window, options)
    if passes is None or not _passes.faithful(image.dtype, passes, cval, options.overflow):
        return direct(image, np.multiply.outer(window[0].array, window[1].array), options, cval, target, out, left_out)
    if left_out is not None:
        return direct(image, [(window[0].values, window[1].values)], options, cval, target, out, left_out)
    apart(image, out)
    return _passes.run(image, passes, options.overflow, cval, target, out, options.workers)


@functools.lru_cache(maxsize=128)
def _outer(rows: Taps, cols: Taps) -> npt.NDArray[np.float64]:
    """A window of few taps, kept for the next call."""
    return np.multiply.outer(rows.array, cols.array)


def direct(
    image: npt.NDArray[Any], weights: Any, options: Options, cval: Any, dtype: Any, out: npt.NDArray[Any] | None,
    left_out: LeftOut | None = None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Correlate with a window of two axes, an array or its outer product; or with two, for the magnitude of both."""
    plane = spatial(options.axes, options.channel_axis, image.ndim)
    return _core.correlate(
        image, weights, plane, options.overflow, False, False, options.extent, options.border, cval,
        pair(options.origin, "origin"), pair(options.stride, "stride"), pair(options.dilation, "dilation"),
        result_dtype(image, dtype), out, options.workers, left_out,
    )  # fmt: skip


def plan(image: npt.NDArray[Any], window: Window, options: Options) -> list[Pass] | None:
    """A pass along each of the two axes, the last one last; None where passes are not the definition."""
    what = (image.ndim, window, options.extent, options.border, options.origin, options.stride, options.dilation)
    try:
        return _kept(*what, options.axes, options.channel_axis)
    except TypeError:  # no key: a list; or an error, which comes again
        return _plan(*what, options.axes, options.channel_axis)


def _plan(
    ndim: int, window: Window, extent: str, border: Any, origin: Any, stride: Any, dilation: Any, axes: Any,
    channel_axis: int | None,
) -> list[Pass] | None:  # fmt: skip
    axes = spatial(axes, channel_axis, ndim)
    known = all(-ndim <= axis < ndim for axis in axes)
    if not known or ndim < 2 or axes[0] % ndim == axes[1] % ndim:
        return None  # the kernel refuses them
    if extent != "same" or (*pair(stride, "stride"), *pair(dilation, "dilation")) != (1,) * 4:
        return None
    borders = per_axis(border, 2, "border")
    if not all(isinstance(border, str) for border in borders):
        return None  # likewise
    steps = zip(axes, window, borders, pair(origin, "origin"), strict=True)
    passes = [Pass(axis % ndim, taps, border, origin) for axis, taps, border, origin in steps]
    # One pass stays in any case: it rounds, and it checks the arguments.
    needed = [step for step in passes if step.taps.size > 1 or step.taps.total != 1 or step.origin != 0]
    return sorted(needed or passes[1:], key=operator.itemgetter(0))


# Types are part of the key: 1.0 is no stride.
_kept = functools.lru_cache(maxsize=128, typed=True)(_plan)


def result_dtype(image: npt.NDArray[Any], dtype: Any) -> np.dtype[Any]:
    """The result's dtype: what is asked for, else the image's."""
    if dtype is not None:
        return np.dtype(dtype)
    return image.dtype if image.dtype.isnative else image.dtype.newbyteorder("=")
