"""Filters that leave pixels out: normalised convolution, for any native filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import apart
from ferroconv._docs import PARAGRAPHS
from ferroconv._explain import explaining

Run = Callable[[Any, Any, Any, Any], npt.NDArray[Any]]
"""A filter with all its options but ``(image, cval, dtype, out)``."""

ZERO = 1e-8
"""Weights whose sum is that small a part of the sum of their magnitudes sum to zero."""

PARAGRAPHS[
    "ignoring"
] = """Pixels that `mask` or ``nan='ignore'`` leave out are made up for by the others of their window:
``sum(w * x) * sum(w) / sum(w')``, where the first sum and ``w'`` are over the pixels that are left. A
window without any gives NaN. That is astropy.convolution.convolve with ``nan_treatment='interpolate'``
and ``normalize_kernel=False``. The weights must not sum to zero, and the result's dtype must be able to
hold a NaN. What lies outside under border 'constant' counts as there, unless ``nan='ignore'`` and `cval`
is NaN."""


def ignoring(
    run: Run, image: npt.ArrayLike, weights: Sequence[Any], *, nan: str, mask: Any, cval: Any, dtype: Any, out: Any
) -> npt.NDArray[Any]:
    """Run a filter over the pixels that are neither masked nor, with ``nan="ignore"``, NaN.

    `weights` has the window, or what it is the outer product of. Two filters are run, of the pixels
    with zeros for those left out and of ones in their place, hence about twice the cost; where no
    pixel is left out, the filter itself. Results whose window is whole have its bits.
    """
    image = np.asarray(image)
    target = np.dtype(dtype) if dtype is not None else image.dtype.newbyteorder("=")
    hollow = nan == "ignore" and image.dtype.kind not in "biu"
    outside = nan == "ignore" and bool(np.isnan(cval))
    if mask is None and not hollow and not outside:
        return run(image, cval, dtype, out)
    taps = [np.asarray(part) for part in weights]
    total, magnitude = _sums(taps)
    absent = np.zeros(image.shape, bool) if mask is None else _mask(mask, image.shape).copy()
    if hollow:
        absent |= np.isnan(image)
    if mask is None and not outside and not absent.any():
        return run(image, cval, dtype, out)
    if target.kind in "biu":
        raise TypeError(
            "a window whose pixels are all left out gives NaN, which an integer can't hold: "
            f"ask for a floating-point result by dtype=. Received: {target}."
        )
    apart(image, out)
    values = image.copy() if image.dtype.isnative else image.astype(target)
    values[absent] = 0
    narrow = target.kind != "c" and target.itemsize <= 2
    work = np.dtype(np.float32) if narrow else target
    real = np.dtype(f"f{work.itemsize // 2}") if work.kind == "c" else work
    result = run(values, 0.0 if outside else cval, work, None if narrow else out)
    there = run(~absent, 0.0 if outside else 1.0, real, None)
    if not explaining():
        slack = 4 * sum(part.size for part in taps) * float(np.finfo(real).eps) * magnitude
        result *= _share(there, total, slack, all((part >= 0).all() for part in taps))
    if not narrow:
        return result
    if out is None:
        return result.astype(target)
    if not explaining():
        out[...] = result
    return out


def _sums(taps: Sequence[npt.NDArray[Any]]) -> tuple[float, float]:
    """The sum of a window's weights and of their magnitudes."""
    if any(part.dtype.kind == "c" for part in taps):
        raise ValueError("complex weights can't be normalised: nan='ignore' and mask= take real ones.")
    total = math.prod(float(part.sum()) for part in taps)
    magnitude = math.prod(float(np.abs(part.astype(float)).sum()) for part in taps)
    if not abs(total) > ZERO * magnitude:
        raise ValueError(
            "nan='ignore' and mask= divide by the sum of the weights that are left, so the weights must not sum to "
            f"zero, as those of a derivative do. Received: weights of sum {total:.3g}; fill the gaps in first."
        )
    return total, magnitude


def _mask(mask: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.asarray(mask)
    if mask.dtype.kind != "b":
        raise TypeError(f"mask must be of bool, True where a pixel is left out. Received: {mask.dtype}.")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(
            f"mask must have the image's shape, or one that broadcasts to it. Received: {mask.shape} for {shape}."
        ) from None


def _share(there: npt.NDArray[Any], total: float, slack: float, positive: bool) -> npt.NDArray[Any]:
    """``total / there``, in its place: one for whole windows, NaN for empty ones."""
    whole = np.abs(there - there.dtype.type(total)) <= slack
    empty = there == 0 if positive else np.abs(there) <= slack
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(total, there, there)
    there[whole] = 1
    there[empty] = np.nan
    return there
