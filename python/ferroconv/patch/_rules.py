"""Which of SciPy's functions are patched, and which of their calls are still SciPy's: two lists.

SciPy's answers are the answers. Where ferroconv's own functions differ from SciPy's (docs/scipy-differences.md), a
rule says for which arguments the difference shows, and those calls are SciPy's. There is none where
SciPy reads or writes outside of its arrays: what it finds there is no answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv

LEFT = {
    "signal.choose_conv_method": "it speaks of SciPy's own loops",
    "ndimage.generic_laplace": "the work is in the function that it is given",
    "ndimage.generic_gradient_magnitude": "the work is in the function that it is given",
}
"""Functions that stay SciPy's, and why."""

FUNCTIONS = tuple(
    name
    for module in ("signal", "ndimage")
    for name in (f"{module}.{function}" for function in getattr(ferroconv, module).__all__)
    if name not in LEFT
)
"""SciPy's functions that are patched."""

EXACT = 2.0**53
"""Integers up to here are exact in float64, and so are sums that stay below."""
TINY = 2.0**-52
"""ndimage.correlate and convolve leave out weights of at most this magnitude."""


class Call:
    """A call's arguments by SciPy's names of them."""

    def __init__(self, theirs: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.theirs = theirs
        self.given = arguments

    def array(self, name: str) -> npt.NDArray[Any]:
        """An argument as SciPy reads it."""
        return np.asarray(self.given[name])

    def result(self) -> np.dtype[Any]:
        """The dtype of an ndimage filter's result."""
        output = self.given.get("output")
        if output is None:
            return self.array("input").dtype
        return np.dtype(output) if isinstance(output, (type, str, np.dtype)) else np.asarray(output).dtype

    def cval(self) -> float:
        """How large the value around the image is."""
        return float(np.abs(self.given.get("cval", 0.0)))


@dataclass(frozen=True)
class Rule:
    """Calls that are SciPy's."""

    reason: str
    """As the report says it."""
    functions: frozenset[str]
    applies: Callable[[Call], bool]


def peak(array: npt.NDArray[Any]) -> float:
    """The largest magnitude, at least 0; NaN if there is one: two reductions, for nothing is stored."""
    if array.size == 0:
        return 0.0
    if array.dtype.kind == "c":
        return float(np.hypot(peak(array.real), peak(array.imag)))
    # Not by abs(), which the lowest integer has none of.
    return float(np.maximum(-float(array.min()), float(array.max())))


def finite(array: npt.NDArray[Any]) -> bool:
    """Whether there is no NaN and no infinity."""
    return array.dtype.kind not in "fc" or math.isfinite(peak(array))


def _empty(call: Call) -> bool:
    return any(np.size(call.given[name]) == 0 for name in ("input", "in1", "in2") if name in call.given)


def _wide(call: Call) -> bool:
    """Whether a sum of 64-bit integers may be beyond what float64 holds exactly."""
    image = call.array("input")
    if not {image.dtype.char, call.result().char} & set("lLqQ") or image.dtype.itemsize < 4:
        return False
    added = peak(call.array("structure")) if call.given.get("structure") is not None else 0.0
    return not (np.maximum(peak(image), call.cval()) + added) * _gain(call, image.ndim) <= EXACT


def _gain(call: Call, ndim: int) -> float:
    """How much larger than the image a sum within a filter can be."""
    if "weights" in call.given:
        return max(1.0, float(np.abs(call.array("weights")).sum()))
    # Derivatives: at most four times along each axis, and as many terms.
    return max(_window(call.given.get("size"), ndim), 4.0 ** (ndim + 1))


def _window(size: Any, ndim: int) -> float:
    """Samples of a window, at most."""
    if size is None:
        return 1.0
    return float(np.prod(size, dtype=float) if np.ndim(size) else float(size) ** ndim)


def _unsigned(call: Call) -> bool:
    return "Q" in {np.dtype(dtype).char.replace("L", "Q") for dtype in (call.array("input").dtype, call.result())}


def _weights_left_out(call: Call) -> bool:
    """Whether weights that SciPy leaves out make a difference beyond rounding, or lie over a NaN."""
    weights = np.abs(call.array("weights"))
    left = weights <= TINY
    if not left.any():
        return False
    if weights[left].sum() > weights.size * TINY * weights.sum():
        return True
    return not finite(call.array("input"))


def _in_place(call: Call) -> bool:
    """Whether a filter may read what it has written."""
    output, image = call.given.get("output"), call.given["input"]
    return isinstance(output, np.ndarray) and isinstance(image, np.ndarray) and np.may_share_memory(image, output)


def _shifted(call: Call) -> bool:
    """Whether the output overlaps the input and is not the input itself."""
    if not _in_place(call):
        return False
    output, image = call.given["output"], call.given["input"]
    return any(getattr(output, name) != getattr(image, name) for name in ("shape", "strides", "dtype")) or (
        output.ctypes.data != image.ctypes.data
    )


def _drifts(call: Call) -> bool:
    return call.array("input").dtype.kind in "fc" and call.result().kind in "biu"


def _running(call: Call) -> bool:
    """Whether a running sum would meet a NaN or an infinity, or would be one in float32."""
    image = call.array("input")
    if image.dtype.kind not in "fc":
        return not math.isfinite(call.cval())
    taps = _window(call.given.get("size", 3), image.ndim)
    return not np.maximum(peak(image), call.cval()) * taps < float(np.finfo(image.dtype).max)


def _unordered(call: Call) -> bool:
    arrays = [call.array(name) for name in ("input", "structure") if call.given.get(name) is not None]
    return math.isnan(call.cval()) or any(a.dtype.kind == "f" and math.isnan(peak(a)) for a in arrays)


def _spread(call: Call) -> bool:
    return not (finite(call.array("in1")) and finite(call.array("in2")))


def _spread_by_choice(call: Call) -> bool:
    return call.given.get("method", "auto") != "direct" and _spread(call)


def _complex_infinity(call: Call) -> bool:
    image = call.array("input")
    return image.dtype.kind == "c" and not finite(image)


def _rounded(call: Call) -> bool:
    """Whether transforms, rounded and cast, would not give the integers that wrap: SciPy's choice tells."""
    in1, in2 = call.array("in1"), call.array("in2")
    dtype = np.result_type(in1, in2)
    method = call.given.get("method", "auto")
    if dtype.kind not in "biu" or method == "direct":
        return False
    if dtype.kind != "b":
        most = peak(in1) * peak(in2) * min(in1.size, in2.size)
        if most < min(float(np.iinfo(dtype).max), EXACT / 2):
            return False
    if method == "fft":
        return True
    from scipy.signal import choose_conv_method

    return bool(choose_conv_method(in1, in2, call.given.get("mode", "full")) == "fft")


def _of(module: str, *names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names)


_EXTREMES = _of(
    "ndimage", "minimum_filter", "maximum_filter", "minimum_filter1d", "maximum_filter1d", "grey_erosion",
    "grey_dilation", "grey_opening", "grey_closing",
)  # fmt: skip
_MEANS = _of("ndimage", "uniform_filter", "uniform_filter1d")
_GAUSSIANS = _of(
    "ndimage", "gaussian_filter", "gaussian_filter1d", "gaussian_laplace", "gaussian_gradient_magnitude"
)  # fmt: skip
_TERMS = _of("ndimage", "laplace", "gaussian_laplace", "gaussian_gradient_magnitude")
_ALL = frozenset(FUNCTIONS)
# The others filter a temporary copy.
_LINES = frozenset(name for name in _ALL if name.startswith("ndimage.")) - _of("ndimage", "correlate", "convolve")

RULES = (
    Rule("an array without samples", _ALL, _empty),
    Rule(
        "64-bit integers whose sums are beyond 2**53, where SciPy's float64 is not exact",
        frozenset(name for name in _ALL if name.startswith("ndimage.")),
        _wide,
    ),
    Rule(
        "derivatives in uint64, where SciPy's passes take negative numbers for large ones",
        _GAUSSIANS | _of("ndimage", "sobel", "prewitt"),
        _unsigned,
    ),
    Rule(
        "weights up to 2**-52, which SciPy leaves out, over a NaN or infinity or among weights as small",
        _of("ndimage", "correlate", "convolve"),
        _weights_left_out,
    ),
    Rule("several terms into an output that is the input", _TERMS, _in_place),
    Rule("an output that overlaps the input in part, where SciPy reads some of what it has written", _LINES, _shifted),
    Rule("means of floating-point numbers as integers: SciPy cuts off its running sum's drift too", _MEANS, _drifts),
    Rule("a NaN, an infinity, or sums beyond float32 in means: SciPy sums on along the line in float64",
         _MEANS, _running),
    Rule("a NaN among minima or maxima, where SciPy's answer depends on its place", _EXTREMES, _unordered),
    Rule("a NaN or an infinity, which SciPy's transforms spread", _of("signal", "fftconvolve", "oaconvolve"), _spread),
    Rule(
        "a NaN or an infinity, which SciPy's transforms spread where it takes them",
        _of("signal", "convolve", "correlate"),
        _spread_by_choice,
    ),
    Rule(
        "a NaN or an infinity among complex numbers, whose parts SciPy keeps apart under a real window",
        _of("signal", "sepfir2d"),
        _complex_infinity,
    ),
    Rule(
        "integers beyond their dtype, which SciPy's transforms round and cast",
        _of("signal", "convolve", "correlate"),
        _rounded,
    ),
)  # fmt: skip
"""Calls that are SciPy's, the cheapest to tell first."""
