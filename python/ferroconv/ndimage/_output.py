"""SciPy's reading of `output`, and how a result gets there: the same for all filters."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError, MirrorTypeError
from ferroconv._explain import explaining

Target = tuple[npt.NDArray[Any] | None, np.dtype[Any]]
"""The array that was given, if there is one, and the result's dtype, of any byte order."""


def read_output(image: npt.NDArray[Any], output: Any, complex_sums: bool) -> Target:
    """What `output` means: nothing, a dtype, a dtype's name, or an array."""
    if output is None:
        dtype = np.result_type(image.dtype, np.complex64) if complex_sums else image.dtype
        return None, dtype if dtype.isnative else dtype.newbyteorder("=")
    if isinstance(output, (type, np.dtype)):
        dtype = np.dtype(output)
        if complex_sums and dtype.kind != "c":
            warnings.warn("promoting specified output dtype to complex", stacklevel=_outside())
            dtype = np.promote_types(dtype, np.complex64)
        return None, dtype
    if isinstance(output, str):
        given, dtype = None, np.dtype(output)
        if not issubclass(dtype.type, np.number):
            raise MirrorError(f"output must have numeric dtype. Received: {dtype}.")
    else:
        given = np.asarray(output)
        dtype = given.dtype
        if given.shape != image.shape:
            raise MirrorError(f"output shape not correct. Received: {given.shape}, expected {image.shape}.")
    if complex_sums and dtype.kind != "c":
        raise MirrorError(f"output must have complex dtype. Received: {dtype}.")
    if given is not None and not given.flags.writeable:
        raise MirrorError("output must be writable. Received: a read-only array.")
    return given, dtype


def _outside() -> int:
    """The stack level, for the function that calls this one, of the first frame outside of this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("ferroconv."):
        frame, level = frame.f_back, level + 1
    return level


def supported(source: np.dtype[Any], result: np.dtype[Any], cval: Any, complex_sums: bool) -> None:
    """Refuse what SciPy has no loop for."""
    _loop(source, result, complex_sums)
    if not isinstance(cval, (float, int)) and np.iscomplexobj(cval) and source.kind != "c":
        raise MirrorTypeError(f"a real image has a real cval. Received: {cval!r} for {source}.")


@functools.lru_cache
def _loop(source: np.dtype[Any], result: np.dtype[Any], complex_sums: bool) -> None:
    if complex_sums and result.kind != "c":
        raise MirrorError(f"output must have complex dtype. Received: {result}.")
    if result.kind == "c" and not complex_sums:
        raise MirrorTypeError(f"a real image has a real output, as in SciPy. Received: {source} to {result}.")
    if "e" in (source.char, result.char):
        raise MirrorTypeError(f"array type not supported, as in SciPy. Received: {source} to {result}.")


def written(
    image: npt.NDArray[Any], goal: Target, workers: int | None, filtered: Callable[..., npt.NDArray[Any]],
    *arguments: Any,
) -> npt.NDArray[Any]:  # fmt: skip
    """What ``filtered(*arguments, dtype, out, workers)`` gives, in the array that was given, or in a new one.

    The result is made apart where it would be read again, and where the kernels can't write it.
    """
    given, dtype = goal
    made = dtype if dtype.isnative else dtype.newbyteorder("=")
    out = given
    if given is not None and (made is not dtype or np.may_share_memory(given, image)):
        out = None
    try:
        result = filtered(*arguments, made, out, workers)
    except _core.InvalidArgument as error:
        raise MirrorError(*error.args) from None
    except TypeError as error:
        raise MirrorTypeError(*error.args) from None
    if given is None:
        return result if made is dtype else result.astype(dtype)
    if out is None and not explaining():
        given[...] = result
    return given
