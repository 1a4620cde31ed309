"""A script that knows SciPy only: it sharpens a picture, smooths it and looks for edges.

python docs/examples/edges.py 2048                          # SciPy's own filters
python -m ferroconv.patch docs/examples/edges.py 2048       # the same script, the same answers
"""

import sys
import time

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d


def edges(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sum of the magnitudes of a picture's slopes, after a wide window and a Gaussian."""
    window = np.outer(np.hanning(17), np.hanning(17)).astype(picture.dtype)
    soft = convolve2d(picture, window / window.sum(), mode="same", boundary="symm")
    smooth = gaussian_filter(picture + (picture - soft), 8)
    return np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))


if __name__ == "__main__":
    side = int(sys.argv[1])
    rng = np.random.default_rng(0)
    picture = rng.random((side, side), dtype=np.float32)
    edges(picture[:64, :64])
    begun = time.perf_counter()
    found = edges(picture)
    seconds = time.perf_counter() - begun
    print(f"{side}x{side}: {seconds:.4f} s, the mean slope is {found.mean():.6f}")
