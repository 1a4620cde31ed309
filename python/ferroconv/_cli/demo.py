"""The demonstration: the lesson's example, a large photograph, the numbers beside the peers', the times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

import ferroconv
from ferroconv._cli import charts, peers
from ferroconv._cli.accuracy import Judge
from ferroconv._cli.console import Step, console, duration, progress, ratio, table
from ferroconv._cli.photograph import LESSON_IMAGE, LESSON_VALUE, LESSON_WINDOW, Picture, photograph, windows
from ferroconv._cli.timing import QUICK, Contestant, Effort, Timing, race

Array = npt.NDArray[Any]

EFFORT = Effort(0.4, 1, 7)
NUMPY = "NumPy"


@dataclass
class Row:
    """One line of a table: a call of ferroconv's beside the peers'."""

    name: str
    ours: Timing
    peers: dict[str, tuple[Timing, float]] = field(default_factory=dict)
    """Each peer's time and how far its result is from ours at most."""
    wrong: list[str] = field(default_factory=list)
    """What disagrees; empty if all is well."""


@dataclass
class Group:
    """A table: rows in which every peer does the same as ferroconv."""

    chart: str
    title: str
    peers: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


Panel = tuple[str, Array, bool]
"""A picture: its name, its pixels, whether its zero is grey."""


def run(size: int, output: Path, picture: Picture, quick: bool) -> int:
    """Run the demonstration; returns the exit status, 1 if a result disagrees."""
    out = console()
    wrong = lesson(out)
    image = photograph(picture, size)
    facts = ferroconv.info()
    out.print(
        f"A photograph of {size}x{size}, border {peers.BORDER}.\n"
        f"ferroconv {facts['version']} ({facts['profile']} build, {facts['isa_used']}) on {facts['threads']} "
        "thread(s); SciPy on one, as it is made; OpenCV on the better of one and two.\n"
        + ", ".join(f"{name} {version}" for name, version in peers.versions(("scipy", "cv2")).items())
        + ". Times are medians of runs in turn within one process, outputs fresh.\n"
        "ratio: the peer's time over ferroconv's. apart: the largest difference of two results.\n",
        soft_wrap=True,
    )
    groups, panels = measure(image, QUICK if quick else EFFORT)
    for group in groups:
        out.print(_table(group))
        out.print()
        wrong += [f"{group.title}: {row.name}: {what}" for row in group.rows for what in row.wrong]
    output.mkdir(parents=True, exist_ok=True)
    results, speeds = output / "ferroconv-results.png", output / "ferroconv-speed.png"
    charts.grid(results, panels, f"ferroconv: a photograph of {size} x {size}, filtered and pooled")
    charts.bars(
        speeds,
        _ratios(groups),
        "How many times as quick as each peer ferroconv is",
        f"{size} x {size}, {facts['threads']} thread(s), {facts['isa_used']}; medians of interleaved runs; "
        "made by: ferroconv demo",
    )
    out.print(f"The results: {results}\nThe speeds:  {speeds}", soft_wrap=True)
    for what in wrong:
        out.print(f"DISAGREES  {what}", style="bold red", soft_wrap=True)
    if not wrong:
        out.print("Every result agrees.", style="green")
    return 1 if wrong else 0


def lesson(out: Console) -> list[str]:
    """Show that convolution turns its window, on an image small enough to check by hand."""
    valid = ferroconv.signal.convolve2d(LESSON_IMAGE, LESSON_WINDOW, "valid")
    correlated = ferroconv.signal.correlate2d(LESSON_IMAGE, LESSON_WINDOW, "valid")
    turned = LESSON_WINDOW[::-1, ::-1]
    corner = LESSON_IMAGE[:3, :3]
    lines = zip(_lines(corner), _lines(LESSON_WINDOW), _lines(turned), strict=True)
    out.print("The worked example: convolution turns its window by half a turn, correlation does not.\n")
    out.print("   image's corner    K               K turned")
    for one, two, three in lines:
        out.print(f"   {one:<18}{two:<16}{three}")
    products = (corner * turned).ravel()
    terms = " ".join(f"{'-' if value < 0 else '+'} {abs(value)}" for value in products if value).removeprefix("+ ")
    out.print(f"\n   convolution, first valid value: {terms} = {valid[0, 0]}     correlation: {correlated[0, 0]}\n")
    wrong = []
    if valid[0, 0] != LESSON_VALUE or products.sum() != LESSON_VALUE:
        wrong.append(f"the worked example: {valid[0, 0]} instead of {LESSON_VALUE}")
    if correlated[0, 0] != (corner * LESSON_WINDOW).sum():
        wrong.append(f"the worked example, correlated: {correlated[0, 0]}")
    return wrong


def _lines(matrix: Array) -> list[str]:
    return ["[" + " ".join(f"{value:3d}" for value in row) + " ]" for row in matrix]


def measure(image: npt.NDArray[np.uint8], effort: Effort) -> tuple[list[Group], list[Panel]]:
    """Filter and pool the photograph in each way; returns the tables and the pictures."""
    floats = image.astype(np.float32)
    panels: list[Panel] = [("the photograph", image, False)]
    in_floats = Group("float32", "float32, ferroconv.convolve", peers.PEERS)
    saturated = Group("uint8", "uint8, rounded and saturated, ferroconv.convolve", (peers.OPENCV,))
    mirrored = Group("uint8", "uint8, truncated and wrapping, ferroconv.ndimage.convolve", (peers.NDIMAGE,))
    whole = Group("uint8", "uint8 by int16, wrapping, ferroconv.signal.convolve2d", (peers.SIGNAL,))
    pooled = Group("2x2 pooling", "2x2 pooling, ferroconv.nn.max_pool2d and avg_pool2d", (NUMPY, peers.OPENCV))
    filters = windows()
    with progress(3 * len(filters) + 5) as step:
        for name, weights in filters.items():
            row, result = _filter(name, floats, weights.astype(np.float32), "native", effort, step)
            in_floats.rows.append(row)
            panels.append((name, result, abs(weights.sum()) < 1e-9))
        for name, weights in filters.items():
            saturated.rows.append(_filter(name, image, weights, "native", effort, step)[0])
        for name, weights in filters.items():
            mirrored.rows.append(_filter(name, image, weights, "ndimage", effort, step)[0])
        name = "sharpen 3x3"  # of whole numbers
        whole.rows.append(_filter(name, image, filters[name].astype(np.int16), "signal", effort, step)[0])
        for kind in ("max", "average"):
            for pixels in (floats, image):
                row, result = _pool(kind, pixels, effort, step)
                pooled.rows.append(row)
                if pixels is image:
                    panels.append((f"{kind} of 2x2", result, False))
    return [in_floats, saturated, mirrored, whole, pooled], panels


def _ratios(groups: Sequence[Group]) -> dict[str, dict[str, dict[str, float]]]:
    """The chart's bars: chart, row, peer."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for group in groups:
        for row in group.rows:
            bars = found.setdefault(group.chart, {}).setdefault(row.name, {})
            for peer, (timing, _) in row.peers.items():
                bars[peer] = timing.median / row.ours.median
    for chart in found.values():
        for name, one in chart.items():
            chart[name] = {peer: one[peer] for peer in (*peers.PEERS, NUMPY) if peer in one}
    return {name: rows for name, rows in found.items() if any(rows.values())}


def _filter(
    name: str, image: Array, weights: Array, arithmetic: peers.Arithmetic, effort: Effort, step: Step
) -> tuple[Row, Array]:
    step(name)
    problem = peers.Problem(image, weights, arithmetic)
    judge = Judge(problem)
    rivals = peers.rivals(problem)
    timings = race([*peers.ours(problem), *(one for calls in rivals.values() for one in calls)], effort)
    row = Row(name, timings[peers.OURS])
    result = row.ours.result
    if arithmetic == "native":
        exact = judge.against_exact(result)
        if not exact.agrees:
            row.wrong.append(f"{exact.error:.3g} from the exact sum")
    for peer, calls in rivals.items():
        best = min((timings[one.name] for one in calls), key=lambda timing: timing.median)
        verdict = judge.between(result, peer, best.result)
        row.peers[peer] = best, verdict.error
        if not verdict.agrees:
            row.wrong.append(f"{verdict.error:.3g} from {peer}")
    return row, result


def _pool(kind: str, image: Array, effort: Effort, step: Step) -> tuple[Row, Array]:
    """2x2 pooling; NumPy's way is to take blocks as axes, OpenCV's an area average."""
    name = f"{kind} {image.dtype}"
    step(name)
    height, width = image.shape
    batch = image[None, :, :, None]
    blocks = image[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2)
    contestants = [
        Contestant(peers.OURS, lambda: _pooled(kind, batch)),
        Contestant(NUMPY, lambda: _blocks(kind, blocks)),
    ]
    cv2 = peers.opencv()
    if cv2 is not None and kind == "average" and image.dtype == np.float32 and height % 2 == width % 2 == 0:
        size = (width // 2, height // 2)
        contestants.append(Contestant(peers.OPENCV, lambda: cv2.resize(image, size, interpolation=cv2.INTER_AREA)))
    timings = race(contestants, effort)
    row = Row(name, timings.pop(peers.OURS))
    for peer, timing in timings.items():
        apart = np.abs(row.ours.result.astype(np.float64) - timing.result)
        row.peers[peer] = timing, float(apart.max())
        allowed = 4 * np.finfo(np.float32).eps * 255 if image.dtype == np.float32 and kind == "average" else 0.0
        if not np.all(apart <= allowed):
            row.wrong.append(f"{apart.max():.3g} from {peer}")
    return row, row.ours.result


def _pooled(kind: str, batch: Array) -> Array:
    pool = ferroconv.nn.max_pool2d if kind == "max" else ferroconv.nn.avg_pool2d
    return pool(batch, 2)[0, :, :, 0]


def _blocks(kind: str, blocks: Array) -> Array:
    if kind == "max":
        return np.asarray(blocks.max(axis=(1, 3)))
    mean = blocks.mean(axis=(1, 3), dtype=np.float32)
    return np.rint(mean).astype(blocks.dtype) if blocks.dtype.kind in "iu" else mean


def _table(group: Group) -> Any:
    columns = ["", peers.OURS]
    for name in group.peers:
        columns += [name, "ratio", "apart"]
    missing = peers.opencv() is None
    lines = []
    for row in group.rows:
        line = [row.name, duration(row.ours.median)]
        for name in group.peers:
            if name in row.peers:
                timing, apart = row.peers[name]
                line += [duration(timing.median), ratio(timing.median / row.ours.median), f"{apart:.2g}"]
            else:
                line += ["not installed" if missing and name == peers.OPENCV else "-", "", ""]
        lines.append(line)
    return table(group.title, columns, lines)
