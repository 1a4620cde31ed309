"""Patching, undoing, and who has asked for it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ferroconv.patch import _names
from ferroconv.patch._calls import Switch, patched
from ferroconv.patch._ledger import Ledger, Report
from ferroconv.patch._rules import FUNCTIONS

_lock = threading.RLock()
_switch = Switch()
_pairs: list[tuple[Callable[..., Any], Callable[..., Any]]] = []
"""SciPy's functions and what stands for them, made once."""
_places: list[_names.Place] = []


class Patch:
    """What `patch_scipy` returns: SciPy stays patched until it is undone."""

    def __init__(self, measure: bool) -> None:
        self._ledger = Ledger()
        self.measure = measure
        """Whether SciPy is timed on the first call of each kind."""

    def __enter__(self) -> Patch:
        _hold(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def undo(self) -> None:
        """Let SciPy's functions back, once nobody else wants them patched; a second time does nothing."""
        _release([self])

    def report(self) -> Report:
        """What was called while this patch was in place.

        Returns
        -------
        Report
            Prints as a table; its `rows` are for programs.
        """
        return self._ledger.report()


_process = Ledger()
_holders: dict[Patch, None] = {}
"""Who wants SciPy patched, the first to ask first."""


def patch_scipy(*, measure: bool = False) -> Patch:
    """Let ferroconv answer the calls of SciPy's filters, in code that stays as it is.

    The functions of scipy.signal and scipy.ndimage that ferroconv has are replaced in every module that is
    loaded, names that were imported before among them (``from scipy.ndimage import sobel``). Not reached are
    functions held in other ways: in a container, a default argument, a ``functools.partial``, another process.

    The results are SciPy's: integers exactly, floating-point numbers within the bounds of `ferroconv.signal` and
    `ferroconv.ndimage`. A call goes to SciPy and is counted with the reason where ferroconv has no such case,
    where it would answer differently (docs/patching.md has the list), and where it refuses the
    arguments, so that the error, too, is SciPy's.

    Parameters
    ----------
    measure : bool, optional
        Also run SciPy, and time it, on the first call of each kind (function, shapes, dtypes, options) of at most
        ``2**22`` samples, so that the report can estimate the time saved.

    Returns
    -------
    Patch
        A context manager, which undoes the patch at its end; or call its ``undo()``. ``report()`` says what was
        called. Patches nest, in any order and in any thread: SciPy is itself again when the last one is undone.
        They hold for the whole process.

    Raises
    ------
    ModuleNotFoundError
        If SciPy is not installed.

    See Also
    --------
    ferroconv.patch.unpatch_scipy : undo all patches.
    ferroconv.patch.report : what was called since the process began.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv
    >>> from scipy import ndimage
    >>> with ferroconv.patch_scipy() as patch:
    ...     steps = ndimage.sobel(np.array([[0.0, 0.0, 1.0, 1.0]]))
    >>> steps
    array([[0., 4., 4., 0.]])
    >>> [(row.function, row.here, row.handed.total()) for row in patch.report().rows]
    [('ndimage.sobel', 1, 0)]
    """
    return Patch(measure).__enter__()


def unpatch_scipy() -> None:
    """Undo every patch: SciPy's functions are its own again.

    Examples
    --------
    >>> import ferroconv.patch
    >>> patch = ferroconv.patch_scipy()
    >>> ferroconv.patch.unpatch_scipy()
    """
    with _lock:
        _release(list(_holders))


def report() -> Report:
    """What was called under any patch since the process began.

    Returns
    -------
    Report
        Prints as a table: each function, its calls answered here, those handed to SciPy and why, the seconds spent,
        and the time saved where it was measured.

    Examples
    --------
    >>> import ferroconv.patch
    >>> print(ferroconv.patch.report())  # doctest: +ELLIPSIS
    f...
    """
    return _process.report()


def _hold(holder: Patch) -> None:
    with _lock:
        pairs = _made()
        _holders[holder] = None
        _settle()
        # Once more if it is in place already: a module may have got hold of SciPy's own in another way since.
        _places.extend(_names.replace({id(theirs): (theirs, ours) for theirs, ours in pairs}, []))


def _release(holders: list[Patch]) -> None:
    with _lock:
        held = [holder for holder in holders if holder in _holders]
        for holder in held:
            del _holders[holder]
        _settle()
        if held and not _holders:
            _names.replace({id(ours): (ours, theirs) for theirs, ours in _pairs}, _places)
            _places.clear()


def _settle() -> None:
    """Tell the calls whose ledgers they are written to."""
    ledgers = (*(holder._ledger for holder in _holders), _process) if _holders else ()
    _switch.set(ledgers, any(holder.measure for holder in _holders))


def _made() -> list[tuple[Callable[..., Any], Callable[..., Any]]]:
    if not _pairs:
        try:
            importlib.import_module("scipy")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'patch_scipy() needs SciPy, which is not installed. Install it with: pip install "ferroconv[scipy]"',
                name="scipy",
            ) from error
        for function in FUNCTIONS:
            module, _, name = function.partition(".")
            theirs = getattr(importlib.import_module(f"scipy.{module}"), name)
            _pairs.append((theirs, patched(function, theirs, _switch)))
    return _pairs
