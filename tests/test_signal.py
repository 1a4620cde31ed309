"""ferroconv.signal against scipy.signal."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from support import COMPLEX, INTEGERS, NUMBERS, agree, dense, extended, layouts, paint, same

import ferroconv.signal

NAMES = ("convolve2d", "correlate2d")
MODES = ("full", "same", "valid")
BOUNDARIES = ("fill", "wrap", "symm")
SHAPES = {
    "odd": ((8, 9), (3, 3)),
    "even": ((9, 7), (2, 4)),
    "row": ((6, 11), (1, 5)),
    "column": ((11, 6), (4, 1)),
    "wider than a vector": ((13, 71), (3, 5)),
    "equal": ((5, 6), (5, 6)),
    "oversized": ((4, 3), (6, 5)),
    "one pixel": ((1, 1), (3, 3)),
    "one tap": ((5, 4), (1, 1)),
    "mixed": ((3, 8), (4, 2)),
}


def both(name, in1, in2, *args, **kwargs):
    """Ours, SciPy's, and the sum of magnitudes; or, where SciPy raises, its exception from both."""
    theirs, ours = getattr(scipy.signal, name), getattr(ferroconv.signal, name)
    try:
        want = theirs(in1, in2, *args, **kwargs)
    except ValueError:
        with pytest.raises(ValueError, match="Received"):
            ours(in1, in2, *args, **kwargs)
        return
    got = ours(in1, in2, *args, **kwargs)
    magnitude = None
    if want.dtype.kind in "fc":
        if "fillvalue" in kwargs:
            kwargs = {**kwargs, "fillvalue": abs(kwargs["fillvalue"])}
        wide = [np.abs(a).astype(np.float64) for a in (in1, in2)]
        magnitude = theirs(*wide, *args, **kwargs)
    agree(got, want, in2.size, magnitude)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_modes_boundaries_and_dtypes(name, mode, boundary, dtype):
    for shape, taps in SHAPES.values():
        if boundary != "fill" and any(k > n + 1 for n, k in zip(shape, taps, strict=True)):
            continue  # SciPy reads outside the image: test_tiny_axes_under_large_windows
        both(name, paint(shape, dtype), paint(taps, dtype, 1), mode, boundary)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("first", ("bool", *NUMBERS))
def test_mixed_dtypes_promote_as_numpys(name, first):
    for second in ("bool", *NUMBERS):
        for mode in MODES:
            both(name, paint((6, 7), first, small=True), paint((3, 2), second, 1, small=True), mode)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("mode", MODES)
def test_tiny_axes_under_large_windows(name, mode, boundary):
    """Listed difference: SciPy folds an index back once, and reads outside what lies further."""
    for shape, taps in [((2, 3), (11, 14)), ((1, 1), (9, 8)), ((3, 1), (4, 20)), ((1, 5), (7, 2))]:
        image, weights = paint(shape, "int64", small=True), paint(taps, "int64", 1, small=True)
        (h, w), (kh, kw) = shape, taps
        window = weights[::-1, ::-1] if name == "convolve2d" else weights
        if mode == "valid":
            both(name, image, weights, mode, boundary)
            continue
        full = dense(extended(image, (kh - 1, kw - 1), (kh - 1, kw - 1), boundary, 2), window)
        y, x = (kh - 1) // 2, (kw - 1) // 2
        if name == "correlate2d":
            y, x = kh // 2, kw // 2
        want = full if mode == "full" else full[y : y + h, x : x + w]
        got = getattr(ferroconv.signal, name)(image, weights, mode, boundary, 2)
        same(got, want)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ("uint8", "int32", "float32", "float64", "complex64"))
def test_layouts(name, dtype):
    image, weights = paint((9, 10), dtype), paint((3, 4), dtype, 1)
    want = getattr(ferroconv.signal, name)(image, weights, "same", "symm")
    for layout, array in layouts(image):
        same(getattr(ferroconv.signal, name)(array, weights, "same", "symm"), want)
        assert layout
    for _, array in layouts(weights):
        same(getattr(ferroconv.signal, name)(image, array, "same", "symm"), want)
    both(name, image.astype(image.dtype.newbyteorder("S")), weights)


def test_sequences_are_taken():
    same(ferroconv.signal.convolve2d([[1, 2], [3, 4]], [[0, 1]]), scipy.signal.convolve2d([[1, 2], [3, 4]], [[0, 1]]))


@pytest.mark.parametrize("name", NAMES)
def test_complex_weights_are_conjugated_by_correlation_only(name):
    for first in ("float64", *COMPLEX):
        for second in ("float64", *COMPLEX):
            for mode in MODES:
                for shapes in [((6, 7), (3, 2)), ((3, 2), (6, 7))]:
                    both(name, paint(shapes[0], first), paint(shapes[1], second, 1), mode)


# The quirks, in the order of docs/scipy-differences.md.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ("int16", "float64", "complex128"))
def test_valid_swaps_a_larger_second_input(name, dtype):
    both(name, paint((3, 4), dtype), paint((7, 5), dtype, 1), "valid")
    both(name, paint((3, 4), dtype), paint((3, 5), dtype, 1), "valid", "wrap")
    both(name, paint((3, 5), dtype), paint((4, 3), dtype, 1), "valid")  # neither contains the other


@pytest.mark.parametrize("name", NAMES)
def test_same_is_the_size_of_the_first_input(name):
    got = getattr(ferroconv.signal, name)(np.ones((3, 4)), np.ones((8, 9)), "same")
    assert got.shape == (3, 4)
    both(name, paint((3, 4), "int32"), paint((8, 9), "int32", 1), "same")


@pytest.mark.parametrize("name", NAMES)
def test_even_windows_are_centred_as_signals(name):
    impulse = np.zeros((7, 7), int)
    impulse[3, 3] = 1
    for taps in [(2, 2), (2, 3), (4, 4), (5, 4)]:
        both(name, impulse, np.arange(taps[0] * taps[1]).reshape(taps), "same")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", (*INTEGERS, "float32", "complex64"))
@pytest.mark.parametrize("fillvalue", (0.5, 1.75, -0.5, -1.5, 7, 255, 256, 300.7, -1, 2**40, np.nan, 1j, 2**70))
@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_fillvalue_is_truncated_to_the_dtype(name, dtype, fillvalue):
    """What the dtype can't hold is refused, by both."""
    image, weights = paint((3, 4), dtype, small=True), paint((3, 2), dtype, 1, small=True)
    if fillvalue != fillvalue and np.dtype(dtype).kind in "fc":
        got = getattr(ferroconv.signal, name)(image, weights, fillvalue=fillvalue)
        want = getattr(scipy.signal, name)(image, weights, fillvalue=fillvalue)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        return
    both(name, image, weights, fillvalue=fillvalue)


def test_complex_fillvalue_of_a_real_image_under_complex_weights():
    for name in NAMES:
        both(name, paint((3, 4), "float32"), paint((2, 3), "complex64", 1), fillvalue=1 + 2j)


def test_integers_wrap():
    got = ferroconv.signal.convolve2d(np.full((1, 1), 9, np.uint8), np.full((1, 1), 200, np.uint8))
    same(got, np.array([[8]], np.uint8))
    for dtype in INTEGERS:
        both("convolve2d", paint((12, 13), dtype), paint((9, 9), dtype, 1))


def test_int64_is_exact_beyond_2_53():
    image = np.array([[2**53 + 1, -(2**62) - 1]])
    for name in NAMES:
        both(name, image, np.array([[3]]))
        both(name, image.astype(np.uint64), np.array([[2**63 + 5]], np.uint64))


def test_nan_stays_local_in_convolve2d():
    image = np.ones((32, 32), np.float32)
    image[16, 16] = np.nan
    got = ferroconv.signal.convolve2d(image, np.ones((3, 5), np.float32), "same")
    assert np.isnan(got).sum() == 15
    np.testing.assert_array_equal(
        np.isnan(got), np.isnan(scipy.signal.convolve2d(image, np.ones((3, 5), np.float32), "same"))
    )


@pytest.mark.parametrize("name", NAMES)
def test_infinities_are_scipys(name):
    image = paint((9, 9), "float64")
    image[4, 4], image[0, 8] = np.inf, -np.inf
    for weights in (np.ones((3, 3)), np.array([[1.0, -1.0]]), np.array([[0.0, 1.0]])):
        got, want = (getattr(m, name)(image, weights, "same") for m in (ferroconv.signal, scipy.signal))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(np.isposinf(got), np.isposinf(want))
        np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want))


@pytest.mark.parametrize("dtype", ("bool", "float16"))
def test_bool_and_float16_are_refused_as_by_scipy(dtype):
    array = np.ones((2, 2), dtype)
    with pytest.raises(ValueError):
        scipy.signal.convolve2d(array, array)
    with pytest.raises(ValueError, match=dtype):
        ferroconv.signal.convolve2d(array, array)


def test_long_double_is_not_implemented():
    with pytest.raises(NotImplementedError, match="longdouble|float128"):
        ferroconv.signal.convolve2d(np.ones((2, 2), np.longdouble), np.ones((2, 2)))


def test_empty_images():
    """Listed difference: an image of no pixels has a result of none, and a window has a tap."""
    for mode in ("full", "same"):
        assert ferroconv.signal.convolve2d(np.ones((0, 3)), np.ones((2, 2)), mode).size == 0
        same(
            ferroconv.signal.convolve2d(np.ones((3, 0)), np.ones((1, 1)), mode),
            scipy.signal.convolve2d(np.ones((3, 0)), np.ones((1, 1)), mode),
        )
        with pytest.raises(ValueError, match="one tap at least"):
            ferroconv.signal.convolve2d(np.ones((3, 3)), np.ones((0, 2)), mode)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_sweep_of_sizes(name, boundary, dtype):
    for h in (1, 2, 3, 8, 17):
        for w in (1, 2, 7, 16, 33):
            for kh in (1, 2, 3, 7):
                for kw in (1, 2, 5, 8):
                    if boundary == "fill" or (kh <= h + 1 and kw <= w + 1):
                        for mode in MODES:
                            both(name, paint((h, w), dtype), paint((kh, kw), dtype, 1), mode, boundary)
