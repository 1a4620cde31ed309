"""Pictures of results and of speeds, as PNG."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INK, PAPER = "#22262e", "#fbfaf7"
COLOURS = ("#b5482a", "#d99a4e", "#3f6f86", "#7a8f5a", "#8a5a83", "#5c5c5c", "#c27ba0", "#4f8f8b")
PANEL_PIXELS = 720
"""A panel shows this many pixels of a side at most: more would not be seen."""


def new_figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def _shown(result: Array, signed: bool) -> tuple[Array, float, float]:
    """A panel's pixels and the values that are black and white: symmetric about zero for signed results."""
    step = max(1, result.shape[0] // PANEL_PIXELS)
    pixels = np.asarray(result[::step, ::step], np.float32)
    if not signed:
        return pixels, 0.0, 255.0
    reach = max(float(np.percentile(np.abs(pixels), 99.3)), 1e-6)
    return pixels, -reach, reach


def grid(path: Path, panels: Sequence[tuple[str, Array, bool]], title: str) -> None:
    """Write results side by side, three in a row. Each: its name, its pixels, whether zero is grey."""
    columns = 3
    rows = -(-len(panels) // columns)
    figure = new_figure(4.0 * columns, 4.25 * rows + 0.75)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, result, signed) in zip(axes.flat, panels, strict=False):
        pixels, black, white = _shown(result, signed)
        axis.imshow(pixels, cmap="gray", vmin=black, vmax=white, interpolation="antialiased")
        axis.set_title(name, fontsize=11, color=INK, pad=6, loc="left")
    figure.suptitle(title, fontsize=16, color=INK, x=0.014, ha="left", weight="bold")
    figure.tight_layout(rect=(0.005, 0.002, 0.995, 0.99), w_pad=0.8, h_pad=1.2)
    figure.savefig(path, facecolor=PAPER)


Ratios = Mapping[str, Mapping[str, float]]


def bars(path: Path, groups: Mapping[str, Ratios], title: str, note: str) -> None:
    """Write a chart for each group, in it a bar for each problem and peer: how many times ferroconv is as quick."""
    peers = list(dict.fromkeys(peer for group in groups.values() for one in group.values() for peer in one))
    # With more peers than colours, some share one.
    colours = dict(zip(peers, itertools.cycle(COLOURS), strict=False))
    values = [value for group in groups.values() for one in group.values() for value in one.values()]
    limits = min(0.75, *values) * 0.85, max(2.0, *values) * 1.9
    heights = [sum(len(one) + 0.65 for one in group.values()) + 1.5 for group in groups.values()]
    figure = new_figure(10.5, 1.7 + 0.235 * sum(heights))
    axes = figure.subplots(
        len(groups), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.12}
    )[:, 0]
    for axis, (name, group) in zip(axes, groups.items(), strict=True):
        _chart(axis, name, group, colours, limits)
    for axis in axes[:-1]:
        axis.tick_params(axis="x", which="both", length=0)
        axis.spines["bottom"].set_visible(False)
    handles = [_patch(colours[peer], peer) for peer in peers]
    figure.legend(
        handles=handles, loc="upper right", ncols=len(peers), frameon=False, fontsize=9.5, labelcolor=INK,
        bbox_to_anchor=(0.985, 1 - 0.52 / figure.get_figheight()),
    )  # fmt: skip
    axes[-1].set_xlabel(note, fontsize=9, color=INK, labelpad=8)
    figure.suptitle(title, fontsize=15, color=INK, x=0.02, ha="left", weight="bold")
    inches = figure.get_figheight()
    figure.subplots_adjust(left=0.155, right=0.985, top=1 - 1.15 / inches, bottom=0.62 / inches)
    figure.savefig(path, facecolor=PAPER)


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def _chart(axis: Any, name: str, group: Ratios, colours: Mapping[str, str], limits: tuple[float, float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    position, ticks = 0.0, []
    for one in group.values():
        start = position
        for peer, value in one.items():
            # Bars start at 1x, so that a loss grows to the left.
            axis.barh(position, value - 1, left=1, height=0.84, color=colours[peer])
            text = f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x" if value >= 1 else f"{value:.2f}x"
            axis.annotate(
                text, (max(value, 1.0), position), (4, 0), textcoords="offset points",
                va="center", fontsize=8.5, color=INK,
            )  # fmt: skip
            position += 1
        ticks.append((start + position - 1) / 2)
        position += 0.65
    axis.set_facecolor(PAPER)
    axis.set_title(name, fontsize=11, color=INK, loc="left", weight="bold", pad=2)
    axis.set_yticks(ticks, list(group), fontsize=9.5, color=INK)
    axis.set_ylim(position - 0.4, -0.8)
    axis.set_xscale("log")
    axis.set_xlim(*limits)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.axvline(1, color=INK, linewidth=1)
    axis.grid(axis="x", which="major", color="#d8d5cc", linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)
