"""scipy.ndimage's filters: the same names, arguments, defaults, results and errors.

One keyword is added, ``workers``. Everything else that ferroconv can do is on its native forms.
"""

from ferroconv.ndimage._correlation import convolve, convolve1d, correlate, correlate1d

__all__ = ["convolve", "convolve1d", "correlate", "correlate1d"]
