"""Filters that wait for their image, alone or one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._halo import Filter
from ferroconv._stages import Chain


@dataclass(frozen=True)
class Op:
    """Filters with their options, one after the other; made by `op`, called with an image in memory.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv.large
    >>> blur = ferroconv.large.op(ferroconv.gaussian, 1)
    >>> blur(np.array([[0, 0, 0, 255, 255, 255]], np.uint8))
    array([[  1,  15,  77, 178, 240, 254]], dtype=uint8)
    """

    filters: tuple[Filter, ...]

    def __call__(self, image: npt.ArrayLike) -> npt.NDArray[Any]:
        """Filter an image in memory, by the implementations that tiles of it have.

        Parameters
        ----------
        image : array_like
            The image.

        Returns
        -------
        ndarray
            The bits that `filter_tiled` gives. Those of the plain functions are the same unless
            `DifferentBitsWarning` says otherwise.
        """
        image = np.asarray(image)
        return Chain(self.filters, image.shape, image.dtype).whole(image)

    def digest(self) -> str:
        """What tells this from other filters and options, in every process."""
        return _digest([(filter.function, filter.options) for filter in self.filters]).hex()


def op(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Op:
    """Bind a filter to its options, for an image that comes later.

    Parameters
    ----------
    function : callable
        A filter of `ferroconv` or `ferroconv.ndimage`.
    *args, **kwargs
        Its arguments after the image. Results have the image's size: other extents and strides are refused.
        `mask` has the image's shape, or one that broadcasts to it.

    Returns
    -------
    Op
        To be handed to `filter_tiled`, alone or in a list, or called with an image.

    Raises
    ------
    TypeError
        For other functions, arguments that the function has not, and places for the result.
    NotImplementedError
        For results of another size.

    Examples
    --------
    >>> import ferroconv.large
    >>> edges = [ferroconv.large.op(ferroconv.gaussian, 3, border="mirror"), ferroconv.large.op(ferroconv.sobel, None)]
    """
    return Op((Filter.bound(function, *args, **kwargs),))


def read_op(given: Any) -> Op:
    """An op, a filter, a ``functools.partial`` of one, or a sequence of these."""
    if isinstance(given, Op):
        return given
    if callable(given):
        return op(given)
    if isinstance(given, Sequence) and not isinstance(given, str):
        return Op(tuple(filter for part in given for filter in read_op(part).filters))
    raise TypeError(
        "op must be a filter, a functools.partial of one, what ferroconv.large.op gives, or a list of these. "
        f"Received: {given!r}."
    )


def _digest(value: Any) -> bytes:
    """A hash that neither the process nor an object's identity changes."""
    if callable(value) and hasattr(value, "__qualname__"):
        text = f"{value.__module__}.{value.__qualname__}".encode()
    elif isinstance(value, Mapping):
        text = b"{" + b",".join(_digest(key) + _digest(value[key]) for key in sorted(value)) + b"}"
    elif isinstance(value, (list, tuple)):
        text = b"[" + b",".join(map(_digest, value)) + b"]"
    elif isinstance(value, (str, bytes, int, float, complex, bool, type(None))):
        text = repr(value).encode()
    else:
        array = np.ascontiguousarray(value)
        text = f"{array.dtype.str}{array.shape}".encode() + (
            array.tobytes() if array.dtype.kind != "O" else repr(array.tolist()).encode()
        )
    return hashlib.sha256(text).digest()
