"""What `ferroconv bench` prints and writes: a table, JSON, Markdown, the README's table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroconv._cli import peers
from ferroconv._cli.cases import LARGE
from ferroconv._cli.console import duration, ratio, table

if TYPE_CHECKING:
    from ferroconv._cli.bench import Against, Outcome

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
COLUMNS = (
    "case", "implementation", "ferroconv", "out=", "error", "peer", "its time", "reused", "its error", "ratio",
)  # fmt: skip


def heading(machine: dict[str, Any]) -> str:
    """One paragraph on what was measured, on what, and how."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['machine']}; {machine['isa_used']}, {machine['threads']} thread(s) "
        f"of {machine['cores']} core(s), {machine['fma_peak'] / 1e9:.0f} GFLOP/s and "
        f"{machine['copy_speed'] / 1e9:.1f} GB/s a thread.\n"
        f"Python {machine['python']}, {versions}; {machine['profile']} build.\n"
        f"Border {peers.BORDER}. Medians of runs in turn within one process; SciPy runs on one thread, OpenCV on the "
        "better of one and two.\nRatio: the peer's time over ferroconv's, both into fresh outputs. "
        "Error: the largest against higher precision, over the largest sum |w x|; of named filters, in levels. "
        "Of these, scipy.ndimage is compared with ferroconv.ndimage."
    )


def _optional(value: float | None) -> str:
    return "-" if value is None else "exact" if value == 0 else f"{value:.1e}"


def _lines(outcomes: Sequence[Outcome]) -> list[list[str]]:
    lines = []
    for outcome in outcomes:
        ours = [
            outcome.name,
            outcome.implementation.partition("/")[2],
            duration(outcome.fresh.median),
            duration(outcome.reused.median) if outcome.reused else "-",
            _optional(outcome.error) if outcome.correct else "WRONG",
        ]
        if not outcome.peers:
            lines.append([*ours, "-", "", "", "", ""])
        for peer, against in outcome.peers.items():
            lines.append([*ours, peer, *_against(against)])
    return lines


def _against(against: Against) -> list[str]:
    error = _optional(against.error)
    if not against.agrees:
        error = f"DISAGREES by {against.apart:.2g}"
    elif against.error is None:
        error = "equal"
    slower = " slower" if against.ratio < 1 else ""
    reused = duration(against.reused.median) if against.reused else "-"
    return [duration(against.fresh.median), reused, error, ratio(against.ratio) + slower]


def screen(outcomes: Sequence[Outcome]) -> Any:
    """The table for a terminal."""
    return table("", COLUMNS, _lines(outcomes), left=2)


def markdown(machine: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The table as Markdown, losses in bold."""
    lines = [[*line[:-1], f"**{line[-1]}**" if line[-1].endswith("slower") else line[-1]] for line in _lines(outcomes)]
    rows = [COLUMNS, ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2), *lines]
    return f"{heading(machine)}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write(output: Path, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> list[Path]:
    """Write the JSON and the Markdown file; returns their paths."""
    output.parent.mkdir(parents=True, exist_ok=True)
    data, text = output.with_suffix(".json"), output.with_suffix(".md")
    content = {"machine": machine, "outcomes": [asdict(outcome) for outcome in outcomes]}
    data.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text.write_text(markdown(machine, outcomes), encoding="utf-8")
    return [data, text]


def update_readme(readme: Path, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Replace what stands between the markers of `readme` by the large images' table."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The README must hold the lines {BEGIN} and {END}. Received: {readme} without them.")
    readme.write_text(f"{before}{BEGIN}\n{summary(machine, outcomes)}{END}{after}", encoding="utf-8")


def summary(machine: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The README's table: large images, each peer's time as a multiple of ferroconv's."""
    rows = [["dtype", "window", "ferroconv", *peers.PEERS], ["---", "---"] + ["---:"] * 4]
    for outcome in outcomes:
        case = outcome.case
        if case.arithmetic != "native" or case.size != LARGE:
            continue
        cells = [case.dtype, f"{case.taps}x{case.taps}", duration(outcome.fresh.median)]
        for peer in peers.PEERS:
            against = outcome.peers.get(peer)
            cells.append(_cell(against) if against else "")
        rows.append(cells)
    body = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return (
        f"{LARGE} x {LARGE} images. In brackets: how many times as quick ferroconv is.\n\n{body}\n"
        f"{heading(machine)}\nMade by `ferroconv bench native --readme README.md`.\n"
    )


def _cell(against: Against) -> str:
    text = f"{duration(against.fresh.median)} ({ratio(against.ratio)})"
    return f"**{text}**" if against.ratio < 1 else text
