"""scipy.ndimage's derivatives: Sobel, Prewitt, Laplace, and those of a function of the caller's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import MirrorError, per_axis
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._lazy import deferred, is_lazy
from ferroconv._passes import Combine, Pass
from ferroconv._runtime import threads
from ferroconv._weights import DIFFERENCE, PREWITT, SECOND_DIFFERENCE, SOBEL, Taps
from ferroconv.ndimage._arguments import one_axis, read_axes, read_modes
from ferroconv.ndimage._output import read_output
from ferroconv.ndimage._separable import filtered

__all__ = ["generic_gradient_magnitude", "generic_laplace", "laplace", "prewitt", "sobel"]

PARAGRAPHS["generic_parameters"] = """%(mirror_output)s
%(mirror_modes)s
extra_arguments : sequence, optional
    Further positional arguments of the function.
extra_keywords : dict, optional
    Further keyword arguments of the function.
%(mirror_axes)s
workers : int, optional
    Threads of the ferroconv functions that the function calls, as in `ferroconv.threads`."""


@fill
def sobel(
    input: npt.ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Sobel filter, as scipy.ndimage.sobel.

    The correlation with ``[-1, 0, 1]`` along `axis`, then with ``[1, 2, 1]`` along every other.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    axis : int, optional
        The axis of the derivative.
    %(mirror_output)s
    %(mirror_modes)s
    %(workers)s

    Returns
    -------
    ndarray
        The derivative, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    See Also
    --------
    ferroconv.sobel : integers saturate in the place of wrapping; the magnitude.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import sobel
    >>> sobel(np.add.outer(np.arange(3), 5 * np.arange(4)))
    array([[20, 40, 40, 20],
           [20, 40, 40, 20],
           [20, 40, 40, 20]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(sobel, locals())
    return _difference(input, axis, SOBEL, output, mode, cval, workers)


@fill
def prewitt(
    input: npt.ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Prewitt filter, as scipy.ndimage.prewitt.

    The correlation with ``[-1, 0, 1]`` along `axis`, then with ``[1, 1, 1]`` along every other.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    axis : int, optional
        The axis of the derivative.
    %(mirror_output)s
    %(mirror_modes)s
    %(workers)s

    Returns
    -------
    ndarray
        The derivative, of the dtype of `input` unless `output` says otherwise.

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
    >>> from ferroconv.ndimage import prewitt
    >>> prewitt(np.add.outer(np.arange(3), 5 * np.arange(4)))
    array([[15, 30, 30, 15],
           [15, 30, 30, 15],
           [15, 30, 30, 15]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(prewitt, locals())
    return _difference(input, axis, PREWITT, output, mode, cval, workers)


@fill
def laplace(
    input: npt.ArrayLike,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Laplace filter, as scipy.ndimage.laplace.

    The sum over `axes` of the correlation with ``[1, -2, 1]``.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    %(mirror_output)s
    %(mirror_modes)s
    %(mirror_axes)s
    %(workers)s

    Returns
    -------
    ndarray
        The sum, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    See Also
    --------
    ferroconv.laplace : integers saturate in the place of wrapping.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import laplace
    >>> laplace(np.array([[0, 0, 0], [0, 7, 0], [0, 0, 0]]))
    array([[  0,   7,   0],
           [  7, -28,   7],
           [  0,   7,   0]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(laplace, locals())
    image = np.asarray(input)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    modes = read_modes(mode, len(over)) if over else ()  # without axes SciPy reads no modes
    return filtered(image, _second_differences(over, modes), output, cval, workers)


@fill
def generic_laplace(
    input: npt.ArrayLike,
    derivative2: Callable[..., Any],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Sum of the second derivatives that a function computes, as scipy.ndimage.generic_laplace.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    derivative2 : callable
        ``derivative2(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``. The first
        call has an array as `output` and fills it; the others have its dtype and return an array.
    %(generic_parameters)s

    Returns
    -------
    ndarray
        The sum, of the dtype of `input` unless `output` says otherwise; without axes, the image.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import correlate1d, generic_laplace
    >>> def fourth_order(input, axis, output, mode, cval):
    ...     return correlate1d(input, np.array([-1, 16, -30, 16, -1]) / 12, axis, output, mode, cval)
    >>> squares = np.arange(7.0) ** 2
    >>> generic_laplace(squares, fourth_order)[2:5].round(6)
    array([2., 2., 2.])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(generic_laplace, locals())
    return _generic(input, derivative2, "sum", output, mode, cval, extra_arguments, extra_keywords or {}, axes, workers)


@fill
def generic_gradient_magnitude(
    input: npt.ArrayLike,
    derivative: Callable[..., Any],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Magnitude of the derivatives that a function computes, as scipy.ndimage.generic_gradient_magnitude.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    derivative : callable
        ``derivative(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``. The first
        call has an array as `output` and fills it; the others have its dtype and return an array, which
        is overwritten.
    %(generic_parameters)s

    Returns
    -------
    ndarray
        The square root of the sum of squares, of the dtype of `input` unless `output` says otherwise;
        without axes, the image.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import generic_gradient_magnitude, prewitt
    >>> ramp = np.add.outer(3.0 * np.arange(5), 4.0 * np.arange(5))
    >>> generic_gradient_magnitude(ramp, prewitt)[2, 2].item()
    30.0
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(generic_gradient_magnitude, locals())
    return _generic(
        input, derivative, "magnitude", output, mode, cval, extra_arguments, extra_keywords or {}, axes, workers
    )


def _difference(
    input: Any, axis: int, across: Taps, output: Any, mode: Any, cval: Any, workers: int | None
) -> npt.NDArray[Any]:
    """A difference along an axis, smoothed along every other."""
    image = np.asarray(input)
    along = one_axis(axis, image.ndim)
    return filtered(image, _differences(along, across, read_modes(mode, image.ndim)), output, cval, workers)


@functools.lru_cache(maxsize=128)
def _differences(along: int, across: Taps, modes: tuple[str, ...]) -> tuple[tuple[Pass, ...]]:
    first = Pass(along, DIFFERENCE, modes[along])
    return ((first, *(Pass(axis, across, mode) for axis, mode in enumerate(modes) if axis != along)),)


@functools.lru_cache(maxsize=128)
def _second_differences(over: tuple[int, ...], modes: tuple[str, ...]) -> tuple[tuple[Pass], ...]:
    return tuple((Pass(axis, SECOND_DIFFERENCE, mode),) for axis, mode in zip(over, modes, strict=True))


def _generic(
    input: Any, derivative: Callable[..., Any], combine: Combine, output: Any, mode: Any, cval: Any,
    arguments: Sequence[Any], keywords: Mapping[str, Any], axes: Any, workers: int | None,
) -> npt.NDArray[Any]:  # fmt: skip
    """The caller's derivatives along each axis, combined by NumPy in the result's dtype as SciPy does."""
    image = np.asarray(input)
    given, dtype = read_output(image, output, False)
    result = np.zeros(image.shape, dtype) if given is None else given
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    if not over:
        result[...] = image
        return result
    if np.may_share_memory(image, result):
        image = image.copy()  # the second derivative reads it after the first is written
    with nullcontext() if workers is None else threads(workers):
        for number, (axis, border) in enumerate(zip(over, per_axis(mode, len(over), "mode", MirrorError), strict=True)):
            target = result if number == 0 else result.dtype
            value = derivative(image, axis, target, border, cval, *arguments, **keywords)
            if number == 0:
                value = result
            if combine == "magnitude":
                np.multiply(value, value, value)
            if number > 0:
                result += value
    if combine == "magnitude":
        np.sqrt(result, result, casting="unsafe")
    return result
