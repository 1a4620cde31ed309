"""Whether results are right: against sums in higher precision, and against each other.

The bound on a floating-point sum of ``n`` products is ``(n + 2) eps sum |w x|``, for each element. Whole
numbers are to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._cli.peers import OPENCV, TRANSFORMS, Problem

Array = npt.NDArray[Any]

FIXED_POINT_SLACK = 1 / 32
"""Levels beyond the half of rounding by which an integer result with float taps may miss the exact sum."""


@dataclass(frozen=True)
class Verdict:
    """How far two results are apart, and whether that is allowed."""

    error: float
    relative: float
    """`error` over ``sum |w x|`` where that is largest."""
    agrees: bool


class Judge:
    """Checks the results of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.window = np.asarray(problem.weights)

    @cached_property
    def rows(self) -> npt.NDArray[np.intp]:
        """The rows on which results meet the exact sums: all of a small image, else both edges and the middle."""
        height = self.problem.image.shape[0]
        if height <= 64:
            return np.arange(height)
        half = height // 2
        return np.concatenate([np.arange(12), np.arange(half - 4, half + 4), np.arange(height - 12, height)])

    @cached_property
    def exact(self) -> Array:
        """The sums on `rows`, in at least float64; in long double for dtypes of 64-bit parts."""
        return _sums(self.problem.image, self.window, self.rows)

    @cached_property
    def magnitude(self) -> Array:
        """``sum |w x|`` for each element, by FFT in float64 (a bound on a bound needs no more)."""
        from scipy.signal import oaconvolve

        kh, kw = self.window.shape
        size = np.abs(self.problem.image).astype(np.float64)
        padded = np.pad(size, ((kh // 2, kh // 2), (kw // 2, kw // 2)), "symmetric")
        sums = np.asarray(oaconvolve(padded, np.abs(self.window).astype(np.float64), "valid"))
        return np.maximum(sums, 0.0)

    @cached_property
    def allowed(self) -> Array:
        """The bound for each element of a floating-point result."""
        dtype = np.result_type(self.problem.image.dtype, np.float16)
        eps = float(np.finfo(dtype).eps)
        return (self.window.size + 2) * eps * self.magnitude + 1e-15 * self.magnitude.max(initial=0.0)

    def against_exact(self, result: Array) -> Verdict:
        """A result of native arithmetic or of floats, on `rows`, against the exact sums."""
        exact: Array = self.exact
        magnitude = self.magnitude[self.rows]
        if self.problem.integral:
            limits = np.iinfo(result.dtype) if result.dtype != np.bool_ else None
            if limits is not None:
                exact = np.clip(exact, limits.min, limits.max)
            bound: Any = 0.5 + FIXED_POINT_SLACK
        else:
            bound = self.allowed[self.rows]
        return _verdict(np.abs(result[self.rows] - exact), bound, magnitude)

    def between(self, result: Array, peer: str, theirs: Array) -> Verdict:
        """A result against a peer's, every element of it."""
        if result.shape != theirs.shape or result.dtype != theirs.dtype:
            return Verdict(np.inf, np.inf, False)
        if self.problem.integral:
            apart = result != theirs if result.dtype == np.bool_ else np.abs(_wide(result) - _wide(theirs))
            if self.problem.otherwise(peer):  # a level apart, where neither saturation nor wrapping is
                limits = np.iinfo(result.dtype)
                return _verdict(apart[(result > limits.min) & (result < limits.max)], 1.0, self.magnitude)
            return _verdict(np.asarray(apart, np.float64), 1.0 if peer == OPENCV else 0.0, self.magnitude)
        bound = self.allowed
        if peer == TRANSFORMS or (peer == OPENCV and self.window.size > 50):
            # Large windows go through OpenCV's DFT too. Its error follows the image's largest values.
            bound = bound + 16 * float(np.finfo(result.dtype).eps) * self.magnitude.max(initial=0.0)
        return _verdict(np.abs(result - theirs), bound, self.magnitude)


def _wide(result: Array) -> Array:
    return result.astype(np.int64) if result.dtype.itemsize < 8 else result.astype(object)


def _verdict(apart: Array, bound: Any, magnitude: Array) -> Verdict:
    error = float(apart.max(initial=0.0))
    largest = float(magnitude.max(initial=0.0))
    return Verdict(error, error / largest if largest else error, bool(np.all(apart <= bound)))


def _sums(image: Array, weights: Array, rows: npt.NDArray[np.intp]) -> Array:
    """``out[y, x] = sum of weights[i, j] * image[y + kh // 2 - i, x + kw // 2 - j]`` under reflection."""
    kh, kw = weights.shape
    height, width = image.shape
    wide = image.dtype.itemsize >= (16 if image.dtype.kind == "c" else 8)
    is_complex = image.dtype.kind == "c" or weights.dtype.kind == "c"
    real, imaginary = (np.longdouble, np.clongdouble) if wide else (np.float64, np.complex128)
    dtype = imaginary if is_complex else real
    across = np.pad(np.arange(width), kw // 2, "symmetric")
    down = np.pad(np.arange(height), kh // 2, "symmetric")
    total = np.zeros((rows.size, width), dtype)
    for i in range(kh):
        band = image[np.ix_(down[rows + kh - 1 - i], across)].astype(dtype)
        for j in range(kw):
            total += dtype(weights[i, j]) * band[:, kw - 1 - j : kw - 1 - j + width]
    return total
