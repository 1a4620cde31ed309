"""SciPy's reading of `output`, and how a result gets there: the same for all filters."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError, MirrorTypeError, is_complex
from ferroconv._explain import explaining


class Target(NamedTuple):
    """Where a result goes."""

    given: npt.NDArray[Any] | None
    """The array that was given, if there is one."""
    dtype: np.dtype[Any]
    """The result's, of any byte order."""


def read_output(image: npt.NDArray[Any], output: Any, complex_sums: bool) -> Target:
    """What `output` means: nothing, a dtype, a dtype's name, or an array."""
    if output is None:
        dtype = np.result_type(image.dtype, np.complex64) if complex_sums else image.dtype
        return Target(None, native(dtype))
    if isinstance(output, (type, np.dtype)):
        dtype = np.dtype(output)
        if complex_sums and dtype.kind != "c":
            warnings.warn("promoting specified output dtype to complex", stacklevel=_outside())
            dtype = np.promote_types(dtype, np.complex64)
        return Target(None, dtype)
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
    return Target(given, dtype)


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype in native byte order."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _outside() -> int:
    """The stack level, for the function that calls this one, of the first frame outside of this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("ferroconv."):
        frame, level = frame.f_back, level + 1
    return level


def supported(source: np.dtype[Any], result: np.dtype[Any], cval: Any, complex_sums: bool) -> None:
    """Refuse what SciPy has no loop for."""
    if complex_sums != (result.kind == "c"):
        if complex_sums:
            raise MirrorError(f"output must have complex dtype. Received: {result}.")
        raise MirrorTypeError(f"a real image has a real output, as in SciPy. Received: {source} to {result}.")
    if source.char == "e" or result.char == "e":
        raise MirrorTypeError(f"array type not supported, as in SciPy. Received: {source} to {result}.")
    if is_complex(cval) and source.kind != "c":
        raise MirrorTypeError(f"a real image has a real cval. Received: {cval!r} for {source}.")


def written(
    image: npt.NDArray[Any], goal: Target, filtered: Callable[[npt.NDArray[Any] | None], npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """What `filtered(out)` gives, in the array that was given, or in a new one of the dtype.

    The result is made apart where it would be read again, and where the kernels can't write it.
    """
    given, dtype = goal
    out = given
    if given is not None and (not dtype.isnative or np.may_share_memory(given, image)):
        out = None
    try:
        result = filtered(out)
    except _core.InvalidArgument as error:
        raise MirrorError(*error.args) from None
    except TypeError as error:
        raise MirrorTypeError(*error.args) from None
    if given is None:
        return result if dtype.isnative else result.astype(dtype)
    if out is None and not explaining():
        given[...] = result
    return given
