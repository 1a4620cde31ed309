"""Filters that leave pixels out, beside the same of every pixel: what `ferroconv bench masks` times, one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli.cases import LARGE
from ferroconv._cli.filter_cases import FILTERS
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.peers import OURS, REUSED
from ferroconv._cli.timing import NORMAL, QUICK, Contestant, race

Array = npt.NDArray[Any]
Call = Callable[..., Array]

PLAIN, PLAIN_REUSED = "ferroconv, every pixel", "ferroconv, every pixel out="
LEFT_OUT = 0.1
"""The share of the pixels that is left out: scattered ones, so that no window is without any."""


def _weights(side: int) -> Array:
    """A window of any fractions, whose sum is 1."""
    weights = np.random.default_rng(side).random((side, side))
    return weights / weights.sum()


@dataclass(frozen=True)
class Function:
    """One filter as ferroconv and SciPy spell it; `p` is a sigma or the side of a window."""

    ours: Call
    """``(image, p, **options)``."""
    theirs: Call
    """``(module, image, p)``."""
    taps: Callable[[int], int]
    """Weights of its windows of one axis, or of its one window."""


FUNCTIONS = {
    "correlate": Function(
        lambda image, p, **k: ferroconv.correlate(image, _weights(p), **k),
        lambda module, image, p: module.correlate(image, _weights(p)),
        lambda p: p * p,
    ),
    "gaussian": Function(FILTERS["gaussian"].ours, FILTERS["gaussian"].mirror, lambda p: 2 * (8 * p + 1)),
    "box": Function(FILTERS["box"].ours, FILTERS["box"].mirror, lambda p: 2 * p),
}

WAYS: dict[str, Callable[[Array, Array], tuple[Array, dict[str, Any]]]] = {
    "mask": lambda image, missing: (image, {"mask": missing}),
    "nan": lambda image, missing: (np.where(missing, np.nan, image), {"nan": "ignore"}),
}
"""How pixels are left out: of the image and those that are missing, the image and the options of the call."""


@dataclass(frozen=True)
class MaskCase:
    """A square image of one dtype under a filter, some of its pixels left out in one way."""

    function: str
    way: str
    dtype: str
    size: int
    parameter: int

    @property
    def kind(self) -> str:
        """What the name begins with."""
        return "masks"

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``masks/gaussian/nan/float32/2048x2048/3``."""
        return f"masks/{self.function}/{self.way}/{self.dtype}/{self.size}x{self.size}/{self.parameter}"

    @property
    def group(self) -> str:
        """What is summed up together."""
        return f"masks/{self.function}"


MASK_CASES = [
    MaskCase(function, way, dtype, size, parameter)
    for function, parameters in {"correlate": (5, 15), "gaussian": (1, 3, 10), "box": (5, 15, 51)}.items()
    for size in (LARGE, 256)
    for way in WAYS
    for dtype in ("float32", "float64")
    for parameter in parameters
]
"""Every case."""


def measure(case: MaskCase, quick: bool) -> list[Outcome]:
    """Time a filter with pixels left out and without, and hold both against SciPy's sums in float64."""
    function, p, shape = FUNCTIONS[case.function], case.parameter, (case.size, case.size)
    ours = function.ours
    random = np.random.default_rng(case.size * 100 + p)
    image = (random.random(shape) * 255).astype(case.dtype)
    missing = random.random(shape) < LEFT_OUT
    holed, options = WAYS[case.way](image, missing)
    target, other = np.zeros_like(image), np.zeros_like(image)
    timings = race(
        [
            Contestant(OURS, lambda: ours(holed, p, **options)),
            Contestant(REUSED, lambda: ours(holed, p, out=target, **options)),
            Contestant(PLAIN, lambda: ours(image, p)),
            Contestant(PLAIN_REUSED, lambda: ours(image, p, out=other)),
        ],
        QUICK if quick else NORMAL,
    )
    mine, reused, plain, again = (timings[name] for name in (OURS, REUSED, PLAIN, PLAIN_REUSED))
    errors = [
        float(np.abs(result.result - _normalised(function.theirs, image.astype(np.float64), p, left)).max())
        for result, left in ((mine, ~missing), (plain, np.ones(shape, bool)))
    ]
    # Weights that come to less than the rounding of as many sums may be missing: the window counts as whole.
    bound = (16 + 4 * function.taps(p)) * float(np.finfo(image.dtype).eps) * float(image.max())
    same = np.array_equal(mine.result, reused.result)
    plan = ferroconv.explain(ours, image, p).plans[0]
    against = Against(
        PLAIN, Times.of(plain), Times.of(again), errors[1], 0.0, errors[1] <= bound, plain.median / mine.median,
        again.median / reused.median, rival=False,
    )  # fmt: skip
    outcome = Outcome(
        case.name, case, plan.chosen, plan.threads, Times.of(mine), Times.of(reused), None, errors[0],
        errors[0] <= bound and same, {PLAIN: against}, case.group,
    )  # fmt: skip
    return [outcome]


def _normalised(scipys: Call, image: Array, p: int, left: Array) -> Array:
    """``sum(w x) / sum(w)`` over the pixels that are left of each window, for weights whose sum is 1."""
    import scipy.ndimage

    sums, weights = (scipys(scipy.ndimage, part, p) for part in (np.where(left, image, 0.0), left.astype(np.float64)))
    return np.asarray(sums / weights)
