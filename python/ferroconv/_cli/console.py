"""What the command writes: text and tables on standard output, progress on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich import box
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

LEAST_WIDTH = 184
"""Columns that tables may take: a narrow terminal wraps their lines, and no cell is cut short."""


class Step(Protocol):
    """Says that the next piece of work begins."""

    def __call__(self, what: str) -> None:
        """Begin `what`; the piece before it is done."""


def console() -> Console:
    """The console of this moment's standard output."""
    out = Console(highlight=False)
    if not out.is_terminal:
        return Console(highlight=False, width=LEAST_WIDTH, color_system=None)
    return out if out.width >= LEAST_WIDTH else Console(highlight=False, width=LEAST_WIDTH)


@contextmanager
def progress(total: int) -> Iterator[Step]:
    """A bar on standard error while work goes on; nothing is written if that is no terminal."""
    errors = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description:<48.48}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total)
        begun = False

        def step(what: str) -> None:
            nonlocal begun
            bar.update(task, description=what, advance=1 if begun else 0)
            begun = True

        yield step


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> Group:
    """A titled table whose first `left` columns are text and the others numbers."""
    made = Table(header_style="dim", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for position, name in enumerate(columns):
        made.add_column(name, justify="left" if position < left else "right", no_wrap=position >= left)
    for row in rows:
        made.add_row(*row)
    return Group(Text(title, "bold"), made) if title else Group(made)


def duration(seconds: float) -> str:
    """A time in the unit that suits it: ``8.30 us``, ``4.12 ms``, ``1.21 s``."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 0.9995:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def ratio(value: float) -> str:
    """How many times as quick: ``104x``, ``2.9x``, ``0.85x``."""
    return f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x" if value >= 1 else f"{value:.2f}x"
