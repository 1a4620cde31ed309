"""The filters that the command knows by name: one list, from which help, completion and errors follow."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv

Array = npt.NDArray[Any]
Run = Callable[..., Array]
"""A filter of an image, with the options of ferroconv's native forms: ``border``, ``cval``, ``dtype`` and so on."""

EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
EDGES = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
FILES = (".npy", ".txt", ".csv")
"""Suffixes of files of weights."""


@dataclass(frozen=True)
class Filter:
    """One filter: how it is written, what it does, and how it is made from the text after its colon."""

    usage: str
    help: str
    make: Callable[[str], Run]

    @property
    def name(self) -> str:
        """The word before the colon."""
        return self.usage.partition(":")[0].partition("[")[0]


def parse(text: str) -> Run:
    """The filter that ``name:parameters`` names, or a file of weights.

    Raises
    ------
    ValueError
        For unknown names, with those that are known, and for parameters that a filter can't take.
    """
    name, colon, parameters = text.partition(":")
    if not colon and Path(text).suffix in FILES:
        name, parameters = "convolve", text
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, BY_NAME, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"there is no filter {name!r}.{hint} Known: {', '.join(sorted(BY_NAME))}, or a file of weights."
        )
    try:
        return BY_NAME[name].make(parameters)
    except (ValueError, OSError) as error:
        raise ValueError(f"{text!r} is no {BY_NAME[name].usage}: {error}") from error


def _numbers(text: str, least: int, most: int, default: float | None = None) -> list[float]:
    values = [float(part) for part in text.split(",")] if text else []
    if not values and default is not None:
        values = [default]
    if not least <= len(values) <= most or not all(np.isfinite(values)):
        count = str(least) if least == most else f"{least} or {most}"
        raise ValueError(f"{count} number(s) separated by commas are needed. Received: {text!r}.")
    return values


def _plain(text: str, run: Run) -> Run:
    if text:
        raise ValueError(f"it has no parameters. Received: {text!r}.")
    return run


def _gaussian(text: str) -> Run:
    sigmas = _numbers(text, 1, 2)
    if min(sigmas) < 0:
        raise ValueError(f"a standard deviation is zero or more. Received: {text!r}.")
    sigma = sigmas * 2 if len(sigmas) == 1 else sigmas
    return lambda image, **options: ferroconv.gaussian(image, sigma, **options)


def _sizes(text: str) -> list[int]:
    sizes = _numbers(text, 1, 2)
    if min(sizes) < 1 or any(size % 1 for size in sizes):
        raise ValueError(f"a window's size is a whole number from 1 on. Received: {text!r}.")
    return [int(size) for size in (sizes * 2 if len(sizes) == 1 else sizes)]


def _window(*functions: Run) -> Callable[[str], Run]:
    """Filters of one window, one after the other; all but the last keep the image's dtype."""

    def make(text: str) -> Run:
        size = _sizes(text)

        def run(image: Array, *, dtype: Any, **options: Any) -> Array:
            for function in functions[:-1]:
                image = function(image, size, **options)
            return functions[-1](image, size, dtype=dtype, **options)

        return run

    return make


def _sobel(text: str) -> Run:
    axes = {"": None, "x": -1, "y": -2}
    if text not in axes:
        raise ValueError(f"the direction is x or y. Received: {text!r}.")
    return lambda image, **options: ferroconv.sobel(image, axes[text], **options)


def _weights(weights: npt.ArrayLike) -> Run:
    return lambda image, **options: ferroconv.correlate(image, weights, **options)


def _sharpen(text: str) -> Run:
    (amount,) = _numbers(text, 1, 1, 1.0)
    return _weights([[0, -amount, 0], [-amount, 1 + 4 * amount, -amount], [0, -amount, 0]])


def _unsharp(text: str) -> Run:
    sigma, amount = (*_numbers(text, 1, 2), 1.0)[:2]
    if sigma < 0:
        raise ValueError(f"a standard deviation is zero or more. Received: {text!r}.")

    def run(image: Array, *, dtype: Any, **options: Any) -> Array:
        wide = np.result_type(image.dtype, np.float32)
        soft = ferroconv.gaussian(image, sigma, dtype=wide, **options)
        return _stored(image + amount * (image - soft), dtype=dtype, **options)

    return run


def _pointwise(count: int, function: Callable[..., Array]) -> Callable[[str], Run]:
    def make(text: str) -> Run:
        values = _numbers(text, count, count)
        return lambda image, **options: _stored(function(image, *values), **options)

    return make


def _stored(image: Array, **options: Any) -> Array:
    """Rounded and saturated to a dtype as the filters do it."""
    return ferroconv.correlate(image, [[1]], **options)


def _file(function: Run) -> Callable[[str], Run]:
    def make(text: str) -> Run:
        weights = read_weights(Path(text))
        return lambda image, **options: function(image, weights, **options)

    return make


def read_weights(path: Path) -> Array:
    """A window from a file: ``.npy``, or text, a row a line, with blanks or commas between."""
    if path.suffix == ".npy":
        weights = np.load(path, allow_pickle=False)
    else:
        lines = path.read_text().replace(",", " ").splitlines()
        rows = [
            [float(word) for word in line.split()]
            for line in (line.partition("#")[0] for line in lines)
            if line.strip()
        ]
        if len({len(row) for row in rows}) > 1:
            raise ValueError(f"{path}: every row of a window has as many numbers as the first.")
        weights = np.array(rows)
    if weights.ndim != 2 or weights.size == 0:
        raise ValueError(f"{path}: a window has two axes. Received: shape {weights.shape}.")
    return weights


FILTERS = (
    Filter("gaussian:SIGMA[,SIGMA]", "Gaussian blur; in pixels, of rows and of columns", _gaussian),
    Filter("box:SIZE[,SIZE]", "mean of a window", _window(ferroconv.box)),
    Filter("min:SIZE[,SIZE]", "darkest pixel of a window (erosion)", _window(ferroconv.minimum)),
    Filter("max:SIZE[,SIZE]", "brightest pixel of a window (dilation)", _window(ferroconv.maximum)),
    Filter("open:SIZE[,SIZE]", "min, then max: bright specks go", _window(ferroconv.minimum, ferroconv.maximum)),
    Filter("close:SIZE[,SIZE]", "max, then min: dark specks go", _window(ferroconv.maximum, ferroconv.minimum)),
    Filter("sobel[:x|y]", "magnitude of the slope, or the slope along x or y", _sobel),
    Filter("laplace", "second derivative, four neighbours", lambda text: _plain(text, ferroconv.laplace)),
    Filter(
        "edges", "second derivative, eight neighbours, bright on an edge", lambda text: _plain(text, _weights(EDGES))
    ),
    Filter("sharpen[:AMOUNT]", "the image less its Laplace filter, AMOUNT times (1)", _sharpen),
    Filter("unsharp:SIGMA[,AMOUNT]", "what a Gaussian blur takes away, added AMOUNT times (1)", _unsharp),
    Filter("emboss", "relief, lit from the upper left", lambda text: _plain(text, _weights(EMBOSS))),
    Filter("abs", "magnitude of each pixel", lambda text: _plain(text, lambda image, **o: _stored(np.abs(image), **o))),
    Filter("add:VALUE", "each pixel plus VALUE", _pointwise(1, lambda image, value: image + value)),
    Filter("times:FACTOR", "each pixel times FACTOR", _pointwise(1, lambda image, factor: image * factor)),
    Filter("convolve:FILE", "convolution with the weights of a .npy or text file", _file(ferroconv.convolve)),
    Filter("correlate:FILE", "the same without turning the weights", _file(ferroconv.correlate)),
)

BY_NAME = {each.name: each for each in FILTERS}


def listing() -> str:
    """The filters and what they do, a line each."""
    width = max(len(each.usage) for each in FILTERS)
    return "\n".join(f"{each.usage:<{width}}  {each.help}" for each in FILTERS)
