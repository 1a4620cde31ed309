"""`ferroconv bench`: runs the cases and gathers what is to be reported."""

from __future__ import annotations

import platform
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import ferroconv
from ferroconv._cli import peers, report, targets
from ferroconv._cli.accuracy import Judge
from ferroconv._cli.cases import LARGE, Case, chosen
from ferroconv._cli.console import progress
from ferroconv._cli.filter_cases import MIRROR, FilterCase
from ferroconv._cli.timing import NORMAL, QUICK, Effort, Timing, race

SMALL = Effort(0.06, 2, 9)


@dataclass
class Times:
    """Seconds: the quickest and the middle one of the samples."""

    minimum: float
    median: float
    samples: int

    @classmethod
    def of(cls, timing: Timing) -> Times:
        """The numbers of a timing, without its result."""
        return cls(timing.minimum, timing.median, len(timing.samples))


@dataclass
class Against:
    """One peer's share of a case."""

    way: str
    """What was best of it, such as a number of threads."""
    fresh: Times
    reused: Times | None
    error: float | None
    """Its largest error against exact sums, over the largest ``sum |w x|``; None for integer mirrors."""
    apart: float
    """Largest difference from ferroconv's result."""
    agrees: bool
    ratio: float
    """Its median time over ferroconv's, both into fresh outputs."""
    ratio_reused: float | None


@dataclass
class Outcome:
    """A case, timed and checked."""

    name: str
    case: Case | FilterCase
    implementation: str
    threads: int
    fresh: Times
    reused: Times | None
    one_thread: Times | None
    """Into a reused output."""
    error: float | None
    correct: bool
    peers: dict[str, Against] = field(default_factory=dict)


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
    cases = chosen(filters, quick)
    if listed:
        for case in cases:
            out.print(case.name)
        return 0
    if not cases:
        out.print(f"No case's name holds {' and '.join(filters)}; --list names them.", soft_wrap=True)
        return 2
    with nullcontext() if threads is None else ferroconv.threads(threads):
        machine = about()
        out.print(report.heading(machine), soft_wrap=True)
        with progress(len(cases)) as step:
            outcomes = []
            for case in cases:
                step(case.name)
                outcomes.append(measure(case, quick) if isinstance(case, Case) else measure_filter(case, quick))
    out.print(report.screen(outcomes))
    if output is not None:
        for path in report.write(output, machine, outcomes):
            out.print(f"Written: {path}", soft_wrap=True)
    if readme is not None:
        report.update_readme(readme, machine, outcomes)
        out.print(f"Written: {readme}", soft_wrap=True)
    wrong = [outcome.name for outcome in outcomes if not sound(outcome)]
    for name in wrong:
        out.print(f"WRONG  {name}", style="bold red", soft_wrap=True)
    missed = 0
    if check:
        for line in targets.lines(outcomes, quick):
            out.print(line.text, style="red" if line.passed is False else "", soft_wrap=True)
            missed += line.passed is False
    return 1 if wrong or missed else 0


def sound(outcome: Outcome) -> bool:
    """Whether a case's results are right."""
    return outcome.correct and all(against.agrees for against in outcome.peers.values())


def measure(case: Case, quick: bool) -> Outcome:
    """Time and check one case."""
    problem = case.problem()
    judge = Judge(problem)
    large = case.size >= LARGE
    alone = large and case.arithmetic == "native"
    rivals = peers.rivals(problem, reused=True)
    everyone = peers.ours(problem, reused=True, one_thread=alone)
    everyone += [one for calls in rivals.values() for one in calls]
    timings = race(everyone, QUICK if quick else NORMAL if large else SMALL)
    plan = peers.explained(problem).plans[0]
    ours, reused = timings[peers.OURS], timings.get(peers.REUSED)
    # SciPy's integer arithmetic is not that of exact sums: it is compared with SciPy alone.
    exact = case.arithmetic == "native" or not problem.integral
    verdict = judge.against_exact(ours.result) if exact else None
    outcome = Outcome(
        case.name, case, plan.chosen, plan.threads, Times.of(ours), Times.of(reused) if reused else None,
        Times.of(timings[peers.ONE_THREAD]) if alone else None,
        verdict.relative if verdict else None, verdict.agrees if verdict else True,
    )  # fmt: skip
    if reused is not None and not judge.between(ours.result, peers.OURS, reused.result).agrees:
        outcome.correct = False
    for peer, calls in rivals.items():
        kept = [one.name for one in calls if one.name.endswith("=")]
        made = [one.name for one in calls if one.name not in kept]
        way = min(made, key=lambda name: timings[name].median)
        again = min((timings[name] for name in kept), key=lambda timing: timing.median, default=None)
        theirs = timings[way]
        between = judge.between(ours.result, peer, theirs.result)
        outcome.peers[peer] = Against(
            way, Times.of(theirs), Times.of(again) if again else None,
            judge.against_exact(theirs.result).relative if exact else None,
            between.error, between.agrees, theirs.median / ours.median,
            again.median / reused.median if again is not None and reused is not None else None,
        )  # fmt: skip
    return outcome


def measure_filter(case: FilterCase, quick: bool) -> Outcome:
    """Time and check a named filter: the native form beside OpenCV, SciPy's mirror beside SciPy."""
    problem = case.problem()
    large = case.size >= LARGE
    timings = race(problem.contestants(), QUICK if quick else NORMAL if large else SMALL)
    ours, reused = timings[peers.OURS], timings[peers.REUSED]
    error, bound = problem.error(ours.result), problem.bound()
    same = np.array_equal(ours.result, reused.result)
    plans = problem.explained().plans
    outcome = Outcome(
        case.name, case, plans[0].chosen if plans else "", plans[0].threads if plans else 1, Times.of(ours),
        Times.of(reused), None, error, error <= bound and same,
    )  # fmt: skip

    def against(way: str, base: Timing, again: str | None, apart: float, allowed: float) -> Against:
        theirs, kept = timings[way], timings[again] if again else None
        return Against(
            way, Times.of(theirs), Times.of(kept) if kept else None, problem.error(theirs.result), apart,
            apart <= allowed, theirs.median / base.median, kept.median / reused.median if kept else None,
        )  # fmt: skip

    integral = ours.result.dtype.kind in "iu"
    mirror = timings[MIRROR]
    apart = np.abs(mirror.result.astype(np.float64) - timings[peers.NDIMAGE].result).max()
    outcome.peers[peers.NDIMAGE] = against(peers.NDIMAGE, mirror, None, float(apart), 0.0 if integral else bound)
    ways = [name for name in timings if name.startswith(peers.OPENCV) and not name.endswith("=")]
    if ways:
        way = min(ways, key=lambda name: timings[name].median)
        again = min((f"{name} dst=" for name in ways), key=lambda name: timings[name].median)
        apart = np.abs(ours.result.astype(np.float64) - timings[way].result).max()
        # Its Gaussian of bytes has weights of 8 bits, and its windows of floats running sums.
        slack = 2.0 if integral else 1e-4 * 255
        outcome.peers[peers.OPENCV] = against(way, ours, again, float(apart), slack)
    return outcome


def about() -> dict[str, Any]:
    """What the numbers were measured on and with."""
    facts = ferroconv.info(measure=True)
    return facts | {
        "versions": peers.versions(),
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
