"""Convolution over one or two axes of arrays that are broadcast over the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core

MODES = ("full", "same", "valid")


def swap_needed(mode: str, shape1: Sequence[int], shape2: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether 'valid' lays the first array on the second: SciPy's rule, and its error."""
    if mode != "valid":
        return False
    first = all(shape1[a] >= shape2[a] for a in axes)
    if not first and not all(shape2[a] >= shape1[a] for a in axes):
        raise ValueError(
            "For 'valid' mode, one must be at least as large as the other in every dimension. "
            f"Received: shapes {tuple(shape1)} and {tuple(shape2)}."
        )
    return not first


def convolved(
    in1: npt.NDArray[Any],
    in2: npt.NDArray[Any],
    mode: str,
    axes: Sequence[int],
    dtype: np.dtype[Any],
    workers: int | None,
) -> npt.NDArray[Any]:
    """Convolve over `axes`, where both have more than one sample; broadcast over the others.

    Two axes at most have a window of more than one sample. In 'valid' mode `in1` is the larger on `axes`.
    """
    if len(axes) > 2:
        raise NotImplementedError(
            "windows of more than one sample on one or two axes are supported. "
            f"Received: shapes {in1.shape} and {in2.shape}, which meet on {len(axes)} axes."
        )
    shape1, ndim = in1.shape, in1.ndim
    if mode == "same":
        # An axis that is broadcast keeps the middle of what the larger array has there.
        for axis in range(ndim):
            if axis not in axes and in1.shape[axis] < in2.shape[axis]:
                middle = (in2.shape[axis] - in1.shape[axis]) // 2
                in2 = np.take(in2, range(middle, middle + in1.shape[axis]), axis)
    crop: tuple[slice, ...] | None = None
    if mode != "valid" and in2.size > in1.size:
        # The smaller is the window; what is asked for is then a part of the full result.
        if mode == "same":
            starts = [(in2.shape[a] - 1) // 2 if a in axes else 0 for a in range(ndim)]
            crop = tuple(slice(start, start + n) for start, n in zip(starts, shape1, strict=True))
        in1, in2, mode = in2, in1, "full"
    if ndim == 1:
        in1, in2, axes = in1[None], in2[None], [a + 1 for a in axes]
        result = _planes(in1, in2, mode, axes, dtype, workers)[0]
    else:
        result = _planes(in1, in2, mode, axes, dtype, workers)
    return result if crop is None else np.ascontiguousarray(result[crop])


def _length(n: int, k: int, mode: str) -> int:
    return {"full": n + k - 1, "same": n, "valid": n - k + 1}[mode]


def _planes(
    image: npt.NDArray[Any], window: npt.NDArray[Any], mode: str, axes: Sequence[int], dtype: Any, workers: int | None
) -> npt.NDArray[Any]:
    """One call of the core for each window."""
    ndim = image.ndim
    others = [a for a in range(ndim - 1, -1, -1) if a not in axes]
    # A single axis takes another beside it, along which the window has one sample; of one window if there is one.
    beside = sorted(others, key=lambda a: window.shape[a] > 1)
    rows, cols = sorted([*axes, *beside[: 2 - len(axes)]])
    apart = [a for a in others if window.shape[a] > 1]
    if not apart:
        taps: npt.NDArray[Any] = window.reshape(window.shape[rows], window.shape[cols])
        return _correlated(image, taps, (rows, cols), mode, dtype, None, workers)
    shape = tuple(
        _length(n, k, mode) if a in axes else max(n, k)
        for a, (n, k) in enumerate(zip(image.shape, window.shape, strict=True))
    )
    result: npt.NDArray[Any] = np.empty(shape, dtype)
    for index in np.ndindex(*(window.shape[a] for a in apart)):
        at = dict(zip(apart, index, strict=True))
        pick = tuple(slice(at[a], at[a] + 1) if a in at else slice(None) for a in range(ndim))
        from_image = tuple(slice(0, 1) if a in at and image.shape[a] == 1 else pick[a] for a in range(ndim))
        taps = window[pick].reshape([window.shape[a] if a in axes else 1 for a in (rows, cols)])
        _correlated(image[from_image], taps, (rows, cols), mode, dtype, result[pick], workers)
    return result


def _correlated(
    image: npt.NDArray[Any], taps: npt.NDArray[Any], axes: tuple[int, int], mode: str, dtype: Any, out: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    return _core.correlate(
        image, taps, axes, "signal", True, False, mode, "fill", 0, (0, 0), (1, 1), (1, 1), dtype, out, workers
    )
