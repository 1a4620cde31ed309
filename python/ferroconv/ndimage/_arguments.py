"""SciPy's reading of the arguments that its filters share: `output`, `axes`, `axis`."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import MirrorAxisError, MirrorError


def read_output(output: Any, shape: tuple[int, ...], is_complex: bool) -> tuple[npt.NDArray[Any] | None, np.dtype[Any]]:
    """SciPy's reading of `output`: a dtype, a dtype's name, or an array."""
    if isinstance(output, (type, np.dtype)):
        dtype = np.dtype(output)
        if is_complex and dtype.kind != "c":
            warnings.warn("promoting specified output dtype to complex", stacklevel=5)
            dtype = np.promote_types(dtype, np.complex64)
        return None, dtype
    if isinstance(output, str):
        dtype = np.dtype(output)
        if not issubclass(dtype.type, np.number):
            raise MirrorError(f"output must have numeric dtype. Received: {dtype}.")
        given = None
    else:
        given = np.asarray(output)
        dtype = given.dtype
        if given.shape != shape:
            raise MirrorError(f"output shape not correct. Received: {given.shape}, expected {shape}.")
    if is_complex and dtype.kind != "c":
        raise MirrorError(f"output must have complex dtype. Received: {dtype}.")
    return given, dtype


def read_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """The axes that are filtered, counted from the front."""
    given = tuple(operator.index(axis) for axis in (axes if np.iterable(axes) else (axes,)))
    for axis in given:
        if not -ndim <= axis < ndim:
            raise MirrorAxisError(f"axes must be axes of input. Received: {axis} for {ndim} axes.")
    counted = tuple(axis % ndim for axis in given)
    if len(set(counted)) != len(counted):
        raise ValueError(f"axes must be unique. Received: {axes!r}.")
    return counted


def one_axis(axis: int, ndim: int) -> int:
    """One axis, counted from the front."""
    if not -ndim <= axis < ndim:
        raise MirrorAxisError(f"axis must be an axis of input. Received: axis={axis} for {ndim} axes.")
    return axis % ndim


def per_axis(value: Any, count: int, name: str) -> list[Any]:
    """One value for all of `count` axes, or one for each."""
    if isinstance(value, str) or not np.iterable(value):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise MirrorError(f"{name} must be one value, or one for each of {count} axes. Received: {value!r}.")
    return values
