"""What `ferroconv lenet train` draws: the training curve, feature maps and the confusion matrix, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ferroconv._cli.charts import COLOURS, INK, PAPER, Array, new_figure


def curve(path: Path, history: Mapping[str, Sequence[float]], title: str) -> None:
    """Write loss and accuracy of each epoch, of the training images and of those held back."""
    figure = new_figure(9.0, 3.9)
    axes = figure.subplots(1, 2)
    for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
        for key, label, colour in ((name, "training", COLOURS[2]), (f"val_{name}", "test", COLOURS[0])):
            values = history[key]
            axis.plot(range(1, len(values) + 1), values, color=colour, marker="o", markersize=3.5, label=label)
        axis.set_title(name, fontsize=11, color=INK, loc="left")
        axis.set_xlabel("epoch", fontsize=9, color=INK)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_facecolor(PAPER)
        axis.grid(color="#d8d5cc", linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=9)
    _save(figure, path, title)


def feature_maps(path: Path, image: Array, maps: Array, layer: str, title: str) -> None:
    """Write an image and beside it what each map of a layer makes of it; zero is grey in the middle."""
    count = maps.shape[-1]
    columns = (count + 1) // 2 + 1
    figure = new_figure(1.9 * columns, 4.7)
    axes = figure.subplots(2, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    axes[0, 0].imshow(image, cmap="gray")
    axes[0, 0].set_title("input", fontsize=10, color=INK, loc="left")
    reach = max(float(abs(maps).max()), 1e-6)
    for position, axis in zip(range(count), axes[:, 1:].flat, strict=False):
        axis.imshow(maps[..., position], cmap="gray", vmin=-reach, vmax=reach)
        axis.set_title(f"{layer}, map {position + 1}", fontsize=10, color=INK, loc="left")
    _save(figure, path, title)


def confusion(path: Path, counts: Array, title: str) -> None:
    """Write a matrix of counts: a row for each true class, a column for each answer."""
    size = len(counts)
    figure = new_figure(0.52 * size + 1.4, 0.52 * size + 1.4)
    axis = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axis.imshow(shares, cmap="YlOrBr", vmin=0, vmax=1)
    for (row, column), count in _entries(counts):
        colour = PAPER if shares[row, column] > 0.55 else INK
        axis.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(size))
    axis.set_yticks(range(size))
    axis.set_xlabel("answer", fontsize=10, color=INK)
    axis.set_ylabel("truth", fontsize=10, color=INK)
    _save(figure, path, title)


def _entries(counts: Array) -> list[tuple[tuple[int, int], Any]]:
    size = range(len(counts))
    return [((row, column), counts[row, column]) for row in size for column in size if counts[row, column]]


def _save(figure: Any, path: Path, title: str) -> None:
    figure.suptitle(title, fontsize=13, color=INK, x=0.014, ha="left", weight="bold")
    figure.tight_layout(rect=(0.005, 0.002, 0.995, 0.98))
    figure.savefig(path, facecolor=PAPER)
