"""What the separable filters of scipy.ndimage share: SciPy's rules for dtypes and `output`, then the passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ferroconv._passes import Combine, Pass, run_sum
from ferroconv.ndimage._output import read_output, supported, written


def filtered(
    image: npt.NDArray[Any], terms: Sequence[Sequence[Pass]], output: Any, cval: Any, workers: int | None, *,
    combine: Combine = "sum", promote: bool = False,
) -> npt.NDArray[Any]:  # fmt: skip
    """The terms of a filter, combined and stored where `output` says; without terms, the image.

    A result that overlaps the image is made apart: SciPy's passes work within `output`, and so does
    its sum of terms, which is wrong where `output` is the image itself. `promote` is SciPy's
    correlate1d, which takes a real dtype for a complex image, with a warning.
    """
    complex_sums = image.dtype.kind == "c"
    goal = _, dtype = read_output(image, output, promote and complex_sums)
    if not terms:
        terms, combine = ((),), "sum"
    if any(terms):
        supported(image.dtype, dtype, cval, complex_sums)
    return written(image, goal, workers, run_sum, image, terms, combine, cval)
