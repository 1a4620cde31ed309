"""2-D convolution, correlation and pooling in Rust, with SciPy's exact semantics.

The native forms stand here: `correlate`, `convolve`, `gaussian`, `box`, `sobel`, `laplace`, `minimum`,
`maximum`. ``ferroconv.signal`` and ``ferroconv.ndimage`` have SciPy's names, arguments and results;
``ferroconv.nn`` has the layers of networks on arrays.

Importing this module imports NumPy and nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferroconv import _core, ndimage, nn, signal
from ferroconv._edges import laplace, sobel
from ferroconv._explain import Explanation, explain
from ferroconv._filters import convolve, correlate
from ferroconv._runtime import clear_cache, get_num_threads, info, set_num_threads, threads
from ferroconv._sliding import box, maximum, minimum
from ferroconv._smoothing import gaussian

if TYPE_CHECKING:
    from ferroconv import patch
    from ferroconv.patch import patch_scipy

__version__: str = _core.__version__

__all__ = [
    "Explanation",
    "__version__",
    "box",
    "clear_cache",
    "convolve",
    "correlate",
    "explain",
    "gaussian",
    "get_num_threads",
    "info",
    "laplace",
    "maximum",
    "minimum",
    "ndimage",
    "nn",
    "patch",
    "patch_scipy",
    "set_num_threads",
    "signal",
    "sobel",
    "threads",
]

_LATER = {"patch": "", "patch_scipy": "patch"}
"""Names that are imported when they are first asked for: modules of their own, or names of one."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATER[name] or name}")
    return getattr(module, name) if _LATER[name] else module
