"""What the project holds itself to: checked by `ferroconv bench --check`, on an idle machine, never by tests."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ferroconv
from ferroconv._cli import peers
from ferroconv._cli.cases import LARGE, TAPS

if TYPE_CHECKING:
    from ferroconv._cli.outcomes import Outcome

IMPORT_SHARE = 1 / 3
MEMORY_SLACK = 64 * 2**20
PEAK_SHARE = 0.6


@dataclass(frozen=True)
class Line:
    """One target, and whether it was met; None if nothing was measured for it."""

    passed: bool | None
    text: str

    @classmethod
    def of(cls, passed: bool | None, claim: str, measured: str) -> Line:
        """A line that begins with its verdict."""
        word = {True: "pass", False: "MISS", None: "----"}[passed]
        return cls(passed, f"{word}  {claim}: {measured}")


def lines(outcomes: Sequence[Outcome], quick: bool) -> Iterator[Line]:
    """Every target in turn."""
    for dtype, peer, wanted in (
        ("float32", peers.SIGNAL, 100.0),
        ("float32", peers.NDIMAGE, 40.0),
        ("float64", peers.SIGNAL, 50.0),
        ("float64", peers.NDIMAGE, 15.0),
    ):
        yield _overall(outcomes, dtype, peer, wanted)
    cells = _large(outcomes, "float32", peers.OPENCV, range(5, 12))
    yield _floor("float32 5x5 to 11x11, each at least 2.5x OpenCV", cells, 2.5)
    small = [
        (outcome.name, against.ratio)
        for outcome in outcomes
        if outcome.case.kind in ("ndimage", "signal")
        for against in outcome.peers.values()
    ]
    yield _floor("no dtype slower than SciPy", small, 1.0)
    yield _floor("a call on an 8x8 image no slower than SciPy's", [c for c in small if "/8x8/" in c[0]], 1.0)
    tiny = [
        (outcome.name, against.ratio)
        for outcome in outcomes
        if outcome.case.kind == "small" and outcome.case.size == 8
        for against in outcome.peers.values()
    ]
    yield _floor("a filter of an 8x8 image no slower than SciPy's", tiny, 1.0)
    yield _peak(outcomes)
    yield _import()
    yield _memory(quick)


Cells = list[tuple[str, float]]


def _large(outcomes: Sequence[Outcome], dtype: str, peer: str, taps: Iterable[int]) -> Cells:
    return [
        (outcome.name, outcome.peers[peer].ratio)
        for outcome in outcomes
        if outcome.case.kind == "native"
        and outcome.case.size == LARGE
        and outcome.case.dtype == dtype
        and outcome.case.taps in taps
        and peer in outcome.peers
    ]


def _overall(outcomes: Sequence[Outcome], dtype: str, peer: str, wanted: float) -> Line:
    """The geometric mean reaches the target and no cell is below half of it."""
    cells = _large(outcomes, dtype, peer, TAPS)
    claim = f"{dtype}, {LARGE}x{LARGE}, 5x5 and up, at least {wanted:g}x {peer} (no cell below half)"
    if not cells:
        return Line.of(None, claim, "not measured")
    mean = statistics.geometric_mean(value for _, value in cells)
    worst, least = min(cells, key=lambda cell: cell[1])
    return Line.of(mean >= wanted and least >= wanted / 2, claim, f"mean {mean:.1f}x, least {least:.1f}x ({worst})")


def _floor(claim: str, cells: Cells, wanted: float) -> Line:
    if not cells:
        return Line.of(None, claim, "not measured")
    below = [cell for cell in cells if cell[1] < wanted]
    worst, least = min(cells, key=lambda cell: cell[1])
    return Line.of(not below, claim, f"{len(below)} of {len(cells)} below, least {least:.2f}x ({worst})")


def _peak(outcomes: Sequence[Outcome]) -> Line:
    claim = f"float32, 7x7 and up, one thread, out= reused: {PEAK_SHARE:.0%} of the measured FMA peak"
    peak = ferroconv.info(measure=True)["fma_peak"]
    shares = [
        (outcome.name, 2 * outcome.case.size**2 * outcome.case.taps**2 / outcome.one_thread.median / peak)
        for outcome in outcomes
        if outcome.one_thread is not None and outcome.case.dtype == "float32" and outcome.case.taps >= 7
    ]
    if not shares:
        return Line.of(None, claim, "not measured")
    worst, least = min(shares, key=lambda share: share[1])
    return Line.of(least >= PEAK_SHARE, claim, f"least {least:.0%} ({worst})")


_IMPORTS = """
import json, time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import ferroconv
print(json.dumps([middle - start, time.perf_counter() - middle]))
"""


def _import() -> Line:
    runs = [json.loads(_python(_IMPORTS)) for _ in range(7)]
    numpy, ours = (statistics.median(run[part] for run in runs) for part in (0, 1))
    return Line.of(
        ours < numpy * IMPORT_SHARE,
        "import ferroconv takes less than a third of import numpy",
        f"{ours * 1e3:.1f} ms on top of {numpy * 1e3:.1f} ms",
    )


_PEAK_MEMORY = """
import resource, sys
import numpy as np
import ferroconv
unit = 1 if sys.platform == "darwin" else 1024
image, out = np.ones((16384, 16384), np.float32), np.zeros((16384, 16384), np.float32)
out.fill(1)
weights = np.ones((7, 7), np.float32)
ferroconv.convolve(image[:64, :64], weights)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ferroconv.convolve(image, weights, out=out)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


def _memory(quick: bool) -> Line:
    claim = "16384x16384 float32 with out=: no more than 64 MiB besides the arrays"
    if quick or sys.platform == "win32":
        return Line.of(None, claim, "not measured")
    extra = int(_python(_PEAK_MEMORY))
    return Line.of(extra <= MEMORY_SLACK, claim, f"{extra / 2**20:.1f} MiB")


def _python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout
