"""`ferroconv explain`: from words on a command line to a call that is explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv

Array = npt.NDArray[Any]

# Each: the function's path within ferroconv, and the keyword of its border, extent and stride.
OPERATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "correlate": ("correlate", {"border": "border", "extent": "extent", "stride": "stride"}),
    "convolve": ("convolve", {"border": "border", "extent": "extent", "stride": "stride"}),
    "ndimage.correlate": ("ndimage.correlate", {"border": "mode"}),
    "ndimage.convolve": ("ndimage.convolve", {"border": "mode"}),
    "ndimage.correlate1d": ("ndimage.correlate1d", {"border": "mode"}),
    "signal.correlate2d": ("signal.correlate2d", {"border": "boundary", "extent": "mode"}),
    "signal.convolve2d": ("signal.convolve2d", {"border": "boundary", "extent": "mode"}),
    "max_pool2d": ("nn.max_pool2d", {"stride": "strides"}),
    "avg_pool2d": ("nn.avg_pool2d", {"stride": "strides"}),
}

WEIGHTS: dict[str, Callable[[tuple[int, ...]], Array]] = {
    "fractions": lambda shape: np.random.default_rng(0).standard_normal(shape),
    "whole": lambda shape: np.arange(np.prod(shape)).reshape(shape) % 7 - 3.0,
    "product": lambda shape: np.multiply.reduce(np.ix_(*(np.linspace(0.1, 0.9, n) for n in shape))),
}


def sizes(text: str, what: str) -> tuple[int, ...]:
    """``2048x1024`` as two numbers."""
    if not re.fullmatch(r"\d+([x,]\d+)*", text):
        raise ValueError(f"{what} must be sizes joined by x, such as 5x5. Received: {text!r}.")
    return tuple(int(part) for part in re.split("[x,]", text))


def explain(
    operation: str,
    *,
    image: str,
    dtype: str,
    kernel: str,
    weights: str,
    border: str | None,
    extent: str | None,
    stride: int | None,
    threads: int | None,
) -> ferroconv.Explanation:
    """What the call would run. The image is never touched, so that its memory is never taken."""
    path, keywords = OPERATIONS[operation]
    function: Any = ferroconv
    for name in path.split("."):
        function = getattr(function, name)
    options: dict[str, Any] = {}
    for name, value in (("border", border), ("extent", extent), ("stride", stride)):
        if value is not None:
            if name not in keywords:
                raise ValueError(f"{operation} has no {name}.")
            options[keywords[name]] = value
    window = sizes(kernel, "--kernel")
    pixels = np.zeros(sizes(image, "--image"), dtype)
    with nullcontext() if threads is None else ferroconv.threads(threads):
        if "pool" in operation:
            if pixels.ndim == 2:
                pixels = pixels[None, :, :, None]
            pool = window[0] if len(window) == 1 else window
            return ferroconv.explain(function, pixels, pool, **options)
        if operation == "ndimage.correlate1d":
            window = (window[-1],)
        elif len(window) == 1:
            window = (1, *window)
        values = WEIGHTS[weights](window)
        if pixels.dtype.kind == "f":
            values = values.astype(pixels.dtype)
        return ferroconv.explain(function, pixels, values, **options)
