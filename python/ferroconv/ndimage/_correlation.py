"""scipy.ndimage's correlation and convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorError, per_axis
from ferroconv._docs import fill
from ferroconv._explain import explaining
from ferroconv._lazy import deferred, is_lazy
from ferroconv.ndimage._arguments import one_axis, one_mode, read_axes
from ferroconv.ndimage._output import read_output, supported, written
from ferroconv.ndimage._volumes import correlated

__all__ = ["convolve", "convolve1d", "correlate", "correlate1d"]

# Weights that SciPy converts to its arithmetic's type: objects, strings and long double.
_CONVERTED = frozenset("OSUgG")
_COMPLEX = frozenset("FDG")


@fill
def correlate(
    input: npt.ArrayLike,
    weights: npt.ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Multi-dimensional correlation, as scipy.ndimage.correlate.

    ``out[y, x] = sum of weights[i, j] * input[y + i - kh // 2 - oy, x + j - kw // 2 - ox]``.

    Parameters
    ----------
    input : array_like
        The image.
    weights : array_like
        The window's values, an axis for each axis of `input` (or of `axes`).
    %(mirror_output)s
    %(mirror_mode)s
    origin : int or sequence of int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2`` on each axis.
    axes : tuple of int, optional
        The axes of `input` that are filtered; by default all.
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import correlate
    >>> correlate(np.arange(5), [1, 0, -1])
    array([-1, -2, -2, -2, -1])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(correlate, locals())
    return _correlate(input, weights, output, mode, cval, origin, False, axes, workers)


@fill
def convolve(
    input: npt.ArrayLike,
    weights: npt.ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Multi-dimensional convolution, as scipy.ndimage.convolve.

    ``out[y, x] = sum of weights[i, j] * input[y - i + kh // 2 + oy, x - j + kw // 2 + ox]``.

    Parameters
    ----------
    input : array_like
        The image.
    weights : array_like
        The window's values, an axis for each axis of `input` (or of `axes`).
    %(mirror_output)s
    %(mirror_mode)s
    origin : int or sequence of int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2`` on each axis.
    axes : tuple of int, optional
        The axes of `input` that are filtered; by default all.
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import convolve
    >>> convolve(np.arange(5), [1, 0, -1])
    array([1, 2, 2, 2, 1])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(convolve, locals())
    return _correlate(input, weights, output, mode, cval, origin, True, axes, workers)


@fill
def correlate1d(
    input: npt.ArrayLike,
    weights: npt.ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Correlation along one axis, as scipy.ndimage.correlate1d.

    ``out[x] = sum of weights[j] * input[x + j - k // 2 - origin]``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    weights : array_like
        The window's values, one axis.
    axis : int, optional
        The axis of `input` that is filtered.
    %(mirror_output)s
    %(mirror_mode)s
    origin : int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2``.
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> from ferroconv.ndimage import correlate1d
    >>> correlate1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
    array([ 8, 26,  8, 12,  7, 28, 36,  9])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(correlate1d, locals())
    return _correlate1d(input, weights, axis, output, mode, cval, origin, False, workers)


@fill
def convolve1d(
    input: npt.ArrayLike,
    weights: npt.ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Convolution along one axis, as scipy.ndimage.convolve1d.

    ``out[x] = sum of weights[j] * input[x - j + k // 2 + origin]``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    weights : array_like
        The window's values, one axis.
    axis : int, optional
        The axis of `input` that is filtered.
    %(mirror_output)s
    %(mirror_mode)s
    origin : int, optional
        Displacement of the window, ``-(k // 2)`` to ``(k - 1) // 2``.
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> from ferroconv.ndimage import convolve1d
    >>> convolve1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
    array([14, 24,  4, 13, 12, 36, 27,  0])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(convolve1d, locals())
    return _correlate1d(input, weights, axis, output, mode, cval, origin, True, workers)


def _turned(origin: int, taps: int) -> int:
    """The origin of a correlation with the turned window: SciPy's rule for `convolve`."""
    return -origin - (1 - taps % 2)


def _correlate(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, turn: bool, axes: Any,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    image = np.asarray(input)
    weights = np.asarray(weights)
    ndim = image.ndim
    over = tuple(range(ndim)) if axes is None else read_axes(axes, ndim)
    if weights.ndim != len(over):
        raise MirrorError(
            "weights.ndim must match the number of axes that are filtered. "
            f"Received: weights of {weights.ndim} axes, {len(over)} axes to filter."
        )
    if weights.size == 0:
        raise MirrorError(f"weights must have one tap at least on each axis. Received: shape {weights.shape}.")
    origins = per_axis(origin, len(over), "origin", MirrorError)
    if not over:
        return _scaled(image, weights, output, mode, cval, workers)
    # The window's axes are in the image's order, whatever the order of `axes`; the origins are in that order only
    # where every axis is filtered.
    order = sorted(range(len(over)), key=over.__getitem__)
    over = tuple(over[i] for i in order)
    origins = origins if len(over) == ndim else tuple(origins[i] for i in order)
    if len(over) == 1:
        return _along(image, weights, over[0], output, mode, cval, origins[0], turn, "ndimage", workers)
    if turn:
        origins = tuple(_turned(o, n) for o, n in zip(origins, weights.shape, strict=True))
    return _run(image, weights, over, output, mode, cval, origins, turn, "ndimage", workers)


def _scaled(
    image: npt.NDArray[Any], weight: npt.NDArray[Any], output: Any, mode: Any, cval: Any, workers: int | None
) -> npt.NDArray[Any]:
    """A window of no axes: one tap, which every sample is multiplied by."""
    row, tap, rest = image.reshape(-1), weight.reshape(1), (mode, cval, 0, False, "ndimage", workers)
    if output is None or isinstance(output, (type, np.dtype, str)):
        return _along(row, tap, 0, output, *rest).reshape(image.shape)
    given, dtype = read_output(image, output, weight.dtype.char in _COMPLEX or image.dtype.kind == "c")
    result = _along(row, tap, 0, dtype, *rest).reshape(image.shape)
    if given is None or explaining():
        return result
    given[...] = result
    return given


def _correlate1d(
    input: Any, weights: Any, axis: int, output: Any, mode: Any, cval: Any, origin: Any, turn: bool,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    image = np.asarray(input)
    weights = np.asarray(weights)
    if weights.ndim != 1 or weights.size == 0:
        raise MirrorError(f"weights must be a one-dimensional array of one tap at least. Received: {weights.shape}.")
    return _along(image, weights, one_axis(axis, image.ndim), output, mode, cval, origin, turn, "ndimage1d", workers)


def _along(
    image: Any, weights: Any, axis: int, output: Any, mode: Any, cval: Any, origin: int, turn: bool, rule: str,
    workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """A window over one axis, as a window of one row or one column over two."""
    origin = _turned(origin, weights.size) if turn else origin
    if image.ndim == 1:
        if output is not None and not isinstance(output, (type, np.dtype, str)):
            output = np.asarray(output)
            if output.shape != image.shape:
                raise MirrorError(f"output shape not correct. Received: {output.shape}, expected {image.shape}.")
            _run(image[None], weights[None], (0, 1), output[None], mode, cval, (0, origin), turn, rule, workers)
            return output
        return _run(image[None], weights[None], (0, 1), output, mode, cval, (0, origin), turn, rule, workers)[0]
    if axis == image.ndim - 1:
        return _run(image, weights[None], (axis - 1, axis), output, mode, cval, (0, origin), turn, rule, workers)
    return _run(image, weights[:, None], (axis, image.ndim - 1), output, mode, cval, (origin, 0), turn, rule, workers)


def _run(
    image: npt.NDArray[Any], weights: npt.NDArray[Any], axes: tuple[int, ...], output: Any, mode: str, cval: Any,
    origins: tuple[int, ...], turn: bool, rule: str, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """SciPy's rules for dtypes and `output`, then the core."""
    letter = weights.dtype.char
    if letter in _CONVERTED:
        weights = weights.astype(complex if letter == "G" else float)
    complex_weights = letter in _COMPLEX
    complex_sums = complex_weights or image.dtype.kind == "c"
    goal = _, dtype = read_output(image, output, complex_sums)
    supported(image.dtype, dtype, cval, complex_sums)
    if not isinstance(mode, str):
        raise MirrorError(f"mode must be one name; SciPy has no sequence of modes here. Received: {mode!r}.")
    # scipy.ndimage conjugates complex weights of a correlation and leaves those of a convolution.
    conjugate = complex_weights and not turn
    if len(axes) > 2:
        weights = np.flip(weights) if turn else weights
        return written(image, goal, workers, correlated, image, weights, axes, conjugate, one_mode(mode), cval, origins)
    return written(
        image, goal, workers,
        _core.correlate, image, weights, axes, rule, turn, conjugate, "same", mode, cval, origins, (1, 1), (1, 1),
    )  # fmt: skip
