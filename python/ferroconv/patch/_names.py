"""Where a function is known by name: the attributes of every module that is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

Place = tuple[dict[str, Any], str]
"""A module's names, and one of them."""


def replace(new: Mapping[int, tuple[Callable[..., Any], Callable[..., Any]]], also: list[Place]) -> list[Place]:
    """Put functions in the place of others, in every loaded module and in the places `also`.

    `new` has a pair of functions, the one that is looked for and the one that takes its place, under the
    first one's ``id``. Returns the places. A name that holds something else by now is left alone.
    """
    found = [(names, name) for names in _everywhere() for name, value in names.copy().items() if id(value) in new]
    places = []
    for names, name in [*found, *also]:
        pair = new.get(id(names.get(name)))
        if pair is not None and names[name] is pair[0]:
            names[name] = pair[1]
            places.append((names, name))
    return places


def _everywhere() -> Iterator[dict[str, Any]]:
    for module in list(sys.modules.values()):
        # By the type and the raw attribute: a module that loads lazily is not to be woken.
        if issubclass(type(module), ModuleType):
            yield object.__getattribute__(module, "__dict__")
