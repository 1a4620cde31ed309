"""Pixels left out by `mask` or ``nan="ignore"``: the definition, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from support import FLOATS, layouts, paint, same

import ferroconv

BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")
WINDOW = np.array([[1.0, 2.0, 0.5], [0.25, 3.0, 1.0]])
FILTERS = {
    "correlate": lambda image, **options: ferroconv.correlate(image, WINDOW, **options),
    "convolve": lambda image, **options: ferroconv.convolve(image, WINDOW, **options),
    "box": lambda image, **options: ferroconv.box(image, (3, 4), **options),
    "gaussian": lambda image, **options: ferroconv.gaussian(image, (0.6, 1.0), **options),
}


def gaps(shape, seed=1, share=0.3):
    """Scattered pixels, and a hole that swallows whole windows."""
    absent = np.random.default_rng(seed).random(shape) < share
    absent[..., 2:12, 3:14] = True
    return absent


def definition(name, image, absent, border, cval=0.0):
    """``sum(w x) sum(w) / sum(w')`` over the pixels that are left, by SciPy in float64."""
    options = {"mode": border, "cval": cval}
    if name == "gaussian":

        def run(values, **options):
            return scipy.ndimage.gaussian_filter(values, (0.6, 1.0), **options)

        total = 1.0
    elif name == "box":

        def run(values, **options):
            return scipy.ndimage.correlate(values, np.full((3, 4), 1 / 12), **options)

        total = 1.0
    else:

        def run(values, **options):
            return getattr(scipy.ndimage, name)(values, WINDOW, **options)

        total = WINDOW.sum()
    left = run(np.where(absent, 0, image).astype(np.float64), **options)
    weights = run((~absent).astype(np.float64), **{**options, "cval": 1.0})
    weights[weights < 1e-12] = np.nan
    return left * total / weights


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("border", BORDERS)
def test_the_definition(name, dtype, border):
    image, absent = paint((20, 31), dtype), gaps((20, 31))
    want = definition(name, image, absent, border, 2.0)
    hollow = np.where(absent, np.array(np.nan, dtype), image)
    assert np.isnan(want).any() and np.isfinite(want).any()
    for got in (
        FILTERS[name](hollow, nan="ignore", border=border, cval=2.0),
        FILTERS[name](image, mask=absent, border=border, cval=2.0),
        FILTERS[name](np.where(absent, np.nan, image).astype(dtype), mask=absent, border=border, cval=2.0),
        FILTERS[name](np.where(absent, np.inf, image).astype(dtype), mask=absent, border=border, cval=2.0),
    ):
        assert got.dtype == dtype
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=200 * np.finfo(dtype).eps, equal_nan=True)


def test_a_window_by_hand():
    image = np.array([[1.0, np.nan, 4.0, 7.0]])
    got = ferroconv.correlate(image, [[1, 1, 2]], nan="ignore", border="constant", cval=10)
    want = [(10 + 1) * 4 / 2, (1 + 8) * 4 / 3, (4 + 14) * 4 / 3, 4 + 7 + 20]
    np.testing.assert_allclose(got, [want], rtol=1e-15)


@pytest.mark.parametrize("name", FILTERS)
def test_nothing_left_out_is_the_plain_filter(name):
    for dtype in ("uint8", "float16", "float32", "float64", "complex64"):
        image = paint((12, 13), dtype)
        same(FILTERS[name](image, nan="ignore"), FILTERS[name](image))
        result = np.float32 if dtype == "uint8" else dtype
        plain = FILTERS[name](image, dtype=result)
        same(FILTERS[name](image, mask=np.zeros((12, 13), bool), dtype=result), plain)
        same(FILTERS[name](image, mask=np.False_, dtype=result), plain)


@pytest.mark.parametrize("name", FILTERS)
def test_whole_windows_keep_their_bits(name):
    for dtype in FLOATS:
        image = paint((40, 90), dtype)
        absent = np.zeros(image.shape, bool)
        absent[20, 30] = True
        plain, got = FILTERS[name](image), FILTERS[name](image, mask=absent)
        near = np.zeros(image.shape, bool)
        near[16:25, 26:35] = True
        same(got[~near], plain[~near])
        assert (got[18:23, 28:33] != plain[18:23, 28:33]).any()


def test_whole_windows_of_integers_keep_their_bits():
    """Sums that float32 holds are made in one walk, larger ones exactly, as the plain filter makes them."""
    for dtype, most in (("uint8", 9), ("uint8", 3000), ("int8", 9), ("uint16", 9), ("bool", 9)):
        image, window = paint((40, 90), dtype), np.random.default_rng(5).integers(1, most, (9, 9))
        absent = np.zeros(image.shape, bool)
        absent[20, 30] = True
        plain = ferroconv.correlate(image, window, dtype=np.float32)
        got = ferroconv.correlate(image, window, dtype=np.float32, mask=absent)
        near = np.zeros(image.shape, bool)
        near[16:25, 26:35] = True
        same(got[~near], plain[~near])
        if dtype != "bool":
            assert (got[near] != plain[near]).any()


@pytest.mark.parametrize("name", FILTERS)
def test_every_option_goes_to_both_filters(name):
    image, absent = paint((2, 16, 17), "float64"), gaps((2, 16, 17))
    for options in (
        {"extent": "full"}, {"extent": "valid"}, {"stride": (2, 3)}, {"dilation": 2}, {"origin": (0, -1)},
        {"axes": (1, 0)}, {"channel_axis": 0}, {"border": ("wrap", "constant")},
    ):  # fmt: skip
        if name == "box" and not {"stride", "dilation"}.isdisjoint(options):
            continue  # not there yet
        left = FILTERS[name](np.where(absent, 0, image), **options)
        there = FILTERS[name]((~absent).astype(float), cval=1.0, **options)
        total = WINDOW.sum() if name in ("correlate", "convolve") else 1.0
        with np.errstate(invalid="ignore", divide="ignore"):
            want = np.where(there > 1e-12, left * total / there, np.nan)
        np.testing.assert_allclose(FILTERS[name](image, mask=absent, **options), want, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_masks_broadcast_and_layouts(name):
    image, absent = paint((3, 14, 15), "float32"), gaps((14, 15))
    planes = np.stack([FILTERS[name](plane, mask=absent) for plane in image])
    same(FILTERS[name](image, mask=absent), planes)
    for _, array in layouts(np.where(absent, np.nan, image[0]).astype(np.float32)):
        same(FILTERS[name](array, nan="ignore"), planes[0])
    same(FILTERS[name](image[0].astype(">f4"), mask=absent.tolist()), planes[0])


@pytest.mark.parametrize("name", FILTERS)
def test_out_and_dtypes(name):
    image, absent = paint((14, 15), "uint8"), gaps((14, 15))
    want = definition(name, image, absent, "reflect")
    got = FILTERS[name](image, mask=absent, dtype=np.float32)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for dtype in ("float16", "float32"):
        target = np.full((14, 15), -1, dtype)
        assert FILTERS[name](image, mask=absent, dtype=dtype, out=target) is target
        np.testing.assert_allclose(target, want, rtol=2e-3 if dtype == "float16" else 1e-5)
    complex_image = paint((14, 15), "complex128")
    got = FILTERS[name](complex_image, mask=absent)
    want = definition(name, complex_image.real, absent, "reflect") + 1j * definition(
        name, complex_image.imag, absent, "reflect"
    )
    np.testing.assert_allclose(got, want, atol=1e-12)
    target = np.full((14, 15), 7, np.float32)
    ferroconv.explain(FILTERS[name], image, mask=absent, dtype=np.float32, out=target)
    assert (target == 7).all()


def test_nan_that_is_not_left_out_propagates():
    image = np.ones((9, 20))
    image[4, 4], image[4, 14] = np.nan, np.nan
    absent = np.zeros(image.shape, bool)
    absent[4, 4] = True
    assert np.isnan(ferroconv.correlate(image, np.ones((3, 3)), mask=absent)).sum() == 9
    image[4, 14] = np.inf  # a number, by IEEE and here
    assert np.isinf(ferroconv.correlate(image, np.ones((3, 3)), mask=absent, nan="ignore")).sum() == 9


def test_a_cval_of_nan_is_ignored_with_the_others():
    image = paint((6, 7), "float64")
    got = ferroconv.correlate(image, np.ones((3, 3)), border="constant", cval=np.nan, nan="ignore")
    ones = scipy.ndimage.correlate(np.ones((6, 7)), np.ones((3, 3)), mode="constant")
    want = scipy.ndimage.correlate(image, np.ones((3, 3)), mode="constant") * 9 / ones
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-14)


def test_what_cannot_be_normalised_is_refused():
    image, absent = np.ones((6, 7)), np.eye(6, 7, dtype=bool)
    for call in (
        lambda **o: ferroconv.correlate(image, [[1, 0, -1]], **o),
        lambda **o: ferroconv.convolve(image, np.zeros((2, 2)), **o),
        lambda **o: ferroconv.gaussian(image, 1, order=(0, 1), **o),
        lambda **o: ferroconv.sobel(image, **o),
        lambda **o: ferroconv.laplace(image, **o),
    ):
        for options in ({"mask": absent}, {"nan": "ignore", "mask": absent}):
            with pytest.raises(ValueError, match=r"sum to zero.*Received"):
                call(**options)
    with pytest.raises(ValueError, match="complex weights"):
        ferroconv.correlate(image, [[1j, 1]], mask=absent)
    with pytest.raises(TypeError, match=r"integer can't hold.*Received: uint8"):
        ferroconv.gaussian(image.astype(np.uint8), 1, mask=absent)
    with pytest.raises(TypeError, match=r"mask must be of bool.*Received: int64"):
        ferroconv.gaussian(image, 1, mask=np.ones((6, 7), np.int64))
    with pytest.raises(ValueError, match=r"mask must have the image's shape.*Received"):
        ferroconv.gaussian(image, 1, mask=np.ones((7, 6), bool))
    with pytest.raises(ValueError, match=r"share memory"):
        ferroconv.gaussian(image, 1, mask=absent, out=image)
    assert (image == 1).all()


def test_mixed_signs_give_nan_where_the_weights_that_are_left_cancel():
    image, absent = np.ones((1, 9)), np.zeros((1, 9), bool)
    absent[0, 4] = True
    got = ferroconv.correlate(image, [[-1, 3, 1]], mask=absent)
    assert np.isnan(got[0, 4])
    np.testing.assert_allclose(got[0, [3, 5]], 3)
