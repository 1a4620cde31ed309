"""Filters that leave pixels out: normalised convolution, for any native filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv._args import apart
from ferroconv._docs import PARAGRAPHS
from ferroconv._explain import explaining
from ferroconv._passes import largest

Run = Callable[[Any, Any, Any, Any], npt.NDArray[Any]]
"""A filter with all its options but ``(image, cval, dtype, out)``."""

LeftOut = tuple[npt.NDArray[np.bool_] | None, bool]
"""A mask, if there is one, and whether NaN is left out too."""

Fused = Callable[[Any, Any, Any, Any, LeftOut], npt.NDArray[Any]]
"""The same filter in one walk over the image and what is left out of it."""

DENSE = 81
"""Taps of a window that is no outer product, at most, whose plain filter is a sum and no transform."""

ZERO = 1e-8
"""Weights whose sum is that small a part of the sum of their magnitudes sum to zero."""

Access = Literal["readonly", "readwrite", "writeonly"]

PIECE = 1 << 15
"""Pixels that are treated at a time."""

PARAGRAPHS[
    "ignoring"
] = """Pixels that `mask` or ``nan='ignore'`` leave out are made up for by the others of their window:
``sum(w * x) * sum(w) / sum(w')``, where the first sum and ``w'`` are over the pixels that are left. A
window without any gives NaN. That is astropy.convolution.convolve with ``nan_treatment='interpolate'``
and ``normalize_kernel=False``. The weights must not sum to zero, and the result's dtype must be able to
hold a NaN. What lies outside under border 'constant' counts as there, unless ``nan='ignore'`` and `cval`
is NaN."""


def ignoring(
    run: Run, image: npt.ArrayLike, weights: Sequence[Any], *, nan: str, mask: Any, cval: Any, dtype: Any, out: Any,
    fused: Fused | None = None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Run a filter over the pixels that are neither masked nor, with ``nan="ignore"``, NaN.

    `weights` has the window, or what it is the outer product of. Two sums are made, of the pixels with
    zeros for those left out and of ones in their place, hence about twice the cost: in one walk by `fused`
    where that sums as the filter itself does, else by two filters and some walks more. If nothing can be
    left out, the filter itself is run. Results whose window is whole have its bits.
    """
    image = np.asarray(image)
    target = np.dtype(dtype) if dtype is not None else image.dtype.newbyteorder("=")
    hollow = nan == "ignore" and image.dtype.kind not in "biu"
    outside = nan == "ignore" and bool(np.isnan(cval))
    if mask is None and not hollow and not outside:
        return run(image, cval, dtype, out)
    if target.kind in "biu":
        raise TypeError(
            "a window whose pixels are all left out gives NaN, which an integer can't hold: "
            f"ask for a floating-point result by dtype=. Received: {target}."
        )
    taps = [np.asarray(part) for part in weights]
    total, magnitude = _sums(taps)
    mask = None if mask is None else _mask(mask, image.shape)
    if not hollow and not outside and not mask.any():
        return run(image, cval, dtype, out)
    if fused is not None and _sums_alike(image.dtype, target, taps, magnitude):
        return fused(image, cval, target, out, (mask, nan == "ignore"))
    present = np.ones(image.shape, bool) if mask is None else ~mask
    if not outside and present.all() and not (hollow and _holds_nan(image)):
        return run(image, cval, dtype, out)
    apart(image, out)
    values = _cleared(image, present, hollow)
    narrow = target.kind != "c" and target.itemsize <= 2
    work = np.dtype(np.float32) if narrow else target
    real = np.dtype(f"f{work.itemsize // 2}") if work.kind == "c" else work
    result = run(values, 0.0 if outside else cval, work, None if narrow else out)
    there = run(present, 0.0 if outside else 1.0, real, None)
    if not explaining():
        slack = 4 * sum(part.size for part in taps) * float(np.finfo(real).eps) * magnitude
        _make_up(result, there, total, slack, all((part >= 0).all() for part in taps))
    if not narrow:
        return result
    if out is None:
        return result.astype(target)
    if not explaining():
        out[...] = result
    return out


def _sums_alike(
    image: np.dtype[Any], target: np.dtype[Any], taps: Sequence[npt.NDArray[Any]], magnitude: float
) -> bool:
    """Whether the plain filter sums as the fused one does: no transforms, and no integers that ``float32`` rounds."""
    if "c" in (image.kind, target.kind) or (len(taps) == 1 and taps[0].size > DENSE):
        return False
    whole = image.kind in "biu" and all((part % 1 == 0).all() for part in taps)
    return not whole or magnitude * largest(image) < 2**24


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


def _pieces(arrays: Sequence[npt.NDArray[Any]], access: Sequence[Access]) -> np.nditer:
    """The same piece of each array in turn, small enough for what is made of it to stay in the cache.

    Whole arrays of intermediates cost more than the filters: their pages are new.
    """
    return np.nditer(
        arrays, ["external_loop", "buffered", "zerosize_ok"], [[each] for each in access], buffersize=PIECE
    )


def _holds_nan(image: npt.NDArray[Any]) -> bool:
    with _pieces([image], ["readonly"]) as pieces:
        return any(np.isnan(piece).any() for piece in pieces)


def _cleared(image: npt.NDArray[Any], present: npt.NDArray[np.bool_], hollow: bool) -> npt.NDArray[Any]:
    """The image with zeros where nothing is present; what is NaN is marked absent where it is `hollow`."""
    values = np.empty(image.shape, image.dtype.newbyteorder("="))
    with _pieces([image, present, values], ["readonly", "readwrite", "writeonly"]) as pieces:
        for source, there, target in pieces:
            if hollow:
                there &= ~np.isnan(source)
            target[...] = source
            np.copyto(target, target.dtype.type(0), where=~there)
    return values


def _make_up(result: npt.NDArray[Any], there: npt.NDArray[Any], total: float, slack: float, positive: bool) -> None:
    """Multiply by ``total / there``: by nothing where the window is whole, by NaN where it is empty."""
    with (
        np.errstate(divide="ignore", invalid="ignore", over="ignore"),
        _pieces([result, there], ["readwrite", "readonly"]) as pieces,
    ):
        for values, weights in pieces:
            whole = np.abs(weights - weights.dtype.type(total)) <= slack
            if whole.all():
                continue
            share = weights.dtype.type(total) / weights
            np.copyto(share, 1, where=whole)
            np.copyto(share, np.nan, where=weights == 0 if positive else np.abs(weights) <= slack)
            values *= share
