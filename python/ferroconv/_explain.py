"""What a call would run, and why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferroconv import _core


@dataclass(frozen=True)
class Plan:
    """The choice for one problem."""

    problem: str
    """Shapes, dtypes and window."""
    chosen: str
    """The implementation: ``operation/implementation/arithmetic/instruction set``."""
    threads: int
    """Threads, at most."""
    bound: str
    """How far a result may be from the exact one."""
    candidates: list[tuple[str, float | None, str]]
    """Every implementation: its id, its estimated nanoseconds on one thread or None, and the reason
    of its refusal."""

    def __str__(self) -> str:
        lines = [f"{self.problem}", f"  runs    {self.chosen} on {self.threads} thread(s)", f"  error   {self.bound}"]
        for name, nanoseconds, reason in self.candidates:
            verdict = reason if nanoseconds is None else f"about {nanoseconds / 1e6:.3g} ms on one thread"
            lines.append(f"  {'-' if nanoseconds is None else '+'} {name}: {verdict}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Explanation:
    """The choices that a call makes, one for each problem that it meets."""

    plans: list[Plan]

    def __str__(self) -> str:
        return "\n".join(str(plan) for plan in self.plans)


def explain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Explanation:
    """Say what a call would run, without running it.

    Parameters
    ----------
    function : callable
        A function of ferroconv.
    *args, **kwargs
        Its arguments. They are checked as in a real call; ``out=`` is left untouched.

    Returns
    -------
    Explanation
        Prints as text: the implementation chosen, the error bound, and every other implementation
        with its cost or the reason of its refusal.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> plan, = ferroconv.explain(ferroconv.correlate, np.ones((8, 8), np.uint8), np.ones((3, 3))).plans
    >>> plan.chosen.split("/")[:3], plan.bound
    (['correlate', 'bytes', 'i16'], 'exact')
    """
    _core.begin_explaining()
    _here.explaining = True
    try:
        # Results hold whatever was in their memory: sums of it are of no interest, nor whether they overflow.
        with np.errstate(all="ignore"):
            function(*args, **kwargs)
    finally:
        _here.explaining = False
        plans = _core.end_explaining()
    return Explanation([Plan(**plan) for plan in plans])


def explaining() -> bool:
    """Whether this thread is inside of `explain`: arrays hold nothing then, and `out` is left alone."""
    return _here.explaining


class _Here(threading.local):
    explaining = False  # where nothing was explained yet, without the detour of an AttributeError


_here = _Here()
