"""The named filters that `ferroconv bench filters` times: one list, each with its rivals and its check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli.cases import HUGE, LARGE
from ferroconv._cli.peers import NDIMAGE, OPENCV, OURS, REUSED, copies, installed, opencv
from ferroconv._cli.timing import Contestant

Array = npt.NDArray[Any]
Call = Callable[..., Array]
MIRROR = "ferroconv.ndimage"


@dataclass(frozen=True)
class Other:
    """A further peer, where it is installed and takes a dtype."""

    peer: str
    module: str
    dtypes: tuple[str, ...]
    call: Callable[[Any, Array, int], Callable[[], Array]]
    """``(module, image, p)`` gives the call that is timed."""
    largest: int = 64
    """The largest `p` for which it answers in a time that one waits for."""


@dataclass(frozen=True)
class Filter:
    """One filter as ferroconv, SciPy and OpenCV spell it; `p` is a sigma or the side of a window."""

    ours: Call
    """``(image, p, **options)``: the native form."""
    mirror: Call
    """``(module, image, p, **options)``: the same call of scipy.ndimage and of ferroconv.ndimage."""
    rival: Call | None
    """``(cv2, image, p, dst)``."""
    derivative: bool = False
    """Whether results are signed: of bytes, in 16 bits."""
    native: bool = True
    """Whether it has a native form: what is SciPy's alone keeps SciPy's integers."""
    others: tuple[Other, ...] = ()


def _window(p: float) -> tuple[int, int]:
    side = 2 * int(4 * p + 0.5) + 1
    return side, side


def _depth(cv2: Any, image: Array) -> int:
    return int(cv2.CV_16S if image.dtype == np.uint8 else -1)


def _skimage_gaussian(skimage: Any, image: Array, p: int) -> Callable[[], Array]:
    return lambda: skimage.filters.gaussian(image, p, mode="reflect", preserve_range=True)


def _skimage_extreme(name: str) -> Other:
    def call(skimage: Any, image: Array, p: int) -> Callable[[], Array]:
        window = skimage.morphology.footprint_rectangle((p, p), decomposition="separable")
        return lambda: getattr(skimage.morphology, name)(image, window, mode="reflect")

    return Other("scikit-image", "skimage", ("uint8", "float32"), call)


def _pillow_extreme(name: str) -> Other:
    # It continues an image by its edge pixel, which for minima and maxima comes to the same as by its reflection.
    def call(_: Any, image: Array, p: int) -> Callable[[], Array]:
        from PIL import Image, ImageFilter

        picture, rank = Image.fromarray(image), getattr(ImageFilter, name)(p)
        return lambda: np.asarray(picture.filter(rank))

    return Other("Pillow", "PIL", ("uint8",), call, largest=3)  # it looks at every pixel of every window


def _scipys(name: str, *, sized: bool) -> Filter:
    """A derivative in SciPy's spelling alone."""

    def mirror(module: Any, image: Array, p: int, **options: Any) -> Array:
        return np.asarray(getattr(module, name)(image, *((p,) if sized else ()), **options))

    def ours(image: Array, p: int, out: Array | None = None) -> Array:
        return mirror(ferroconv.ndimage, image, p, output=out)

    return Filter(ours, mirror, None, derivative=True, native=False)


FILTERS = {
    "gaussian": Filter(
        lambda image, p, **k: ferroconv.gaussian(image, p, **k),
        lambda module, image, p, **k: module.gaussian_filter(image, p, **k),
        lambda cv2, image, p, dst: cv2.GaussianBlur(image, _window(p), p, dst, borderType=cv2.BORDER_REFLECT),
        others=(Other("scikit-image", "skimage", ("float32",), _skimage_gaussian),),
    ),
    "box": Filter(
        lambda image, p, **k: ferroconv.box(image, p, **k),
        lambda module, image, p, **k: module.uniform_filter(image, p, **k),
        lambda cv2, image, p, dst: cv2.blur(image, (p, p), dst, borderType=cv2.BORDER_REFLECT),
    ),
    "sobel": Filter(
        lambda image, _, **k: ferroconv.sobel(image, **k),
        lambda module, image, _, **k: module.sobel(image, **k),
        lambda cv2, image, _, dst: cv2.Sobel(image, _depth(cv2, image), 1, 0, dst, borderType=cv2.BORDER_REFLECT),
        derivative=True,
    ),
    "laplace": Filter(
        lambda image, _, **k: ferroconv.laplace(image, **k),
        lambda module, image, _, **k: module.laplace(image, **k),
        lambda cv2, image, _, dst: cv2.Laplacian(image, _depth(cv2, image), dst, borderType=cv2.BORDER_REFLECT),
        derivative=True,
    ),
    "minimum": Filter(
        lambda image, p, **k: ferroconv.minimum(image, p, **k),
        lambda module, image, p, **k: module.minimum_filter(image, p, **k),
        lambda cv2, image, p, dst: cv2.erode(image, np.ones((p, p), np.uint8), dst, borderType=cv2.BORDER_REFLECT),
        others=(_skimage_extreme("erosion"), _pillow_extreme("MinFilter")),
    ),
    "maximum": Filter(
        lambda image, p, **k: ferroconv.maximum(image, p, **k),
        lambda module, image, p, **k: module.maximum_filter(image, p, **k),
        lambda cv2, image, p, dst: cv2.dilate(image, np.ones((p, p), np.uint8), dst, borderType=cv2.BORDER_REFLECT),
        others=(_skimage_extreme("dilation"), _pillow_extreme("MaxFilter")),
    ),
    "prewitt": _scipys("prewitt", sized=False),
    "gaussian_laplace": _scipys("gaussian_laplace", sized=True),
    "gaussian_gradient_magnitude": _scipys("gaussian_gradient_magnitude", sized=True),
}


@dataclass(frozen=True)
class FilterCase:
    """A square image of one dtype under one named filter."""

    filter: str
    dtype: str
    size: int
    parameter: int
    """A Gaussian's sigma, the side of a window, or 3 for derivatives."""
    channels: int = 1
    """Of a pixel, one beside the other; each is filtered by itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The image's."""
        return (self.size, self.size) if self.channels == 1 else (self.size, self.size, self.channels)

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``filters/gaussian/uint8/2048x2048/3``."""
        return f"filters/{self.filter}/{self.dtype}/{'x'.join(map(str, self.shape))}/{self.parameter}"

    @property
    def label(self) -> str:
        """What is done to the image."""
        return f"{self.filter}, {self.parameter}{f', {self.channels} channels' if self.channels > 1 else ''}"

    @property
    def kind(self) -> str:
        """What it is, as every case says."""
        return "filters"

    @property
    def group(self) -> str:
        """What is summed up together."""
        return f"filters/{self.filter}/{self.dtype}"

    def problem(self) -> FilterProblem:
        """The case with its pixels, the same in every run."""
        random = np.random.default_rng(self.size * 100 + self.parameter)
        image = (random.random(self.shape) * 255).astype(self.dtype)
        return FilterProblem(FILTERS[self.filter], image, self.parameter)


@dataclass(frozen=True)
class FilterProblem:
    """An image, a filter, and who may run it."""

    filter: Filter
    image: Array
    parameter: int

    @property
    def integral(self) -> bool:
        """Whether results are whole numbers."""
        return self.image.dtype.kind in "iu"

    @property
    def options(self) -> dict[str, Any]:
        """What the native form is told besides: the type that holds signed results, and which axis has channels."""
        signed = self.filter.derivative and self.filter.native and self.image.dtype == np.uint8
        found: dict[str, Any] = {"dtype": np.dtype(np.int16)} if signed else {}
        return found | ({"channel_axis": -1} if self.image.ndim > 2 else {})

    def mirrored(self, module: Any, image: Array) -> Array:
        """SciPy's spelling of it."""
        axes = {"axes": (0, 1)} if image.ndim > 2 else {}
        return np.asarray(self.filter.mirror(module, image, self.parameter, **axes))

    @cached_property
    def exact(self) -> Array:
        """What is right, by SciPy: in float64, or in its own integers where these are asked for."""
        import scipy.ndimage

        image = self.image if self.integral and not self.filter.native else self.image.astype(np.float64)
        return self.mirrored(scipy.ndimage, image).astype(np.float64)

    def contestants(self) -> list[Contestant]:
        """Everyone, ours first."""
        import scipy.ndimage

        image, p, spelling, options = self.image, self.parameter, self.filter, self.options
        target = np.zeros(image.shape, options.get("dtype", image.dtype))
        calls = [
            Contestant(OURS, lambda: spelling.ours(image, p, **options)),
            Contestant(REUSED, lambda: spelling.ours(image, p, out=target, **options)),
            Contestant(MIRROR, lambda: self.mirrored(ferroconv.ndimage, image)),
            Contestant(NDIMAGE, lambda: self.mirrored(scipy.ndimage, image)),
            *copies(image, target),
        ]
        cv2 = opencv()
        if cv2 is not None and spelling.rival is not None:
            calls += _opencv(cv2, spelling.rival, image, p, target)
        for other in spelling.others if image.ndim == 2 else ():
            module = installed(other.module)
            if module is not None and image.dtype.name in other.dtypes and p <= other.largest:
                calls.append(Contestant(other.peer, other.call(module, image, p)))
        return calls

    def explained(self) -> ferroconv.Explanation:
        """What ferroconv runs."""
        return ferroconv.explain(self.filter.ours, self.image, self.parameter, **self.options)

    def error(self, result: Array) -> float:
        """Largest difference from the exact result."""
        return float(np.abs(result.astype(np.float64) - self.exact).max())

    def bound(self) -> float:
        """How far a result may be from what is right: half a level and 1/32, or float32's; SciPy's integers not."""
        if self.integral:
            return 0.5 + 1 / 32 if self.filter.native else 0.0
        magnitude = float(np.abs(self.image).max()) * (8 if self.filter.derivative else 1)
        return 16 * float(np.finfo(self.image.dtype).eps) * magnitude


def _opencv(cv2: Any, rival: Call, image: Array, p: int, like: Array) -> list[Contestant]:
    """OpenCV with two threads and with one, new results and reused ones."""
    found = []
    for threads in (2, 1):
        name, before = f"{OPENCV} {threads} thread{'s' if threads > 1 else ''}", partial(cv2.setNumThreads, threads)
        for way, into in ((name, None), (f"{name} dst=", np.zeros_like(like))):
            found.append(Contestant(way, partial(rival, cv2, image, p, into), before))
    return found


def _all() -> list[FilterCase]:
    parameters = {
        "gaussian": (1, 3, 10), "box": (3, 15, 51), "sobel": (3,), "laplace": (3,), "minimum": (3, 15, 31),
        "maximum": (3, 31), "prewitt": (3,), "gaussian_laplace": (1, 3), "gaussian_gradient_magnitude": (1, 3),
    }  # fmt: skip
    memory_bound = {"box": (3,), "sobel": (3,)}
    in_colour = {"gaussian": (3,), "box": (15,), "maximum": (31,)}
    return [
        FilterCase(name, dtype, size, parameter, channels)
        for size, channels, chosen in (
            (HUGE, 1, memory_bound), (LARGE, 1, parameters), (LARGE, 3, in_colour), (256, 1, parameters),
        )
        for dtype in ("uint8", "float32")
        for name, values in chosen.items()
        for parameter in values
    ]  # fmt: skip


FILTER_CASES = _all()
"""Every case, the large ones first."""
