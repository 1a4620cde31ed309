"""Filters computed part by part, with the bits that the whole image would have in one call.

The kernels choose an implementation by the size of the problem, and two implementations of a floating-point
sum differ in their last bits. A stage therefore asks what would be chosen for the whole image and has each
part computed by that, in a block large enough for it to be accepted. Sums of sliding windows begin anew
at multiples of the window's rows: there blocks begin at such rows too. Transforms stand on a grid that the core does
not tell; what they would be chosen for is summed directly instead, in blocks and by the stage itself, and
a warning says so.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._explain import Plan, explain
from ferroconv._halo import Box, Filter, Halo, Span, assemble
from ferroconv._runtime import threads

LARGEST = 1 << 24
"""Pixels of the largest image that a choice is asked for; estimates are proportional to them, of transforms nearly."""

NEARLY = 1.3
"""Transforms that are estimated at so many times the least are not ruled out for an image beyond `LARGEST`."""

FOLDED = 5
"""Rows of a sliding window up to which its sums have no grid: the kernels' own number."""


class DifferentBitsWarning(UserWarning):
    """A filter by parts has other last bits than the same call on an image in memory."""


@dataclass(frozen=True)
class Stage:
    """A filter made ready for an image of one shape and dtype."""

    filter: Filter
    shape: tuple[int, ...]
    source: np.dtype[Any]
    dtype: np.dtype[Any]
    """The result's."""
    halos: tuple[Halo, ...]
    chosen: tuple[str, ...]
    """The implementations that the whole image has, of the sums whose bits depend on it."""
    preferred: str | None
    """The implementation that takes the place of transforms."""
    workers: int | None = 1
    _known: dict[tuple[int, ...], tuple[bool, str | None]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def ready(cls, filter: Filter, shape: Sequence[int], source: Any) -> Stage:
        """Check the options against an image, and ask what would be chosen for it."""
        shape, source = tuple(shape), np.dtype(source)
        dtype = _call(filter, np.zeros((1,) * len(shape), source)).dtype
        halos = filter.halos(len(shape))
        asked = _at_most(shape)
        plans = _plans(filter, asked, source)
        preferred = _instead(plans, capped=asked != shape)
        if preferred is not None:
            warnings.warn(
                f"{filter.name}: an image of {shape} in memory may be filtered by Fourier transforms, whose last bits "
                f"parts of it can't have; they are summed by {preferred!r}, within the same bounds. "
                "ferroconv.large.op(...)(image) sums so in memory.",
                DifferentBitsWarning,
                stacklevel=4,
            )
        chosen = _names(plans, preferred)
        if any(name.startswith("sliding/") for name in chosen):
            sizes = filter.window(len(shape))
            grids = [size if size > FOLDED and axis + 1 < len(shape) else 1 for axis, size in enumerate(sizes)]
            halos = [replace(halo, grid=grid) for halo, grid in zip(halos, grids, strict=True)]
        return cls(filter, shape, source, dtype, tuple(halos), chosen, preferred)

    def spans(self, part: Box) -> list[Span]:
        """The block for a part of the result: grown until the kernels choose for it as for the whole image."""
        more = 0
        while True:
            axes = zip(self.halos, part, self.shape, strict=True)
            spans = [halo.span(interval, size, more) for halo, interval, size in axes]
            block = tuple(map(len, spans))
            if self.agrees(block)[0] or block == self.shape:
                return spans
            more = 2 * more + 8

    def agrees(self, block: tuple[int, ...]) -> tuple[bool, str | None]:
        """Whether a block of that shape is computed as the whole image, and what has to be preferred for it."""
        if block not in self._known:
            self._known[block] = self._agrees(block)
        return self._known[block]

    def _agrees(self, block: tuple[int, ...]) -> tuple[bool, str | None]:
        if not self.chosen:
            return True, None
        plans = _plans(self.filter, _at_most(block), self.source)
        ways = [self.preferred] if self.preferred else [None, *{name.split("/")[1] for name in self.chosen}]
        found = [way for way in ways if _names(plans, way) == self.chosen]
        return bool(found), found[0] if found else self.preferred

    def run(self, block: npt.NDArray[Any], mask: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Filter a block."""
        with preferring(self.agrees(block.shape)[1]), threads(self.workers or _core.get_num_threads()):
            return _call(self.filter, block, mask)

    def whole(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Filter the image in one call, with the same bits."""
        with preferring(self.preferred):
            return _call(self.filter, image, self.filter.options.get("mask"))


class Chain:
    """Filters made ready to be computed part by part, one after the other."""

    def __init__(self, filters: Sequence[Filter], shape: Sequence[int], source: Any) -> None:
        self.shape, self.source = tuple(shape), np.dtype(source)
        self.stages: list[Stage] = []
        dtype = self.source
        for step in (step for filter in filters for step in filter.steps()):
            self.stages.append(Stage.ready(step, shape, dtype))
            dtype = self.stages[-1].dtype
        self.dtype = dtype

    def compute(self, part: Box, read: Callable[[Box], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """A part of the result; `read` gives boxes of the image."""
        return self._compute(len(self.stages), part, read)

    def _compute(self, count: int, part: Box, read: Callable[[Box], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        if count == 0:
            return read(part)
        stage = self.stages[count - 1]
        spans = stage.spans(part)
        block = assemble(spans, lambda box: self._compute(count - 1, box, read))
        mask = stage.filter.options.get("mask")
        if mask is not None:
            full = np.broadcast_to(mask, self.shape)
            mask = assemble(spans, lambda box: full[tuple(slice(*interval) for interval in box)])
        cut = (slice(s.before, s.before + stop - start) for s, (start, stop) in zip(spans, part, strict=True))
        return stage.run(block, mask)[tuple(cut)]

    def block(self, part: Box) -> tuple[int, ...]:
        """The largest shape that is met on the way to a part."""
        shape = tuple(stop - start for start, stop in part)
        for stage in reversed(self.stages):
            spans = stage.spans(part)
            lengths = [len(span) for span in spans]
            shape = tuple(map(max, shape, lengths))
            # What is put together of two sides counts as one box.
            starts = [
                min(span.pieces[0][0], size - n) for span, n, size in zip(spans, lengths, self.shape, strict=True)
            ]
            part = tuple((start, start + n) for start, n in zip(starts, lengths, strict=True))
        return shape

    def whole(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The result in memory, with the same bits."""
        for stage in self.stages:
            image = stage.whole(image)
        return image


@contextmanager
def preferring(implementation: str | None) -> Iterator[None]:
    """Have this thread's calls run an implementation wherever it takes the problem."""
    before = _core.prefer(implementation)
    try:
        yield
    finally:
        _core.prefer(before)


def _call(filter: Filter, image: npt.NDArray[Any], mask: Any = None) -> npt.NDArray[Any]:
    """The function on an image or a part of it, and of its mask; without that nothing is masked."""
    given = dict(filter.options)
    if given.get("mask") is not None:
        given["mask"] = np.False_ if mask is None else mask
    result: npt.NDArray[Any] = filter.function(image, **given)
    return result


def _at_most(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, its longest axes cut until it has `LARGEST` pixels."""
    while math.prod(shape) > LARGEST:
        longest = shape.index(max(shape))
        rest = math.prod(shape) // shape[longest]
        side = max(LARGEST // rest, sorted(shape)[-2] if len(shape) > 1 else 1, 1)
        if side >= shape[longest]:
            side = (shape[longest] + 1) // 2
        shape = (*shape[:longest], side, *shape[longest + 1 :])
    return shape


def _plans(filter: Filter, shape: tuple[int, ...], source: np.dtype[Any]) -> list[Plan]:
    """What the kernels choose for an image without gaps, and for one with gaps where they are made up for."""
    if 0 in shape:
        return []
    given = filter.options
    plans = []
    for gaps in (False, True):
        if gaps and given.get("nan", "propagate") == "propagate" and given.get("mask") is None:
            break
        hollow = gaps and source.kind in "fcV" and given["nan"] == "ignore"
        image = np.broadcast_to(np.array(math.nan if hollow else 0).astype(source), shape)
        with np.errstate(all="ignore"):  # arrays hold nothing
            plans += explain(_call, filter, image, np.bool_(gaps)).plans
    return plans


def _parts(plan: Plan) -> list[tuple[str, float]]:
    """The implementations that accept, with their estimates."""
    return [(name, nanoseconds) for name, nanoseconds, _ in plan.candidates if nanoseconds is not None]


def _names(plans: list[Plan], preferred: str | None) -> tuple[str, ...]:
    """What runs where one implementation is preferred, of the problems whose bits depend on that."""
    names = []
    for plan in plans:
        if plan.bound != "exact":
            accepted = [name for name, _ in _parts(plan) if name.split("/")[1] == preferred]
            names.append(accepted[0] if accepted else plan.chosen)
    return tuple(names)


def _instead(plans: list[Plan], *, capped: bool) -> str | None:
    """The implementation to prefer where transforms are chosen, or may be for an image larger than was asked for."""
    for plan in plans:
        costs = {name.split("/")[1]: cost for name, cost in _parts(plan)}
        if plan.bound == "exact" or "fft" not in costs:
            continue
        transforms, others = costs.pop("fft"), costs
        least = min(others.values(), default=math.inf)
        if transforms < least * (NEARLY if capped else 1):
            return min(others, key=others.__getitem__) if others else None
    return None
