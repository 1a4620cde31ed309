"""How times are taken: contestants in turn (A B A B ...), warm, minimum and median of several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

SAMPLE_SECONDS = 300e-6
"""A sample repeats a quick call until it lasts this long: a clock read costs well under 0.1 % of it."""
SPINNING = 0.012
"""Seconds for which threads of OpenMP may spin after a call, at most."""
LONG = 0.1
"""Seconds of a call that is as warm as it gets by itself."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Contestant:
    """A call that is timed against others."""

    name: str
    call: Callable[[], Any]
    before: Callable[[], object] = _nothing
    """Run before each sample, outside its time: a library's number of threads."""


@dataclass
class Timing:
    """Seconds that one call took."""

    result: Any
    """What the first call returned."""
    samples: list[float] = field(default_factory=list)

    @property
    def minimum(self) -> float:
        """The quickest sample: what the code can do."""
        return min(self.samples)

    @property
    def median(self) -> float:
        """The middle sample: what a user meets."""
        return statistics.median(self.samples)


@dataclass(frozen=True)
class Effort:
    """How much time a race may take."""

    seconds: float
    """For each contestant."""
    least: int
    most: int
    """Samples of each contestant."""
    lead: float = 0.0
    """Seconds for which a contestant runs before each sample, untimed: it meets its data, its threads and its cores as
    it left them, not as a rival did. The threads of some libraries go on spinning for milliseconds after a call, and
    would take the next contestant's cores. A pause would send the contestant's own threads to sleep, and the cores
    with them."""

    def led(self) -> Effort:
        """The same, warm."""
        return replace(self, lead=SPINNING)


QUICK = Effort(0.02, 1, 3).led()
NORMAL = Effort(0.4, 1, 9).led()


def race(contestants: Sequence[Contestant], effort: Effort = NORMAL) -> dict[str, Timing]:
    """Time the contestants in turn, within one process.

    Each is called once to warm up, which gives its result and the number of samples it can afford:
    slow ones get `effort.least`, and the quick ones don't wait for them. They meet the same rounds as
    far as they both go.
    """
    timings: dict[str, Timing] = {}
    plans: list[tuple[Contestant, int, int, float]] = []
    for one in contestants:
        one.before()
        start = perf_counter()
        result = one.call()
        first = perf_counter() - start
        if first < LONG:  # the first call also paged in code and memory
            start = perf_counter()
            one.call()
            first = perf_counter() - start
        timings[one.name] = Timing(result)
        loops = max(1, math.ceil(SAMPLE_SECONDS / max(first, 1e-7)))
        samples = int(effort.seconds / (first * loops))
        lead = effort.lead if first < LONG else 0.0
        plans.append((one, loops, min(max(samples, effort.least), effort.most), lead))
    for turn in range(max((samples for _, _, samples, _ in plans), default=0)):
        for one, loops, samples, lead in plans:
            if turn >= samples:
                continue
            one.before()
            call = one.call
            led = perf_counter() + lead
            while perf_counter() < led:
                call()
            start = perf_counter()
            for _ in range(loops):
                call()
            timings[one.name].samples.append((perf_counter() - start) / loops)
    return timings
