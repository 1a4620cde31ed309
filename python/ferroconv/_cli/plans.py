"""`ferroconv bench plan`: whether the implementation that is chosen for a filter is the quickest that takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ferroconv import _core
from ferroconv._cli import peers
from ferroconv._cli.accuracy import Judge
from ferroconv._cli.cases import TAPS, Case
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.peers import Problem
from ferroconv._cli.timing import Contestant, Effort, race
from ferroconv._stages import preferring

EFFORT = Effort(0.03, 2, 7)
HASTE = Effort(0.005, 1, 1)
TOLERANCE = 1.1
"""How many times the best implementation's time a choice may take before it is listed."""


@dataclass(frozen=True)
class PlanCase:
    """A dense window over an image, by every implementation that takes it."""

    window: Case

    @property
    def kind(self) -> str:
        """What it is, as every case says."""
        return "plan"

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``plan/float32/1024x1024/7x7``."""
        return f"plan/{self.window.name.partition('/')[2]}"

    @property
    def group(self) -> str:
        """What is summed up together."""
        return f"plan/{self.window.dtype}"

    @property
    def size(self) -> int:
        """Side of the image."""
        return self.window.size

    def problem(self) -> Problem:
        """The image and the window."""
        return self.window.problem()


PLAN_CASES = [
    PlanCase(Case("native", dtype, size, taps))
    for dtype in ("uint8", "uint16", "int16", "float32", "float64")
    for size in (1024, 256, 64)
    for taps in TAPS
]
"""Every case."""


def measure(case: PlanCase, quick: bool) -> list[Outcome]:
    """Time the choice and, forced, each other implementation that accepts; all have to agree."""
    problem = case.problem()
    judge = Judge(problem)
    plan = peers.explained(problem).plans[0]
    taken = [name.split("/")[1] for name, nanoseconds, _ in plan.candidates if nanoseconds is not None]
    chosen = plan.chosen.split("/")[1]
    (call,) = (one.call for one in peers.ours(problem))
    with preferring(None):  # what was preferred before is again so afterwards
        timings = race(
            [Contestant(name, call, partial(_core.prefer, name)) for name in taken], HASTE if quick else EFFORT
        )
    ours = timings[chosen]
    verdict = judge.against_exact(ours.result)
    outcome = Outcome(
        case.name, case, plan.chosen, plan.threads, Times.of(ours), None, None, verdict.relative, verdict.agrees,
        group=case.group,
    )  # fmt: skip
    for name in taken:
        if name == chosen:
            continue
        other = timings[name]
        exact, between = judge.against_exact(other.result), judge.between(ours.result, name, other.result)
        # Two results of integers under fractions may be on either side of a half.
        agrees = exact.agrees and between.error <= 1 if problem.integral else exact.agrees and between.agrees
        outcome.peers[name] = Against(
            name, Times.of(other), None, exact.relative, between.error, agrees, other.median / ours.median, None
        )
    return [outcome]


def misplanned(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str, str, float]]:
    """Give each case whose choice takes more than `TOLERANCE` of the best: name, choice, best, times the best.

    By the quickest samples: what a neighbour on the machine did to a median is not the plan's fault.
    """
    for outcome in outcomes:
        if outcome.case.kind != "plan" or not outcome.peers:
            continue
        best, against = min(outcome.peers.items(), key=lambda other: other[1].fresh.minimum)
        times = outcome.fresh.minimum / against.fresh.minimum
        if times > TOLERANCE:
            yield outcome.name, outcome.implementation.split("/")[1], best, times
