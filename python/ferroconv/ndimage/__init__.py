"""scipy.ndimage's filters: the same names, arguments, defaults, results and errors.

One keyword is added, ``workers``. Everything else that ferroconv can do is on its native forms.
"""

from ferroconv.ndimage._correlation import convolve, convolve1d, correlate, correlate1d
from ferroconv.ndimage._derivatives import generic_gradient_magnitude, generic_laplace, laplace, prewitt, sobel
from ferroconv.ndimage._gaussian import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
)

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "sobel",
]
