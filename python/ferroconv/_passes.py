"""Separable filters: correlations along one axis, run one after the other, and sums of those.

This is the one place where a separable filter is run. A filter says its passes; how they travel over
the image, and in which type the image stands between them, is decided here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._explain import explaining
from ferroconv._weights import NOTHING, Taps

Combine = Literal["sum", "magnitude"]

LEVELS = 1 / 64
"""How far the sum of an integer image may be off before it is rounded: the kernels' own bound."""

KEPT = 4096
"""Taps of passes whose walks are kept for the next call, at most."""


FEW = 16
"""Samples of a pixel, at most, whose rows are too short for a walk of their own."""


class Pass(NamedTuple):
    """One correlation along one axis: ``out[x] = sum of weights[j] * image[x + j - k // 2 - origin]``."""

    axis: int
    """Counted from the front."""
    taps: Taps
    border: str
    """In the spelling of the rule that the passes are run by."""
    origin: int = 0


class Walk(NamedTuple):
    """One walk over an image of two axes or more: a pass, or two at once, in the core's own words."""

    weights: list[tuple[npt.ArrayLike, npt.ArrayLike]]
    axes: tuple[int, int]
    border: str | tuple[str, str]
    origin: tuple[int, int]
    total: float
    """The sum of the weights."""

    @classmethod
    def of(cls, down: Pass, along: Pass) -> Walk:
        """A pass along any other axis and one along the last."""
        border = down.border if down.border == along.border else (down.border, along.border)
        total = down.taps.total * along.taps.total
        weights: list[tuple[npt.ArrayLike, npt.ArrayLike]] = [(down.taps.values, along.taps.values)]
        return cls(weights, (down.axis, along.axis), border, (down.origin, along.origin), total)

    @classmethod
    def alone(cls, step: Pass, last: int) -> Walk:
        """One pass, as a window of one row or one column."""
        if step.axis == last:
            return cls.of(Pass(last - 1, NOTHING, step.border), step)
        return cls.of(step, Pass(last, NOTHING, step.border))


def run(
    image: npt.NDArray[Any],
    passes: Sequence[Pass],
    rule: str,
    cval: Any,
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None,
    workers: int | None,
) -> npt.NDArray[Any]:
    """Run passes one after the other; none of them copies the image to `dtype`.

    By rule "ndimage1d" every pass is SciPy's: stored in `dtype`, and surrounded by `cval` itself. By
    the native rules "saturate" and "wrap" the passes are the correlation with the outer product of
    their weights: nothing is rounded to integers before the last of them, and a pass meets ``cval``
    as the passes before it have left it.
    """
    if not passes:
        return _copy(image, dtype, out)
    if image.ndim == 1:
        rows = [step._replace(axis=1) for step in passes]
        target = None if out is None else out[None]
        return run(image[None], rows, rule, cval, dtype, target, workers)[0]
    mirror = rule == "ndimage1d"
    walks = _kept if sum([step.taps.size for step in passes]) <= KEPT else _walks
    before, last = walks(tuple(passes), _last(image, passes), not mirror or dtype.kind != "b")
    if before:
        between = _stored(dtype) if mirror else accurate(image.dtype, dtype, passes, cval)
        for walk in before:
            image = _walk(image, walk, rule, cval, between, None, workers)
            if not mirror:
                cval = cval * walk.total
    return _walk(image, last, rule, cval, dtype, out, workers)


def _walk(
    image: npt.NDArray[Any], walk: Walk, rule: str, cval: Any, dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    return _core.correlate(
        image, walk.weights, walk.axes, rule, False, False, "same", walk.border, cval, walk.origin, (1, 1), (1, 1),
        dtype, out, workers,
    )  # fmt: skip


def _last(image: npt.NDArray[Any], passes: Sequence[Pass]) -> int:
    """The axis of the columns: the last one, or the one before if the last is part of the pixels.

    It is where no pass goes along it, and a row's pixels follow one upon the other, or have few samples.
    """
    last = image.ndim - 1
    if image.ndim == 2 or any(step.axis == last for step in passes):
        return last
    samples = image.shape[last]
    rows = image.strides[last] == image.itemsize and image.strides[last - 1] == samples * image.itemsize
    return last - 1 if rows or samples <= FEW else last


def _walks(passes: tuple[Pass, ...], last: int, fused: bool) -> tuple[list[Walk], Walk]:
    """The passes, one or two for each walk over the image: all walks but the last one, and that.

    One along another axis and one along the columns can be made together.
    """
    walks: list[Walk] = []
    alone = None  # the pass of the last walk, if it is one that another may join
    for step in passes:
        if fused and alone is not None and step.axis == last and step.taps.size > 1:
            walks[-1] = Walk.of(alone, step)
            alone = None
        else:
            walks.append(Walk.alone(step, last))
            alone = step if step.axis != last and step.taps.size > 1 else None
    return walks[:-1], walks[-1]


_kept = functools.lru_cache(maxsize=128)(_walks)


def run_sum(
    image: npt.NDArray[Any],
    terms: Sequence[Sequence[Pass]],
    combine: Combine,
    cval: Any,
    dtype: np.dtype[Any],
    out: npt.NDArray[Any] | None,
    workers: int | None,
) -> npt.NDArray[Any]:
    """Run each term by SciPy's rule and combine them: their sum, or the square root of the sum of their squares.

    Terms, squares and sums are of type `dtype`, integers wrapping, as SciPy has them.
    """
    window = sum_window(tuple(map(tuple, terms)), combine, image.dtype, dtype, cval) if image.ndim > 1 else None
    if window is not None:
        return _core.correlate(
            image, window.weights, window.axes, window.rule, False, False, "same", window.border, cval, (0, 0), (1, 1),
            (1, 1), dtype, out, workers,
        )  # fmt: skip
    rule = "ndimage1d"
    first, *others = terms
    total = run(image, first, rule, cval, dtype, out, workers)
    if not others and combine == "sum":
        return total
    rest = (run(image, term, rule, cval, dtype, None, workers) for term in others)
    return combined(total, rest, combine)


class SumWindow(NamedTuple):
    """Terms as windows over two axes, in the core's own words."""

    weights: Any
    axes: tuple[int, int]
    border: tuple[str, str]
    rule: str


def sum_window(
    terms: tuple[tuple[Pass, ...], ...], combine: Combine, image: np.dtype[Any], dtype: np.dtype[Any], cval: Any
) -> SumWindow | None:
    """Two terms over the same two axes as one walk over the image, where that gives what SciPy's passes give.

    Floating-point results do within the error bound; integers, which SciPy truncates after each pass, where
    nothing is truncated: whole-numbered weights, each term a single pass, sums that fit C's cast.
    """
    small = image.kind in "iu" and image.itemsize <= 2 and dtype.kind in "iu"
    if len(terms) != 2 or not (small or dtype.kind in "fc"):
        return None
    window, single = _sum_window(terms, combine)
    if window is None or (dtype.kind == "c" and combine == "magnitude"):
        return None
    constant = any(border in ("constant", "grid-constant") for border in window.border)
    if dtype.kind in "iu":
        whole = single and combine == "sum" and all(step.taps.whole for (step,) in terms)
        if not whole or (constant and (np.imag(cval) != 0 or np.real(cval) % 1 != 0 or abs(cval) > 2**16)):
            return None
    # A second pass is surrounded by `cval` itself, not by what the first has made of it.
    return window if single or cval == 0 or not constant else None


@functools.lru_cache(maxsize=128)
def _sum_window(terms: tuple[tuple[Pass, ...], ...], combine: Combine) -> tuple[SumWindow | None, bool]:
    """The windows, if the terms have common axes, borders and odd sizes; and whether each term is one pass."""
    along: dict[int, tuple[int, str]] = {}
    for step in (step for term in terms for step in term):
        same = along.setdefault(step.axis, (step.taps.size, step.border)) == (step.taps.size, step.border)
        if not same or step.origin != 0 or step.taps.size % 2 == 0:
            return None, False
    if len(along) != 2 or any(len({step.axis for step in term}) != len(term) for term in terms):
        return None, False
    rows, cols = sorted(along)
    border = (along[rows][1], along[cols][1])
    single = all(len(term) == 1 for term in terms)
    if single:
        cross = np.zeros((along[rows][0], along[cols][0]))
        for (step,) in terms:
            middle = cross[:, cross.shape[1] // 2] if step.axis == rows else cross[cross.shape[0] // 2]
            middle += step.taps.array
        return (SumWindow(cross, (rows, cols), border, "ndimage-cross") if combine == "sum" else None), True
    if combine == "sum" or any(len(term) != 2 for term in terms):
        # Laplace of Gaussian keeps to SciPy's passes: its own tests hold float32 to the last digit of their sum.
        return None, False
    taps = [{step.axis: step.taps.values for step in term} for term in terms]
    products = [(term[rows], term[cols]) for term in taps]
    return SumWindow(([products[0]], [products[1]]), (rows, cols), border, "ndimage-sum"), False


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
        _root(total)
    return total


# Bytes that are looked up at once: a copy of them stays in a first- or second-level cache.
_LOOKED_UP = 1 << 16


def _root(values: npt.NDArray[Any]) -> None:
    """The square root in place, as NumPy stores it in the dtype: of bytes by a table of all of them."""
    if values.dtype.kind not in "iu" or values.itemsize > 1 or values.size <= 256:
        np.sqrt(values, values, casting="unsafe")
        return
    roots = np.arange(256, dtype=np.uint8).view(values.dtype)
    with np.errstate(invalid="ignore"):
        np.sqrt(roots, roots, casting="unsafe")
    table = roots.tobytes()
    rows = values.reshape(-1) if values.flags.c_contiguous else values
    step = max(1, _LOOKED_UP * len(rows) // rows.size)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        block[...] = np.frombuffer(block.tobytes().translate(table), values.dtype).reshape(block.shape)


def accurate(image: np.dtype[Any], dtype: np.dtype[Any], passes: Sequence[Pass], cval: Any = 0.0) -> np.dtype[Any]:
    """The type between native passes: ``float32`` where the kernels themselves would sum in it."""
    if "c" in (image.kind, dtype.kind):
        return np.dtype(np.complex64 if _single(image) and _single(dtype) else np.complex128)
    if not _single(image) or not (_single(dtype) or dtype.kind in "iu"):
        return np.dtype(np.float64)
    if image.kind in "biu" and dtype.kind in "biu":
        bound, terms = _bound(image, passes, cval), sum(step.taps.size for step in passes)
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
    most = largest(image)
    if _constant(passes):
        most = max(most, abs(cval))
    return most * math.prod(step.taps.magnitude for step in passes)


@functools.lru_cache
def largest(integer: np.dtype[Any]) -> float:
    """The largest magnitude of a sample."""
    return 1.0 if integer.kind == "b" else float(max(-int(np.iinfo(integer).min), int(np.iinfo(integer).max)))


def _whole(passes: Sequence[Pass], cval: Any) -> bool:
    outside = not _constant(passes) or (np.imag(cval) == 0 and np.real(cval) % 1 == 0)
    return bool(outside) and all(step.taps.whole for step in passes)


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


def _copy(image: npt.NDArray[Any], dtype: np.dtype[Any], out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    result = np.empty(image.shape, dtype) if out is None else out
    if not explaining():
        result[...] = image
    return result
