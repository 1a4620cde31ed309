"""What many cases come to: a line for each group of them and each peer."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ferroconv._cli.charts import Ratios
from ferroconv._cli.console import ratio
from ferroconv._cli.outcomes import Outcome

COLUMNS = ("group", "peer", "cases", "slower", "least", "geometric mean", "whole")


@dataclass
class Line:
    """One peer over one group's cases; ratios are its times over ferroconv's."""

    group: str
    peer: str
    cases: int
    slower: int
    """Cases in which ferroconv is."""
    least: float
    mean: float
    """Geometric, each case counting once."""
    whole: float
    """Of the sums of the times, a network's layers as often as it has them."""
    rival: bool = True
    """False of a yardstick: no loss is counted."""

    @property
    def cells(self) -> list[str]:
        """As tables have it; a loss says so."""
        numbers = [
            ratio(value) + (" slower" if self.rival and value < 1 else "")
            for value in (self.least, self.mean, self.whole)
        ]
        return [self.group, self.peer, str(self.cases), str(self.slower), *numbers]


def lines(outcomes: Sequence[Outcome]) -> list[Line]:
    """A line for each group and peer, in the order of the cases."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        for peer in outcome.peers:
            groups.setdefault((outcome.group, peer), []).append(outcome)
    found = []
    for (group, peer), members in sorted(groups.items(), key=lambda item: outcomes.index(item[1][0])):
        against = [one.peers[peer] for one in members]
        ratios = [one.ratio for one in against]
        ours = sum(one.times * one.fresh.median for one in members)
        theirs = sum(one.times * one.fresh.median * one.peers[peer].ratio for one in members)
        slower, rival = sum(one.lost for one in against), all(one.rival for one in against)
        mean = statistics.geometric_mean(ratios)
        found.append(Line(group, peer, len(members), slower, min(ratios), mean, theirs / ours, rival))
    return found


def chart(summary: Sequence[Line]) -> dict[str, Ratios]:
    """The means of rivals as bars: a chart for the first half of a group's name, in it a row for each second half."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line in summary:
        if not line.rival:
            continue
        parts = line.group.split("/")
        half = len(parts) // 2
        rows = found.setdefault("/".join(parts[:half]), {})
        rows.setdefault("/".join(parts[half:]), {})[line.peer] = line.mean
    return {name: dict(rows) for name, rows in found.items()}
