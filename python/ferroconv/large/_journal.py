"""Which tiles of an unfinished file are done: a text file beside it."""

from __future__ import annotations

from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Where Linux tells one run of the machine from the next: what was written before it stopped may be lost."""


class Journal:
    """The numbers of the tiles that are written, a line each, under a line that says of what."""

    def __init__(self, unfinished: Path, fingerprint: str | None) -> None:
        """Take up the journal of the same work on the same file, or begin anew; None is never the same."""
        self._unfinished = unfinished
        self.path = unfinished.with_name(unfinished.name + ".journal")
        self.done: set[int] = set()
        head = f"{fingerprint} {BOOT.read_text().strip() if BOOT.exists() else ''}".strip()
        if fingerprint is not None and unfinished.exists() and self.path.exists():
            first, *numbers = self.path.read_text().split("\n")[:-1] or [""]  # a line that was cut off does not count
            if first == head:
                self.done = {int(number) for number in numbers}
        if not self.done:
            self.path.write_text(head + "\n")
        self._file = self.path.open("a", buffering=1)

    def add(self, tile: int) -> None:
        """Note that a tile is written."""
        self._file.write(f"{tile}\n")
        self.done.add(tile)

    def close(self, *, finished: bool) -> None:
        """End; what is finished needs no journal, nor what was never begun."""
        self._file.close()
        if finished or not self._unfinished.exists():
            self.path.unlink()
