"""Argument policy that several modules share: scalars to pairs, classes of precision, options that come later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv import _core

DataFormat = Literal["channels_last", "channels_first"]
Padding = str | Sequence[Sequence[int]]


class MirrorError(ValueError, RuntimeError):
    """A ValueError that is a RuntimeError too, where SciPy raises that."""


class MirrorTypeError(MirrorError, TypeError):
    """A TypeError that is a ValueError and a RuntimeError too, where SciPy raises one of those."""


class MirrorAxisError(ValueError, IndexError):
    """A ValueError that is an IndexError too, as NumPy's for axes that aren't there."""


def pair(value: int | Sequence[int], name: str) -> tuple[int, int]:
    """One integer for both axes, or one for each."""
    if isinstance(value, (int, np.integer)):
        return int(value), int(value)
    try:
        first, second = value
        return int(first), int(second)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an integer, or one for each of the two axes. Received: {value!r}.") from None


# np.iterable() takes longer over these than all else that is done about them.
_SINGLE = (str, int, float, type(None))


def per_axis(value: Any, count: int, name: str, error: type[Exception] = ValueError) -> tuple[Any, ...]:
    """One value for all of `count` axes, or one for each."""
    if isinstance(value, _SINGLE) or not np.iterable(value):
        return (value,) * count
    values = tuple(value)
    if len(values) != count:
        raise error(f"{name} must be one value, or one for each of {count} axes. Received: {value!r}.")
    return values


PRECISIONS = _core.precisions()
"""The classes of precision, as torch names them."""


def check_precision(precision: str) -> None:
    """Refuse names that are no class: a class permits what is less exact, and nothing has to be."""
    if precision not in PRECISIONS:
        known = ", ".join(map(repr, PRECISIONS))
        raise ValueError(f"precision must be one of {known}. Received: {precision!r}.")


def later(**options: tuple[Any, Any]) -> None:
    """Refuses options that are part of the interface but not built yet.

    Each is given as ``name=(value, the only supported value)``.
    """
    for name, (value, supported) in options.items():
        if value is not supported and (supported is None or value != supported):
            raise NotImplementedError(f"{name}={value!r} is not supported yet; {name}={supported!r} is.")


def channels_first(data_format: str) -> bool:
    """Whether the channels stand before rows and columns."""
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first'. Received: {data_format!r}.")
    return data_format == "channels_first"


def apart(image: npt.NDArray[Any], out: Any) -> None:
    """Refuse an `out` that shares memory with an image of which copies are filtered: the kernels' own rule."""
    if isinstance(out, np.ndarray) and np.shares_memory(image, out):
        raise ValueError(
            "out= must not share memory with an input, which is still being read while it is written. "
            "Received: overlapping arrays; pass a copy of one of them."
        )
