"""scipy.signal.convolve2d and correlate2d."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorTypeError
from ferroconv._docs import PARAGRAPHS, fill

__all__ = ["convolve2d", "correlate2d"]

PARAGRAPHS["signal_parameters"] = """in1, in2 : array_like
    Two-dimensional arrays.
mode : {'full', 'valid', 'same'}, optional
    Every position where the two overlap; those where one lies inside the other; or as many as `in1`
    has, centred with respect to the full result.
boundary : str, optional
    How `in1` goes on past its edges:

%(signal_boundaries)s
fillvalue : scalar, optional
    The value of ``k`` above, cast to the result's dtype.
%(workers)s

Returns
-------
ndarray
    Of the dtype to which those of `in1` and `in2` promote.

Raises
------
ValueError
    For arrays that are not two-dimensional, unknown modes and boundaries, and dtypes that SciPy's
    function has no loop for (bool, float16).
NotImplementedError
    For long double, which only SciPy's function has.

Notes
-----
Integers wrap, as SciPy's do. Floating-point results are within ``c n eps sum|w x|`` of SciPy's, element
by element."""

# SciPy's names; anything else is its "mode must be..." error.
_MODES = ("full", "same", "valid")
# NumPy's characters of the dtypes that SciPy has a loop for, long double apart.
_AVAILABLE = frozenset("bBhHiIlLqQfdFD")
_FILL = ("fill", "pad")
_SCALAR_ZERO = 0


@fill
def convolve2d(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: Any = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Convolve two 2-D arrays, as scipy.signal.convolve2d.

    ``out[y, x] = sum of in2[i, j] * in1[y - i, x - j]`` in full mode.

    Parameters
    ----------
    %(signal_parameters)s

    Examples
    --------
    >>> from ferroconv.signal import convolve2d
    >>> convolve2d([[1, 2], [3, 4]], [[0, 1]])
    array([[0, 1, 2],
           [0, 3, 4]])
    """
    return _signal(in1, in2, mode, boundary, fillvalue, True, workers)


@fill
def correlate2d(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: Any = 0,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Cross-correlate two 2-D arrays, as scipy.signal.correlate2d.

    ``out[y, x] = sum of conj(in2[i, j]) * in1[y + i - kh + 1, x + j - kw + 1]`` in full mode.

    Parameters
    ----------
    %(signal_parameters)s

    Examples
    --------
    >>> from ferroconv.signal import correlate2d
    >>> correlate2d([[1, 2], [3, 4]], [[0, 1]], mode="same")
    array([[2, 0],
           [4, 0]])
    """
    return _signal(in1, in2, mode, boundary, fillvalue, False, workers)


def _unavailable(dtype: np.dtype[Any]) -> Exception:
    if dtype.char in "gG":
        return NotImplementedError(f"float64 and complex128 are the widest dtypes supported. Received: {dtype}.")
    return MirrorTypeError(f"2-D convolution is not available for this type, as in SciPy. Received: {dtype}.")


def _promoted(in1: npt.NDArray[Any], in2: npt.NDArray[Any]) -> np.dtype[Any]:
    # Not kept: keys that are equal, long and long long among them, have results that are printed differently.
    try:
        return np.result_type(in1, in2)
    except TypeError:
        raise MirrorTypeError(
            f"the inputs must have dtypes that promote to a common one. Received: {in1.dtype} and {in2.dtype}."
        ) from None


def _scalar(fillvalue: Any, dtype: np.dtype[Any]) -> Any:
    """The value as one of the result's dtype; SciPy refuses what is out of its range."""
    try:
        value = np.asarray(fillvalue, dtype)
    except (OverflowError, TypeError, ValueError):
        raise MirrorTypeError(
            f"could not cast `fillvalue` to the result's dtype, {dtype}. Received: {fillvalue!r}."
        ) from None
    if value.size != 1:
        raise ValueError(f"`fillvalue` must be scalar or an array with one element. Received: {fillvalue!r}.")
    return value.item()


def _signal(
    in1: Any, in2: Any, mode: str, boundary: str, fillvalue: Any, convolve: bool, workers: int | None
) -> npt.NDArray[Any]:
    in1 = np.asarray(in1)
    in2 = np.asarray(in2)
    if not in1.ndim == in2.ndim == 2:
        raise ValueError(
            f"{'convolve2d' if convolve else 'correlate2d'} inputs must both be 2-D arrays. "
            f"Received: {in1.ndim}-D and {in2.ndim}-D."
        )
    if mode not in _MODES:
        raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full'. Received: {mode!r}.")
    turn, conjugate, swapped = convolve, not convolve, False
    (h, w), (kh, kw) = in1.shape, in2.shape
    if mode == "valid" and (kh > h or kw > w):
        if kh < h or kw < w:
            raise ValueError(
                "For 'valid' mode, one must be at least as large as the other in every dimension. "
                f"Received: shapes {in1.shape} and {in2.shape}."
            )
        swapped = True
        in1, in2 = in2, in1
    dtype = in1.dtype if in1.dtype == in2.dtype else _promoted(in1, in2)
    if dtype.char not in _AVAILABLE:
        raise _unavailable(dtype)
    if fillvalue is _SCALAR_ZERO:
        fillvalue = 0.0  # the core reads it sooner than an int
    elif boundary in _FILL:
        fillvalue = _scalar(fillvalue, dtype)
        if isinstance(fillvalue, complex) and in1.dtype.kind != "c":
            in1 = in1.astype(dtype)
    origin = (0, 0)
    if not convolve and mode == "same":
        # The centre of scipy.signal's window is tap (k - 1) // 2, one before ours for an even k.
        origin = (kh % 2 - 1, kw % 2 - 1)
    if swapped and not convolve:
        # c(in1, in2) is c(in2, in1) turned by half a turn. It should be conjugated too; SciPy
        # conjugates whichever input comes second after the swap, and leaves it at that.
        result = _core.correlate(
            in1, in2, (-2, -1), "signal", False, True, mode, boundary, np.conj(fillvalue), origin, (1, 1), (1, 1),
            dtype, None, workers,
        )  # fmt: skip
        return result[::-1, ::-1]
    return _core.correlate(
        in1, in2, (-2, -1), "signal", turn, conjugate, mode, boundary, fillvalue, origin, (1, 1), (1, 1),
        dtype, None, workers,
    )  # fmt: skip
