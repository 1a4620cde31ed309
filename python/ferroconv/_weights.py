"""The weights of the named windows: Gaussians and their derivatives, differences, and smoothings."""

from __future__ import annotations

import functools
import math
import numbers
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]

KEPT = 1024
"""The largest radius of Gaussian weights that are kept for the next call."""


class Taps:
    """Weights along one axis in the order of correlation, and what is asked of them, found once.

    Taps are the same if they are the same object, so that plans can be kept by them.
    """

    __slots__ = ("array", "magnitude", "size", "total", "values", "whole")

    array: Weights
    values: tuple[float, ...]
    """The weights as the core reads them soonest."""
    size: int
    total: float
    """Their sum."""
    magnitude: float
    """The sum of their magnitudes."""
    whole: bool
    """Whether all are whole numbers."""

    def __init__(self, weights: npt.ArrayLike) -> None:
        self.array = np.array(weights, np.float64)
        self.array.setflags(write=False)
        self.values = tuple(self.array.tolist())
        self.size = self.array.size
        self.total = float(self.array.sum())
        self.magnitude = float(np.abs(self.array).sum())
        self.whole = bool((self.array % 1 == 0).all())


DIFFERENCE = Taps([-1, 0, 1])
SECOND_DIFFERENCE = Taps([1, -2, 1])
SOBEL = Taps([1, 2, 1])
PREWITT = Taps([1, 1, 1])
NOTHING = Taps([1])


def gaussian_taps(sigma: Any, order: Any, truncate: float, radius: Any) -> Taps:
    """The weights of `gaussian`, kept for the next call unless there are many of them."""
    try:
        kept = _kept(sigma, order, truncate, radius)
    except TypeError:  # no key: an array without axes is a number too; or an error, which comes again below
        kept = None
    return kept or Taps(gaussian(sigma, order, truncate, radius))


def _few(sigma: Any, order: Any, truncate: float, radius: Any) -> Taps | None:
    weights = gaussian(sigma, order, truncate, radius)
    return Taps(weights) if weights.size <= 2 * KEPT + 1 else None


# Types are part of the key: the square of a float32 sigma is rounded to float32.
_kept = functools.lru_cache(maxsize=128, typed=True)(_few)


def gaussian(sigma: Any, order: Any, truncate: float, radius: Any) -> Weights:
    """Gaussian weights of a standard deviation above zero, in the order of correlation.

    The window has ``2 * radius + 1`` taps, and by default ``radius = int(truncate * sigma + 0.5)``.
    """
    deviation = float(sigma)
    if not deviation > 0 or math.isinf(deviation):
        raise ValueError(f"sigma must be above zero and finite. Received: {sigma!r}.")
    if isinstance(sigma, np.ndarray):
        sigma = sigma[()]
    order = operator.index(order)
    if order < 0:
        raise ValueError(f"order must be 0 or more: the order of the derivative. Received: {order}.")
    weights = _gaussian(sigma, order, reach(deviation, truncate, radius))
    if weights is None:
        raise ValueError(f"sigma is too small for a derivative of order {order}. Received: {sigma!r}.")
    return weights


def reach(deviation: float, truncate: float, radius: Any) -> int:
    """The radius of Gaussian weights: the one that is given, or where the window is cut off."""
    if radius is None:
        cut = truncate * deviation + 0.5
        if not math.isfinite(cut):
            raise ValueError(f"truncate must be a finite number of standard deviations. Received: {truncate!r}.")
        radius = int(cut)
    if not isinstance(radius, numbers.Integral) or radius < 0:
        raise ValueError(f"radius must be a nonnegative integer, or None. Received: {radius!r}.")
    return int(radius)


def _gaussian(sigma: Any, order: int, radius: int) -> Weights | None:
    """``q(x) exp(-x**2 / (2 sigma**2)) / sum(exp(...))``, or None where the numbers are not finite.

    ``q`` is the polynomial that the derivatives bring: ``q -> q' - x q / sigma**2`` with each of them.
    Each operation is SciPy's, in its order and in its types (those of `sigma` among them), so that
    truncated integer results agree.
    """
    variance = sigma * sigma
    if not variance > 0:
        return None
    x = np.arange(-radius, radius + 1)
    with np.errstate(all="ignore"):
        bell = np.exp(-0.5 / variance * x**2)
        bell = bell / bell.sum()
        if order > 0:
            powers = np.arange(order + 1)
            q = np.zeros(order + 1)
            q[0] = 1
            step = np.diag(powers[1:], 1) + np.diag(np.ones(order) / -variance, -1)
            for _ in range(order):
                q = step.dot(q)
            bell = (x[:, None] ** powers).dot(q) * bell
    if not np.isfinite(bell).all():
        return None
    return np.ascontiguousarray(bell[::-1])
