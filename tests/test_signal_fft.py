"""scipy.signal's convolution of arrays, by sums and by Fourier transforms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from support import COMPLEX, FLOATS, INTEGERS, paint, same, within

import ferroconv
from ferroconv import _core, signal

MODES = ("full", "same", "valid")


@pytest.fixture
def transforms():
    """Prefers transforms, so that small problems meet them."""
    before = _core.prefer("fft")
    yield
    _core.prefer(before)


def exact(in1, in2, mode):
    """The convolution in the widest arithmetic there is, and the sum of the magnitudes of its terms."""
    wide = np.complex128 if "c" in (in1.dtype.kind, in2.dtype.kind) else np.float64
    args = in1.astype(wide), in2.astype(wide)
    size = np.abs(in1.astype(wide)), np.abs(in2.astype(wide))
    direct = {"mode": mode, "method": "direct"}
    return scipy.signal.convolve(*args, **direct), scipy.signal.convolve(*size, **direct)


SHAPES = [
    ((1, 1), (1, 1)), ((5, 7), (3, 3)), ((5, 7), (2, 4)), ((40, 33), (9, 12)), ((3, 4), (7, 9)), ((70, 300), (21, 21)),
    ((4, 9), (4, 9)), ((1, 60), (1, 13)), ((60, 1), (13, 1)), ((1, 8), (3, 4)), ((8, 1), (1, 5)),
    ((50,), (7,)), ((7,), (50,)), ((300,), (64,)), ((4,), (4,)), ((1,), (5,)), ((9,), (1,)),
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape1", "shape2"), SHAPES)
@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve", "oaconvolve"])
def test_floats_are_within_the_bound_of_scipys(name, dtype, shape1, shape2, mode):
    in1, in2 = paint(shape1, dtype), paint(shape2, dtype, 1)
    theirs, ours = getattr(scipy.signal, name), getattr(signal, name)
    try:
        want = theirs(in1, in2, mode)
    except ValueError:
        with pytest.raises(ValueError, match="valid"):
            ours(in1, in2, mode)
        return
    got = ours(in1, in2, mode)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    # SciPy's own transforms err by more than the bound: its double precision is what ours is held to.
    wide = np.complex128 if in1.dtype.kind == "c" else np.float64
    best = theirs(in1.astype(wide), in2.astype(wide), mode)
    size = theirs(np.abs(in1).astype(float), np.abs(in2).astype(float), mode)
    slack = 1e-13 * np.abs(size).max()
    terms = min(in1.size, in2.size) + 2
    limit = 2 * terms * np.finfo(dtype).eps * np.abs(size) + slack
    assert (np.abs(got.astype(wide) - best) <= limit).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
@pytest.mark.parametrize("kernel", [(5, 5), (17, 8), (33, 33)])
def test_each_method_is_within_the_bound_element_by_element(kernel, dtype, method, mode):
    in1, in2 = paint((90, 140), dtype), paint(kernel, dtype, 2)
    want, size = exact(in1, in2, mode)
    got = signal.convolve(in1, in2, mode, method)
    within(got, want.astype(dtype), in2.size * (2 if in1.dtype.kind == "c" else 1), size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shapes", [((40, 60), (9, 7)), ((90,), (31,))])
def test_integers_are_exact_and_wrap(shapes, dtype, method, mode):
    in1, in2 = paint(shapes[0], dtype), paint(shapes[1], dtype, 1)
    for name in ("convolve", "correlate"):
        want = getattr(scipy.signal, name)(in1, in2, mode, "direct")
        same(getattr(signal, name)(in1, in2, mode, method), want)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("border", ["reflect", "constant"])
def test_transforms_of_integers_are_the_exact_sums(dtype, border):
    image, weights = paint((130, 170), dtype), paint((15, 18), "int8", 3)
    options = {"border": border, "overflow": "wrap", "cval": 7}
    want = ferroconv.correlate(image, weights, **options)
    before = _core.prefer("fft")
    try:
        same(ferroconv.correlate(image, weights, **options), want)
        same(ferroconv.correlate(image, weights, dtype="int64", **options)[::-1].astype(dtype)[::-1], want)
    finally:
        _core.prefer(before)


@pytest.mark.parametrize("border", ["constant", "nearest", "reflect", "mirror", "wrap"])
@pytest.mark.parametrize("extent", ["full", "same", "valid"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_transforms_know_every_border_extent_and_origin(dtype, extent, border):
    image, weights = paint((75, 160), dtype), paint((11, 14), dtype, 4)
    options = {"border": border, "extent": extent, "origin": (2, -3) if extent == "same" else 0}
    wide = np.complex128 if dtype == "complex64" else np.float64
    args = image.astype(wide), weights.astype(wide)
    want = ferroconv.correlate(*args, **options)
    size = ferroconv.correlate(np.abs(args[0]), np.abs(args[1]), **options)
    before = _core.prefer("fft")
    try:
        got = ferroconv.correlate(image, weights, **options)
    finally:
        _core.prefer(before)
    within(got, want.astype(dtype), 2 * weights.size, size)


def test_float64_results_hold_their_own_bound_under_transforms(transforms):
    """A star of 10^12 in a faint sky: the transform's error is the star's, the bound is the sky's."""
    image = np.abs(paint((200, 230), "float64")) * 1e-6
    image[100, 120] = 1e12
    weights = np.abs(paint((15, 15), "float64", 1))
    want, size = exact(image, weights, "same")
    within(signal.convolve(image, weights, "same", "fft"), want, weights.size, size)
    lone = np.zeros((200, 230))
    lone[100, 120] = 1
    got = signal.fftconvolve(lone, weights, "same")
    assert np.count_nonzero(got) == weights.size
    same(got[93:108, 113:128], weights)


@pytest.mark.usefixtures("transforms")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS + COMPLEX)
def test_nan_stays_local_under_transforms(dtype, bad):
    clean, weights = paint((150, 170), dtype), paint((13, 9), dtype, 1)
    image = clean.copy()
    image[60, 80] = bad
    for function in (signal.fftconvolve, signal.oaconvolve, signal.convolve):
        got, want = function(image, weights, "same"), function(clean, weights, "same")
        reach = np.zeros(image.shape, bool)
        reach[60 - 6 : 60 + 7, 80 - 4 : 80 + 5] = True
        assert not np.isfinite(got[reach]).any()
        assert np.isfinite(got[~reach]).all()
        size = exact(np.abs(clean), np.abs(weights), "same")[1]
        within(got[~reach], want[~reach], 2 * weights.size, size[~reach])


@pytest.mark.usefixtures("transforms")
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "complex64"])
def test_bits_do_not_depend_on_threads(dtype):
    image, weights = paint((300, 420), dtype), paint((19, 23), dtype, 1)
    one = signal.convolve(image, weights, workers=1)
    for workers in (2, 3, 8):
        same(signal.convolve(image, weights, workers=workers), one)


AXES = [
    ((3, 4, 5), (3, 2, 2), (1, 2)), ((3, 4, 5), (1, 2, 2), (1, 2)), ((1, 4, 5), (3, 2, 2), (1, 2)), ((3, 4, 5), (3, 2, 5), 1),
    ((3, 4, 5), (3, 2, 5), [-2]), ((3, 14), (3, 2), (1,)), ((1, 4), (3, 2), (1,)), ((2, 4), (3, 8), None), ((1, 8), (3, 4), None),
    ((3, 1), (3, 4), None), ((8, 2, 5), (3, 2, 4), (0, 2)), ((6, 5), (6, 5), 0), ((1, 4), (5, 1), None), ((2, 3, 9), (2, 1, 4), 2),
    ((4, 1, 9), (1, 3, 4), 2), ((1, 5, 9), (6, 5, 4), (2,)),
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape1", "shape2", "axes"), AXES)
@pytest.mark.parametrize("name", ["fftconvolve", "oaconvolve"])
def test_axes(name, shape1, shape2, axes, mode):
    in1, in2 = paint(shape1, "float64"), paint(shape2, "float64", 1)
    try:
        want = getattr(scipy.signal, name)(in1, in2, mode, axes)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)[:20]):
            getattr(signal, name)(in1, in2, mode, axes)
        return
    got = getattr(signal, name)(in1, in2, mode, axes)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((3, 4), (3, 2), "full", ()), "empty"), (((3, 4), (3, 2), "full", (0, 0)), "unique"),
        (((3, 4), (3, 2), "full", 2), "dimensionality"), (((3, 4), (2, 2), "full", 1), "incompatible"),
        (((3, 4), (3, 2), "full", 1.5), "integers"), (((3, 4), (3,), "full", None), "dimensionality"),
        (((3, 4), (3, 2), "bad", None), "mode"), (((3, 4), (4, 3), "valid", None), "valid"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_transforms_are_scipys_errors(arguments, match):
    shape1, shape2, mode, axes = arguments
    for module in (scipy.signal, signal):
        for name in ("fftconvolve", "oaconvolve"):
            with pytest.raises(ValueError, match=match):
                getattr(module, name)(np.ones(shape1), np.ones(shape2), mode, axes)


@pytest.mark.parametrize("name", ["convolve", "correlate"])
def test_wrong_arguments_are_scipys_errors(name):
    for module in (scipy.signal, signal):
        function = getattr(module, name)
        for arguments in (
            (np.ones((3, 3)), np.ones(3)), (np.ones((3, 3)), np.ones((2, 2)), "bad"), (np.ones((0, 4)), np.ones((2, 2))),
            (np.ones((3, 3)), np.ones((2, 2)), "full", "bad"), (np.ones((4, 4)), np.ones((5, 1)), "valid"),
            (np.ones((4, 4)), np.ones((0, 2))), (np.ones((3, 3), bool), np.ones((2, 2), bool)),
            (np.ones((3, 3), np.float16), np.ones((2, 2), np.float16)),
        ):  # fmt: skip
            with pytest.raises(ValueError):
                function(*arguments)


def test_empty_arrays_and_scalars():
    for name in ("fftconvolve", "oaconvolve"):
        for shapes in (((0, 4), (2, 2)), ((4, 4), (2, 0)), ((0,), (3,))):
            ones = [np.ones(shape, np.float32) for shape in shapes]
            same(getattr(signal, name)(*ones), getattr(scipy.signal, name)(*ones))
    for name in ("fftconvolve", "oaconvolve", "convolve", "correlate"):
        same(np.asarray(getattr(signal, name)(3, 2 + 1j)), np.asarray(getattr(scipy.signal, name)(3, 2 + 1j)))


PAIRS = [("i4", "f4"), ("u1", "u1"), ("?", "?"), ("e", "e"), ("f", "d"), ("F", "f"), ("i8", "u8"), ("u1", "i1"), ("?", "f"), ("i2", "i4"), ("f", "i4")]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_dtypes_are_scipys(first, second):
    in1, in2 = np.ones((4, 4)).astype(first), np.ones((2, 2)).astype(second)
    for name in ("fftconvolve", "oaconvolve"):
        got, want = getattr(signal, name)(in1, in2), getattr(scipy.signal, name)(in1, in2)
        assert got.dtype == want.dtype
        # SciPy transforms a float32 array in single precision even where the result is double.
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    for name in ("convolve", "correlate"):
        for method in ("auto", "direct", "fft"):
            if not (first in "?e" and first == second and method != "fft"):
                want = getattr(scipy.signal, name)(in1, in2, method=method)
                assert getattr(signal, name)(in1, in2, method=method).dtype == want.dtype


def test_bool_and_float16_along_one_axis():
    for dtype in ("?", "e"):
        in1, in2 = np.array([1, 0, 1, 1]).astype(dtype), np.array([1, 1]).astype(dtype)
        same(signal.convolve(in1, in2), scipy.signal.convolve(in1, in2))


def test_long_double_is_not_implemented_by_transforms():
    for function in (signal.convolve, signal.fftconvolve, signal.oaconvolve):
        with pytest.raises(NotImplementedError, match="float64"):
            function(np.ones((3, 3), np.longdouble), np.ones((2, 2)))


def test_windows_of_three_axes_are_not_implemented():
    for function in (signal.convolve, signal.correlate, signal.fftconvolve, signal.oaconvolve):
        with pytest.raises(NotImplementedError, match="one or two axes"):
            function(np.ones((4, 4, 4)), np.ones((2, 2, 2)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(2, 3, 1), (1, 3, 4), (3, 1, 2), (1, 1, 5), (4, 1, 1)])
def test_windows_over_two_of_three_axes(shape, mode):
    in1, in2 = paint((5, 6, 7), "float64"), paint(shape, "float64", 1)
    for name in ("convolve", "correlate"):
        want = getattr(scipy.signal, name)(in1, in2, mode, "direct")
        np.testing.assert_allclose(getattr(signal, name)(in1, in2, mode), want, rtol=0, atol=1e-13)


def test_the_choice_of_method_is_ours():
    large = np.ones((512, 512), np.float32)
    assert signal.choose_conv_method(large, np.ones((3, 3), np.float32)) == "direct"
    # Ones are an outer product: two passes are neither of SciPy's methods, and cheaper.
    assert signal.choose_conv_method(large, np.ones((61, 61), np.float32)) == "direct"
    assert signal.choose_conv_method(large, paint((61, 61), "float32")) == "fft"
    method, times = signal.choose_conv_method(large[:99, :99], np.ones((5, 5), np.float32), measure=True)
    assert method == min(times, key=times.get)
    assert set(times) == {"fft", "direct"}
    with pytest.raises(ValueError, match="mode"):
        signal.choose_conv_method(large, large, "bad")


def test_explain_says_which_was_chosen():
    plan, = ferroconv.explain(signal.convolve, np.ones((512, 512)), paint((61, 61), "float64")).plans  # fmt: skip
    assert plan.chosen.split("/")[1] == "fft"
    assert [name.split("/")[1] for name, _, _ in plan.candidates] == [
        "folded",
        "guessed",
        "separable",
        "pair-passes",
        "pairs",
        "toeplitz",
        "direct",
        "bytes",
        "sparse",
        "fft",
    ]


SEPARABLE = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", *FLOATS, *COMPLEX]  # fmt: skip


@pytest.mark.parametrize("dtype", SEPARABLE)
@pytest.mark.parametrize("taps", [(1, 1), (3, 5), (7, 1), (9, 9)])
def test_sepfir2d(taps, dtype):
    image = paint((11, 14), dtype, small=True)
    rows, cols = ([*paint(n, "float64", i)] for i, n in enumerate(taps))
    want = scipy.signal.sepfir2d(image, rows, cols)
    size = scipy.signal.sepfir2d(np.abs(image).astype(float), np.abs(rows), np.abs(cols))
    within(signal.sepfir2d(image, rows, cols), want, sum(taps) + 2, size, c=4)


def test_sepfir2d_refuses_what_scipys_refuses():
    image = np.ones((6, 6))
    for module in (scipy.signal, signal):
        for arguments, error in (
            ((image, [1, 2], [1.0]), ValueError), ((image, [], [1.0]), ValueError), ((image[0], [1.0], [1.0]), ValueError),
            ((image, [[1.0]], [1.0]), ValueError), ((image, [1j], [1.0]), TypeError),
            ((image.astype("f"), np.ones(1), [1.0]), TypeError), ((image.astype("F"), np.ones(1), [1.0]), TypeError),
        ):  # fmt: skip
            with pytest.raises(error):
                module.sepfir2d(*arguments)


def test_sepfir2d_under_windows_longer_than_the_image():
    """SciPy 1.17 writes outside its buffers here."""
    image, taps = paint((3, 4), "float64"), paint(21, "float64", 1)
    frame = np.pad(image, 10, mode="symmetric")
    want = scipy.signal.convolve2d(frame, np.outer(taps, taps), "valid")
    np.testing.assert_allclose(signal.sepfir2d(image, taps, taps), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ("fftconvolve", "oaconvolve"))
@pytest.mark.parametrize("mode", ("full", "same", "valid"))
def test_a_product_keeps_its_dtype_as_scipys(name, mode):
    """Where no axis has more than one sample in both arrays nothing is transformed."""
    ours, theirs = getattr(ferroconv.signal, name), getattr(scipy.signal, name)
    for dtype in ("int64", "uint8", "bool", "float16", "complex64"):
        for first, second in (((1,), (1,)), ((1, 4), (3, 1)), ((5, 1), (1, 1)), ((1, 1), (1, 3))):
            one, two = paint(first, dtype), paint(second, dtype, 1)
            same(ours(one, two, mode), theirs(one, two, mode))


def test_a_kept_spectrum_is_its_windows_own():
    """Windows of one size, one after the other and again: each its own result, the same bits the second time."""
    image = paint((64, 64), "float64")
    windows = [paint((31, 31), "float64", seed) for seed in range(10)]
    first = [ferroconv.signal.fftconvolve(image, window, mode="same") for window in windows]
    again = [ferroconv.signal.fftconvolve(image, window, mode="same") for window in windows]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
    assert len({result.tobytes() for result in first}) == len(windows)
    assert ferroconv.clear_cache() > 0
    fresh = [ferroconv.signal.fftconvolve(image, window, mode="same") for window in windows]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, fresh, strict=True))
