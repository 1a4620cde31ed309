"""`ferroconv filter`: from files to filtered files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli import pictures
from ferroconv._cli.console import progress
from ferroconv._cli.filters import Run
from ferroconv._cli.pictures import PictureError

Array = npt.NDArray[Any]
Alpha = Literal["keep", "premultiply"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""
GAP, SIDE = 8, 1024
"""Pixels between the two pictures of a preview, and along the longer side of each at most."""


@dataclass(frozen=True)
class Recipe:
    """What is done to each image."""

    filters: Sequence[Run]
    border: str = "reflect"
    cval: float = 0.0
    dtype: str | None = None
    alpha: Alpha = "keep"
    channels: Literal["auto", "none"] = "auto"
    threads: int | None = None

    def has_channels(self, image: Array) -> bool:
        """Whether the last axis are channels: from 2 to 4 of them, as images have."""
        return self.channels == "auto" and image.ndim >= 3 and 2 <= image.shape[-1] <= 4

    def result(self, image: Array) -> np.dtype[Any]:
        """The result's dtype."""
        return np.dtype(self.dtype) if self.dtype else image.dtype.newbyteorder("=")

    def apply(self, image: Array) -> Array:
        """Filter one image: in floating point from filter to filter, rounded and saturated once, at the end."""
        target = self.result(image)
        if not self.has_channels(image):
            return self._chain(image, target, None)
        if image.shape[-1] == 3:
            return self._chain(image, target, -1)
        colours, alpha = image[..., :-1], image[..., -1:]
        if self.alpha == "keep":
            return np.concatenate([self._chain(colours, target, -1), self._store(alpha, target)], -1)
        # As light that is let through: what is transparent has no colour to give to its neighbours.
        work = _work(image.dtype)
        full = float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 1.0
        share = alpha.astype(work) / full
        light = self._chain(np.concatenate([colours * share, share], -1), work, -1)
        share = np.clip(light[..., -1:], 0, 1)
        there = share > 0
        colours = np.divide(light[..., :-1], share, out=np.zeros_like(light[..., :-1]), where=there)
        return self._store(np.concatenate([colours, share * full], -1), target)

    def _chain(self, image: Array, target: np.dtype[Any], channel_axis: int | None) -> Array:
        work = _work(image.dtype)
        for position, run in enumerate(self.filters, 1):
            image = run(
                image, border=self.border, cval=self.cval, channel_axis=channel_axis, workers=self.threads,
                dtype=target if position == len(self.filters) else work,
            )  # fmt: skip
        return image

    def _store(self, image: Array, target: np.dtype[Any]) -> Array:
        return ferroconv.correlate(image, [[1]], dtype=target, workers=self.threads)


def _work(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type between filters: one that holds every value."""
    return np.result_type(dtype, np.float32)


@dataclass(frozen=True)
class Task:
    """One file, and where its result goes."""

    source: Path
    target: Path


def tasks(inputs: Sequence[str], output: Path, suffix: str | None) -> list[Task]:
    """Which files are read and written.

    Raises
    ------
    click.UsageError
        For inputs that aren't there, and for outputs that can't take them all.
    """
    sources, several = [], len(inputs) > 1
    for given in inputs:
        found = list(_sources(Path(given)))
        several = several or found != [Path(given)]
        if not found:
            raise click.UsageError(f"{given}: there is no such image, or folder of images.")
        sources += found
    named = output.suffix.lower() in pictures.BY_SUFFIX
    if not several and output.suffix and (named or not output.is_dir()):
        if suffix and output.suffix != suffix:
            raise click.UsageError(f"--suffix is for a folder of outputs; {output} has one of its own.")
        return [Task(sources[0], output)]
    if named or (output.exists() and not output.is_dir()):
        raise click.UsageError(f"{output}: several images need a folder as OUTPUT.")
    found_tasks = [Task(source, output / (source.with_suffix(suffix) if suffix else source).name) for source in sources]
    taken: dict[Path, Path] = {}
    for task in found_tasks:
        if task.target in taken:
            raise click.UsageError(f"{taken[task.target]} and {task.source} would both be written to {task.target}.")
        taken[task.target] = task.source
    return found_tasks


def _sources(given: Path) -> Iterator[Path]:
    """The images of a folder, those that a pattern names, or one."""
    if given.suffix.lower() in pictures.BY_SUFFIX and given.exists():
        yield given
    elif given.is_dir():
        yield from sorted(path for path in given.iterdir() if _is_image(path))
    elif any(mark in str(given) for mark in "*?["):
        anchor = Path(given.anchor)
        yield from sorted(path for path in anchor.glob(str(given.relative_to(anchor))) if _is_image(path))
    elif given.exists():
        yield given


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in pictures.BY_SUFFIX and not path.name.startswith(".")


def run(work: Sequence[Task], recipe: Recipe, *, force: bool, preview: bool, quiet: bool) -> int:
    """Filter each file; say on standard error which failed and why. Returns the exit status."""
    failed = 0
    try:
        with progress(len(work)) as step:
            for task in work:
                step(task.source.name)
                try:
                    _filter(task, recipe, force, preview)
                except (PictureError, ValueError, TypeError, NotImplementedError, OSError, MemoryError) as error:
                    failed += 1
                    print(f"ferroconv: {task.source}: {error or type(error).__name__}", file=sys.stderr)
                else:
                    if not quiet:
                        print(f"{task.source} -> {task.target}")
    except KeyboardInterrupt:
        print("ferroconv: interrupted; files that were written are whole.", file=sys.stderr)
        return INTERRUPTED
    return FAILED if failed else OK


def _filter(task: Task, recipe: Recipe, force: bool, preview: bool) -> None:
    shown = task.target.with_name(f"{task.target.stem}.preview.png")
    for path in (task.target, *([shown] if preview else [])):
        if path.exists() and not force:
            raise PictureError(f"{path} exists; --force overwrites it.")
    pictures.format_of(task.target)
    image = pictures.read(task.source)
    channels = recipe.has_channels(image)
    pictures.check(task.target, recipe.result(image), image.shape, channels)
    result = recipe.apply(image)
    pictures.write(task.target, result, channels)
    if preview:
        before, after = (_shown(each, channels) for each in (image, result))
        gap = np.full((before.shape[0], GAP, *before.shape[2:]), 255, np.uint8)
        pictures.write(shown, np.concatenate([before, gap, after], 1), channels)


def _shown(image: Array, channels: bool) -> npt.NDArray[np.uint8]:
    """An image as a small one of 8 bits: the first of a stack; what is not of 8 bits from its least to its greatest."""
    image = image.reshape(-1, *image.shape[-3 if channels else -2 :])[0]
    step = -(-max(image.shape[:2]) // SIDE)
    image = image[::step, ::step]
    if image.dtype != np.uint8:
        image = np.abs(image).astype(np.float64) if image.dtype.kind == "c" else image.astype(np.float64)
        known = image[np.isfinite(image)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
        image = np.nan_to_num((image - low) / ((high - low) or 1.0), nan=0.0, posinf=1.0, neginf=0.0) * 255
    return np.asarray(np.rint(image), np.uint8)
