"""Windows over three axes and more, as windows over two: all axes but the last are laid one after the other."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError
from ferroconv._explain import explaining

CONSTANT = ("constant", "grid-constant")


def correlated(
    image: npt.NDArray[Any], weights: npt.NDArray[Any], axes: tuple[int, ...], conjugate: bool, mode: str, cval: Any,
    origins: tuple[int, ...], dtype: np.dtype[Any], out: npt.NDArray[Any] | None, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Correlate over `axes`, in the image's order, each with one of the window's.

    The image is continued on all of them; then a step along any of them is a step of so many rows, and the
    window is one of two axes with zeros between its rows, which are no taps of SciPy's sums. The other taps
    keep their order, so the sums are SciPy's.
    """
    order = [a for a in range(image.ndim) if a not in axes] + list(axes)
    laid = image.transpose(order)
    apart = laid.ndim - len(axes)
    result = np.empty(image.shape, dtype) if out is None else out
    before = _before(weights.shape, origins)
    if image.size == 0:
        return result
    continued = _continued(laid, weights.shape, before, mode, cval)
    # Rows from a sample to the next one along each axis but the last.
    inner = continued.shape[apart:-1]
    steps = [prod(inner[i + 1 :]) for i in range(len(inner))]
    places = np.tensordot(steps, np.indices(weights.shape[:-1]), 1)
    flat = np.zeros((int(places.max()) + 1, weights.shape[-1]), weights.dtype)
    flat[places] = weights
    rows = continued.reshape(*continued.shape[:apart], -1, continued.shape[-1])
    axes = (rows.ndim - 2, rows.ndim - 1)
    sums = _core.correlate(
        rows, flat, axes, "ndimage-cross", False, conjugate, "valid", "constant", 0.0, (0, 0), (1, 1), (1, 1),
        dtype, None, workers,
    )  # fmt: skip
    if explaining():
        return result
    *outer, row, column = sums.strides
    found = np.lib.stride_tricks.as_strided(
        sums, laid.shape, (*outer, *(step * row for step in steps), column), writeable=False
    )
    result.transpose(order)[...] = found
    return result


def _before(taps: tuple[int, ...], origins: tuple[int, ...]) -> list[int]:
    """How far the window reaches before its place, on each axis."""
    before = [n // 2 + origin for n, origin in zip(taps, origins, strict=True)]
    if not all(0 <= b < n for b, n in zip(before, taps, strict=True)):
        raise MirrorError(
            f"origin must lie within the window, -(k // 2) to (k - 1) // 2. Received: {origins} for {taps}."
        )
    return before


def _continued(
    image: npt.NDArray[Any], taps: tuple[int, ...], before: list[int], mode: str, cval: Any
) -> npt.NDArray[Any]:
    """The image as every window on its last axes sees it."""
    apart = image.ndim - len(taps)
    if mode in CONSTANT:
        if image.dtype.kind in "biu" and not _holds(image.dtype, cval):
            image = image.astype(np.float64)  # which SciPy's sums are made in
        pads = [(0, 0)] * apart + [(b, n - 1 - b) for b, n in zip(before, taps, strict=True)]
        return np.pad(image, pads, constant_values=cval)
    for axis, (b, n) in enumerate(zip(before, taps, strict=True), apart):
        if n > 1:
            image = image.take(_places(np.arange(-b, image.shape[axis] + n - 1 - b), image.shape[axis], mode), axis)
    return np.ascontiguousarray(image)


def _places(at: npt.NDArray[np.intp], n: int, mode: str) -> npt.NDArray[np.intp]:
    """Which of `n` samples stand at the places `at` of an axis that goes on."""
    if mode == "nearest":
        return at.clip(0, n - 1)
    if mode in ("wrap", "grid-wrap"):
        return at % n
    if mode == "mirror":
        period = max(2 * n - 2, 1)
        at = at % period
        return np.minimum(at, period - at) if n > 1 else at
    at = at % (2 * n)
    return np.minimum(at, 2 * n - 1 - at)


def _holds(dtype: np.dtype[Any], cval: Any) -> bool:
    """Whether an integer dtype has a number."""
    if dtype.kind == "b":
        return cval in (0, 1)
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return bool(np.isfinite(cval)) and float(cval).is_integer() and least <= cval <= most
