"""One filtering problem, as ferroconv and as each peer is asked to solve it.

Everything here convolves with windows of odd size, as large as the image, the image going on past its
edges as its mirror image with the edge pixel repeated: ``reflect`` in ferroconv and scipy.ndimage,
``symm`` in scipy.signal, ``BORDER_REFLECT`` in OpenCV (which correlates, so it gets the turned window).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli.timing import Contestant

Array = npt.NDArray[Any]
Arithmetic = Literal["native", "ndimage", "signal"]
BORDER = "reflect (d c b a | a b c d | d c b a)"

SIGNAL, NDIMAGE, OPENCV, TORCH = "scipy.signal", "scipy.ndimage", "OpenCV", "PyTorch"
TRANSFORMS = "scipy.signal FFT"
"""Its fftconvolve or its oaconvolve, whichever is quicker."""
PEERS = (SIGNAL, NDIMAGE, OPENCV)
"""Those of every report; others take part where they are installed."""
OURS = "ferroconv"
REUSED = "ferroconv out="
ONE_THREAD = "ferroconv out= 1 thread"
COPY, COPY_INTO = "copy", "copy out="
"""NumPy's copy of the image: no filter, but what one would cost if arithmetic cost nothing."""

TRANSFORMS_FROM = 13
"""Side of the smallest window for which SciPy's Fourier transforms take part."""
DIRECT_UP_TO = 31
"""Side of the largest window whose taps SciPy and PyTorch go through: over 2048x2048 pixels SciPy takes eleven seconds
for these, and half a minute for 51x51."""


@dataclass(frozen=True)
class Problem:
    """An image, a window, and whose arithmetic is asked for.

    ``native`` is ferroconv.convolve: floats in their own precision, integers rounded and saturated, as
    OpenCV does (and, for floats, SciPy). ``ndimage`` and ``signal`` are SciPy's: truncated and wrapping,
    or wrapping in the integer type.
    """

    image: Array
    weights: Array
    arithmetic: Arithmetic

    @property
    def integral(self) -> bool:
        """Whether results are whole numbers, to be matched exactly."""
        return self.image.dtype.kind in "biu"

    @property
    def side(self) -> int:
        """Of the window, the longer one."""
        return max(self.weights.shape)

    def otherwise(self, peer: str) -> bool:
        """Whether a peer's whole numbers are others: SciPy's are truncated and wrapped, native ones rounded and not."""
        return self.integral and self.arithmetic == "native" and peer == NDIMAGE


def installed(module: str) -> Any | None:
    """A peer's module, or None if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None


def opencv() -> Any | None:
    """OpenCV, or None if it is not installed."""
    return installed("cv2")


NAMES = {"cv2": "opencv", "PIL": "pillow", "skimage": "scikit-image"}
"""Projects whose modules are called otherwise."""


def versions(modules: Iterable[str]) -> dict[str, str]:
    """Versions of everything that a time or an error depends on; imports the modules in their order."""
    found = {"ferroconv": ferroconv.__version__, "numpy": np.__version__}
    for name in modules:
        module = installed(name)
        found[NAMES.get(name, name)] = "not installed" if module is None else module.__version__
    return found


def _function(arithmetic: Arithmetic) -> Callable[..., Array]:
    # Looked up at each call, so that a test can put a wrong function in its place.
    if arithmetic == "native":
        return ferroconv.convolve
    if arithmetic == "ndimage":
        return ferroconv.ndimage.convolve
    return ferroconv.signal.convolve2d


def ours(problem: Problem, *, reused: bool = False, one_thread: bool = False) -> list[Contestant]:
    """Ours; also into a reused output, on request also on one thread."""
    image, weights = problem.image, problem.weights
    function = _function(problem.arithmetic)
    if problem.arithmetic == "signal":
        return [Contestant(OURS, lambda: function(image, weights, "same", "symm"))]
    calls = [Contestant(OURS, lambda: function(image, weights))]
    if reused or one_thread:
        target = np.zeros_like(image)
        keyword = "out" if problem.arithmetic == "native" else "output"
        calls.append(Contestant(REUSED, lambda: function(image, weights, **{keyword: target})))
        if one_thread:
            alone = np.zeros_like(image)
            calls.append(Contestant(ONE_THREAD, lambda: function(image, weights, workers=1, **{keyword: alone})))
    return calls


def copies(image: Array, like: Array) -> list[Contestant]:
    """NumPy's copy of an image, new and into a reused array, of the dtype of a filter's results."""
    target = np.zeros_like(like)
    return [
        Contestant(COPY, lambda: image.astype(like.dtype)),
        Contestant(COPY_INTO, lambda: np.copyto(target, image)),
    ]


def explained(problem: Problem) -> ferroconv.Explanation:
    """What ferroconv runs for a problem."""
    if problem.arithmetic == "signal":
        return ferroconv.explain(ferroconv.signal.convolve2d, problem.image, problem.weights, "same", "symm")
    return ferroconv.explain(_function(problem.arithmetic), problem.image, problem.weights)


def rivals(problem: Problem, *, reused: bool = False) -> dict[str, list[Contestant]]:
    """The peers that solve this very problem, each with the ways in which it may do so.

    A peer that refuses the dtype is not among them.
    """
    image, weights = problem.image, problem.weights
    found: dict[str, list[Contestant]] = {}
    scipy_too = (problem.arithmetic != "native" or not problem.integral) and problem.side <= DIRECT_UP_TO
    if scipy_too and problem.arithmetic in ("native", "signal"):
        found[SIGNAL] = [Contestant(SIGNAL, _signal(image, weights))]
    if scipy_too and problem.arithmetic in ("native", "ndimage"):
        found[NDIMAGE] = [Contestant(NDIMAGE, _ndimage(image, weights, None))]
        if reused:
            found[NDIMAGE].append(Contestant(f"{NDIMAGE} output=", _ndimage(image, weights, np.zeros_like(image))))
    if problem.arithmetic == "native" and image.dtype.name in ("uint8", "uint16", "int16", "float32", "float64"):
        found |= _opencv(image, weights, reused)
    return {peer: calls for peer, calls in found.items() if _answers(problem, calls[0])}


def further(problem: Problem) -> dict[str, list[Contestant]]:
    """Those that only the benchmark of native forms has: they solve a problem that is near enough."""
    if problem.arithmetic != "native":
        return {}
    found = _transforms(problem) if problem.side >= TRANSFORMS_FROM and not problem.integral else {}
    if problem.side <= DIRECT_UP_TO:
        found |= _torch(problem)
        if problem.integral:
            found[NDIMAGE] = [Contestant(NDIMAGE, _ndimage(problem.image, problem.weights, None))]
    return found


def _continued(problem: Problem) -> Array:
    """The image with what windows reach beyond its edges, for peers that have no border of this kind.

    What they are so spared counts for them.
    """
    return np.pad(problem.image, [(side // 2, side // 2) for side in problem.weights.shape], "symmetric")


def _transforms(problem: Problem) -> dict[str, list[Contestant]]:
    """SciPy's Fourier transforms, on as many threads as ferroconv."""
    import scipy.fft
    from scipy.signal import fftconvolve, oaconvolve

    image, weights, workers = _continued(problem), problem.weights, ferroconv.get_num_threads()

    def call(function: Callable[..., Array]) -> Array:
        with scipy.fft.set_workers(workers):
            return function(image, weights, "valid")

    return {TRANSFORMS: [Contestant(one.__name__, partial(call, one)) for one in (fftconvolve, oaconvolve)]}


def _torch(problem: Problem) -> dict[str, list[Contestant]]:
    """PyTorch, on float32: its layer of one channel.

    In float64 it would make a matrix of all windows, 32 GB for 31x31 over 2048x2048.
    """
    torch = installed("torch")
    if torch is None or problem.image.dtype != np.float32:
        return {}
    image = torch.from_numpy(_continued(problem))[None, None]
    turned = torch.from_numpy(problem.weights[::-1, ::-1].copy())[None, None]
    before = partial(torch.set_num_threads, ferroconv.get_num_threads())
    return {TORCH: [Contestant(TORCH, lambda: torch.nn.functional.conv2d(image, turned)[0, 0].numpy(), before)]}


def _signal(image: Array, weights: Array) -> Callable[[], Array]:
    from scipy.signal import convolve2d

    return lambda: np.asarray(convolve2d(image, weights, "same", "symm"))


def _ndimage(image: Array, weights: Array, target: Array | None) -> Callable[[], Array]:
    from scipy.ndimage import convolve

    return lambda: np.asarray(convolve(image, weights, output=target, mode="reflect"))


def _opencv(image: Array, weights: Array, reused: bool) -> dict[str, list[Contestant]]:
    """OpenCV with one and with two threads: the better of the two counts."""
    cv2 = opencv()
    if cv2 is None:
        return {}
    turned = np.ascontiguousarray(weights[::-1, ::-1], np.float64 if image.dtype == np.float64 else np.float32)

    def call(target: Array | None) -> Callable[[], Array]:
        return lambda: cv2.filter2D(image, -1, turned, dst=target, borderType=cv2.BORDER_REFLECT)

    calls = []
    for threads in (2, 1):
        name = f"{OPENCV} {threads} thread{'s' if threads > 1 else ''}"
        before = _setter(cv2, threads)
        calls.append(Contestant(name, call(None), before))
        if reused:
            calls.append(Contestant(f"{name} dst=", call(np.zeros_like(image)), before))
    return {OPENCV: calls}


def _setter(cv2: Any, threads: int) -> Callable[[], object]:
    return lambda: cv2.setNumThreads(threads)


def _answers(problem: Problem, contestant: Contestant) -> bool:
    """Whether a peer takes this dtype, found by asking it about a corner of the image."""
    corner = Problem(np.ascontiguousarray(problem.image[:4, :4]), problem.weights[:1, :1], problem.arithmetic)
    probes: dict[str, Callable[[], Array]] = {
        SIGNAL: _signal(corner.image, corner.weights),
        NDIMAGE: _ndimage(corner.image, corner.weights, None),
    }
    if contestant.name not in probes:
        return True
    try:
        probes[contestant.name]()
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        return False
    return True
