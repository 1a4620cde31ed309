"""What `ferroconv bench` prints and writes: a table, JSON, Markdown, the README's table."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroconv._cli import charts, peers, summary
from ferroconv._cli.cases import LARGE
from ferroconv._cli.console import duration, ratio, table
from ferroconv._cli.layer_peers import TENSORFLOW
from ferroconv._cli.networks import CONVOLUTIONS, POOLINGS
from ferroconv._cli.plans import TOLERANCE, misplanned

if TYPE_CHECKING:
    from ferroconv._cli.outcomes import Against, Outcome

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
        "Medians of runs in turn within one process.\n" + "\n".join(machine["notes"])
    )


def _optional(value: float | None) -> str:
    return "-" if value is None else "exact" if value == 0 else f"{value:.1e}"


def _lines(outcomes: Sequence[Outcome]) -> list[list[str]]:
    lines = []
    for outcome in outcomes:
        ours = [
            outcome.name,
            outcome.implementation.partition("/")[2] or "-",
            duration(outcome.fresh.median),
            duration(outcome.reused.median) if outcome.reused else "-",
            _optional(outcome.error) if outcome.correct else "WRONG",
        ]
        if not outcome.peers:
            lines.append([*ours, "-", "", "", "", ""])
        lines += [[*ours, against.way, *_against(against)] for against in outcome.peers.values()]
    return lines


def _against(against: Against) -> list[str]:
    error = _optional(against.error)
    if not against.agrees:
        error = f"DISAGREES by {against.apart:.2g}"
    elif against.error is None and not against.rival:
        error = "-"
    elif against.error is None:
        error = "equal" if against.apart == 0 else f"{against.apart:.1e} apart"
    slower = " slower" if against.lost else ""
    reused = duration(against.reused.median) if against.reused else "-"
    return [duration(against.fresh.median), reused, error, ratio(against.ratio) + slower]


def screen(outcomes: Sequence[Outcome]) -> list[Any]:
    """The tables for a terminal: the cases, what they come to, and what was chosen badly."""
    tables = [table("", COLUMNS, _lines(outcomes), left=2)]
    if any(outcome.peers for outcome in outcomes):
        sums = [line.cells for line in summary.lines(outcomes)]
        tables.append(table("\nSummed up", summary.COLUMNS, sums, left=2))
    if any(outcome.case.kind == "plan" for outcome in outcomes):
        tables.append(table(f"\n{_PLANS}", _PLAN_COLUMNS, _plans(outcomes)))
    return tables


_PLANS = f"Choices that take more than {TOLERANCE:g} times the best, by the quickest samples"
_PLAN_COLUMNS = ("case", "chosen", "best", "chosen / best")


def _plans(outcomes: Sequence[Outcome]) -> list[list[str]]:
    return [[*names, f"{times:.2f}"] for *names, times in misplanned(outcomes)] or [["none", "", "", ""]]


def markdown(machine: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The table as Markdown, losses in bold."""
    parts = [heading(machine)]
    sums = [line.cells for line in summary.lines(outcomes)]
    if sums:
        parts.append(_markdown_table(summary.COLUMNS, sums))
    if any(outcome.case.kind == "plan" for outcome in outcomes):
        parts += [f"{_PLANS}:", _markdown_table(_PLAN_COLUMNS, _plans(outcomes))]
    return "\n\n".join([*parts, _markdown_table(COLUMNS, _lines(outcomes))]) + "\n"


def _markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    bold = [[f"**{cell}**" if cell.endswith("slower") else cell for cell in line] for line in lines]
    rows = [columns, ["---"] * 2 + ["---:"] * (len(columns) - 2), *bold]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(output: Path, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> list[Path]:
    """Write the JSON and the Markdown file, and a chart of the means if there are any; returns their paths."""
    output.parent.mkdir(parents=True, exist_ok=True)
    data, text = output.with_suffix(".json"), output.with_suffix(".md")
    content = {"machine": machine, "outcomes": [asdict(outcome) for outcome in outcomes]}
    data.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text.write_text(markdown(machine, outcomes), encoding="utf-8")
    bars = summary.chart(summary.lines(outcomes))
    if not bars:
        return [data, text]
    picture = output.with_suffix(".png")
    note = (
        f"the peer's time over ferroconv's: geometric means of {len(outcomes)} cases; {machine['isa_used']}, "
        f"{machine['threads']} thread(s)"
    )
    charts.bars(picture, bars, "How many times as quick ferroconv is", note)
    return [data, text, picture]


def update_readme(readme: Path, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Replace the tables of `readme` that the outcomes are enough for: each stands between markers of its name."""
    text = readme.read_text(encoding="utf-8")
    for name, made in _TABLES.items():
        content = made(machine, outcomes)
        if not content:
            continue
        begin, end = (f"<!-- {name}:{word} -->" for word in ("begin", "end"))
        before, begins, rest = text.partition(begin)
        _, ends, after = rest.partition(end)
        if not begins or not ends:
            raise ValueError(f"The README must hold the lines {begin} and {end}. Received: {readme} without them.")
        text = f"{before}{begin}\n{content}{end}{after}"
    readme.write_text(text, encoding="utf-8")


def _images(machine: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The README's table of large images: each peer's time as a multiple of ferroconv's."""
    kinds = ("native", "filters")
    shown = [outcome for outcome in outcomes if outcome.case.kind in kinds and outcome.case.size == LARGE]
    if all(outcome.case.kind in ("conv", "pool") for outcome in outcomes):
        return ""
    others = (peer for outcome in shown for peer in outcome.peers)
    columns = list(dict.fromkeys([*peers.PEERS, *others]))
    rows = []
    for outcome in shown:
        cells = [outcome.case.dtype, outcome.case.label, duration(outcome.fresh.median)]
        against = (outcome.peers.get(peer) for peer in columns)
        rows.append([*cells, *(_cell(one) if one else "" for one in against)])
    return (
        f"{LARGE} x {LARGE} images. In brackets: how many times as quick ferroconv is.\n\n"
        f"{_markdown_table(['dtype', 'window', 'ferroconv', *columns], rows)}\n\n"
        f"{heading(machine)}\nMade by `ferroconv bench 2048 --readme README.md`.\n"
    )


_FRAMEWORKS = {peers.TORCH: "torch", TENSORFLOW: "tensorflow"}
"""In the order of a cell, and the names of their versions."""


def _means(means: Sequence[float | None]) -> str:
    """A cell: a mean for each framework, none if no framework computes these layers."""
    if all(mean is None for mean in means):
        return ""
    return " / ".join("-" if mean is None else _bold(ratio(mean), mean < 1) for mean in means)


def _layers(kind: str, machine: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """The README's table of layers: for each network and direction the geometric mean over each framework's times."""
    sums = [line for line in summary.lines(outcomes) if line.group.startswith(f"{kind}/")]
    frameworks = [peer for peer in _FRAMEWORKS if any(line.peer == peer for line in sums)]
    means = {(line.group, line.peer): line.mean for line in sums}
    split = [line.group.split("/", 2) for line in sums]
    networks, directions = (list(dict.fromkeys(part[i] for part in split)) for i in (1, 2))
    if not set(CONVOLUTIONS if kind == "conv" else POOLINGS) <= set(networks):
        return ""
    rows = []
    for network in networks:
        groups = [f"{kind}/{network}/{direction}" for direction in directions]
        rows.append([network, *(_means([means.get((group, peer)) for peer in frameworks]) for group in groups)])
    header = ["network", *directions]
    lines = [header, ["---"] + ["---:"] * len(directions), *rows]
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    versions = machine["versions"]
    named = " / ".join(f"{peer} {versions.get(_FRAMEWORKS[peer], '')}" for peer in frameworks)
    return (
        f"{body}\nGeometric means over the layers against {named}, each in its better layout and over the layers that "
        f"it computes; {machine['threads']} thread(s).\nMade by `ferroconv bench {kind}/ --readme README.md`.\n"
    )


_TABLES: dict[str, Callable[[dict[str, Any], Sequence[Outcome]], str]] = {
    "bench": _images, "conv": functools.partial(_layers, "conv"), "pool": functools.partial(_layers, "pool"),
}  # fmt: skip


def _bold(text: str, loss: bool) -> str:
    return f"**{text}**" if loss else text


def _cell(against: Against) -> str:
    return _bold(f"{duration(against.fresh.median)} ({ratio(against.ratio)})", against.lost)
