"""Sobel, Prewitt, Laplace and derivatives of the caller's own: SciPy's, and the native forms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.ndimage
from support import COMPLEX, FLOATS, INTEGERS, dense, extended, layouts, paint, same, within
from support_filters import MODES, both

import ferroconv

NAMES = ("sobel", "prewitt", "laplace")
DTYPES = ("bool", *INTEGERS[:6], *FLOATS, *COMPLEX)
BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")
SHAPES = ((11,), (9, 13), (1, 10), (7, 1), (0, 5), (6, 7, 5), (3, 4, 5, 3))
WINDOWS = {
    "rows": np.outer([-1, 0, 1], [1, 2, 1]),
    "columns": np.outer([1, 2, 1], [-1, 0, 1]),
    "laplace": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
}
NATIVE = {
    "rows": lambda image, **options: ferroconv.sobel(image, 0, **options),
    "columns": ferroconv.sobel,
    "laplace": ferroconv.laplace,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_modes_dtypes_and_axes(name, mode, dtype):
    for shape in SHAPES:
        image = paint(shape, dtype)
        for axis in (-1, 0) if name != "laplace" else ((),):
            both(name, image, *([axis] if name != "laplace" else []), mode=mode, cval=1.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ("uint8", "float64", "complex128"))
def test_axes_and_modes_of_each(name, dtype):
    image = paint((6, 7, 8), dtype)
    both(name, image, mode=("wrap", "nearest", "constant"), cval=2)
    both(name, image, mode=("wrap", "nearest"))
    if name == "laplace":
        for axes in (0, -1, (1,), (0, 2), (2, 0), (-1, 1), ()):
            both(name, image, axes=axes)
            both(name, image, axes=axes, mode=("wrap", "nearest")[: np.size(axes)])
    else:
        for axis in range(-3, 3):
            both(name, image, axis, mode=("wrap", "nearest", "mirror"))


@pytest.mark.parametrize("name", NAMES)
def test_integers_wrap_as_scipys(name):
    """A step of 200 in uint8 is no 800 in uint8; a wider result says it."""
    step = np.repeat(np.array([[0, 0, 200, 200]], np.uint8), 4, 0)
    both(name, step)
    for output in (np.int16, np.uint16, np.int8, bool, np.float32):
        both(name, step, output=output)
        both(name, paint((12, 13), "uint8"), output=output)
    assert ferroconv.ndimage.sobel(step)[0, 1] == 800 % 256
    assert ferroconv.ndimage.sobel(step, output=np.int16)[0, 1] == 800


def test_bool_passes_leave_bytes():
    """SciPy's next pass reads the bytes that the last one has left in a bool array."""
    image = paint((20, 21, 3), "bool")
    for name in NAMES:
        got = both(name, image)
        assert set(np.unique(got.view(np.uint8))) <= {0, 1}


def test_int64_and_uint64_are_exact():
    """Listed difference: SciPy sums in float64 and is off beyond 2**53."""
    for dtype in ("int64", "uint64"):
        image = paint((12, 13), dtype)
        whole = image.astype(object)
        for name, window in (("sobel", WINDOWS["columns"]), ("laplace", WINDOWS["laplace"])):
            want = dense(extended(whole, (1, 1), (1, 1), "reflect"), window.astype(object))
            want = np.vectorize(lambda n: n % 2**64, otypes=[object])(want).astype(np.uint64).view(dtype)
            same(getattr(ferroconv.ndimage, name)(image), want)
    # SciPy's second pass has the negative numbers of the first as doubles near 2**64.
    image = paint((12, 13), "uint8")
    same(
        ferroconv.ndimage.sobel(image, output=np.uint64),
        ferroconv.ndimage.sobel(image, output=np.int64).astype(np.uint64),
    )


@pytest.mark.parametrize("name", NAMES)
def test_output(name):
    ours = getattr(ferroconv.ndimage, name)
    for source in ("uint8", "float32", "float64"):
        image = paint((6, 7), source, small=True)
        for dtype in (*INTEGERS[:7], *FLOATS):  # uint64: see test_int64_and_uint64_are_exact
            for output in (dtype, np.dtype(dtype), np.dtype(dtype).type, np.dtype(dtype).newbyteorder("S")):
                both(name, image, output=output)
            for order in ("=", "S"):
                target = np.full((12, 21), 9, np.dtype(dtype).newbyteorder(order))
                assert ours(image, output=target[::2, ::-3]).base is target
                np.testing.assert_array_equal(target[::2, ::-3], ours(image, output=dtype))
                assert (target[1::2] == 9).all()
    for output in ([[1.0] * 7] * 6, "bool", np.zeros((6, 6)), "complex64"):
        both(name, image, output=output)
    for output in ("float64", float, np.zeros((6, 7)), np.zeros((6, 7), complex)):
        both(name, image + 1j, output=output)


@pytest.mark.parametrize("name", NAMES)
def test_output_may_overlap_the_input(name):
    """SciPy's laplace reads the input after it has written over it: a listed difference."""
    ours = getattr(ferroconv.ndimage, name)
    for dtype in ("float64", "uint8"):
        whole = paint((9, 9), dtype)
        want = ours(whole[:8, :8].copy())
        for take in (np.s_[:8, :8], np.s_[1:, 1:], np.s_[7::-1, :8]):
            buffer = whole.copy()
            same(ours(buffer[:8, :8], output=buffer[take]), want)
            same(buffer[take], want)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ("uint8", "float32", "complex64"))
def test_layouts(name, dtype):
    ours, image = getattr(ferroconv.ndimage, name), paint((9, 10), dtype)
    want = ours(image)
    for _, array in layouts(image):
        same(ours(array), want)
        same(ours(array, workers=2), want)
    both(name, image.astype(image.dtype.newbyteorder("S")))


@pytest.mark.parametrize("name", NAMES)
def test_exceptions_are_scipys(name):
    image = np.ones((4, 5))
    for options in (
        {"mode": "nope"}, {"mode": None}, {"mode": ["wrap"] * 3}, {"cval": 1j}, {"cval": None}, {"axes": (0, 0)},
        {"axes": 5}, {"axes": (1.5,)}, {"axis": 2}, {"axis": -3}, {"axis": None}, {"bogus": 1},
    ):  # fmt: skip
        both(name, image, **options)
    both(name, image.astype(np.float16))
    both(name, image, output=np.float16)
    both(name, np.float64(3))
    both(name, image[0])


def scaled(input, axis, output, mode, cval, factor=1.0, *, weights=(1, -3, 2)):
    return scipy.ndimage.correlate1d(input, np.multiply(weights, factor), axis, output, mode, cval)


@pytest.mark.parametrize("name", ("generic_laplace", "generic_gradient_magnitude"))
def test_generic_filters_call_the_function_as_scipys(name):
    ours = getattr(ferroconv.ndimage, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in DTYPES:
            for shape in SHAPES[:6]:
                image = paint(shape, dtype, small=True)
                for output in (None, "float64", np.int16, "complex128") if dtype not in COMPLEX else (None,):
                    both_generic(name, image, scaled, output=output)
    image = paint((6, 7, 8), "float64")
    for options in (
        {"axes": (2, 0), "mode": ("wrap", "nearest")}, {"axes": ()}, {"axes": -1}, {"extra_arguments": (2.0,)},
        {"extra_arguments": (0.5,), "extra_keywords": {"weights": (2, 1)}, "mode": "constant", "cval": 3},
    ):  # fmt: skip
        both_generic(name, image, scaled, **options)
    target = np.full(image.shape, np.nan)
    assert ours(image, scaled, target) is target
    buffer = image.copy()
    same(ours(buffer, scaled, buffer), target)  # SciPy reads what it has written
    with pytest.raises(RuntimeError, match="one for each of 3 axes"):
        ours(image, scaled, mode=("wrap",))


def both_generic(name, image, *args, **kwargs):
    try:
        want = getattr(scipy.ndimage, name)(image, *args, **kwargs)
    except (RuntimeError, TypeError) as error:
        with pytest.raises(type(error)):
            getattr(ferroconv.ndimage, name)(image, *args, **kwargs)
        return
    got = getattr(ferroconv.ndimage, name)(image, *args, **kwargs)
    np.testing.assert_array_equal(got, want)  # the same operations of NumPy
    assert got.dtype == want.dtype


def test_generic_workers_are_those_of_the_functions_that_are_called():
    seen = []

    def derivative(input, axis, output, mode, cval):
        seen.append(ferroconv.get_num_threads())
        return ferroconv.ndimage.sobel(input, axis, output, mode, cval)

    for name in ("generic_laplace", "generic_gradient_magnitude"):
        getattr(ferroconv.ndimage, name)(np.ones((4, 4)), derivative, workers=3)
    assert seen == [3] * 4
    with pytest.raises(ValueError, match="Received: 0"):
        ferroconv.ndimage.generic_laplace(np.ones((4, 4)), derivative, workers=0)


# The native forms: the correlation with a window of three by three.


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", ("bool", *INTEGERS))
def test_native_integers_are_exact_and_saturate_or_wrap(name, border, dtype):
    window = WINDOWS[name].astype(object)
    for shape in ((8, 9), (13, 40), (1, 1), (2, 3)):
        image = paint(shape, dtype)
        whole = dense(extended(image.astype(object) * 1, (1, 1), (1, 1), border, 3), window)
        for target in (dtype, "int16", "int64", "uint64"):
            got = NATIVE[name](image, border=border, cval=3, dtype=target)
            if target == "bool":
                same(got, whole != 0)
                continue
            limits = np.iinfo(target)
            same(got, whole.clip(limits.min, limits.max).astype(target))
            modular = np.vectorize(lambda n, b=limits.bits: n % 2**b, otypes=[object])(whole)
            got = NATIVE[name](image, border=border, cval=3, dtype=target, overflow="wrap")
            same(got, modular.astype(f"uint{limits.bits}").view(target))
    same(NATIVE[name](paint((8, 9), "uint8"), dtype="float32"),
         NATIVE[name](paint((8, 9), "uint8"), dtype="int16").astype("float32"))  # fmt: skip


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("dtype", ("float16", *FLOATS, *COMPLEX, "uint8", "int32"))
def test_native_is_the_correlation_with_its_window(name, dtype):
    image = paint((3, 14, 15), dtype)
    for options in (
        {}, {"extent": "full"}, {"extent": "valid"}, {"stride": 2}, {"stride": (1, 3)}, {"dilation": (2, 1)},
        {"origin": (1, -1)}, {"border": ("constant", "mirror"), "cval": 2}, {"border": "constant", "cval": 2.5},
        {"axes": (0, 1)}, {"axes": (1, 0)}, {"axes": (0, -1)}, {"channel_axis": 0}, {"channel_axis": -1},
    ):  # fmt: skip
        want = ferroconv.correlate(image, WINDOWS[name], **options)
        got = NATIVE[name](image, **options)
        if want.dtype.kind in "iu":
            same(got, want)
        else:
            within(got, want, 18, np.full(want.shape, np.abs(image).max().astype(float) * 8))


@pytest.mark.parametrize("dtype", ("bool", *INTEGERS, "float16", *FLOATS))
def test_native_magnitude(dtype):
    """The root of the sum of squares, rounded once."""
    image = paint((14, 15), dtype)
    for options in ({}, {"stride": 2}, {"extent": "full"}, {"border": "constant", "cval": 2}, {"axes": (1, 0)}):
        down, across = (ferroconv.sobel(image.astype(float), axis, **options) for axis in (0, 1))
        want = np.sqrt(down * down + across * across)
        for target in (dtype, "int16", "uint16", "float64"):
            got = ferroconv.sobel(image, None, dtype=target, **options)
            if np.dtype(target).kind in "iu":
                limits = np.iinfo(target)
                tied = np.abs(want % 1 - 0.5) < 1e-3 + 1e-6 * want
                clipped = np.clip(np.rint(want), limits.min, np.nextafter(float(limits.max), 0))
                close = (
                    np.abs(got.astype(float) - clipped) <= 1e-6 * want * (np.dtype(dtype).kind == "f") + 1e-15 * want
                )
                assert (tied | close | (want >= limits.max) & (got == limits.max)).all()
            elif target != "bool":
                eps = max(np.finfo(t).eps for t in (got.dtype, dtype) if np.dtype(t).kind == "f")
                assert (np.abs(got - want) <= 40 * eps * np.abs(image.astype(float)).max()).all()
    with pytest.raises(TypeError, match="magnitude is that of a real image"):
        ferroconv.sobel(np.ones((3, 3), complex), None)


def test_native_axes_of_sobel():
    image = paint((5, 6, 3), "float32")
    same(ferroconv.sobel(image, 1, channel_axis=-1), ferroconv.sobel(image, axes=(0, 1)))
    same(ferroconv.sobel(image, 0, axes=(0, 1)), ferroconv.sobel(image, -2, axes=(0, 1)))
    for axis in (2, -3, "x", 0.5):
        with pytest.raises(ValueError, match=r"axis must be one of the two.*Received"):
            ferroconv.sobel(image, axis)


@pytest.mark.parametrize("dtype", ("float32", "float64", "uint8"))
def test_terms_are_one_walk_over_the_image(dtype):
    """Laplace and the gradient's magnitude: one problem each, SciPy's result."""
    image = paint((40, 61), dtype)
    output = None if dtype == "float64" else np.float32
    calls = {
        "laplace": (),
        "gaussian_gradient_magnitude": ((1, 2),),
    }
    for name, arguments in calls.items():
        for mode in ("reflect", ("wrap", "nearest"), "constant"):
            both(name, image, *arguments, output=output, mode=mode)
            explained = ferroconv.explain(getattr(ferroconv.ndimage, name), image, *arguments, output=output, mode=mode)
            # SciPy has the first mode for all of the first term, so that its terms don't share their borders.
            apart = name != "laplace" and not isinstance(mode, str)
            assert len(explained.plans) == 1 + apart, (name, mode)
    # A second pass is surrounded by cval itself.
    both("gaussian_laplace", image, 1.5, output=output, mode="constant", cval=7)
    both("laplace", image, output=output, mode="constant", cval=7)


def test_a_nan_reaches_no_corner_of_laplace():
    """Each term of SciPy's sum runs along one axis."""
    image = paint((9, 40), "float32").astype(np.float32)
    image[4, 20], image[2, 3] = np.nan, np.inf
    with np.errstate(all="ignore"):
        got, want = ferroconv.ndimage.laplace(image), scipy.ndimage.laplace(image)
    assert (np.isnan(got) == np.isnan(want)).all()
    assert (np.isinf(got) == np.isinf(want)).all()
    assert np.isnan(got).sum() == 5
