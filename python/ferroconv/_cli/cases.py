"""The dense windows that `ferroconv bench` times: one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._cli.peers import Arithmetic, Problem


@dataclass(frozen=True)
class Case:
    """A square image of one dtype, a square window, and whose arithmetic."""

    arithmetic: Arithmetic
    dtype: str
    size: int
    taps: int
    """Side of the window."""

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``native/float32/2048x2048/7x7``."""
        return f"{self.arithmetic}/{self.dtype}/{self.size}x{self.size}/{self.taps}x{self.taps}"

    @property
    def label(self) -> str:
        """What is done to the image."""
        return f"{self.taps}x{self.taps}"

    @property
    def kind(self) -> str:
        """Whose arithmetic, as every case says what it is."""
        return self.arithmetic

    @property
    def group(self) -> str:
        """What is summed up together."""
        return f"{self.arithmetic}/{self.dtype}"

    def problem(self) -> Problem:
        """The case with its pixels and weights, the same in every run.

        Pixels are levels of 8 bits, so that no sum overflows the types in which peers add them up.
        """
        random = np.random.default_rng(self.size * 100 + self.taps)
        dtype = np.dtype(self.dtype)
        shape, window = (self.size, self.size), (self.taps, self.taps)
        image: npt.NDArray[Any]
        if dtype.kind in "biu":
            low, high = (-128, 128) if dtype.kind == "i" else (0, 2 if dtype.kind == "b" else 256)
            image = random.integers(low, high, shape).astype(dtype)
            if self.arithmetic == "signal":
                return Problem(image, random.integers(0, 2, window).astype(dtype), self.arithmetic)
            return Problem(image, random.standard_normal(window) / self.taps, self.arithmetic)
        image = (random.random(shape) * 255).astype(dtype)
        weights = random.standard_normal(window) / self.taps
        if dtype.kind == "c":
            image += (1j * random.random(shape)).astype(dtype)
            weights = weights + 1j * random.standard_normal(window) / self.taps
        return Problem(image, weights.astype(dtype), self.arithmetic)


HUGE = 4096
"""Side of images for what memory bounds: larger than the caches."""
LARGE = 2048
MEMORY_BOUND = 3
"""Side of the window that is timed beside a copy."""
TAPS = (3, 5, 7, 9, 11, 13, 15, 21, 31)
FLOAT_TAPS = (*TAPS, 51)
SMALL_SIZES = (8, 16, 32, 64, 256, 1024)


def _all() -> list[Case]:
    cases = [Case("native", dtype, HUGE, MEMORY_BOUND) for dtype in ("uint8", "float32")]
    cases += [Case("native", dtype, LARGE, taps) for dtype in ("float32", "float64") for taps in FLOAT_TAPS]
    cases += [Case("native", dtype, LARGE, taps) for dtype in ("uint8", "uint16", "int16") for taps in TAPS]
    refused: dict[Arithmetic, set[str]] = {  # by SciPy
        "ndimage": {"bfloat16", "float16"},
        "signal": {"bfloat16", "float16", "bool"},
    }
    for arithmetic, dtypes in refused.items():
        for dtype in _core.dtypes():
            if dtype in dtypes:
                continue
            cases += [Case(arithmetic, dtype, size, taps) for size in SMALL_SIZES for taps in (3, 5)]
    return cases


WINDOW_CASES = _all()
"""Every case, the large ones first."""
