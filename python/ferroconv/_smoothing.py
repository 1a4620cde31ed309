"""The native form of the Gaussian filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ferroconv._args import check_precision, per_axis
from ferroconv._docs import fill
from ferroconv._filters import Extent, check
from ferroconv._lazy import deferred, is_lazy
from ferroconv._native import Options, separable
from ferroconv._normalised import LeftOut, ignoring
from ferroconv._weights import NOTHING, Taps, gaussian_taps


@fill
def gaussian(
    image: npt.ArrayLike,
    sigma: float | Sequence[float],
    *,
    order: int | Sequence[int] = 0,
    truncate: float = 4.0,
    radius: int | Sequence[int] | None = None,
    extent: Extent = "same",
    border: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    axes: Sequence[int] = (-2, -1),
    channel_axis: int | None = None,
    dtype: npt.DTypeLike | None = None,
    overflow: Literal["saturate", "wrap"] = "saturate",
    nan: Literal["propagate", "ignore"] = "propagate",
    mask: npt.ArrayLike | None = None,
    precision: Literal["highest", "high", "medium"] = "highest",
    out: npt.NDArray[Any] | None = None,
    workers: int | None = None,
) -> npt.NDArray[Any]:
    """Gaussian filter: `correlate` with the outer product of two Gaussian windows.

    The weights are ``exp(-x**2 / (2 sigma**2))`` for ``-radius <= x <= radius``, divided by their sum;
    an `order` above 0 takes that derivative of them. They are scipy.ndimage's.

    Parameters
    ----------
    image : array_like
        The image, or any number of them: the filter works on two of its axes. Any real or complex dtype;
        read-only, strided, unaligned or byte-swapped arrays are fine.
    sigma : float or pair of float
        The standard deviation in pixels, for both axes or for rows and columns; zero leaves its axis as
        it is.
    order : int or pair of int, optional
        The order of the derivative along rows' and columns' axis: 0 smooths.
    truncate : float, optional
        Where the window is cut off, in standard deviations.
    radius : None, int or pair of int, optional
        The window's radius in pixels, in the place of ``int(truncate * sigma + 0.5)``.
    %(native_options)s

    %(native_rest)s

    See Also
    --------
    ferroconv.ndimage.gaussian_filter : SciPy's signature and integer arithmetic, and any number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> step = np.array([[0, 0, 0, 255, 255, 255]], np.uint8)
    >>> ferroconv.gaussian(step, 1)
    array([[  1,  15,  77, 178, 240, 254]], dtype=uint8)
    """
    if type(image) is not np.ndarray and is_lazy(image):
        return deferred(gaussian, locals())
    check_precision(precision)
    check(overflow, nan)
    image = np.asarray(image)
    options = Options(extent, border, cval, origin, stride, dilation, axes, channel_axis, overflow, workers)
    sigmas, orders, radii = per_axis(sigma, 2, "sigma"), per_axis(order, 2, "order"), per_axis(radius, 2, "radius")
    rows, cols = map(_taps, sigmas, orders, radii, (truncate, truncate))
    if nan == "propagate" and mask is None:
        return separable(image, (rows, cols), options, cval, dtype, out)
    if any(orders):
        raise ValueError(
            "nan='ignore' and mask= divide by the sum of the weights that are left, so the weights must not sum to "
            f"zero, as those of a derivative do. Received: order={order!r}; fill the gaps in first."
        )

    def run(image: Any, cval: Any, dtype: Any, out: Any, left_out: LeftOut | None = None) -> npt.NDArray[Any]:
        return separable(image, (rows, cols), options, cval, dtype, out, left_out)

    taps = [rows.array, cols.array]
    return ignoring(run, image, taps, nan=nan, mask=mask, cval=cval, dtype=dtype, out=out, fused=run)


def _taps(sigma: float, order: int, radius: int | None, truncate: float) -> Taps:
    if not sigma >= 0:
        raise ValueError(f"sigma must be zero or more. Received: {sigma!r}.")
    if sigma > 0:
        return gaussian_taps(sigma, order, truncate, radius)
    if order != 0:
        raise ValueError(f"sigma must be above zero for a derivative. Received: sigma={sigma!r}, order={order!r}.")
    return NOTHING
