"""What the filters of sliding windows share: SciPy's reading of sizes, origins and modes, and the call."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError, MirrorTypeError, per_axis
from ferroconv.ndimage._arguments import one_axis, one_mode, read_axes
from ferroconv.ndimage._output import read_output, supported, written


def whole(size: Any) -> int:
    """A size of one tap at least; SciPy cuts off a fraction."""
    try:
        if isinstance(size, str):
            raise TypeError
        number = int(size)
    except (TypeError, ValueError, OverflowError):
        raise MirrorError(f"size must be a whole number from 1 on. Received: {size!r}.") from None
    if number < 1:
        raise MirrorError(f"size must be a whole number from 1 on. Received: {size!r}.")
    return number


def along(
    kind: str, input: npt.ArrayLike, size: Any, axis: int, output: Any, mode: Any, cval: Any, origin: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window along one axis."""
    image = ordered(kind, input)
    windows = [(one_axis(axis, image.ndim), whole(size), origin, one_mode(mode))]
    return slide(kind, image, windows, cval, output, workers)


def rectangle(
    kind: str, input: npt.ArrayLike, size: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window over several axes, of which those of one tap are left alone."""
    image = ordered(kind, input)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    count = len(over)
    sizes = map(whole, per_axis(size, count, "size", MirrorError))
    origins, modes = per_axis(origin, count, "origin", MirrorError), per_axis(mode, count, "mode", MirrorError)
    windows = [(a, n, o, one_mode(m)) for a, n, o, m in zip(over, sizes, origins, modes, strict=True) if n > 1]
    return slide(kind, image, windows, cval, output, workers)


def ordered(kind: str, input: npt.ArrayLike) -> npt.NDArray[Any]:
    """The image; a least or greatest complex number there is not."""
    image = np.asarray(input)
    if kind != "mean" and image.dtype.kind == "c":
        raise MirrorTypeError(f"complex numbers have no order, as in SciPy. Received: {image.dtype}.")
    return image


def slide(
    kind: str, image: npt.NDArray[Any], windows: Sequence[tuple[int, int, Any, str]], cval: Any, output: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Folds the windows, in SciPy's arithmetic."""
    parted = image.dtype.kind == "c"
    goal = given, dtype = read_output(image, output, parted)
    if not windows:
        result = np.empty(image.shape, dtype) if given is None else given
        result[...] = image
        return result
    supported(image.dtype, dtype, cval, parted)
    built(kind, image.dtype, dtype)
    if kind == "mean" and cval != 0:
        continued(image.dtype, windows, cval)
    return written(
        image, goal, workers, _parts if parted else _core.sliding, image, kind, "ndimage", windows, "same", cval
    )


def _parts(
    image: npt.NDArray[Any], kind: str, rule: str, windows: Sequence[tuple[int, int, Any, str]], extent: str, cval: Any,
    dtype: np.dtype[Any], out: npt.NDArray[Any] | None, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A complex image, as two real ones."""
    result = np.empty(image.shape, dtype) if out is None else out
    for name in ("real", "imag"):
        real = getattr(result, name)
        outside = getattr(np, name)(cval)
        _core.sliding(getattr(image, name), kind, rule, windows, extent, outside, real.dtype, real, workers)
    return result


_CONSTANT = ("constant", "grid-constant")


@functools.lru_cache
def built(kind: str, source: np.dtype[Any], result: np.dtype[Any]) -> None:
    """Refuses what SciPy does and sliding windows do not do yet."""
    if result.char in "LQ" and source.kind in "if":
        raise NotImplementedError(
            f"signed and floating-point images are stored in any real dtype but uint64. Received: {source} to {result}."
        )
    if kind == "mean" and source.kind in "iu" and result.kind == "b":
        raise NotImplementedError(
            f"means of integers are stored in any real dtype but bool. Received: {source} to {result}."
        )


def continued(source: np.dtype[Any], windows: Sequence[tuple[int, int, Any, str]], cval: Any) -> None:
    """Refuses means of an integer image that goes on with a fraction."""
    constant = any(mode in _CONSTANT for *_, mode in windows)
    if constant and source.kind in "biu" and np.real(cval) % 1 != 0:
        raise NotImplementedError(
            f"means of an integer image are continued by a whole cval. Received: cval={cval!r} for {source}."
        )


def footprint(
    maximum: bool, image: npt.NDArray[Any], taps: npt.NDArray[np.bool_], structure: npt.NDArray[Any] | None,
    output: Any, mode: Any, cval: Any, origin: Any, axes: Any, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window of any shape; what is added to the samples is SciPy's."""
    ordered("footprint", image)
    goal = _, dtype = read_output(image, output, False)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    if taps.ndim != len(over):
        raise MirrorError(f"footprint.ndim ({taps.ndim}) must match the axes that are filtered ({len(over)}).")
    if structure is not None and structure.ndim != len(over):
        raise MirrorError(f"structure must have an axis for each of the {len(over)} axes. Received: {structure.shape}.")
    if structure is not None and structure.shape != taps.shape:
        raise MirrorError(
            f"structure must have the footprint's shape. Received: {structure.shape} for a footprint of {taps.shape}."
        )
    origins = per_axis(origin, len(over), "origin", MirrorError)
    order = sorted(range(len(over)), key=over.__getitem__)
    # SciPy lays the window's axes on the image's in their order, and its origins too where some axes are left alone.
    laid = list(origins) if len(over) == image.ndim else [origins[i] for i in order]
    for shift, size in zip(laid, taps.shape, strict=True):
        if not 0 <= size // 2 + shift < size:
            raise MirrorError(f"origin must lie within the window. Received: {origin!r} for {taps.shape}.")
    if not isinstance(mode, str) and isinstance(mode, Iterable):
        raise MirrorError(f"a window that is no full rectangle takes one mode. Received: {mode!r}.")
    name = one_mode(mode)
    supported(image.dtype, dtype, cval, False)
    places = (np.argwhere(taps) - np.array(taps.shape) // 2).tolist()
    addends = None if structure is None else (structure if maximum else -structure)[taps].tolist()
    return written(
        image, goal, workers, _core.footprint, image, maximum, places, addends, sorted(over), laid, name, cval
    )
