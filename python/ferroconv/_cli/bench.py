"""`ferroconv bench`: runs the cases and gathers what is to be reported."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

import ferroconv
from ferroconv._cli import peers, report, targets
from ferroconv._cli.console import progress
from ferroconv._cli.suites import Suite, chosen


def run(
    filters: tuple[str, ...],
    out: Console,
    *,
    quick: bool,
    threads: int | None,
    listed: bool,
    output: Path | None,
    readme: Path | None,
    check: bool,
) -> int:
    """Run the cases that `filters` leaves; returns the exit status."""
    suites = chosen(filters, quick)
    work = [(suite.measure, case) for suite, cases in suites for case in cases]
    if listed:
        for _, case in work:
            out.print(case.name)
        return 0
    if not work:
        out.print(f"No case's name holds {' and '.join(filters)}; --list names them.", soft_wrap=True)
        return 2
    with nullcontext() if threads is None else ferroconv.threads(threads):
        machine = about([suite for suite, _ in suites])
        out.print(report.heading(machine), soft_wrap=True)
        with progress(len(work)) as step:
            outcomes = []
            for measure, case in work:
                step(case.name)
                outcomes += measure(case, quick)
    for table in report.screen(outcomes):
        out.print(table)
    if output is not None:
        for path in report.write(output, machine, outcomes):
            out.print(f"Written: {path}", soft_wrap=True)
    if readme is not None:
        report.update_readme(readme, machine, outcomes)
        out.print(f"Written: {readme}", soft_wrap=True)
    wrong = [outcome.name for outcome in outcomes if not outcome.sound]
    for name in wrong:
        out.print(f"WRONG  {name}", style="bold red", soft_wrap=True)
    missed = 0
    if check:
        for line in targets.lines(outcomes, quick):
            out.print(line.text, style="red" if line.passed is False else "", soft_wrap=True)
            missed += line.passed is False
    return 1 if wrong or missed else 0


def about(suites: Sequence[Suite]) -> dict[str, Any]:
    """What the numbers were measured on and with."""
    facts = ferroconv.info(measure=True)
    return facts | {
        "versions": peers.versions(dict.fromkeys(name for suite in suites for name in suite.modules)),
        "notes": list(dict.fromkeys(suite.note for suite in suites)),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
