"""How large a tile may be."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ferroconv._halo import Box
from ferroconv._stages import Chain

PIXELS = 1 << 20
"""Pixels of a tile, at most: enough for its surroundings to be little beside it, few enough for what a filter keeps
to stay in the cache (blur and Sobel magnitude of bytes on two cores: 3.3 ns a pixel, against 4.5 with four times as
many)."""

LONG = 4
"""How many times longer than its other axes a tile is along the last one, where files have their neighbours."""

KEPT = 4
"""Arrays of a tile's size that a filter has at a time, at most: sums, their terms, and what stands between passes."""

UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def read_bytes(given: int | str) -> int:
    """A number of bytes: ``"512MiB"``."""
    if isinstance(given, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*", given)
        if match is not None and match[2].upper() in UNITS:
            given = int(float(match[1]) * UNITS[match[2].upper()])
    if not isinstance(given, (int, np.integer)) or given <= 0:
        raise ValueError(f"max_memory must be a number of bytes, or one with KiB, MiB, GiB. Received: {given!r}.")
    return int(given)


def choose_tile(
    chain: Chain, tile: Any, chunks: Sequence[int] | None, threads: int, budget: int
) -> tuple[int, ...]:  # fmt: skip
    """The tile that is given, if it fits; else the largest that does."""
    shape = chain.shape
    unit = tuple(min(max(int(c), 1), max(n, 1)) for c, n in zip(chunks or (1,) * len(shape), shape, strict=True))
    if tile is None:
        sides = [max(n, 1) for n in shape]
        while math.prod(sides) > PIXELS or _bytes(chain, sides, threads) > budget:
            longest = max(
                (axis for axis in range(len(sides)) if sides[axis] > unit[axis]),
                key=lambda axis: sides[axis] / (LONG if axis == len(sides) - 1 else 1),
                default=None,
            )
            if longest is None:
                break
            sides[longest] = -(-sides[longest] // (2 * unit[longest])) * unit[longest]
    else:
        sides = [int(side) for side in ([tile] * len(shape) if isinstance(tile, (int, np.integer)) else tile)]
        if len(sides) != len(shape) or min(sides, default=1) < 1:
            raise ValueError(
                f"tile must be one number from 1 on, or one for each of {len(shape)} axes. Received: {tile!r}."
            )
        sides = [min(side, max(n, 1)) for side, n in zip(sides, shape, strict=True)]
    needed = _bytes(chain, sides, threads)
    if needed > budget:
        raise ValueError(
            f"tiles of {'x'.join(map(str, sides))} need about {needed / 2**20:.0f} MiB at a time with what the filters "
            f"read around them; allow more by max_memory, or take smaller tiles, narrower windows or fewer workers. "
            f"Received: max_memory={budget} bytes."
        )
    return tuple(sides)


def _bytes(chain: Chain, sides: Sequence[int], threads: int) -> int:
    """What tiles of that size take at a time: each thread has one, and results wait to be written."""
    if 0 in chain.shape:
        return 0
    most = 0
    for place in ("first", "middle", "last"):
        block = math.prod(chain.block(_tile_at(chain.shape, sides, place)))
        read = block * chain.source.itemsize
        kept = max(
            (block * KEPT * _work(s.source, s.dtype) + block * s.dtype.itemsize for s in chain.stages), default=0
        )
        most = max(most, read + kept)
    return threads * most + (threads + 2) * math.prod(sides) * chain.dtype.itemsize


def _tile_at(shape: Sequence[int], sides: Sequence[int], place: str) -> Box:
    """A tile at the image's beginning, middle or end."""
    counts = [-(-size // side) for size, side in zip(shape, sides, strict=True)]
    numbers = [{"first": 0, "middle": count // 2, "last": count - 1}[place] for count in counts]
    starts = [side * number for side, number in zip(sides, numbers, strict=True)]
    return tuple((i, min(i + side, size)) for i, side, size in zip(starts, sides, shape, strict=True))


def _work(source: np.dtype[Any], dtype: np.dtype[Any]) -> int:
    """Bytes of a number that a filter computes in, at most."""
    single = all(d.itemsize == 1 or d.char in "ef" or (d.kind == "c" and d.itemsize == 8) for d in (source, dtype))
    return (4 if single else 8) * (2 if "c" in (source.kind, dtype.kind) else 1)
