"""Images larger than memory: any filter or chain of filters, tile by tile, with the bits of the whole.

`filter_tiled` reads and writes anything that has a shape, a dtype and slices (``numpy.memmap``, zarr, HDF5), and
TIFF and ``.npy`` files by their paths.
"""

from ferroconv._stages import DifferentBitsWarning
from ferroconv.large._op import Op, op
from ferroconv.large._tiled import filter_tiled

__all__ = ["DifferentBitsWarning", "Op", "filter_tiled", "op"]
