"""Pictures of results and of speeds, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INK, PAPER = "#22262e", "#fbfaf7"
COLOURS = ("#b5482a", "#d99a4e", "#3f6f86", "#7a8f5a")
PANEL_PIXELS = 720
"""A panel shows this many pixels of a side at most: more would not be seen."""


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def _shown(result: Array) -> tuple[Array, float, float]:
    """A panel's pixels and the values that are black and white: symmetric about zero for signed results."""
    step = max(1, result.shape[0] // PANEL_PIXELS)
    pixels = np.asarray(result[::step, ::step], np.float32)
    if result.dtype == np.uint8:
        return pixels, 0.0, 255.0
    if pixels.min() >= -64:  # a picture of levels, with what sharpening overshoots
        return pixels, 0.0, 255.0
    reach = max(float(np.percentile(np.abs(pixels), 99.3)), 1e-6)
    return pixels, -reach, reach


def grid(path: Path, panels: Sequence[tuple[str, Array]], title: str) -> None:
    """Write results side by side, four in a row."""
    columns = 4
    rows = -(-len(panels) // columns)
    figure = _figure(3.1 * columns, 3.4 * rows + 0.7)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, result) in zip(axes.flat, panels, strict=False):
        pixels, black, white = _shown(result)
        axis.imshow(pixels, cmap="gray", vmin=black, vmax=white, interpolation="antialiased")
        axis.set_title(name, fontsize=10, color=INK, pad=5, loc="left")
    figure.suptitle(title, fontsize=14, color=INK, x=0.02, ha="left", weight="bold")
    figure.tight_layout(rect=(0.005, 0, 1, 0.985), w_pad=0.6, h_pad=0.8)
    figure.savefig(path, facecolor=PAPER)


def bars(path: Path, ratios: Mapping[str, Mapping[str, float]], title: str, note: str) -> None:
    """Write one group of bars for each problem, one bar for each peer: how many times ferroconv is as quick."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    peers = list(dict.fromkeys(peer for one in ratios.values() for peer in one))
    colours = dict(zip(peers, COLOURS, strict=False))
    count = sum(len(one) for one in ratios.values())
    figure = _figure(10.5, 1.9 + 0.27 * count + 0.17 * len(ratios))
    axis = figure.add_subplot(facecolor=PAPER)
    position, ticks = 0.0, []
    labelled: set[str] = set()
    for one in ratios.values():
        start = position
        for peer, value in one.items():
            label = peer if peer not in labelled else None
            labelled.add(peer)
            # Bars start at 1x, so that a loss grows to the left.
            axis.barh(position, value - 1, left=1, height=0.86, color=colours[peer], label=label)
            text = f"{value:.0f}x" if value >= 9.95 else f"{value:.2g}x"
            axis.annotate(
                text, (max(value, 1.0), position), (4, 0), textcoords="offset points",
                va="center", fontsize=8.5, color=INK,
            )  # fmt: skip
            position += 1
        ticks.append((start + position - 1) / 2)
        position += 0.65
    axis.set_yticks(ticks, list(ratios), fontsize=9.5, color=INK)
    axis.invert_yaxis()
    axis.set_xscale("log")
    values = [value for one in ratios.values() for value in one.values()]
    axis.set_xlim(min(0.8, *values) * 0.9, max(2.0, *values) * 1.6)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.axvline(1, color=INK, linewidth=1)
    axis.grid(axis="x", which="major", color="#d8d5cc", linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(note, fontsize=8.5, color=INK)
    axis.legend(loc="lower right", frameon=False, fontsize=9, title="as quick as", alignment="left")
    figure.suptitle(title, fontsize=14, color=INK, x=0.02, ha="left", weight="bold")
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    figure.savefig(path, facecolor=PAPER)
