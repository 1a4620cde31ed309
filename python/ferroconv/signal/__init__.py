"""scipy.signal's convolution: the same names, arguments, defaults, results and errors.

One keyword is added, ``workers``. Everything else that ferroconv can do is on its native forms.
"""

from ferroconv.signal._convolution import choose_conv_method, convolve, correlate
from ferroconv.signal._frequency import fftconvolve, oaconvolve
from ferroconv.signal._pictures import convolve2d, correlate2d
from ferroconv.signal._separable import sepfir2d

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "fftconvolve",
    "oaconvolve",
    "sepfir2d",
]
