"""Separable filters: correlations along one axis, run one after the other, and sums of those.

This is the one place where a separable filter is run. A filter says its passes; how they travel over
the image, and in which type the image stands between them, is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._explain import explaining

Combine = Literal["sum", "magnitude"]

LEVELS = 1 / 64
"""How far the sum of an integer image may be off before it is rounded: the kernels' own bound."""


@dataclass(frozen=True)
class Pass:
    """One correlation along one axis: ``out[x] = sum of weights[j] * image[x + j - k // 2 - origin]``."""

    axis: int
    """Counted from the front."""
    weights: npt.NDArray[np.float64]
    """One axis, in the order of correlation."""
    border: str
    """In the spelling of the rule that the passes are run by."""
    origin: int = 0


def run(
    image: npt.NDArray[Any],
    passes: Sequence[Pass],
    *,
    rule: str,
    cval: Any,
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Run passes one after the other; none of them copies the image to `dtype`.

    By rule "ndimage1d" every pass is SciPy's: stored in `dtype`, and surrounded by `cval` itself. By
    the native rules "saturate" and "wrap" the passes are the correlation with the outer product of
    their weights: nothing is rounded to integers before the last of them, and a pass meets ``cval``
    as the passes before it have left it.
    """
    if not passes:
        return _copy(image, dtype, out)
    mirror = rule == "ndimage1d"
    between = _stored(dtype) if mirror else accurate(image.dtype, dtype, passes, cval)
    *walks, last = _walks(passes, image.ndim, fused=not mirror or between == dtype)
    for steps in walks:
        image = _walk(image, steps, rule, cval, between, None, workers)
        if not mirror:
            cval = cval * math.prod(step.weights.sum() for step in steps)
    return _walk(image, last, rule, cval, dtype, out, workers)


def _walks(passes: Sequence[Pass], ndim: int, fused: bool) -> list[Sequence[Pass]]:
    """The passes, one or two for each walk over the image.

    One along another axis and one along the last can be made together.
    """
    walks: list[Sequence[Pass]] = []
    for step in passes:
        before = walks[-1][-1] if walks else step
        both = fused and step.axis == ndim - 1 != before.axis and step.weights.size > 1 < before.weights.size
        if both:
            walks[-1] = (before, step)
        else:
            walks.append((step,))
    return walks


def run_sum(
    image: npt.NDArray[Any],
    terms: Sequence[Sequence[Pass]],
    combine: Combine = "sum",
    *,
    rule: str,
    cval: Any,
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Run each term and combine them: their sum, or the square root of the sum of their squares.

    By rule "ndimage1d" terms, squares and sums are of type `dtype`, integers wrapping, as SciPy has
    them. By the native rules they are of a floating-point type and an integer result is rounded once.
    """
    native = rule != "ndimage1d"
    work = widest(image.dtype, dtype, terms, combine, cval) if native else dtype
    target = out if work == dtype else None
    total = run(image, terms[0], rule=rule, cval=cval, dtype=work, out=target, workers=workers)
    rest = (run(image, term, rule=rule, cval=cval, dtype=work, workers=workers) for term in terms[1:])
    total = combined(total, rest, combine)
    return total if work == dtype else store(total, rule, dtype, out, workers)


def combined(total: npt.NDArray[Any], rest: Iterable[npt.NDArray[Any]], combine: Combine) -> npt.NDArray[Any]:
    """Combine terms in the first of them, each in its turn; they are overwritten."""
    silent = explaining()
    if combine == "magnitude" and not silent:
        np.multiply(total, total, total)
    for term in rest:
        if silent:
            continue
        if combine == "magnitude":
            np.multiply(term, term, term)
        total += term
    if combine == "magnitude" and not silent:
        np.sqrt(total, total, casting="unsafe")
    return total


def store(
    image: npt.NDArray[Any], rule: str, dtype: np.dtype[Any], out: npt.NDArray[Any] | None, workers: int | None
) -> npt.NDArray[Any]:
    """Round, saturate or wrap values to `dtype` by a native rule, as a window of one tap does it."""
    step = Pass(image.ndim - 1, np.ones(1), "nearest")
    return _along(image, step, rule, 0.0, dtype, out, workers)


def accurate(image: np.dtype[Any], dtype: np.dtype[Any], passes: Sequence[Pass], cval: Any = 0.0) -> np.dtype[Any]:
    """The type between native passes: ``float32`` where the kernels themselves would sum in it."""
    if "c" in (image.kind, dtype.kind):
        return np.dtype(np.complex64 if _single(image) and _single(dtype) else np.complex128)
    if not _single(image) or not (_single(dtype) or dtype.kind in "iu"):
        return np.dtype(np.float64)
    if image.kind in "biu" and dtype.kind in "biu":
        bound, terms = _bound(image, passes, cval), sum(step.weights.size for step in passes)
        fits = bound <= 2.0**24 if _whole(passes, cval) else bound * terms * 2.0**-24 <= LEVELS
        return np.dtype(np.float32 if fits else np.float64)
    return np.dtype(np.float32)


def faithful(image: np.dtype[Any], passes: Sequence[Pass], cval: Any, rule: str) -> bool:
    """Whether floating-point passes give the exact sums wherever the kernels promise them.

    They promise them of integer images under whole-numbered weights. Passes have them up to 2**53; to
    wrap, a sum in floating point must fit 32 bits.
    """
    if image.kind not in "biu" or not _whole(passes, cval):
        return True
    return _bound(image, passes, cval) <= (2.0**53 if rule == "saturate" else 2.0**31)


def _bound(image: np.dtype[Any], passes: Sequence[Pass], cval: Any) -> float:
    """The largest magnitude that a sum of an integer image can have."""
    most = 1.0 if image.kind == "b" else float(max(-int(np.iinfo(image).min), int(np.iinfo(image).max)))
    if _constant(passes):
        most = max(most, abs(cval))
    return most * math.prod(float(np.abs(step.weights).sum()) for step in passes)


def _whole(passes: Sequence[Pass], cval: Any) -> bool:
    outside = not _constant(passes) or (np.imag(cval) == 0 and np.real(cval) % 1 == 0)
    return bool(outside) and all((step.weights % 1 == 0).all() for step in passes)


def _constant(passes: Sequence[Pass]) -> bool:
    """Whether the image may go on with `cval`."""
    return any(step.border == "constant" for step in passes)


def _single(dtype: np.dtype[Any]) -> bool:
    """Whether ``float32`` holds every value of a dtype (``bfloat16`` is of kind V)."""
    if dtype.kind == "c":
        return dtype.itemsize == 8
    return dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4)


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """SciPy's passes leave bytes in a bool array, and the next one reads them as bytes."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def widest(
    image: np.dtype[Any], dtype: np.dtype[Any], terms: Sequence[Sequence[Pass]], combine: Combine, cval: Any
) -> np.dtype[Any]:
    """The type in which native terms are summed, and squared."""
    types = [accurate(image, dtype, term, cval) for term in terms]
    if combine == "magnitude" and dtype.kind in "iu" and not (image.kind in "biu" and image.itemsize == 1):
        types.append(np.dtype(np.float64))  # the squares of 16 bits need more than float32's 24
    return np.result_type(*types)


def _copy(image: npt.NDArray[Any], dtype: np.dtype[Any], out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    result = np.empty(image.shape, dtype) if out is None else out
    if not explaining():
        result[...] = image
    return result


def _walk(
    image: npt.NDArray[Any], steps: Sequence[Pass], rule: str, cval: Any, dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    if len(steps) == 1:
        return _along(image, steps[0], rule, cval, dtype, out, workers)
    down, along = steps
    return _core.correlate(
        image, [(down.weights, along.weights)], (down.axis, along.axis), rule, False, False, "same",
        (down.border, along.border), cval, (down.origin, along.origin), (1, 1), (1, 1), dtype, out, workers,
    )  # fmt: skip


def _along(
    image: npt.NDArray[Any], step: Pass, rule: str, cval: Any, dtype: np.dtype[Any], out: npt.NDArray[Any] | None,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window over one axis, as a window of one row or one column over two."""
    if image.ndim == 1:
        row = Pass(1, step.weights, step.border, step.origin)
        return _along(image[None], row, rule, cval, dtype, None if out is None else out[None], workers)[0]
    last = image.ndim - 1
    if step.axis == last:
        weights, axes, origin = step.weights[None], (last - 1, last), (0, step.origin)
    else:
        weights, axes, origin = step.weights[:, None], (step.axis, last), (step.origin, 0)
    return _core.correlate(
        image, weights, axes, rule, False, False, "same", step.border, cval, origin, (1, 1), (1, 1), dtype, out, workers
    )
