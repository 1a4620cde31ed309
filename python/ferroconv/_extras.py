"""Modules that the package does without until they are asked for, and what installs them."""

from __future__ import annotations

import importlib
from typing import Any

EXTRAS = {
    "cli": ("click", "rich", "PIL", "imageio", "matplotlib", "sklearn"),
    "bench": ("scipy", "cv2", "skimage"),
    "torch": ("torch",),
    "tensorflow": ("tensorflow", "keras"),
    "large": ("dask", "zarr", "tifffile", "tqdm", "xarray"),
}
"""Modules by the extra of the package that installs them."""


def extra_of(module: str) -> str | None:
    """The extra that installs a module."""
    name = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if name in modules), None)


def needed(module: str) -> Any:
    """Import a module, or name the extra of the package that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            raise
        raise ModuleNotFoundError(
            f'this needs {error.name}, which is not installed. Install it with: pip install "ferroconv[{extra}]"',
            name=error.name,
        ) from error
