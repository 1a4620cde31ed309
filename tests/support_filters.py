"""Ours and SciPy's side by side, for the filters that are made of passes along one axis."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from support import same

import ferroconv.ndimage

MODES = ("reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap")


def magnitude(name, image, args, kwargs):
    """For each element the sum of magnitudes that its rounding errors are measured by: ``sum |w x|``.

    Passes with the magnitudes of the weights over the magnitudes of the image, by SciPy.
    """
    wide = np.abs(np.asarray(image, complex))
    absolute = scipy.ndimage._filters.correlate1d

    def of_magnitudes(source, weights, *rest, **options):
        return absolute(source, np.abs(weights), *rest, **options)

    options = {**kwargs, "cval": abs(kwargs.get("cval", 0)), "output": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scipy.ndimage._filters, "correlate1d", of_magnitudes)
        if name == "gaussian_gradient_magnitude":  # the root is at most the sum of its terms
            patch.setattr(scipy.ndimage._filters, "generic_gradient_magnitude", scipy.ndimage._filters.generic_laplace)
        return getattr(scipy.ndimage, name)(wide.real, *args, **options)


def both(name, image, *args, terms=40, ours_also=None, **kwargs):
    """Holds ours against SciPy's: integers exactly, floats within the bound, exceptions by type."""
    theirs, ours = getattr(scipy.ndimage, name), getattr(ferroconv.ndimage, name)
    with np.errstate(all="ignore"):
        try:
            want = theirs(image, *args, **kwargs)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            kind = ValueError if isinstance(error, np.exceptions.AxisError) else type(error)
            with pytest.raises(kind):
                ours(image, *args, **kwargs)
            return None
        got = ours(image, *args, **kwargs, **(ours_also or {}))
        assert got.dtype == want.dtype, f"{got.dtype} is not {want.dtype}"
        assert got.shape == want.shape
        if want.dtype.kind not in "fc":
            same(got, want)
            return got
        if not want.size:
            return got
        single = min(np.finfo(a.dtype).precision for a in (want, image) if a.dtype.kind in "fc")
        eps = np.finfo(np.float32 if single < 10 else np.float64).eps
        limit = 2 * terms * eps * magnitude(name, image, args, kwargs)
        wide = np.result_type(want.dtype, np.float64)
        error = np.abs(got.astype(wide) - want.astype(wide))
    assert (error <= limit).all(), f"{name}: off by {(error - limit).max():.3g} beyond the bound"
    return got
