"""What a filter reads around a part of an image: the one place that knows windows, borders and edges of tiles.

A filter is bound to its options; the parameters of its signature say what its window is, so that a filter
of another name needs no line here. A part of the result is computed from a block of the image: the part
and, on each axis, as many samples more as the window reaches. At an edge of the image the block ends there
and the filter's own border applies; where the image wraps round, the block is put together from both sides.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv import _core, _weights
from ferroconv._args import pair
from ferroconv._filters import spatial
from ferroconv.ndimage._arguments import one_axis, read_axes

Interval = tuple[int, int]
"""From the first to before the last."""
Box = tuple[Interval, ...]
"""An interval for each axis."""

NATIVE = ("box", "convolve", "correlate", "gaussian", "laplace", "maximum", "minimum", "sobel")
"""The native forms that are filters."""

STEPS = {
    "grey_opening": ("grey_erosion", "grey_dilation"),
    "grey_closing": ("grey_dilation", "grey_erosion"),
}
"""Filters that are two, one after the other: each has the border at the image's edge."""

BY_TERM = ("gaussian_gradient_magnitude", "gaussian_laplace")
"""Filters whose terms take the mode of their own axis along all axes."""


@dataclass(frozen=True)
class Halo:
    """What is read along an axis."""

    reach: int = 0
    """Samples beyond the part, on either side, at most."""
    border: Literal["edge", "wrap", "both"] = "edge"
    """What lies past the image's ends: what its nearer samples make, those of the other end, or both (of terms)."""
    grid: int = 1
    """Blocks begin at multiples of this."""

    def span(self, part: Interval, size: int, more: int = 0) -> Span:
        """What to read for a part of an axis of that size, and `more` samples on either side."""
        if self.reach + more == 0 and self.grid == 1:
            return Span((part,), 0)
        first, last = part[0] - self.reach - more, part[1] + self.reach + more
        first -= first % self.grid
        if first >= 0 and last <= size:
            return Span(((first, last),), part[0] - first)
        if self.border == "wrap" and last - first < size:
            pieces = [(first + size, size)] if first < 0 else []
            pieces.append((max(first, 0), min(last, size)))
            pieces += [(0, last - size)] if last > size else []
            return Span(tuple(pieces), part[0] - first)
        if self.border != "edge":
            return Span(((0, size),), part[0])
        # What a reflection brings in is as near to the part on its other side: it is there.
        start = max(first, 0)
        return Span(((start, min(last, size)),), part[0] - start)

    def joined(self, other: Halo) -> Halo:
        """What two terms read."""
        if 0 in (self.reach, other.reach):
            return max(self, other, key=lambda halo: halo.reach)
        border = self.border if self.border == other.border else "both"
        return Halo(max(self.reach, other.reach), border, max(self.grid, other.grid))


@dataclass(frozen=True)
class Span:
    """Where samples of an axis come from."""

    pieces: tuple[Interval, ...]
    """Side by side."""
    before: int
    """Samples before the part."""

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.pieces)


def assemble(spans: Sequence[Span], read: Callable[[Box], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The block that the spans describe, of the boxes that `read` gives."""
    if all(len(span.pieces) == 1 for span in spans):
        return read(tuple(span.pieces[0] for span in spans))
    rows: list[Any] = [read(box) for box in itertools.product(*(span.pieces for span in spans))]
    for axis in reversed(range(len(spans))):
        count = len(spans[axis].pieces)
        rows = [np.concatenate(rows[i : i + count], axis) for i in range(0, len(rows), count)]
    block: npt.NDArray[Any] = rows[0]
    return block


@dataclass(frozen=True)
class Filter:
    """A filter of ferroconv with its options, for an image that comes later."""

    function: Callable[..., Any]
    options: Mapping[str, Any]
    """All of them, by name."""

    @classmethod
    def bound(cls, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Filter:
        """Check the options as far as that is possible without an image."""
        if isinstance(function, functools.partial):
            if function.args:
                raise TypeError(
                    "a partial function would take its first positional argument for the image; give options by "
                    f"name, or use ferroconv.large.op. Received: {function!r}."
                )
            return cls.bound(function.func, *args, **{**function.keywords, **kwargs})
        _known(function)
        bound = inspect.signature(function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        _, *options = bound.arguments.items()
        named = dict(options)
        named |= named.pop("kwargs", {})
        for name in named.keys() & {"derivative", "derivative2"}:
            _known(named[name])
        for name, supported in (("extent", "same"), ("stride", 1)):
            value = named.get(name, supported)
            if value != supported and (isinstance(value, str) or set(np.atleast_1d(value)) != {supported}):
                raise NotImplementedError(
                    f"results have the image's size: {name}={supported!r} is supported here. Received: {value!r}."
                )
        output = named.get("output")
        if named.get("out") is not None or not (output is None or isinstance(output, (type, np.dtype, str))):
            raise TypeError("the result has a place of its own: out= and an array as output= are not taken here.")
        return cls(function, named)

    def steps(self) -> list[Filter]:
        """The filters that this one is, one after the other."""
        if self.name not in STEPS:
            return [self]
        first, last = (getattr(ferroconv.ndimage, name) for name in STEPS[self.name])
        return [Filter(first, {**self.options, "output": None}), replace(self, function=last)]

    @property
    def name(self) -> str:
        """The function's."""
        return self.function.__name__

    @property
    def native(self) -> bool:
        """Whether the function is a native form."""
        return "border" in self.options

    def halos(self, ndim: int) -> list[Halo]:
        """What is read along each axis, on the grid of one sample."""
        halos = [Halo()] * ndim
        if "derivative" in self.options or "derivative2" in self.options:
            for inner in self._inner(ndim):
                halos = [halo.joined(other) for halo, other in zip(halos, inner.halos(ndim), strict=True)]
            return halos
        over = self._axes(ndim)
        for axis, reach, border in zip(over, *self._reach(over), strict=True):
            halos[axis] = Halo(reach, border)
        return halos

    def window(self, ndim: int) -> list[int]:
        """The window's size along each axis."""
        over, sizes = self._axes(ndim), [1] * ndim
        for axis, size in zip(over, self.sizes(len(over)), strict=True):
            sizes[axis] = size
        return sizes

    def sizes(self, count: int) -> list[int]:
        """The window's size along each of the axes that it covers."""
        given = self.options
        if "weights" in given:
            sizes = list(np.shape(given["weights"]))
        elif "sigma" in given:
            truncate, radius = given.get("truncate", 4.0), given.get("radius")
            sigmas, radii = (list(value) if np.iterable(value) else [value] for value in (given["sigma"], radius))
            length = max(len(sigmas), len(radii))
            if {len(sigmas), len(radii)} <= {1, length}:
                pairs = list(zip(sigmas * (length // len(sigmas)), radii * (length // len(radii)), strict=True))
            else:  # radii of all axes of the image, sigmas of some
                pairs = list(itertools.product(sigmas, radii))
            sizes = [2 * _weights.reach(float(s), truncate, r) + 1 if s > 0 else 1 for s, r in pairs]
        elif any(given.get(name) is not None for name in ("footprint", "structure", "size")):
            shape = next((given[n] for n in ("footprint", "structure") if given.get(n) is not None), None)
            sizes = np.atleast_1d(given["size"]).astype(int).tolist() if shape is None else list(np.shape(shape))
        else:
            sizes = [3]
        if len(sizes) != count or not self._in_order:
            sizes = [max(sizes, default=1)] * count
        return sizes

    def _inner(self, ndim: int) -> list[Filter]:
        """The derivatives of a filter that calls a function."""
        given = self.options
        function = given.get("derivative", given.get("derivative2"))
        over = range(ndim) if given["axes"] is None else read_axes(given["axes"], ndim)
        modes = [given["mode"]] * len(over) if isinstance(given["mode"], str) else list(given["mode"])
        keywords, further = given["extra_keywords"] or {}, given["extra_arguments"]
        return [
            Filter.bound(function, axis, None, mode, given["cval"], *further, **keywords)
            for axis, mode in zip(over, modes, strict=True)
        ]

    @property
    def _in_order(self) -> bool:
        """Whether the window's sizes stand in the order of `axes`: some mirrors lay them on the image's axes."""
        axes = np.atleast_1d(self.options["axes"] if self.options.get("axes") is not None else ())
        return self.native or axes.tolist() == sorted(axes.tolist())

    def _axes(self, ndim: int) -> list[int]:
        """The axes that the window covers, counted from the front."""
        given = self.options
        if self.native:
            axes: Sequence[int] = given["axes"]
            if given["channel_axis"] is not None or "size" not in given:
                axes = spatial(axes, given["channel_axis"], ndim)
            return list(read_axes(axes, ndim))
        if self.name.endswith("1d"):
            return [one_axis(given["axis"], ndim)]
        if given.get("axes") is None or self.name == "gaussian_gradient_magnitude":
            return list(range(ndim))
        return list(read_axes(given["axes"], ndim))

    def _reach(self, over: Sequence[int]) -> tuple[list[int], list[Literal["edge", "wrap", "both"]]]:
        """How far the window reaches on each of the axes that it covers, and what lies past their ends."""
        given, count = self.options, len(over)
        dilation = pair(given["dilation"], "dilation") if count == 2 and "dilation" in given else (1,) * count
        shift = int(np.abs(np.atleast_1d(given.get("origin", 0))).max())
        reaches = [size // 2 * d + shift for size, d in zip(self.sizes(count), dilation, strict=True)]
        border = given["border" if self.native else "mode"]
        modes = [border] if isinstance(border, str) else list(border)
        wraps = [mode in _wrapping() for mode in modes]
        if len(set(wraps)) == 1:
            wraps = wraps[:1] * count
        elif len(wraps) != count or self.name in BY_TERM:
            return reaches, ["both"] * count
        return reaches, ["wrap" if wrap else "edge" for wrap in wraps]


@functools.cache
def filters() -> frozenset[Callable[..., Any]]:
    """Every filter that a `Filter` can be of."""
    native = [getattr(ferroconv, name) for name in NATIVE]
    return frozenset([*native, *(getattr(ferroconv.ndimage, name) for name in ferroconv.ndimage.__all__)])


def _known(function: Callable[..., Any]) -> None:
    if function not in filters():
        raise TypeError(
            "op must be a filter of ferroconv or ferroconv.ndimage, and so must the function that it calls: of another "
            f"one it is not known what it reads around a pixel. Received: {function!r}."
        )


@functools.cache
def _wrapping() -> frozenset[str]:
    return frozenset(name for row in _core.border_modes() if row[0] == "wrap" for name in (row[0], *row[2]))
