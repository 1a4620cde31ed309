"""What the native forms of separable filters share: options, and the choice of passes or of one window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core, _passes
from ferroconv._args import apart, pair
from ferroconv._filters import spatial
from ferroconv._passes import Pass

Window = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Weights of rows and of columns: the window is their outer product."""

FEW = 9
"""Taps of a window that is left to the kernel of two axes: 3x3 took it half the time of two walks (f32, 2048x2048)."""


@dataclass(frozen=True)
class Options:
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
    image: npt.NDArray[Any], window: Window, options: Options, cval: Any, dtype: Any, out: npt.NDArray[Any] | None
) -> npt.NDArray[Any]:
    """Correlate with a window by a pass along each axis where that is the same; else directly.

    Passes give every result of the image's size. Other extents, strides and dilations, and sums of
    integers beyond ``float64``, are left to the kernel of two axes, and so are windows that it is done
    with before a pass has walked over the image.
    """
    target = result_dtype(image, dtype)
    passes = plan(image, window, options) if window[0].size * window[1].size > FEW else None
    if passes is None or not _passes.faithful(image.dtype, passes, cval, options.overflow):
        return direct(image, np.multiply.outer(*window), options, cval, target, out)
    apart(image, out)
    return _passes.run(image, passes, rule=options.overflow, cval=cval, dtype=target, out=out, workers=options.workers)


def direct(
    image: npt.NDArray[Any], weights: npt.NDArray[Any], options: Options, cval: Any, dtype: Any,
    out: npt.NDArray[Any] | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Correlate with a window of two axes."""
    plane = spatial(options.axes, options.channel_axis, image.ndim)
    return _core.correlate(
        image, weights, plane, options.overflow, False, False, options.extent, options.border, cval,
        pair(options.origin, "origin"), pair(options.stride, "stride"), pair(options.dilation, "dilation"),
        result_dtype(image, dtype), out, options.workers,
    )  # fmt: skip


def plan(image: npt.NDArray[Any], window: Window, options: Options) -> list[Pass] | None:
    """A pass along each of the two axes, the last one last; None where passes are not the definition."""
    axes = spatial(options.axes, options.channel_axis, image.ndim)
    known = all(-image.ndim <= axis < image.ndim for axis in axes)
    if not known or image.ndim < 2 or axes[0] % image.ndim == axes[1] % image.ndim:
        return None  # the kernel refuses them
    if options.extent != "same" or {*pair(options.stride, "stride"), *pair(options.dilation, "dilation")} != {1}:
        return None
    borders = both(options.border, "border")
    steps = zip(axes, window, borders, pair(options.origin, "origin"), strict=True)
    passes = [Pass(axis % image.ndim, taps, border, origin) for axis, taps, border, origin in steps]
    # One pass stays in any case: it rounds, and it checks the arguments.
    needed = [step for step in passes if step.weights.size > 1 or step.weights[0] != 1 or step.origin != 0]
    return sorted(needed or passes[1:], key=lambda step: step.axis)


def result_dtype(image: npt.NDArray[Any], dtype: Any) -> np.dtype[Any]:
    """The result's dtype: what is asked for, else the image's."""
    return image.dtype.newbyteorder("=") if dtype is None else np.dtype(dtype)


def both(value: Any, name: str) -> Sequence[Any]:
    """One value for rows and columns, or one for each."""
    if isinstance(value, str) or not np.iterable(value):
        return (value, value)
    values = tuple(value)
    if len(values) != 2:
        raise ValueError(f"{name} must be one value, or one for each of the two axes. Received: {value!r}.")
    return values
