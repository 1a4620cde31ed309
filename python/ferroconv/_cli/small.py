"""Calls on tiny images, which cost what is around the arithmetic: what `ferroconv bench small` times, one list."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.peers import OURS
from ferroconv._cli.timing import QUICK, Contestant, Effort, race

Array = npt.NDArray[Any]

TINY = Effort(0.03, 9, 80)
"""Many short samples: a neighbour's disturbance lasts longer than a call."""

_ROW = np.array([1.0, 2.0, 1.0])
_WINDOW = np.multiply.outer(_ROW, _ROW)


@dataclass(frozen=True)
class Call:
    """One function as ferroconv and SciPy name it, and its arguments after the image."""

    ours: str
    theirs: str
    arguments: tuple[Any, ...] = ()
    gain: float = 1.0
    """The largest sum of magnitudes of its weights."""

    @property
    def native(self) -> bool:
        """Whether integers are rounded and saturated, which SciPy's are not."""
        return self.ours != self.theirs


def _mirror(name: str, *arguments: Any, gain: float = 1.0) -> Call:
    return Call(name, name, arguments, gain)


CALLS = (
    _mirror("ndimage.correlate", _WINDOW, gain=16),
    _mirror("ndimage.convolve", _WINDOW, gain=16),
    _mirror("ndimage.correlate1d", _ROW, gain=4),
    _mirror("ndimage.convolve1d", _ROW, gain=4),
    _mirror("ndimage.gaussian_filter", 1),
    _mirror("ndimage.gaussian_filter1d", 1),
    _mirror("ndimage.gaussian_laplace", 1, gain=4),
    _mirror("ndimage.gaussian_gradient_magnitude", 1, gain=2),
    _mirror("ndimage.uniform_filter", 3),
    _mirror("ndimage.uniform_filter1d", 3),
    _mirror("ndimage.sobel", gain=8),
    _mirror("ndimage.prewitt", gain=6),
    _mirror("ndimage.laplace", gain=8),
    _mirror("ndimage.minimum_filter", 3),
    _mirror("ndimage.maximum_filter", 3),
    _mirror("ndimage.minimum_filter1d", 3),
    _mirror("ndimage.maximum_filter1d", 3),
    _mirror("ndimage.grey_erosion", 3),
    _mirror("ndimage.grey_dilation", 3),
    _mirror("ndimage.grey_opening", 3),
    _mirror("ndimage.grey_closing", 3),
    _mirror("signal.convolve2d", _WINDOW, "same", "symm", gain=16),
    _mirror("signal.correlate2d", _WINDOW, "same", "symm", gain=16),
    Call("correlate", "ndimage.correlate", (_WINDOW,), gain=16),
    Call("convolve", "ndimage.convolve", (_WINDOW,), gain=16),
    Call("gaussian", "ndimage.gaussian_filter", (1,)),
    Call("box", "ndimage.uniform_filter", (3,)),
    Call("sobel", "ndimage.sobel", gain=8),
    Call("laplace", "ndimage.laplace", gain=8),
    Call("minimum", "ndimage.minimum_filter", (3,)),
    Call("maximum", "ndimage.maximum_filter", (3,)),
)
"""SciPy's mirrors, then the native forms."""


@dataclass(frozen=True)
class SmallCase:
    """A function on a tiny square image of one dtype."""

    function: str
    """As ferroconv names it."""
    dtype: str
    size: int

    @property
    def kind(self) -> str:
        """What the name begins with."""
        return "small"

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``small/ndimage.sobel/float32/8x8``."""
        return f"small/{self.function}/{self.dtype}/{self.size}x{self.size}"

    @property
    def group(self) -> str:
        """What is summed up together."""
        return f"small/{self.function}"


SMALL_CASES = [
    SmallCase(call.ours, dtype, size) for call in CALLS for size in (8, 32) for dtype in ("float32", "float64", "uint8")
]
"""Every case, the functions in the order of the list."""


def measure(case: SmallCase, quick: bool) -> list[Outcome]:
    """Time a call beside SciPy's, in turn, and compare the results."""
    call = next(call for call in CALLS if call.ours == case.function)
    module = f"scipy.{call.theirs.partition('.')[0]}"
    scipy = importlib.import_module(module)
    # Looked up at each measurement, so that a test can put a wrong function in its place.
    ours = operator.attrgetter(call.ours)(ferroconv)
    theirs = getattr(scipy, call.theirs.partition(".")[2])
    image = (np.random.default_rng(case.size).random((case.size, case.size)) * 255).astype(case.dtype)
    contestants = [Contestant(name, partial(f, image, *call.arguments)) for name, f in ((OURS, ours), (module, theirs))]
    timings = race(contestants, QUICK if quick else TINY)
    mine, other = timings[OURS], timings[module]
    apart, allowed = _apart(call, image, mine.result, other.result, theirs)
    plans = ferroconv.explain(ours, image, *call.arguments).plans
    against = Against(
        module, Times.of(other), None, None, apart, apart <= allowed, other.median / mine.median, None
    )  # fmt: skip
    outcome = Outcome(
        case.name, case, plans[0].chosen, plans[0].threads, Times.of(mine), None, None, None, apart <= allowed,
        {module: against}, case.group,
    )  # fmt: skip
    return [outcome]


def _apart(call: Call, image: Array, ours: Array, theirs: Array, exact: Callable[..., Array]) -> tuple[float, float]:
    """The largest difference between two results, and the largest that is allowed."""
    wide = ours.astype(np.float64)
    if image.dtype.kind == "f":
        allowed = 16 * float(np.finfo(image.dtype).eps) * call.gain * float(np.abs(image).max())
        return float(np.abs(wide - theirs).max()), allowed
    if not call.native:
        return float(np.abs(wide - theirs).max()), 0.0
    # Rounded once and saturated: half a level off, and what the rounding of the weights may add.
    limits = np.iinfo(ours.dtype)
    want = np.clip(exact(image.astype(np.float64), *call.arguments), limits.min, limits.max)
    return float(np.abs(wide - want).max()), 0.5 + 1 / 32
