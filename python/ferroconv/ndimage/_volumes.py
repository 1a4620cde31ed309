"""Windows over three axes and more, as windows over two: all axes but the last are laid one after the other."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError

_PADS = {
    "reflect": "symmetric", "grid-mirror": "symmetric", "mirror": "reflect", "nearest": "edge",
    "wrap": "wrap", "grid-wrap": "wrap", "constant": "constant", "grid-constant": "constant",
}  # fmt: skip
"""What numpy.pad calls a mode."""


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
    if image.size == 0:
        return result
    continued = _continued(laid, weights.shape, origins, mode, cval)
    # Rows from a sample to the next one along each axis but the last.
    inner = continued.shape[apart:-1]
    steps = [prod(inner[i + 1 :]) for i in range(len(inner))]
    places = np.tensordot(steps, np.indices(weights.shape[:-1]), 1)
    flat = np.zeros((int(places.max()) + 1, weights.shape[-1]), weights.dtype)
    flat[places] = weights
    rows = continued.reshape(*continued.shape[:apart], -1, continued.shape[-1])
    axes = (rows.ndim - 2, rows.ndim - 1)
    sums = _core.correlate(
        rows, flat, axes, "ndimage", False, conjugate, "valid", "constant", 0.0, (0, 0), (1, 1), (1, 1), dtype, None,
        workers,
    )  # fmt: skip
    *outer, row, column = sums.strides
    found = np.lib.stride_tricks.as_strided(
        sums, laid.shape, (*outer, *(step * row for step in steps), column), writeable=False
    )
    result.transpose(order)[...] = found
    return result


def _continued(
    image: npt.NDArray[Any], taps: tuple[int, ...], origins: tuple[int, ...], mode: str, cval: Any
) -> npt.NDArray[Any]:
    """The image as every window on its last axes sees it."""
    before = [n // 2 + origin for n, origin in zip(taps, origins, strict=True)]
    if not all(0 <= b < n for b, n in zip(before, taps, strict=True)):
        raise MirrorError(
            f"origin must lie within the window, -(k // 2) to (k - 1) // 2. Received: {origins} for {taps}."
        )
    pads = [(0, 0)] * (image.ndim - len(taps)) + [(b, n - 1 - b) for b, n in zip(before, taps, strict=True)]
    way = _PADS[mode]
    if way != "constant":
        return np.pad(image, pads, way)  # type: ignore[call-overload]
    if image.dtype.kind in "biu" and image.dtype.type(cval) != cval:
        image = image.astype(np.float64)  # of what the dtype can't hold, as SciPy's sums are
    return np.pad(image, pads, constant_values=cval)
