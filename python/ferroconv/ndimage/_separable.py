"""What the separable filters of scipy.ndimage share: SciPy's rules for dtypes and `output`, then the passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError, MirrorTypeError
from ferroconv._explain import explaining
from ferroconv._passes import Combine, Pass, run_sum
from ferroconv.ndimage._arguments import read_output


def filtered(
    image: npt.NDArray[Any], terms: Sequence[Sequence[Pass]], output: Any, cval: Any, workers: int | None, *,
    combine: Combine = "sum", promote: bool = False,
) -> npt.NDArray[Any]:  # fmt: skip
    """The terms of a filter, combined and stored where `output` says; without terms, the image.

    The result is made apart where it would be read again: SciPy's passes work within `output`, and so
    does its sum of terms, which is wrong where `output` is the image itself. `promote` is SciPy's
    correlate1d, which takes a real dtype for a complex image, with a warning.
    """
    given, dtype = open_output(output, image, promote)
    target = given
    if given is not None and (not dtype.isnative or np.may_share_memory(given, image)):
        target = None
    if not terms:
        terms, combine = [[]], "sum"
    steps = [step for term in terms for step in term]
    if steps:
        _refuse(image.dtype, dtype, cval, steps)
    try:
        result = run_sum(
            image, terms, combine, rule="ndimage1d", cval=cval, dtype=dtype.newbyteorder("="), out=target,
            workers=workers,
        )  # fmt: skip
    except _core.InvalidArgument as error:
        raise MirrorError(*error.args) from None
    except TypeError as error:
        raise MirrorTypeError(*error.args) from None
    if given is not None:
        if target is None and not explaining():
            given[...] = result
        return given
    return result if dtype.isnative else result.astype(dtype)


def open_output(
    output: Any, image: npt.NDArray[Any], promote: bool = False
) -> tuple[npt.NDArray[Any] | None, np.dtype[Any]]:
    """SciPy's reading of `output`, None included."""
    if output is None:
        return None, image.dtype if image.dtype.isnative else image.dtype.newbyteorder("=")
    given, dtype = read_output(output, image.shape, promote and image.dtype.kind == "c")
    if given is not None and not given.flags.writeable:
        raise ValueError("output must be writable. Received: a read-only array.")
    return given, dtype


def _refuse(image: np.dtype[Any], dtype: np.dtype[Any], cval: Any, steps: Sequence[Pass]) -> None:
    """Raise what SciPy's passes raise."""
    if image.kind == "c" and dtype.kind != "c":
        raise MirrorError(f"output must have complex dtype. Received: {dtype}.")
    if image.kind != "c" and dtype.kind == "c":
        raise MirrorTypeError(f"a real image has a real output, as in SciPy. Received: {image} to {dtype}.")
    if "e" in (image.char, dtype.char):
        raise MirrorTypeError(f"array type not supported, as in SciPy. Received: {image} to {dtype}.")
    if image.kind != "c" and np.iscomplexobj(cval):
        raise MirrorTypeError(f"a real image has a real cval. Received: {cval!r} for {image}.")
    for step in steps:
        if not isinstance(step.border, str):
            raise MirrorError(f"mode must be one name for each axis. Received: {step.border!r}.")
