"""scipy.ndimage's Gaussian filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._args import MirrorError, per_axis
from ferroconv._docs import PARAGRAPHS, fill
from ferroconv._lazy import deferred, is_lazy
from ferroconv._passes import Pass
from ferroconv._weights import gaussian_taps
from ferroconv.ndimage._arguments import one_axis, one_mode, read_axes
from ferroconv.ndimage._separable import filtered

__all__ = ["gaussian_filter", "gaussian_filter1d", "gaussian_gradient_magnitude", "gaussian_laplace"]

NEGLIGIBLE = 1e-15
"""Standard deviations up to this one leave their axis as it is."""

PARAGRAPHS["gaussian_window"] = """truncate : float, optional
    Where the window is cut off, in standard deviations.
radius : None, int or sequence of int, optional
    The window's radius in pixels, in the place of ``int(truncate * sigma + 0.5)``."""


@fill
def gaussian_filter1d(
    input: npt.ArrayLike,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Gaussian filter along one axis, as scipy.ndimage.gaussian_filter1d.

    The weights are ``exp(-x**2 / (2 sigma**2))`` for ``-radius <= x <= radius``, divided by their sum;
    an `order` above 0 takes that derivative of them.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    sigma : float
        The standard deviation in pixels, above zero.
    axis : int, optional
        The axis of `input` that is filtered.
    order : int, optional
        The order of the derivative: 0 smooths.
    %(mirror_output)s
    %(mirror_mode)s
    %(gaussian_window)s
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses, and a `sigma` that is not above zero.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import gaussian_filter1d
    >>> gaussian_filter1d(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 1).round(3)
    array([1.427, 2.068, 3.   , 3.932, 4.573])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(gaussian_filter1d, locals())
    image = np.asarray(input)
    taps = gaussian_taps(sigma, order, truncate, radius)
    step = Pass(one_axis(axis, image.ndim), taps, one_mode(mode))
    return filtered(image, ((step,),), output, cval, workers, promote=True)


@fill
def gaussian_filter(
    input: npt.ArrayLike,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int] | None = None,
    axes: int | Sequence[int] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Gaussian filter over any axes, as scipy.ndimage.gaussian_filter.

    One pass along each axis, with the weights of `gaussian_filter1d`; each is stored in the result's
    dtype, as SciPy does.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    sigma : float or sequence of float
        The standard deviation in pixels, for all axes or for each; zero leaves its axis as it is.
    order : int or sequence of int, optional
        The order of the derivative along each axis: 0 smooths.
    %(mirror_output)s
    %(mirror_modes)s
    %(gaussian_window)s
    %(mirror_axes)s
    %(workers)s

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses, and a negative or NaN `sigma`.

    See Also
    --------
    ferroconv.gaussian : integer results rounded once and to the nearest, NaN and masks ignored.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import gaussian_filter
    >>> gaussian_filter(np.arange(50, step=2).reshape((5, 5)), sigma=1)
    array([[ 4,  6,  8,  9, 11],
           [10, 12, 14, 15, 17],
           [20, 22, 24, 25, 27],
           [29, 31, 33, 34, 36],
           [35, 37, 39, 40, 42]])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(gaussian_filter, locals())
    image = np.asarray(input)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    return filtered(image, (_passes(over, sigma, order, mode, truncate, radius),), output, cval, workers)


@fill
def gaussian_laplace(
    input: npt.ArrayLike,
    sigma: float | Sequence[float],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    workers: int | None = None,
    **kwargs: Any,
) -> npt.NDArray[Any]:
    """Laplacian of Gaussian, as scipy.ndimage.gaussian_laplace.

    The sum over `axes` of the Gaussian filter with the second derivative along that axis. With a mode
    for each axis, a term takes the mode of its own axis along all of them, as SciPy's does.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    sigma : float or sequence of float
        The standard deviation in pixels, for all `axes` or for each of them.
    %(mirror_output)s
    %(mirror_modes)s
    %(mirror_axes)s
    %(workers)s
    **kwargs
        ``truncate`` and ``radius`` of `gaussian_filter`, a sequence of radii for all axes of `input`.

    Returns
    -------
    ndarray
        The filtered image, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses, and a negative or NaN `sigma`.

    Notes
    -----
    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import gaussian_laplace
    >>> image = np.zeros((5, 5))
    >>> image[2, 2] = 100
    >>> gaussian_laplace(image, 1)[2].round(1)
    array([  5.5,  -9.6, -31.8,  -9.6,   5.5])
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(gaussian_laplace, locals())
    image = np.asarray(input)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    sigmas: list[Any] = [0] * image.ndim
    for axis, each in zip(over, per_axis(sigma, len(over), "sigma", MirrorError), strict=True):
        sigmas[axis] = each
    terms = _terms(image.ndim, over, sigmas, 2, mode, kwargs)
    return filtered(image, terms, output, cval, workers)


@fill
def gaussian_gradient_magnitude(
    input: npt.ArrayLike,
    sigma: float | Sequence[float],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    workers: int | None = None,
    **kwargs: Any,
) -> npt.NDArray[Any]:
    """Gradient magnitude of Gaussian derivatives, as scipy.ndimage.gaussian_gradient_magnitude.

    The square root of the sum over `axes` of the squared Gaussian filter with the first derivative
    along that axis. As in SciPy all axes are smoothed, those that `axes` leaves out too, and a term takes
    the mode of its own axis along all of them.

    Parameters
    ----------
    input : array_like
        The image, of any number of axes.
    sigma : float or sequence of float
        The standard deviation in pixels, for all axes of `input` or for each of them.
    %(mirror_output)s
    %(mirror_modes)s
    axes : int or tuple of int, optional
        The axes of the derivatives; by default all.
    %(workers)s
    **kwargs
        ``truncate`` and ``radius`` of `gaussian_filter`, a sequence of radii for all axes of `input`.

    Returns
    -------
    ndarray
        The gradient's magnitude, of the dtype of `input` unless `output` says otherwise.

    Raises
    ------
    ValueError, RuntimeError
        For arguments that SciPy refuses, and a negative or NaN `sigma`.

    Notes
    -----
    Squares, sums and roots of integers are NumPy's in the result's dtype, wrapping, as SciPy's.

    %(mirror_notes)s

    Examples
    --------
    >>> import numpy as np
    >>> from ferroconv.ndimage import gaussian_gradient_magnitude
    >>> ramp = np.add.outer(3.0 * np.arange(9), 4.0 * np.arange(9))
    >>> gaussian_gradient_magnitude(ramp, 1)[4, 4].round(2).item()
    5.0
    """
    if type(input) is not np.ndarray and is_lazy(input):
        return deferred(gaussian_gradient_magnitude, locals())
    image = np.asarray(input)
    over = tuple(range(image.ndim)) if axes is None else read_axes(axes, image.ndim)
    terms = _terms(image.ndim, over, sigma, 1, mode, kwargs)
    return filtered(image, terms, output, cval, workers, combine="magnitude")


def _passes(over: Sequence[int], sigma: Any, order: Any, mode: Any, truncate: float, radius: Any) -> list[Pass]:
    """A pass along each axis whose sigma is not negligible."""
    count = len(over)
    given = {"sigma": sigma, "order": order, "mode": mode, "radius": radius}
    sigmas, orders, modes, radii = [per_axis(value, count, name, MirrorError) for name, value in given.items()]
    passes = []
    for axis, deviation, derivative, border, reach in zip(over, sigmas, orders, modes, radii, strict=True):
        if not deviation >= 0:
            raise ValueError(f"sigma must be zero or more. Received: {sigma!r}.")
        if deviation > NEGLIGIBLE:
            passes.append(Pass(axis, gaussian_taps(deviation, derivative, truncate, reach), one_mode(border)))
    return passes


def _terms(
    ndim: int, over: Sequence[int], sigma: Any, order: int, mode: Any, kwargs: dict[str, Any]
) -> list[list[Pass]]:
    """For each axis of `over` the Gaussian over all axes with its derivative there; no axes, the image."""
    if not kwargs.keys() <= {"truncate", "radius"}:
        unknown = sorted(kwargs.keys() - {"truncate", "radius"})
        raise TypeError(f"of gaussian_filter's keywords truncate and radius may be given. Received: {unknown}.")
    truncate, radius = kwargs.get("truncate", 4.0), kwargs.get("radius")
    modes = per_axis(mode, len(over), "mode", MirrorError) if over else ()  # without axes SciPy reads no modes
    terms = []
    for axis, border in zip(over, modes, strict=True):
        orders = [order * (other == axis) for other in range(ndim)]
        terms.append(_passes(range(ndim), sigma, orders, border, truncate, radius))
    return terms
