"""The filters on labelled arrays: this module gives every ``xarray.DataArray`` the accessor ``.ferroconv``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import ferroconv
from ferroconv._extras import needed
from ferroconv._halo import NATIVE

__all__ = ["Filters"]


class Filters:
    """The filters of an array, as methods with the native forms' names; made by ``array.ferroconv``.

    Dimensions are named, coordinates and attributes stay, and an array of dask blocks is filtered lazily.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray
    >>> import ferroconv.xarray
    >>> image = xarray.DataArray(np.eye(3), dims=("y", "x"), coords={"x": [10, 20, 30]}, attrs={"units": "K"})
    >>> image.ferroconv.maximum(3, dims=("y", "x")).sum().item()
    9.0
    """

    def __init__(self, array: Any) -> None:
        self._array = array

    def apply(
        self, function: Callable[..., Any], /, *args: Any, dims: Sequence[Hashable] | None = None, **kwargs: Any
    ) -> Any:
        """Filter with any function of ferroconv or ferroconv.ndimage.

        Parameters
        ----------
        function : callable
            The filter. Results have the image's size.
        *args, **kwargs
            Its arguments after the image. Axes are counted among `dims`, which stand last.
        dims : sequence of hashable, optional
            The dimensions that are filtered: by default the last two for native forms, all for ferroconv.ndimage.

        Returns
        -------
        xarray.DataArray
            With the dimensions, coordinates and attributes of the image.

        Raises
        ------
        ValueError
            For unknown dimensions, and what the function refuses.
        """
        known = list(self._array.dims)
        over = list((known[-2:] if function.__name__ in NATIVE and "border" in _options(function) else known)
                    if dims is None else dims)  # fmt: skip
        if not set(over) <= set(known):
            raise ValueError(f"dims must be dimensions of the array, {known}. Received: {over}.")
        if "axes" in _options(function):
            kwargs.setdefault("axes", tuple(range(-len(over), 0)))
        result = needed("xarray").apply_ufunc(
            lambda image: function(image, *args, **kwargs), self._array, input_core_dims=[over],
            output_core_dims=[over], dask="allowed", keep_attrs=True,
        )  # fmt: skip
        return result.transpose(*known)


def _options(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: Filters, *args: Any, dims: Sequence[Hashable] | None = None, **kwargs: Any) -> Any:
        return self.apply(function, *args, dims=dims, **kwargs)

    method.__doc__ = f"""`ferroconv.{function.__name__}` over `dims`, by default the last two; see `apply`."""
    return method


for _name in NATIVE:
    setattr(Filters, _name, _method(getattr(ferroconv, _name)))

needed("xarray").register_dataarray_accessor("ferroconv")(Filters)
