"""Every filter with options that are easy to get wrong by parts, for the tests of tiles and of blocks."""

from __future__ import annotations

import numpy as np
from support import paint

import ferroconv
import ferroconv.ndimage as nd

BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")
SHAPE = (37, 45)

WINDOW = np.abs(paint((4, 5), "float64", 1))
PRODUCT = np.multiply.outer(np.arange(1.0, 10.0), np.linspace(0.5, 2, 11))
FOOTPRINT = paint((5, 4), "bool", 2)
STRUCTURE = np.arange(12.0).reshape(3, 4)

# Function, arguments after the image, options; the border is added.
NATIVE = [
    (ferroconv.correlate, (WINDOW,), {"origin": (1, -1)}),
    (ferroconv.correlate, (PRODUCT,), {}),
    (ferroconv.correlate, (WINDOW,), {"dilation": (3, 2)}),
    (ferroconv.convolve, (WINDOW,), {"origin": (-1, 2)}),
    (ferroconv.gaussian, (2.5,), {}),
    (ferroconv.gaussian, ((0, 4),), {"order": (0, 1)}),
    (ferroconv.gaussian, (1,), {"radius": (7, 2)}),
    (ferroconv.box, (7,), {}),
    (ferroconv.box, ((12, 3),), {"origin": (2, 0)}),
    (ferroconv.sobel, (), {"axis": None}),
    (ferroconv.sobel, (0,), {"dtype": np.float32}),
    (ferroconv.laplace, (), {}),
    (ferroconv.minimum, ((9, 4),), {}),
    (ferroconv.maximum, (80,), {}),
]

MIRRORS = [
    (nd.correlate, (WINDOW,), {"origin": (1, -1)}),
    (nd.convolve, (WINDOW,), {}),
    (nd.correlate1d, (WINDOW[0],), {"axis": 0, "origin": 2}),
    (nd.convolve1d, (WINDOW[0, :4],), {}),
    (nd.gaussian_filter, ((1, 3),), {"order": (1, 0)}),
    (nd.gaussian_filter, (2,), {"axes": (0,), "output": "float32"}),
    (nd.gaussian_filter1d, (2,), {"axis": 0}),
    (nd.gaussian_laplace, ((2, 1),), {"truncate": 3.0}),
    (nd.gaussian_gradient_magnitude, (1.5,), {}),
    (nd.uniform_filter, ((8, 11),), {"origin": (3, -5)}),
    (nd.uniform_filter1d, (9,), {"axis": 0}),
    (nd.minimum_filter, (), {"footprint": FOOTPRINT}),
    (nd.maximum_filter, ((4, 13),), {}),
    (nd.minimum_filter1d, (7,), {"axis": 0, "origin": -3}),
    (nd.maximum_filter1d, (6,), {}),
    (nd.grey_erosion, (), {"structure": STRUCTURE}),
    (nd.grey_dilation, ((4, 5),), {"origin": (1, 0)}),
    (nd.grey_opening, (), {"footprint": FOOTPRINT}),
    (nd.grey_closing, ((6, 3),), {}),
    (nd.sobel, (), {"axis": 0}),
    (nd.prewitt, (), {}),
    (nd.laplace, (), {}),
    (nd.generic_laplace, (nd.sobel,), {}),
    (nd.generic_gradient_magnitude, (nd.prewitt,), {}),
]

CASES = [
    *((function, args, options, "border") for function, args, options in NATIVE),
    *((function, args, options, "mode") for function, args, options in MIRRORS),
]


def names(case):
    """The name of a case."""
    function, args, options, _ = case
    shown = [str(value) for value in (*args, *options) if not isinstance(value, np.ndarray) and not callable(value)]
    return "-".join([function.__module__.split(".")[1], function.__name__, *shown])


def image(dtype, shape=SHAPE):
    """Numbers whose sums, in another order, have other bits; small ones, so that few integers saturate."""
    if np.dtype(dtype).kind == "f":
        return paint(shape, dtype) * np.asarray(np.exp(paint(shape, "float64", 3)), dtype)
    return paint(shape, dtype)


def equal(got, want, what):
    """The same dtype, shape and bits."""
    assert got.dtype == want.dtype, f"{what}: {got.dtype} is not {want.dtype}"
    assert got.shape == want.shape, what
    if got.tobytes() != want.tobytes():
        differs = np.ascontiguousarray(got).view(np.uint8) != np.ascontiguousarray(want).view(np.uint8)
        places = np.argwhere(differs)[:3].tolist()
        raise AssertionError(f"{what}: other bits, in {differs.mean():.1%} of the bytes, first at {places}")
