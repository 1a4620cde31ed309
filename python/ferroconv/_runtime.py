"""Threads, and what the process runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ferroconv import _core


def set_num_threads(threads: int) -> None:
    """Set the number of threads that this process's calls use (-1: every core).

    Parameters
    ----------
    threads : int
        1 to 1024, or -1. The environment variable ``FERROCONV_NUM_THREADS`` sets it at the start;
        without it, it is the number of cores that the process may use.

    Raises
    ------
    ValueError
        For any other number.
    """
    _core.set_num_threads(threads)


def get_num_threads() -> int:
    """Return the number of threads that a call from this thread uses."""
    return _core.get_num_threads()


@contextmanager
def threads(threads: int) -> Iterator[None]:
    """Use another number of threads within a block, for calls from this thread only.

    Parameters
    ----------
    threads : int
        1 to 1024, or -1 for every core.

    Raises
    ------
    ValueError
        For any other number.

    Examples
    --------
    >>> import ferroconv
    >>> with ferroconv.threads(1):
    ...     ferroconv.get_num_threads()
    1
    """
    before = _core.override_num_threads(threads)
    try:
        yield
    finally:
        _core.override_num_threads(before)


def clear_cache() -> int:
    """Give the memory that is kept for the next calls back to the operating system.

    The memory of a large result (1 MiB or more) is kept when the array or tensor is gone, and used for the next
    result of its size: at most 256 MiB, the oldest given back first. So are the spectra of the last eight windows that
    were applied by Fourier transforms, 4 MiB each at most, and what was found out about the last 32 windows of 16384
    taps or fewer. With ``FERROCONV_CACHE=0`` in the environment nothing is kept.

    Returns
    -------
    int
        How many bytes that were.
    """
    return _core.clear_cache()


def info(*, measure: bool = False) -> dict[str, Any]:
    """Describe the build and the machine.

    Parameters
    ----------
    measure : bool, optional
        Also measure, for about half a second, what one thread can do.

    Returns
    -------
    dict
        ``version``; ``profile`` (``'release'`` or ``'debug'``); ``isa_built``, ``isa_detected``,
        ``isa_used`` (instruction sets, best first); ``threads``, ``cores``; and, if measured,
        ``fma_peak`` (float32 FLOP/s of one thread) and ``copy_speed`` (bytes copied a second by one
        thread).
    """
    facts: dict[str, Any] = _core.info()
    if measure:
        facts["fma_peak"], facts["copy_speed"] = _core.measure()
    return facts
