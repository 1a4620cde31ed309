"""What the filters of sliding windows share: SciPy's reading of sizes, origins and modes, and the call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError, MirrorTypeError
from ferroconv.ndimage._arguments import one_axis, read_axes, read_output

Target = tuple[npt.NDArray[Any] | None, np.dtype[Any]]
"""The array that was given, if there is one, and the result's dtype."""


def each(value: Any, count: int, name: str) -> list[Any]:
    """One value for each axis: SciPy repeats a scalar."""
    if isinstance(value, str) or not np.iterable(value):
        return [value] * count
    given = list(value)
    if len(given) != count:
        raise MirrorError(
            f"{name} must be one value, or a sequence of one for each of the {count} axes. Received: {value!r}."
        )
    return given


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


def known(mode: Any) -> str:
    """One of SciPy's names of modes."""
    names = [name for row in _core.border_modes() for name in row[2]]
    if not isinstance(mode, str) or mode not in names:
        raise MirrorError(f"mode must be one of {', '.join(names)}. Received: {mode!r}.")
    return mode


def target(image: npt.NDArray[Any], output: Any) -> Target:
    """What `output` means for a filter that keeps complex numbers."""
    is_complex = image.dtype.kind == "c"
    if output is None:
        dtype = np.result_type(image.dtype, np.complex64) if is_complex else image.dtype
        return None, dtype if dtype.isnative else dtype.newbyteorder("=")
    return read_output(output, image.shape, is_complex)


def along(
    kind: str, input: npt.ArrayLike, size: Any, axis: int, output: Any, mode: Any, cval: Any, origin: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window along one axis."""
    image = ordered(kind, input)
    windows = [(one_axis(axis, image.ndim), whole(size), origin, known(mode))]
    return slide(kind, image, windows, cval, target(image, output), workers)


def rectangle(
    kind: str, input: npt.ArrayLike, size: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window over several axes, of which those of one tap are left alone."""
    image = ordered(kind, input)
    given = target(image, output)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    sizes = [whole(n) for n in each(size, len(over), "size")]
    origins, modes = each(origin, len(over), "origin"), each(mode, len(over), "mode")
    windows = [(a, n, o, known(m)) for a, n, o, m in zip(over, sizes, origins, modes, strict=True) if n > 1]
    return slide(kind, image, windows, cval, given, workers)


def ordered(kind: str, input: npt.ArrayLike) -> npt.NDArray[Any]:
    """The image; a least or greatest complex number there is not."""
    image = np.asarray(input)
    if kind != "mean" and image.dtype.kind == "c":
        raise MirrorTypeError(f"complex numbers have no order, as in SciPy. Received: {image.dtype}.")
    return image


def slide(
    kind: str, image: npt.NDArray[Any], windows: Sequence[tuple[int, int, Any, str]], cval: Any, given: Target,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """Folds the windows, in SciPy's arithmetic."""
    array, dtype = given
    if not windows:
        result = np.empty(image.shape, dtype) if array is None else array
        result[...] = image
        return result
    supported(image.dtype, dtype, cval)
    built(kind, image.dtype, dtype, cval if any(mode in _CONSTANT for *_, mode in windows) else 0)
    if image.dtype.kind != "c":
        return written(
            image, given,
            lambda out: _core.sliding(image, kind, "ndimage", windows, "same", cval, dtype, out, workers),
        )  # fmt: skip

    def parts(out: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
        result = np.empty(image.shape, dtype.newbyteorder("=")) if out is None else out
        for name in ("real", "imag"):
            real = getattr(result, name)
            _core.sliding(
                getattr(image, name), kind, "ndimage", windows, "same", getattr(np, name)(cval), real.dtype, real,
                workers,
            )  # fmt: skip
        return result

    return written(image, given, parts)


def written(image: npt.NDArray[Any], given: Target, filtered: Any) -> npt.NDArray[Any]:
    """What `filtered(out)` gives, in the array that was given, or in a new one of the dtype."""
    array, dtype = given
    out = array
    if array is not None and (not dtype.isnative or np.may_share_memory(array, image)):
        if not array.flags.writeable:
            raise ValueError("output must be writable. Received: a read-only array.")
        out = None
    try:
        result: npt.NDArray[Any] = filtered(out)
    except _core.InvalidArgument as error:
        raise MirrorError(*error.args) from None
    except TypeError as error:
        raise MirrorTypeError(*error.args) from None
    if array is not None and out is None:
        array[...] = result
        return array
    return result if dtype.isnative else result.astype(dtype)


def supported(source: np.dtype[Any], result: np.dtype[Any], cval: Any) -> None:
    """Refuses what SciPy has no loop for."""
    if source.char == "e" or result.char == "e" or (result.kind == "c" and source.kind != "c"):
        raise MirrorTypeError(f"array type not supported, as in SciPy. Received: {source} to {result}.")
    if type(cval) is not float and np.iscomplexobj(cval) and source.kind != "c":
        raise MirrorTypeError(f"a real image has a real cval. Received: {cval!r} for {source}.")


_CONSTANT = ("constant", "grid-constant")


def built(kind: str, source: np.dtype[Any], result: np.dtype[Any], cval: Any) -> None:
    """Refuses what SciPy does and sliding windows do not do yet."""
    if result.char in "LQ" and source.kind in "if":
        raise NotImplementedError(
            f"signed and floating-point images are stored in any real dtype but uint64. Received: {source} to {result}."
        )
    if kind == "mean" and source.kind in "iu" and result.kind == "b":
        raise NotImplementedError(
            f"means of integers are stored in any real dtype but bool. Received: {source} to {result}."
        )
    if kind == "mean" and source.kind in "biu" and np.real(cval) % 1 != 0:
        raise NotImplementedError(
            f"means of an integer image are continued by a whole cval. Received: cval={cval!r} for {source}."
        )


def footprint(
    maximum: bool, image: npt.NDArray[Any], taps: npt.NDArray[np.bool_], structure: npt.NDArray[Any] | None,
    output: Any, mode: Any, cval: Any, origin: Any, axes: Any, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window of any shape; what is added to the samples is SciPy's."""
    ordered("footprint", image)
    given = target(image, output)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    if taps.ndim != len(over):
        raise MirrorError(f"footprint.ndim ({taps.ndim}) must match the axes that are filtered ({len(over)}).")
    if structure is not None and structure.ndim != len(over):
        raise MirrorError(f"structure must have an axis for each of the {len(over)} axes. Received: {structure.shape}.")
    if structure is not None and structure.shape != taps.shape:
        raise MirrorError(
            f"structure must have the footprint's shape. Received: {structure.shape} for a footprint of {taps.shape}."
        )
    origins = each(origin, len(over), "origin")
    order = sorted(range(len(over)), key=over.__getitem__)
    # SciPy lays the window's axes on the image's in their order, and its origins too where some axes are left alone.
    laid = list(origins) if len(over) == image.ndim else [origins[i] for i in order]
    for shift, size in zip(laid, taps.shape, strict=True):
        if not 0 <= size // 2 + shift < size:
            raise MirrorError(f"origin must lie within the window. Received: {origin!r} for {taps.shape}.")
    if not isinstance(mode, str) and isinstance(mode, Iterable):
        raise MirrorError(f"a window that is no full rectangle takes one mode. Received: {mode!r}.")
    name = known(mode)
    supported(image.dtype, given[1], cval)
    places = (np.argwhere(taps) - np.array(taps.shape) // 2).tolist()
    addends = None if structure is None else (structure if maximum else -structure)[taps].tolist()
    return written(
        image, given,
        lambda out: _core.footprint(
            image, maximum, places, addends, sorted(over), laid, name, cval, given[1], out, workers
        ),
    )  # fmt: skip
