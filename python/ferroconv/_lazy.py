"""Dask arrays among the arguments of plain functions: found without importing dask, and filtered lazily."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def is_lazy(image: Any) -> bool:
    """Whether an image, which is no ``numpy.ndarray``, is a dask array."""
    return any(kind.__module__.startswith("dask.array") for kind in type(image).__mro__)


def deferred(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What a function of a dask array gives: a dask array; `arguments` are the function's ``locals()``."""
    from ferroconv import dask

    first, *names = inspect.signature(function).parameters.values()
    given = {p.name: arguments[p.name] for p in names if p.kind is not p.VAR_KEYWORD}
    for parameter in names:
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= arguments[parameter.name]
    return dask.filtered(function, arguments[first.name], **given)
