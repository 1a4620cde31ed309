"""scipy.signal.fftconvolve and oaconvolve."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import MirrorTypeError
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv.signal._full import MODES, convolved, swap_needed

__all__ = ["fftconvolve", "oaconvolve"]

PARAGRAPHS["frequency_parameters"] = """in1, in2 : array_like
    Arrays of as many axes as each other, real or complex.
mode : {'full', 'valid', 'same'}, optional
    Every position where the two overlap; those where one lies inside the other; or as many as `in1`
    has, centred with respect to the full result.
axes : int or sequence of int, optional
    The axes that are convolved, all by default; over the others the arrays are broadcast.
%(workers)s

Returns
-------
ndarray
    ``float32`` or ``complex64`` if both arrays are of that precision (or ``float16``), else ``float64`` or
    ``complex128``, also for integers. Where no axis has more than one sample in both, the arrays' product.

Raises
------
ValueError
    For shapes, axes and modes that SciPy refuses.
NotImplementedError
    Where windows of more than one sample meet on more than two axes; for long double.

Notes
-----
Whether sums are made directly or by Fourier transforms of tiles is chosen by what is cheaper. Either way a result
is within ``c n eps sum|w x|`` of the exact one, element by element, and NaN and infinities stay where they
belong; SciPy's transforms spread them over the whole array."""


@fill
def fftconvolve(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    axes: Any = None,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Convolve two arrays in floating point, as scipy.signal.fftconvolve.

    ``out[y, x] = sum of in2[i, j] * in1[y - i, x - j]`` in full mode.

    Parameters
    ----------
    %(frequency_parameters)s

    Examples
    --------
    >>> from ferroconv.signal import fftconvolve
    >>> fftconvolve([1, 2, 3], [0, 1])
    array([0., 1., 2., 3.])
    """
    return _frequency(in1, in2, mode, axes, workers)


@fill
def oaconvolve(
    in1: npt.ArrayLike,
    in2: npt.ArrayLike,
    mode: str = "full",
    axes: Any = None,
    *,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Convolve a large array with a small one in floating point, as scipy.signal.oaconvolve.

    ``out[y, x] = sum of in2[i, j] * in1[y - i, x - j]`` in full mode. The same as `fftconvolve`, whose
    transforms are of overlapping tiles too.

    Parameters
    ----------
    %(frequency_parameters)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.signal import oaconvolve
    >>> oaconvolve(np.ones((2, 4)), np.ones((2, 2)), axes=1)
    array([[1., 2., 2., 2., 1.],
           [1., 2., 2., 2., 1.]])
    """
    return _frequency(in1, in2, mode, axes, workers)


def floating(array: npt.NDArray[Any]) -> np.dtype[Any]:
    """The dtype in which SciPy transforms an array: single precision if that is what it is of."""
    if array.dtype.char in "gG":
        raise NotImplementedError(f"float64 and complex128 are the widest dtypes supported. Received: {array.dtype}.")
    if array.dtype.kind not in "biufc":
        raise MirrorTypeError(f"arrays of numbers can be convolved. Received: dtype {array.dtype}.")
    if array.dtype.char in "efF":
        return np.dtype(np.complex64 if array.dtype.kind == "c" else np.float32)
    return np.dtype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _read_axes(axes: Any, ndim: int) -> list[int]:
    if axes is None:
        return list(range(ndim))
    try:
        given = [operator.index(a) for a in (axes if np.iterable(axes) else [axes])]
    except TypeError:
        raise ValueError(f"axes must be a scalar or iterable of integers. Received: {axes!r}.") from None
    if not given:
        raise ValueError("when provided, axes cannot be empty. Leave it out to convolve all.")
    if any(not -ndim <= a < ndim for a in given):
        raise ValueError(f"axes exceeds dimensionality of input. Received: {axes!r} for {ndim} axes.")
    counted = [a % ndim for a in given]
    if len(set(counted)) != len(counted):
        raise ValueError(f"all axes must be unique. Received: {axes!r}.")
    return counted


def _frequency(in1: Any, in2: Any, mode: str, axes: Any, workers: int | None) -> npt.NDArray[Any]:
    """SciPy's rules for axes, shapes and dtypes, then the core."""
    in1 = np.asarray(in1)
    in2 = np.asarray(in2)
    if in1.ndim == in2.ndim == 0:
        scalar: npt.NDArray[Any] = in1 * in2
        return scalar
    if in1.ndim != in2.ndim:
        raise ValueError(f"in1 and in2 should have the same dimensionality. Received: {in1.ndim} and {in2.ndim} axes.")
    if in1.size == 0 or in2.size == 0:
        return np.array([])
    over = [a for a in _read_axes(axes, in1.ndim) if in1.shape[a] != 1 and in2.shape[a] != 1]
    if any(
        n != k and 1 not in (n, k) for a, (n, k) in enumerate(zip(in1.shape, in2.shape, strict=True)) if a not in over
    ):
        raise ValueError(f"incompatible shapes for in1 and in2: {in1.shape} and {in2.shape}.")
    if mode not in MODES:
        raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full'. Received: {mode!r}.")
    if not over:
        # A product, which SciPy does not transform, and so leaves in the arrays' own dtype.
        product: npt.NDArray[Any] = in1 * in2
        starts = [(n - kept) // 2 if mode == "same" else 0 for n, kept in zip(product.shape, in1.shape, strict=True)]
        ends = in1.shape if mode == "same" else product.shape
        return product[tuple(slice(start, start + n) for start, n in zip(starts, ends, strict=True))]
    if swap_needed(mode, in1.shape, in2.shape, over):
        in1, in2 = in2, in1
    dtype = np.result_type(floating(in1), floating(in2))
    return convolved(in1, in2, mode, over, dtype, workers)
