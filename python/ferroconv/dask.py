"""The filters on dask arrays, lazily, with the bits that they have in memory.

The native forms stand here under their names. `filtered` takes any other filter, and the plain functions
(`ferroconv.gaussian`, ``ferroconv.ndimage.gaussian_filter`` ...) take dask arrays themselves.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._extras import needed
from ferroconv._halo import Filter, Halo
from ferroconv._stages import DifferentBitsWarning, Stage

__all__ = [
    "DifferentBitsWarning",
    "box",
    "convolve",
    "correlate",
    "filtered",
    "gaussian",
    "laplace",
    "maximum",
    "minimum",
    "sobel",
]

_F = TypeVar("_F", bound=Callable[..., Any])


def filtered(function: Callable[..., Any], image: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Filter a dask array lazily.

    Parameters
    ----------
    function : callable
        A filter of `ferroconv` or `ferroconv.ndimage`.
    image : dask.array.Array
        The image, in chunks of any sizes; other arrays become dask arrays.
    *args, **kwargs
        The function's other arguments. `workers` is the threads of one block, by default one: dask has its own.

    Returns
    -------
    dask.array.Array
        What the function gives of the image in memory, bit for bit, on one instruction set. Chunks are the image's,
        unless they are smaller than the window reaches, or than what the choice of implementation, or the grid of a
        sliding mean of floating-point numbers, asks for.

    Raises
    ------
    TypeError
        For functions that are no filters, and places for the result.
    ValueError
        For unknown sizes of chunks, and what the function refuses.
    NotImplementedError
        For results of another size than the image's.

    Warns
    -----
    DifferentBitsWarning
        Where the plain function might transform the whole image in memory: blocks are summed directly.

    Examples
    --------
    >>> import dask.array
    >>> import ferroconv.dask
    >>> image = dask.array.ones((100, 100), chunks=(30, 50), dtype="uint8")
    >>> blurred = ferroconv.dask.filtered(ferroconv.ndimage.gaussian_filter, image, 2)
    >>> blurred.dtype, blurred.shape, blurred.compute().max().item()
    (dtype('uint8'), (100, 100), 1)
    """
    array = needed("dask.array")
    image = array.asarray(image)
    if any(np.isnan(size) for size in image.shape):
        raise ValueError(
            "the sizes of the image and of its chunks must be known: call image.compute_chunk_sizes() first. "
            f"Received: shape {image.shape}."
        )
    for step in Filter.bound(function, *args, **kwargs).steps():
        image = _overlapped(array, image, step)
    return image


def _overlapped(array: Any, image: Any, filter: Filter) -> Any:
    """One filter: each block with its surroundings, without any at the image's edges but where it wraps round."""
    if 0 in image.shape:
        return array.zeros(image.shape, dtype=Stage.ready(filter, image.shape, image.dtype).dtype)
    mask = filter.options.get("mask")
    stage = Stage.ready(filter, image.shape, image.dtype)
    # The mask travels as an array of blocks, the options without it.
    stage = replace(stage, workers=filter.options.get("workers") or 1)
    image = _fitting(stage, image)
    depth = [_depth(stage, axis, sizes) for axis, sizes in enumerate(image.chunks)]
    boundary = {
        axis: "periodic" if halo.border == "wrap" and depth[axis] else "none" for axis, halo in enumerate(stage.halos)
    }
    arrays = [image]
    if mask is not None:
        arrays.append(array.broadcast_to(array.asarray(mask), image.shape).rechunk(image.chunks))
        stage = replace(stage, filter=replace(filter, options={**filter.options, "mask": np.False_}))
    return array.map_overlap(
        _block, *arrays, depth=dict(enumerate(depth)), boundary=boundary, trim=True, align_arrays=False,
        allow_rechunk=False, dtype=stage.dtype, meta=np.empty((0,) * image.ndim, stage.dtype), stage=stage,
    )  # fmt: skip


def _block(block: npt.NDArray[Any], mask: npt.NDArray[Any] | None = None, *, stage: Stage) -> npt.NDArray[Any]:
    """A block with its surroundings."""
    return stage.run(np.asarray(block), mask)


def _depth(stage: Stage, axis: int, sizes: Sequence[int]) -> int:
    """Samples that a block is given of its neighbours: the window's reach, up to the grid; none of no neighbours."""
    halo = stage.halos[axis]
    return 0 if len(sizes) == 1 else -(-halo.reach // halo.grid) * halo.grid


def _fitting(stage: Stage, image: Any) -> Any:
    """The image in chunks that blocks can be made of.

    They are joined until each is as large as what it lends to its neighbours, begins on the grid, and is computed
    as the whole image would be.
    """
    chunks = [_joined(sizes, _depth(stage, axis, sizes), stage.halos[axis]) for axis, sizes in enumerate(image.chunks)]
    while not all(stage.agrees(block)[0] for block in _shapes(stage, chunks)):
        widest = max(range(len(chunks)), key=lambda axis: len(chunks[axis]))
        if len(chunks[widest]) == 1:
            break
        sizes = chunks[widest]
        halves = [sum(sizes[i : i + 2]) for i in range(0, len(sizes), 2)]
        chunks[widest] = _joined(halves, _depth(stage, widest, halves), stage.halos[widest])
    return image.rechunk(tuple(map(tuple, chunks)))


def _joined(sizes: Sequence[int], least: int, halo: Halo) -> list[int]:
    """Chunks of the least size or more, that begin on the grid; one where terms differ in what lies past the ends."""
    total, edges = sum(sizes), [0]
    if halo.reach and halo.border == "both":
        return [total]
    for edge in itertools.accumulate(sizes[:-1]):
        edge -= edge % halo.grid
        if edge - edges[-1] >= max(least, 1) and total - edge >= max(least, 1):
            edges.append(edge)
    return np.diff([*edges, total]).tolist()


def _shapes(stage: Stage, chunks: Sequence[Sequence[int]]) -> set[tuple[int, ...]]:
    """The shapes of the blocks with their surroundings."""
    lengths = []
    for axis, sizes in enumerate(chunks):
        depth, periodic = _depth(stage, axis, sizes), stage.halos[axis].border == "wrap"
        ends = [0, len(sizes) - 1]
        lengths.append({n + depth * (2 if periodic else 2 - ends.count(i)) for i, n in enumerate(sizes)})
    return set(itertools.product(*lengths))


def _lazily(function: _F) -> _F:
    """The function's form for dask arrays, with its signature."""

    @functools.wraps(function)
    def lazy(image: Any, *args: Any, **kwargs: Any) -> Any:
        return filtered(function, image, *args, **kwargs)

    lazy.__module__ = __name__
    lazy.__doc__ = f"""`ferroconv.{function.__name__}` of a dask array, lazily; see `filtered`."""
    return cast(_F, lazy)


box = _lazily(ferroconv.box)
convolve = _lazily(ferroconv.convolve)
correlate = _lazily(ferroconv.correlate)
gaussian = _lazily(ferroconv.gaussian)
laplace = _lazily(ferroconv.laplace)
maximum = _lazily(ferroconv.maximum)
minimum = _lazily(ferroconv.minimum)
sobel = _lazily(ferroconv.sobel)
