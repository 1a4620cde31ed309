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
        + ", ".join(f"{name} {version}" for name, version in peers.versions().items())
        + ". Times are medians, taken in turn in one process; outputs are fresh.\n",
        soft_wrap=True,
    )
    effort = QUICK if quick else EFFORT
    tables, panels = measure(image, effort)
    for title, names, rows in tables:
        out.print(_table(title, names, rows))
        out.print()
        wrong += [f"{row.name}: {what}" for row in rows for what in row.wrong]
    output.mkdir(parents=True, exist_ok=True)
    results, speeds = output / "ferroconv-results.png", output / "ferroconv-speed.png"
    charts.grid(results, panels, f"ferroconv: one photograph, {size} x {size}")
    ratios = {
        row.name: {peer: timing.median / row.ours.median for peer, (timing, _) in row.peers.items()}
        for _, _, rows in tables
        for row in rows
        if row.peers
    }
    charts.bars(
        speeds,
        ratios,
        "How many times as quick as its peers ferroconv is",
        f"{size} x {size}, {facts['threads']} threads, {facts['isa_used']}; medians of interleaved runs; made by ferroconv demo",
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


Tables = list[tuple[str, Sequence[str], list[Row]]]


def measure(image: npt.NDArray[np.uint8], effort: Effort) -> tuple[Tables, list[tuple[str, Array]]]:
    """Filter and pool the photograph in each way; returns the tables and the pictures."""
    floats = image.astype(np.float32)
    panels: list[tuple[str, Array]] = [("the photograph", image)]
    in_floats, saturated, mirrored, pooled = [], [], [], []
    filters = windows()
    with progress(3 * len(filters) + 5) as step:
        for name, weights in filters.items():
            row, result = _filter(f"{name} float32", floats, weights.astype(np.float32), "native", effort, step)
            in_floats.append(row)
            panels.append((name, result))
        for name, weights in filters.items():
            saturated.append(_filter(f"{name} uint8", image, weights, "native", effort, step)[0])
        for name, weights in filters.items():
            mirrored.append(_filter(f"{name} uint8 as ndimage", image, weights, "ndimage", effort, step)[0])
        whole = filters["edge 3x3"].astype(np.int16)
        mirrored.append(_filter("edge 3x3 uint8 as signal", image, whole, "signal", effort, step)[0])
        for kind in ("max", "mean"):
            for pixels in (floats, image):
                row, result = _pool(kind, pixels, effort, step)
                pooled.append(row)
                if pixels is image:
                    panels.append((f"2x2 {kind} pooled", result))
    spread = [panels[0], *panels[-2:], *panels[1:-2]]
    tables: Tables = [
        ("float32: ferroconv.convolve", peers.PEERS, in_floats),
        ("uint8, rounded and saturated: ferroconv.convolve (1 level apart: ties)", (peers.OPENCV,), saturated),
        (
            "uint8 in SciPy's arithmetic, wrapping: ferroconv.ndimage.convolve, ferroconv.signal.convolve2d",
            (peers.SIGNAL, peers.NDIMAGE),
            mirrored,
        ),
        ("2x2 pooling: ferroconv.nn.max_pool2d, avg_pool2d", (NUMPY, peers.OPENCV), pooled),
    ]
    return tables, spread


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
    name = f"{kind} 2x2 {image.dtype}"
    step(name)
    height, width = image.shape
    batch = image[None, :, :, None]
    blocks = image[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2)
    contestants = [
        Contestant(peers.OURS, lambda: _pooled(kind, batch)),
        Contestant(NUMPY, lambda: _blocks(kind, blocks)),
    ]
    cv2 = peers.opencv()
    if cv2 is not None and kind == "mean" and image.dtype == np.float32 and height % 2 == width % 2 == 0:
        size = (width // 2, height // 2)
        contestants.append(
            Contestant(peers.OPENCV, lambda: cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        )
    timings = race(contestants, effort)
    row = Row(name, timings.pop(peers.OURS))
    for peer, timing in timings.items():
        apart = np.abs(row.ours.result.astype(np.float64) - timing.result)
        row.peers[peer] = timing, float(apart.max())
        allowed = 4 * np.finfo(np.float32).eps * 255 if image.dtype == np.float32 and kind == "mean" else 0.0
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


def _table(title: str, names: Sequence[str], rows: Sequence[Row]) -> Any:
    columns = ["", peers.OURS]
    for name in names:
        columns += [name, "ratio", "apart"]
    missing = peers.opencv() is None
    lines = []
    for row in rows:
        line = [row.name, duration(row.ours.median)]
        for name in names:
            if name in row.peers:
                timing, apart = row.peers[name]
                line += [duration(timing.median), ratio(timing.median / row.ours.median), f"{apart:.2g}"]
            else:
                line += ["not installed" if missing and name == peers.OPENCV else "-", "", ""]
        lines.append(line)
    return table(title, columns, lines)
