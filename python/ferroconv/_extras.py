"""Modules that the package does without until they are asked for."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, extra: str) -> Any:
    """Import a module, or name the extra of the package that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'this needs {error.name}, which is not installed. Install it with: pip install "ferroconv[{extra}]"',
            name=error.name,
        ) from error
