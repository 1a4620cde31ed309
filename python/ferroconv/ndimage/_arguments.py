"""SciPy's reading of the arguments that its filters share: `axes`, `axis`, `mode`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ferroconv import _core
from ferroconv._args import MirrorAxisError, MirrorError, per_axis


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
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise MirrorAxisError(f"axis must be an axis of input. Received: axis={axis} for {ndim} axes.")
    return axis % ndim


MODES = dict.fromkeys(name for row in _core.border_modes() for name in row[2])
"""SciPy's names, in their order."""


def one_mode(mode: Any) -> str:
    """One of SciPy's names of modes."""
    if not isinstance(mode, str) or mode not in MODES:
        raise MirrorError(f"mode must be one of {', '.join(MODES)}. Received: {mode!r}.")
    return mode


def read_modes(mode: Any, count: int) -> tuple[str, ...]:
    """A name for each of `count` axes."""
    if isinstance(mode, str):
        return (one_mode(mode),) * count
    return tuple(map(one_mode, per_axis(mode, count, "mode", MirrorError)))
