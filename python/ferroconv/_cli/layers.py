"""Measures the layers of networks: ferroconv in both layouts beside the frameworks in theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv._cli.layer_cases import LayerCase
from ferroconv._cli.layer_peers import Way, ways
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.peers import OURS
from ferroconv._cli.timing import Effort, race

EFFORT = Effort(0.02, 2, 5).led()
HASTE = Effort(0.005, 1, 1)


def measure(case: LayerCase, quick: bool) -> list[Outcome]:
    """Time and check one layer; gives an outcome for each of ferroconv's layouts.

    A peer takes part with its best layout, and every layout of it has to agree.
    """
    problem = case.problem()
    everyone = ways(problem)
    timings = race([way.contestant for way in everyone], HASTE if quick else EFFORT)
    results = {way.name: way.array(timings[way.name].result) for way in everyone}
    ours = [way for way in everyone if way.peer == OURS]
    peers: dict[str, list[Way]] = {}
    for way in everyone:
        if way.peer != OURS:
            peers.setdefault(way.peer, []).append(way)
    errors = {name: problem.error(result) for name, result in results.items()}
    outcomes = []
    for mine in ours:
        base, result = timings[mine.name], results[mine.name]
        plan = problem.explained(mine.layout).plans[0]
        outcome = Outcome(
            f"{case.name}/{mine.layout}", case, plan.chosen, plan.threads, Times.of(base), None, None,
            errors[mine.name] / problem.scale, errors[mine.name] <= problem.bound, group=f"{case.group}/{mine.layout}",
            times=case.times,
        )  # fmt: skip
        for peer, theirs in peers.items():
            best = min(theirs, key=lambda way: timings[way.name].median)
            apart = max(_apart(result, results[way.name]) for way in theirs)
            agrees = apart <= 2 * problem.bound and all(errors[way.name] <= problem.bound for way in theirs)
            outcome.peers[peer] = Against(
                best.name, Times.of(timings[best.name]), None, errors[best.name] / problem.scale, apart, agrees,
                timings[best.name].median / base.median, None,
            )  # fmt: skip
        outcomes.append(outcome)
    return outcomes


def _apart(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Largest difference of two results, infinite if they are of different shapes or hold what is no number."""
    if one.shape != other.shape:
        return np.inf
    apart = float(np.abs(one - other).max())
    return apart if np.isfinite(apart) else np.inf
