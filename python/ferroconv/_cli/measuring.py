"""Measures the filters of images: dense windows and the named ones."""

from __future__ import annotations

import numpy as np

from ferroconv._cli import peers
from ferroconv._cli.accuracy import Judge
from ferroconv._cli.cases import LARGE, MEMORY_BOUND, Case
from ferroconv._cli.filter_cases import MIRROR, FilterCase
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.timing import NORMAL, QUICK, Effort, Timing, race

SMALL = Effort(0.06, 2, 9).led()
"""Calls of less than a few milliseconds."""


def windows(case: Case, quick: bool) -> list[Outcome]:
    """Time and check one case."""
    problem = case.problem()
    judge = Judge(problem)
    large = case.size >= LARGE
    alone = large and case.arithmetic == "native"
    rivals = peers.rivals(problem, reused=True) | peers.further(problem)
    everyone = peers.ours(problem, reused=True, one_thread=alone)
    everyone += [one for calls in rivals.values() for one in calls]
    if case.arithmetic == "native" and case.taps <= MEMORY_BOUND:
        everyone += peers.copies(problem.image, problem.image)
    effort = QUICK if quick else NORMAL if large else SMALL
    timings = race(everyone, effort)
    plan = peers.explained(problem).plans[0]
    ours, reused = timings[peers.OURS], timings.get(peers.REUSED)
    # SciPy's integer arithmetic is not that of exact sums: it is compared with SciPy alone.
    exact = case.arithmetic == "native" or not problem.integral
    verdict = judge.against_exact(ours.result) if exact else None
    outcome = Outcome(
        case.name, case, plan.chosen, plan.threads, Times.of(ours), Times.of(reused) if reused else None,
        Times.of(timings[peers.ONE_THREAD]) if alone else None,
        verdict.relative if verdict else None, verdict.agrees if verdict else True, group=case.group,
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
        single, one = timings.get(f"{peer} 1 thread dst="), outcome.one_thread
        outcome.peers[peer] = Against(
            way, Times.of(theirs), Times.of(again) if again else None,
            judge.against_exact(theirs.result).relative if exact and not problem.otherwise(peer) else None,
            between.error, between.agrees, theirs.median / ours.median,
            again.median / reused.median if again is not None and reused is not None else None,
            ratio_alone=single.median / one.median if single is not None and one is not None else None,
        )  # fmt: skip
    if peers.COPY in timings and reused is not None:
        outcome.peers[peers.COPY] = _copied(timings, ours, reused)
    return [outcome]


def _copied(timings: dict[str, Timing], ours: Timing, reused: Timing) -> Against:
    """The copy of the image beside which a filter ran, with the same kinds of output."""
    fresh, kept = timings[peers.COPY], timings[peers.COPY_INTO]
    return Against(
        peers.COPY, Times.of(fresh), Times.of(kept), None, 0.0, True, fresh.median / ours.median,
        kept.median / reused.median, rival=False,
    )  # fmt: skip


def named_filter(case: FilterCase, quick: bool) -> list[Outcome]:
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
        Times.of(reused), None, error, error <= bound and same, group=case.group,
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
    for other in problem.filter.others:
        if other.peer in timings:
            apart = np.abs(ours.result.astype(np.float64) - timings[other.peer].result).max()
            outcome.peers[other.peer] = against(other.peer, ours, None, float(apart), 0.0 if integral else 2 * bound)
    outcome.peers[peers.COPY] = _copied(timings, ours, reused)
    return [outcome]
