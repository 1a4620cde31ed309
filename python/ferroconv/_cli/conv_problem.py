"""One convolution layer: its numbers, ferroconv's calls, and exact sums to hold results against.

The bound on every result is ``8 eps n rms(a) rms(b)`` for sums of `n` products of elements of `a` and `b`: a few
roundings of ``sum |a b|``, whatever `n`. Sums of random signs stay far below it in any order of summation, and a
product that is left out does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv import nn
from ferroconv._cli.networks import Convolution

Array = npt.NDArray[Any]

LAYOUTS = {"nhwc": "channels_last", "nchw": "channels_first"}
"""What the layouts are called in tables, and in ferroconv."""
ROUNDINGS = 8 * float(np.finfo(np.float32).eps)
SAMPLES = 12
"""Pixels, or channels, whose exact sums are computed."""


def laid_out(images: Array, layout: str) -> Array:
    """Images whose channels are last, as they lie in a layout."""
    return images if layout == "nhwc" else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def channels_last(images: Array, layout: str) -> Array:
    """The way back, without copying."""
    return images if layout == "nhwc" else images.transpose(0, 2, 3, 1)


class ConvProblem:
    """A layer with a batch of images, filters and the gradient of what it makes; `direction` says what is computed.

    `x` and `grad` have their channels last, and `filters` are rows, columns, channels of a group, results.
    """

    def __init__(self, layer: Convolution, batch: int, direction: str, seed: int) -> None:
        self.layer, self.batch, self.direction = layer, batch, direction
        random = np.random.default_rng(seed)

        def numbers(*shape: int) -> Array:
            return random.random(shape, np.float32) * 2 - 1

        size, made = layer.size, layer.result_size
        self.x = numbers(batch, size, size, layer.channels)
        self.filters = numbers(layer.window, layer.window, layer.channels // layer.groups, layer.results)
        self.grad = numbers(batch, made, made, layer.results)
        self.random = random

    def ours(self, layout: str) -> Callable[[], Array]:
        """Ferroconv's call."""
        layer = self.layer
        x, grad = (laid_out(images, layout) for images in (self.x, self.grad))
        pad = (layer.pad, layer.pad)
        options: dict[str, Any] = {
            "strides": layer.stride, "padding": (pad, pad), "groups": layer.groups, "data_format": LAYOUTS[layout],
        }  # fmt: skip
        # Looked up at each call, so that a test can put a wrong function in its place.
        if self.direction == "forward":
            return lambda: nn.conv2d(x, self.filters, **options)
        if self.direction == "grad_input":
            return lambda: nn.conv2d_grad_input(x.shape, self.filters, grad, **options)
        return lambda: nn.conv2d_grad_filters(x, self.filters.shape, grad, **options)

    def explained(self, layout: str) -> ferroconv.Explanation:
        """What ferroconv runs."""
        return ferroconv.explain(self.ours(layout))

    def array(self, result: Any, layout: str) -> Array:
        """A result of `ours` with its channels last; filters are alike in both layouts."""
        return np.asarray(result) if self.direction == "grad_filters" else channels_last(np.asarray(result), layout)

    @property
    def products(self) -> int:
        """Products of a sum, at most."""
        layer = self.layer
        if self.direction == "forward":
            return layer.window**2 * layer.channels // layer.groups
        if self.direction == "grad_input":
            return (-(-layer.window // layer.stride)) ** 2 * layer.results // layer.groups
        return self.batch * layer.result_size**2

    @cached_property
    def scale(self) -> float:
        """What errors are relative to: ``n rms(a) rms(b)``."""
        factors = {
            "forward": (self.x, self.filters),
            "grad_input": (self.grad, self.filters),
            "grad_filters": (self.x, self.grad),
        }[self.direction]
        return self.products * float(np.prod([np.sqrt(np.mean(np.square(one), dtype=np.float64)) for one in factors]))

    @property
    def bound(self) -> float:
        """How far an element of a result may be from its exact sum."""
        return ROUNDINGS * self.scale

    def error(self, result: Array) -> float:
        """Largest difference from the exact sums, where those are known."""
        return float(np.max([np.abs(result[index] - exact).max() for index, exact in self.exact]))

    @cached_property
    def exact(self) -> list[tuple[Any, Array]]:
        """Places of the result and the sums there in float64, by the definition of the layer."""
        return {"forward": self._forward, "grad_input": self._grad_input, "grad_filters": self._grad_filters}[
            self.direction
        ]()

    def _places(self, size: int) -> list[tuple[int, int, int]]:
        """Images, rows and columns: two opposite corners, where padding is, and random ones."""
        corners = [(0, 0, 0), (self.batch - 1, size - 1, size - 1)]
        random = self.random.integers((self.batch, size, size), size=(SAMPLES - 2, 3))
        return corners + [(int(n), int(y), int(x)) for n, y, x in random]

    def _groups(self) -> list[tuple[slice, slice]]:
        """Channels and results of each group."""
        layer = self.layer
        c, o = layer.channels // layer.groups, layer.results // layer.groups
        return [(slice(g * c, g * c + c), slice(g * o, g * o + o)) for g in range(layer.groups)]

    def _forward(self) -> list[tuple[Any, Array]]:
        """``y[n, p, q, o] = sum of x[n, p s + i - pad, q s + j - pad, c] w[i, j, c, o]``."""
        layer, filters = self.layer, self.filters.astype(np.float64)
        taps = np.arange(layer.window)
        found: list[tuple[Any, Array]] = []
        for n, p, q in self._places(layer.result_size):
            rows, columns = (place * layer.stride + taps - layer.pad for place in (p, q))
            down, across = ((at >= 0) & (at < layer.size) for at in (rows, columns))
            patch = self.x[n][np.ix_(rows[down], columns[across])].astype(np.float64)
            seen = filters[np.ix_(down, across)]
            sums = [np.tensordot(patch[..., c], seen[..., o], 3) for c, o in self._groups()]
            found.append(((n, p, q), np.concatenate(sums)))
        return found

    def _grad_input(self) -> list[tuple[Any, Array]]:
        """``dx[n, y, x, c] = sum of g[n, p, q, o] w[i, j, c, o]`` where ``p s + i - pad = y``, and so for columns."""
        layer, filters = self.layer, self.filters.astype(np.float64)
        taps = np.arange(layer.window)
        found: list[tuple[Any, Array]] = []
        for n, y, x in self._places(layer.size):
            rows, columns = (place + layer.pad - taps for place in (y, x))
            made = layer.result_size * layer.stride
            down, across = ((at >= 0) & (at < made) & (at % layer.stride == 0) for at in (rows, columns))
            places = np.ix_(rows[down] // layer.stride, columns[across] // layer.stride)
            patch = self.grad[n][places].astype(np.float64)
            seen = filters[np.ix_(down, across)]
            sums = [np.tensordot(patch[..., o], seen[..., o], ([0, 1, 2], [0, 1, 3])) for _, o in self._groups()]
            found.append(((n, y, x), np.concatenate(sums)))
        return found

    def _grad_filters(self) -> list[tuple[Any, Array]]:
        """``dw[i, j, c, o] = sum of x[n, p s + i - pad, q s + j - pad, c] g[n, p, q, o]``, for some c and o."""
        layer = self.layer
        pad = ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0))
        reach = layer.stride * (layer.result_size - 1) + 1
        found: list[tuple[Any, Array]] = []
        for channels, results in self._groups()[:: max(1, layer.groups - 1)]:  # the first and the last
            c, o = (self._some(one.stop - one.start) for one in (channels, results))
            x = np.pad(self.x[..., c + channels.start].astype(np.float64), pad)
            grad = self.grad[..., o + results.start].astype(np.float64).reshape(-1, len(o))
            for i in range(layer.window):
                for j in range(layer.window):
                    seen = x[:, i : i + reach : layer.stride, j : j + reach : layer.stride]
                    sums = seen.reshape(-1, len(c)).T @ grad
                    found.append(((i, j, *np.ix_(c, o + results.start)), sums))
        return found

    def _some(self, count: int) -> npt.NDArray[np.intp]:
        """Some of `count` channels: the first, the last, and random ones."""
        random = self.random.integers(count, size=SAMPLES - 2)
        return np.unique(np.concatenate([[0, count - 1], random]))
