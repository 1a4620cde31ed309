"""Images whose channels come last: what their planes give, whichever walk they take."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from support import paint

import ferroconv

WINDOW = np.array([[1.0, 2.0, 0.5], [0.25, 3.0, 1.0], [0.1, -0.3, 0.7]])
FILTERS = {
    "correlate": lambda image, **options: ferroconv.correlate(image, WINDOW, **options),
    "convolve": lambda image, **options: ferroconv.convolve(image, WINDOW[:2], **options),
    "outer": lambda image, **options: ferroconv.correlate(image, np.ones((4, 6)), **options),
    "gaussian": lambda image, **options: ferroconv.gaussian(image, (2.0, 1.0), **options),
    "derivative": lambda image, **options: ferroconv.gaussian(image, 1.5, order=(0, 1), **options),
    "rows alone": lambda image, **options: ferroconv.gaussian(image, (1.0, 0.0), **options),
    "columns alone": lambda image, **options: ferroconv.gaussian(image, (0.0, 1.0), **options),
    "laplace": lambda image, **options: ferroconv.laplace(image, **options),
    "box": lambda image, **options: ferroconv.box(image, (3, 5), **options),
    "maximum": lambda image, **options: ferroconv.maximum(image, 5, **options),
}


def alike(got, want):
    """Within the bounds: how a window is summed may be chosen by the size of what it is summed over."""
    assert got.dtype == want.dtype and got.shape == want.shape
    if got.dtype.kind in "iu":
        apart = np.abs(got.astype(np.int64) - want)
        assert apart.max(initial=0) <= 1 and (apart > 0).mean() <= 0.02
    else:
        eps = np.finfo(got.dtype).eps
        np.testing.assert_allclose(got, want, rtol=4 * eps, atol=200 * eps)


@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("name", FILTERS)
def test_pixels_are_filtered_as_planes(name, dtype, channels):
    if dtype == "complex64" and name in ("maximum", "laplace"):
        return
    image = paint((23, 41, channels), dtype)
    for options in ({}, {"border": ("constant", "wrap"), "cval": 3}, {"border": "mirror", "extent": "valid"}):
        if name in ("laplace",) and "extent" in options:
            continue
        planes = [FILTERS[name](np.ascontiguousarray(image[..., c]), **options) for c in range(channels)]
        want = np.stack(planes, axis=-1)
        alike(FILTERS[name](image, channel_axis=-1, **options), want)
        alike(FILTERS[name](image[None], axes=(1, 2), **options), want[None])
        # Rows that are no runs of pixels, and results that are none.
        wide = np.zeros((23, 41, 2 * channels), image.dtype)
        wide[..., ::2] = image
        alike(FILTERS[name](wide[..., ::2], channel_axis=-1, **options), want)
        out = np.zeros((*want.shape[:2], 2 * channels), want.dtype)[..., 1::2]
        assert FILTERS[name](image, channel_axis=-1, out=out, **options) is out
        alike(out, want)


@pytest.mark.parametrize(
    "shape, taps", [((40, 256), (1, 17)), ((40, 256), (3, 17)), ((64, 64, 4), (5, 5)), ((64, 64, 2), (3, 9))]
)
def test_the_last_samples_of_rows_that_end_with_a_vector(shape, taps):
    """Large samples of 16 bits, in pairs of which the last of a row has one alone."""
    image = paint(shape, "uint16")
    window = np.random.default_rng(2).integers(-9, 10, taps)
    got = ferroconv.correlate(image, window, axes=(0, 1), dtype=np.int32)
    planes = image.reshape(*shape[:2], -1).astype(np.int64)
    want = np.stack(
        [scipy.ndimage.correlate(planes[..., c], window, mode="reflect") for c in range(planes.shape[2])], axis=-1
    )
    np.testing.assert_array_equal(got, want.reshape(shape))


def test_large_windows_and_no_pixels():
    image = paint((60, 70, 3), "float32")
    window = np.random.default_rng(0).random((25, 27))
    planes = np.stack([ferroconv.correlate(image[..., c], window) for c in range(3)], axis=-1)
    np.testing.assert_allclose(ferroconv.correlate(image, window, channel_axis=-1), planes, rtol=1e-5)
    for shape in ((0, 5, 3), (5, 0, 3), (5, 6, 0)):
        assert ferroconv.correlate(np.zeros(shape), WINDOW, channel_axis=-1).shape == shape
        assert ferroconv.gaussian(np.zeros(shape), 1, channel_axis=-1).shape == shape


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_scipys_filters_over_the_first_axes(dtype):
    image = paint((24, 31, 3), dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-10}
    for mode in ("reflect", "constant", "wrap"):
        for name, options in (
            ("gaussian_filter", {"sigma": (1.3, 2.0), "axes": (0, 1)}),
            ("gaussian_filter", {"sigma": 1.0, "axes": (0, 1), "order": (1, 0)}),
            ("correlate1d", {"weights": [1, 2, 3], "axis": 0}),
            ("correlate1d", {"weights": [0.3, 2, 0.3], "axis": 1}),
            ("convolve1d", {"weights": [1, 2, 4, 7], "axis": 1}),
            ("sobel", {"axis": 0}),
            ("prewitt", {"axis": 1}),
        ):
            got = getattr(ferroconv.ndimage, name)(image, mode=mode, cval=5, **options)
            want = getattr(scipy.ndimage, name)(image, mode=mode, cval=5, **options)
            if image.dtype.kind in "iu":
                np.testing.assert_array_equal(got, want, err_msg=f"{name}, {mode}")
            else:
                np.testing.assert_allclose(got, want, err_msg=f"{name}, {mode}", **tolerance)


def test_an_explanation_names_the_channels():
    (plan,) = ferroconv.explain(ferroconv.gaussian, np.zeros((90, 100, 3), np.uint8), 2, channel_axis=-1).plans
    assert "over 90x100x3 uint8" in plan.problem
