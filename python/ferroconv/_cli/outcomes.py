"""What a benchmark finds: times, errors and verdicts, in one shape for every kind of case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ferroconv._cli.timing import Timing


@dataclass
class Times:
    """Seconds: the quickest and the middle one of the samples."""

    minimum: float
    median: float
    samples: int

    @classmethod
    def of(cls, timing: Timing) -> Times:
        """The numbers of a timing, without its result."""
        return cls(timing.minimum, timing.median, len(timing.samples))


@dataclass
class Against:
    """One peer's share of a case."""

    way: str
    """What was best of it, such as a number of threads."""
    fresh: Times
    reused: Times | None
    error: float | None
    """Its largest error against exact sums, over the largest ``sum |w x|``; None if only `apart` is known."""
    apart: float
    """Largest difference from ferroconv's result."""
    agrees: bool
    ratio: float
    """Its median time over ferroconv's, both into fresh outputs."""
    ratio_reused: float | None
    rival: bool = True
    """False of a yardstick, which does less than is asked for: taking longer than it is no loss."""
    ratio_alone: float | None = None
    """The same of one thread each, both into reused outputs."""

    @property
    def lost(self) -> bool:
        """Whether ferroconv is slower, and should not be."""
        return self.rival and self.ratio < 1


@dataclass
class Outcome:
    """A case, timed and checked."""

    name: str
    case: Any
    """A dataclass of one of `suites.SUITES`."""
    implementation: str
    threads: int
    fresh: Times
    reused: Times | None
    one_thread: Times | None
    """Into a reused output."""
    error: float | None
    correct: bool
    peers: dict[str, Against] = field(default_factory=dict)
    group: str = ""
    """What is summed up together."""
    times: int = 1
    """How often it counts in a sum: a layer, as often as its network has it."""

    @property
    def sound(self) -> bool:
        """Whether all results are right."""
        return self.correct and all(against.agrees for against in self.peers.values())
