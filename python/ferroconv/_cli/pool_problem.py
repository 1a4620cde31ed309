"""One pooling layer: its numbers, ferroconv's calls, and the exact results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv import nn
from ferroconv._cli.conv_problem import LAYOUTS, ROUNDINGS, channels_last, laid_out
from ferroconv._cli.networks import Pooling

Array = npt.NDArray[Any]


class PoolProblem:
    """A layer with a batch of images and the gradient of what it makes; `direction` says what is computed.

    No two samples are equal, so that no two libraries can choose different maxima. All arrays have their
    channels last.
    """

    def __init__(self, layer: Pooling, batch: int, direction: str, seed: int) -> None:
        self.layer, self.batch, self.direction = layer, batch, direction
        random = np.random.default_rng(seed)
        size, made = layer.size, layer.result_size
        shape = (batch, size, size, layer.channels)
        count = int(np.prod(shape))
        # Below 2^24, so that each is a float32.
        self.x = (random.permutation(count).astype(np.float32) - count // 2).reshape(shape)
        self.grad = random.random((batch, made, made, layer.channels), np.float32) * 2 - 1

    def ours(self, layout: str) -> Callable[[], Any]:
        """Ferroconv's call."""
        layer = self.layer
        x, grad = (laid_out(images, layout) for images in (self.x, self.grad))
        window = (layer.window, layer.stride, layer.padding)
        options: dict[str, Any] = {"data_format": LAYOUTS[layout]}
        if self.direction == "avg":
            return lambda: nn.avg_pool2d(x, *window, **options)
        if self.direction == "avg_grad":
            return lambda: nn.avg_pool2d_grad_input(x.shape, grad, *window, **options)
        if self.direction == "max":
            return lambda: nn.max_pool2d(x, *window, **options)
        if self.direction == "max_indices":
            return lambda: nn.max_pool2d(x, *window, return_indices=True, **options)
        if self.direction == "max_grad":
            return lambda: nn.max_pool2d_grad_input(x, grad, *window, **options)
        indices = laid_out(self._maxima[1], layout)
        return lambda: nn.max_pool2d_grad_input(x, grad, *window, indices=indices, **options)

    def explained(self, layout: str) -> ferroconv.Explanation:
        """What ferroconv runs."""
        return ferroconv.explain(self.ours(layout))

    def array(self, result: Any, layout: str) -> Array:
        """A result with its channels last; maxima and their places as one array."""
        if self.direction == "max_indices":
            return np.stack([channels_last(np.asarray(one), layout) for one in result])
        return channels_last(np.asarray(result), layout)

    @property
    def scale(self) -> float:
        """What errors are relative to: the largest sample, or the largest sum of gradients."""
        if "grad" in self.direction:
            overlapping = (-(-self.layer.window // self.layer.stride)) ** 2
            return overlapping * float(np.abs(self.grad).max())
        return float(np.abs(self.x).max())

    @property
    def bound(self) -> float:
        """How far an element of a result may be from the exact one: maxima and places not at all."""
        return 0.0 if self.direction in ("max", "max_indices") else ROUNDINGS * self.scale

    def error(self, result: Array) -> float:
        """Largest difference from the exact result."""
        return float(np.abs(result - self.exact).max())

    @cached_property
    def exact(self) -> Array:
        """The result by the definition of the layer, in float64."""
        layer = self.layer
        if layer.kind == "max":
            if self.direction == "max":
                return self._maxima[0]
            if self.direction == "max_indices":
                return np.stack(self._maxima)
            n, c = np.arange(self.batch)[:, None, None, None], np.arange(layer.channels)
            places = (n * layer.size**2 + self._maxima[1]) * layer.channels + c
            sums = np.bincount(places.ravel(), self.grad.ravel(), self.x.size)
            return sums.reshape(self.x.shape)
        count = sum(inside.astype(np.float64) for _, inside, _ in self._taps())
        if self.direction == "avg":
            return np.asarray(sum(np.where(inside, seen, 0.0) for seen, inside, _ in self._taps()) / count)
        padded = np.zeros(self._padded.shape)
        for _, _, index in self._taps():
            padded[index] += self.grad / count
        return padded[:, layer.before :, layer.before :][:, : layer.size, : layer.size]

    @cached_property
    def _padded(self) -> Array:
        """The images with what the last window reaches beyond them, not finite there."""
        layer = self.layer
        after = max((layer.result_size - 1) * layer.stride + layer.window - layer.size - layer.before, 0)
        pad = (layer.before, after)
        return np.pad(self.x.astype(np.float64), ((0, 0), pad, pad, (0, 0)), constant_values=-np.inf)

    def _taps(self) -> Iterator[tuple[Array, Array, Any]]:
        """For each sample of the windows: what it sees, where that is inside of the image, and its index."""
        layer = self.layer
        reach = layer.stride * (layer.result_size - 1) + 1
        for i in range(layer.window):
            for j in range(layer.window):
                index = np.s_[:, i : i + reach : layer.stride, j : j + reach : layer.stride]
                seen = self._padded[index]
                yield seen, np.isfinite(seen), index

    @cached_property
    def _maxima(self) -> tuple[Array, Array]:
        """Maxima and their places ``y w + x`` in the unpadded plane."""
        layer = self.layer
        largest = np.full(self.grad.shape, -np.inf)
        places = np.zeros(self.grad.shape, np.int64)
        corner = np.arange(layer.result_size) * layer.stride - layer.before
        for tap, (seen, _, _) in enumerate(self._taps()):
            i, j = divmod(tap, layer.window)
            here = (corner[:, None] + i) * layer.size + corner[None, :] + j
            greater = seen > largest
            largest = np.where(greater, seen, largest)
            places = np.where(greater, here[None, :, :, None], places)
        return largest, places
