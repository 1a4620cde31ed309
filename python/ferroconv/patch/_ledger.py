"""What was called while SciPy was patched: counts, times, reasons."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Row:
    """One function's calls."""

    function: str
    """Its name in SciPy, such as ``ndimage.sobel``."""
    here: int = 0
    """Calls that ferroconv has answered."""
    seconds: float = 0.0
    """Time spent in those."""
    handed: Counter[str] = field(default_factory=Counter)
    """Calls that SciPy has answered, or refused, by the reason."""
    handed_seconds: float = 0.0
    """Time spent in those."""
    measured: int = 0
    """Calls answered here of a kind that SciPy was timed on."""
    saved: float = 0.0
    """SciPy's time on those, as it was measured once for each kind, less ferroconv's."""
    measuring: float = 0.0
    """Time that the measuring itself has taken."""


@dataclass(frozen=True)
class Report:
    """What was called; prints as a table."""

    rows: list[Row]

    def __str__(self) -> str:
        if not self.rows:
            return "ferroconv.patch: no patched function was called."
        lines = [("function", "calls here", "s", "handed to SciPy", "s", "s saved (estimate)")]
        lines += [
            (row.function, str(row.here), f"{row.seconds:.3f}", str(row.handed.total()), f"{row.handed_seconds:.3f}",
             _estimate(row))
            for row in self.rows
        ]  # fmt: skip
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        for row in self.rows:
            text += [f"{row.function}: SciPy had {count}: {reason}" for reason, count in row.handed.most_common()]
        return "\n".join([*text, self._saving()])

    def _saving(self) -> str:
        measured, here = sum(row.measured for row in self.rows), sum(row.here for row in self.rows)
        if not measured:
            return "Time saved: not measured; patch_scipy(measure=True) times SciPy on the first call of each kind."
        return (
            f"Time saved: about {sum(row.saved for row in self.rows):.3f} s in {measured} of the {here} calls here, if "
            "SciPy takes each time what it took on the first call of that kind (function, shapes, dtypes, options); "
            f"the others were not measured. Measuring took {sum(row.measuring for row in self.rows):.3f} s."
        )


def _estimate(row: Row) -> str:
    if not row.measured:
        return "not measured"
    return f"{row.saved:.3f}" if row.measured == row.here else f"{row.saved:.3f} ({row.measured} calls)"


class Ledger:
    """The counts behind a report; many threads may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}

    def answered(self, function: str, seconds: float, theirs: float | None) -> None:
        """Count a call answered here; `theirs` is SciPy's time on a call of its kind, if that is known."""
        with self._lock:
            row = self._row(function)
            row.here += 1
            row.seconds += seconds
            if theirs is not None:
                row.measured += 1
                row.saved += theirs - seconds

    def handed(self, function: str, seconds: float, reason: str) -> None:
        """Count a call that SciPy has answered or refused."""
        with self._lock:
            row = self._row(function)
            row.handed[reason] += 1
            row.handed_seconds += seconds

    def measured(self, function: str, seconds: float) -> None:
        """Count the time that measuring took."""
        with self._lock:
            self._row(function).measuring += seconds

    def report(self) -> Report:
        """The counts so far."""
        with self._lock:
            rows = [Row(**{**vars(row), "handed": Counter(row.handed)}) for row in self._rows.values()]
        return Report(sorted(rows, key=lambda row: row.function))

    def _row(self, function: str) -> Row:
        return self._rows.setdefault(function, Row(function))
