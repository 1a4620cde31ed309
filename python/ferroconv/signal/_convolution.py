"""scipy.signal.convolve, correlate and choose_conv_method."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._args import MirrorTypeError
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv.signal._full import MODES, convolved, swap_needed

__all__ = ["choose_conv_method", "convolve", "correlate"]

PARAGRAPHS["convolution_parameters"] = """in1, in2 : array_like
    Arrays of as many axes as each other, of which one or two have more than one sample in both.
mode : {'full', 'valid', 'same'}, optional
    Every position where the two overlap; those where one lies inside the other; or as many as `in1`
    has, centred with respect to the full result.
method : {'auto', 'direct', 'fft'}, optional
    How sums are made: by what is cheaper, tap after tap, or by Fourier transforms of tiles where they can be.
    The results are within the same bounds.
%(workers)s

Returns
-------
ndarray
    Of the dtype to which those of `in1` and `in2` promote.

Raises
------
ValueError
    For shapes, modes, methods and dtypes that SciPy refuses.
NotImplementedError
    Where more than two axes have more than one sample in both; for long double.

Notes
-----
Integers are exact and wrap, by every method. Floating-point results are within ``c n eps sum|w x|`` of SciPy's,
element by element, and a NaN stays in the windows that hold it."""

_METHODS = {"auto": None, "direct": "direct", "fft": "fft"}


@fill
def convolve(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    method: str = "auto",
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Convolve two arrays, as scipy.signal.convolve.

    ``out[y, x] = sum of in2[i, j] * in1[y - i, x - j]`` in full mode.

    Parameters
    ----------
    %(convolution_parameters)s

    Examples
    --------
    >>> from ferroconv.signal import convolve
    >>> convolve([1, 2, 3], [0, 1, 5], "same")
    array([ 1,  7, 13])
    """
    first, second = np.asarray(in1), np.asarray(in2)
    return _convolve(first, second, mode, method, workers)


@fill
def correlate(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    method: str = "auto",
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Cross-correlate two arrays, as scipy.signal.correlate.

    ``out[y, x] = sum of conj(in2[i, j]) * in1[y + i - kh + 1, x + j - kw + 1]`` in full mode.

    Parameters
    ----------
    %(convolution_parameters)s

    Examples
    --------
    >>> from ferroconv.signal import correlate
    >>> correlate([1, 2, 3], [0, 1, 5])
    array([ 5, 11, 17,  3,  0])
    """
    first, second = np.asarray(in1), np.asarray(in2)
    if second.dtype.kind == "c":
        second = second.conj()
    return _convolve(first, second[(slice(None, None, -1),) * second.ndim], mode, method, workers)


@fill
def choose_conv_method(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    measure: bool = False,
    *,
    workers: int | None = None,
) -> str | tuple[str, dict[str, float]]:
    """Say how `convolve` with ``method='auto'`` makes its sums, as scipy.signal.choose_conv_method.

    Parameters
    ----------
    in1, in2 : array_like
        The arrays that would be convolved.
    mode : {'full', 'valid', 'same'}, optional
        The size of the result.
    measure : bool, optional
        Whether both methods are timed, rather than their costs estimated.
    %(workers)s

    Returns
    -------
    method : {'direct', 'fft'}
        The cheaper method. It is this package's own choice: transforms begin to pay at other sizes than SciPy's.
    times : dict of str to float
        The seconds that each method takes; only if `measure`.

    Raises
    ------
    ValueError
        For arrays and modes that `convolve` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.signal import choose_conv_method
    >>> choose_conv_method(np.ones((8, 8)), np.ones((3, 3)))
    'direct'
    """
    first, second = np.asarray(in1), np.asarray(in2)
    if measure:
        times = {}
        for method in ("fft", "direct"):
            _convolve(first, second, mode, method, workers)
            begun = time.perf_counter()
            _convolve(first, second, mode, method, workers)
            times[method] = time.perf_counter() - begun
        return ("fft" if times["fft"] < times["direct"] else "direct"), times
    _core.begin_explaining()
    try:
        _convolve(first, second, mode, "auto", workers)
    finally:
        plans = _core.end_explaining()
    return "fft" if any(plan["chosen"].split("/")[1] == "fft" for plan in plans) else "direct"


def _result_dtype(in1: npt.NDArray[Any], in2: npt.NDArray[Any], method: str) -> np.dtype[Any]:
    try:
        dtype = np.result_type(in1, in2)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.char in "gG":
        raise NotImplementedError(f"float64 and complex128 are the widest dtypes supported. Received: {dtype}.")
    # SciPy has loops for bool and float16 along one axis, and its transforms take them.
    refused = dtype.char in "?e" and in1.ndim > 1 and method != "fft"
    if dtype.kind not in "biufc" or refused:
        raise MirrorTypeError(f"convolution is not available for this type, as in SciPy. Received: {dtype}.")
    return dtype


def _convolve(in1: Any, in2: Any, mode: str, method: str, workers: int | None) -> npt.NDArray[Any]:
    """SciPy's rules, then the core."""
    if in1.ndim == in2.ndim == 0:
        scalar: npt.NDArray[Any] = in1 * in2
        return scalar
    if in1.ndim != in2.ndim:
        raise ValueError(f"the arrays should have the same dimensionality. Received: {in1.ndim} and {in2.ndim} axes.")
    if mode not in MODES:
        raise ValueError(f"Acceptable mode flags are 'valid', 'same', or 'full'. Received: {mode!r}.")
    if method not in _METHODS:
        raise ValueError(f"Acceptable method flags are 'auto', 'direct', or 'fft'. Received: {method!r}.")
    if in1.size == 0 or in2.size == 0:
        raise ValueError(f"arrays of one sample at least can be convolved. Received: {in1.shape} and {in2.shape}.")
    if swap_needed(mode, in1.shape, in2.shape, range(in1.ndim)):
        in1, in2 = in2, in1
    dtype = _result_dtype(in1, in2, method)
    # Sums of truth values are counted, and true where they are not 0.
    wide = np.dtype(np.int64) if dtype.kind == "b" else dtype
    over = [a for a in range(in1.ndim) if in1.shape[a] != 1 and in2.shape[a] != 1]
    before = _core.prefer(_METHODS[method])
    try:
        result = convolved(in1, in2, mode, over, wide, workers)
    finally:
        _core.prefer(before)
    return result if wide == dtype else result.astype(dtype)
