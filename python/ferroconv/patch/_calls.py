"""One patched function: which of the two answers a call, and what is written down about it."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

import ferroconv
from ferroconv.patch import _rules
from ferroconv.patch._ledger import Ledger

LARGEST = 1 << 22
"""Samples of a call that SciPy is timed on, at most: a 2048x2048 image."""

REFUSALS = (NotImplementedError, ValueError, TypeError, IndexError)
"""What ferroconv raises about arguments. It has not touched `output` then."""


class Switch:
    """Whether calls are answered here, and who counts them."""

    def __init__(self) -> None:
        self._ledgers: tuple[Ledger, ...] = ()
        self._measure = False
        self._baselines: dict[Any, float] = {}
        self._thread = threading.local()

    def set(self, ledgers: tuple[Ledger, ...], measure: bool) -> None:
        """Name those who count; without any, calls are SciPy's."""
        self._ledgers, self._measure = ledgers, measure

    def off(self) -> bool:
        """Whether SciPy answers: after the last patch, and inside of a call that SciPy has been handed."""
        return not self._ledgers or getattr(self._thread, "handed", False)

    @contextmanager
    def handing(self) -> Iterator[None]:
        """SciPy's function, and all that it calls in this thread, is SciPy's."""
        self._thread.handed = True
        try:
            yield
        finally:
            self._thread.handed = False

    def answered(self, function: str, seconds: float, theirs: float | None) -> None:
        """Count a call answered here."""
        for ledger in self._ledgers:
            ledger.answered(function, seconds, theirs)

    def handed(self, function: str, seconds: float, reason: str) -> None:
        """Count a call answered by SciPy."""
        for ledger in self._ledgers:
            ledger.handed(function, seconds, reason)

    def baseline(self, function: str, theirs: Callable[..., Any], arguments: Mapping[str, Any]) -> float | None:
        """SciPy's time on a call of this kind: measured once, with an `output` of its own."""
        if not self._measure:
            return None
        kind = (function, *((name, _kind(value)) for name, value in sorted(arguments.items())))
        if kind not in self._baselines:
            if max(np.size(value) for value in arguments.values()) > LARGEST:
                return None
            own = dict(arguments)
            if isinstance(own.get("output"), np.ndarray):
                own["output"] = np.empty_like(own["output"])
            begun = time.perf_counter()
            with self.handing():
                theirs(**own)
            self._baselines[kind] = time.perf_counter() - begun
            for ledger in self._ledgers:
                ledger.measured(function, self._baselines[kind])
        return self._baselines[kind]


def patched(function: str, theirs: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
    """What takes the place of SciPy's function of that name, such as ``ndimage.sobel``."""
    module, _, name = function.partition(".")
    ours = getattr(getattr(ferroconv, module), name)
    names, more = _parameters(theirs) or _parameters(ours) or ([], False)
    names = [parameter for parameter in names if parameter != "workers"]
    rules = [rule for rule in _rules.RULES if function in rule.functions]

    @functools.wraps(theirs)
    def call(*args: Any, **kwargs: Any) -> Any:
        if switch.off():
            return theirs(*args, **kwargs)
        try:
            arguments = dict(zip(names, args, strict=False)) | kwargs
            reason = _foreign(names, more, args, arguments) or _first(rules, _rules.Call(theirs, arguments))
            if reason is None:
                baseline = switch.baseline(function, theirs, arguments)
                begun = time.perf_counter()
                result = ours(*args, **kwargs)
                switch.answered(function, time.perf_counter() - begun, baseline)
                return result
        except REFUSALS as error:
            # The rule alone: what was received would make a reason of its own of every call.
            reason = str(error).partition(" Received")[0]
        # Apart from the handler, so that an error of SciPy's is not said to have come while handling ours.
        begun = time.perf_counter()
        try:
            with switch.handing():
                return theirs(*args, **kwargs)
        except Exception as error:
            reason = f"SciPy refused the arguments too ({type(error).__name__})"
            raise
        finally:
            switch.handed(function, time.perf_counter() - begun, reason)

    return call


def _parameters(function: Callable[..., Any]) -> tuple[list[str], bool] | None:
    """The names of a function's parameters, and whether it takes any keyword besides."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a C function whose signature stands in its documentation only
        return None
    named = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    return named, len(named) < len(parameters)


def _foreign(names: list[str], more: bool, args: tuple[Any, ...], arguments: Mapping[str, Any]) -> str | None:
    """Why SciPy alone can say what these arguments mean, if it can."""
    if len(args) > len(names) or "workers" in arguments or not (more or arguments.keys() <= set(names)):
        return "an argument that SciPy's function does not have"
    for value in arguments.values():
        if isinstance(value, (np.ndarray, np.generic)) or type(value) in _PLAIN:
            continue
        if hasattr(value, "__next__"):
            return "an iterator, which can be read once"
        if any(hasattr(value, mark) for mark in _ARRAYS):
            return "an array of another library"
    return None


_PLAIN = frozenset((int, float, complex, bool, str, type(None), tuple, list, type))
_ARRAYS = ("__array_namespace__", "__torch_function__", "__cuda_array_interface__")


def _first(rules: list[_rules.Rule], call: _rules.Call) -> str | None:
    for rule in rules:
        if rule.applies(call):
            return rule.reason
    return None


def _kind(value: Any) -> Any:
    """What is the same for calls that take the same time."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str
    return repr(value)[:200]
