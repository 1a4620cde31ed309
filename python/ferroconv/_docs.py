"""Paragraphs that several docstrings share, written once and filled in by `fill`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ferroconv import _core

_F = TypeVar("_F", bound=Callable[..., object])


def _pictures(spellings: Callable[[tuple[str, str, list[str], list[str], str]], list[str]]) -> str:
    rows = []
    for mode in _core.border_modes():
        names = spellings(mode)
        if names:
            rows.append(f"    * ``{'`` or ``'.join(names)}``: ``{mode[1].strip()}``")
    return "\n".join(rows)


PARAGRAPHS = {
    "borders": _pictures(lambda mode: [mode[0]]),
    "ndimage_modes": _pictures(lambda mode: mode[2]),
    "signal_boundaries": _pictures(lambda mode: mode[3]),
    "workers": """workers : int, optional
    Threads: a number, -1 for every core, or None for the setting of `ferroconv.set_num_threads`.
    The result's bits are the same for any number.""",
    "data_format": """data_format : {'channels_last', 'channels_first'}, optional
    Where the channels stand.""",
    "mirror_output": """output : array or dtype, optional
    Where the result is written, or the dtype of the array that is made for it. An array may share
    memory with `input`; a temporary copy is then filtered.""",
    "mirror_mode": """mode : str, optional
    How the image goes on past its edges, in scipy.ndimage's names:

%(ndimage_modes)s

cval : scalar, optional
    The value of ``k`` above.""",
    "mirror_modes": """mode : str or sequence of str, optional
    How the image goes on past its edges, for all axes that are filtered or for each of them, in
    scipy.ndimage's names:

%(ndimage_modes)s

cval : scalar, optional
    The value of ``k`` above.""",
    "mirror_axes": """axes : int or tuple of int, optional
    The axes of `input` that are filtered; by default all.""",
    "mirror_notes": """Floating-point results are within ``c n eps sum|w x|`` of SciPy's, element by element:
``float32`` images are filtered in ``float32``. Integer results are SciPy's exactly: sums in ``float64`` in SciPy's
order, truncated towards zero, wrapping. The documentation lists the deliberate differences
(docs/scipy-differences.md).""",
}


def fill(function: _F) -> _F:
    """Replaces ``%(name)s`` in a function's docstring by the paragraph of that name."""
    text = function.__doc__ or ""
    for _ in range(3):  # a paragraph may hold another
        for name, paragraph in PARAGRAPHS.items():
            text = text.replace(f"%({name})s", paragraph.replace("\n", "\n    "))
    function.__doc__ = text
    return function
