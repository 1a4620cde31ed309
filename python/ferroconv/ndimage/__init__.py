"""scipy.ndimage's filters: the same names, arguments, defaults, results and errors.

One keyword is added, ``workers``. Everything else that ferroconv can do is on its native forms.
"""

from ferroconv.ndimage._correlation import convolve, convolve1d, correlate, correlate1d
from ferroconv.ndimage._derivatives import generic_gradient_magnitude, generic_laplace, laplace, prewitt, sobel
from ferroconv.ndimage._extrema import maximum_filter, maximum_filter1d, minimum_filter, minimum_filter1d
from ferroconv.ndimage._gaussian import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
)
from ferroconv.ndimage._morphology import grey_closing, grey_dilation, grey_erosion, grey_opening
from ferroconv.ndimage._uniform import uniform_filter, uniform_filter1d

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
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "laplace",
    "maximum_filter",
    "maximum_filter1d",
    "minimum_filter",
    "minimum_filter1d",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]
