"""ferroconv.ndimage against scipy.ndimage."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.ndimage
from support import COMPLEX, FLOATS, INTEGERS, agree, dense, extended, layouts, paint, same

import ferroconv.ndimage

TWO = ("correlate", "convolve")
ONE = ("correlate1d", "convolve1d")
MODES = ("reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap")
# 64-bit images are exact here and not in SciPy: tests of their own.
DTYPES = ("bool", *INTEGERS[:6], *FLOATS, *COMPLEX)
SHAPES = {
    "odd": ((8, 9), (3, 3)),
    "even": ((9, 7), (2, 4)),
    "row": ((6, 11), (1, 5)),
    "column": ((11, 6), (4, 1)),
    "wider than a vector": ((13, 71), (3, 5)),
    "equal": ((5, 6), (5, 6)),
    "one pixel": ((1, 1), (1, 1)),
    "one row": ((1, 9), (3, 3)),
    "empty": ((0, 5), (3, 3)),
}


def both(name, image, weights, *args, output=None, **kwargs):
    """Ours, SciPy's, and the sum of magnitudes; or SciPy's type of exception from both."""
    theirs, ours = getattr(scipy.ndimage, name), getattr(ferroconv.ndimage, name)
    try:
        want = theirs(image, weights, *args, output=output, **kwargs)
    except (ValueError, RuntimeError, TypeError) as error:
        kind = ValueError if isinstance(error, np.exceptions.AxisError) else type(error)
        with pytest.raises(kind):
            ours(image, weights, *args, output=output, **kwargs)
        return None
    got = ours(image, weights, *args, output=output, **kwargs)
    magnitude = None
    if want.dtype.kind in "fc":
        if "cval" in kwargs:
            kwargs = {**kwargs, "cval": abs(kwargs["cval"])}
        wide = [np.abs(np.asarray(a, complex)) for a in (image, weights)]
        magnitude = theirs(*wide, *args, **kwargs)
    agree(got, want, np.size(weights), magnitude)
    return got


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TWO)
def test_modes_and_dtypes(name, mode, dtype):
    for shape, taps in SHAPES.values():
        for weights in (paint(taps, "float64", 1), paint(taps, "int8", 1, small=True)):
            both(name, paint(shape, dtype), weights, mode=mode, cval=3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ONE)
def test_one_dimensional(name, mode, dtype):
    symmetric, antisymmetric = np.array([0.3, 1.7, -2.1, 1.7, 0.3]), np.array([0.7, 0.1, 0, -0.1, -0.7])
    for shape in ((9,), (7, 12), (4, 5, 6)):
        for axis in (-1, 0):
            for weights in (symmetric, antisymmetric, paint(4, "float64"), [1, 2, 1], [2]):
                both(name, paint(shape, dtype), weights, axis, mode=mode, cval=1.5)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("source", ("bool", *INTEGERS[:6], *FLOATS))
def test_output_dtypes(name, source):
    """Every pair, with sums inside the range of both."""
    image = paint((6, 7), source, small=True)
    for target in ("bool", *INTEGERS, *FLOATS):
        for weights in (np.array([[0.4, 1.3], [0.9, -0.2]]), np.array([[1, 2, 0]])):
            both(name, image, weights, output=np.dtype(target))


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("weights", ("bool", *INTEGERS, "float16", *FLOATS, "longdouble", "object"))
def test_weights_of_any_dtype(name, weights):
    for dtype in ("uint8", "int32", "float32", "complex64"):
        both(name, paint((6, 7), dtype, small=True), paint((3, 3), "int8", small=True).astype(weights))


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_complex_weights_are_conjugated_by_correlation(name):
    taps = (3, 2) if name in TWO else 4
    for image in (*FLOATS, *COMPLEX, "uint8"):
        for weights in (*COMPLEX, "float32"):
            for cval in (0.0, 2.0) if image not in COMPLEX else (0.0, 1 - 2j):
                for mode in ("constant", "mirror"):
                    both(name, paint((6, 7), image, small=True), paint(taps, weights, 1), mode=mode, cval=cval)


@pytest.mark.parametrize("name", (*TWO, *ONE))
@pytest.mark.parametrize("dtype", ("uint8", "int32", "float32", "float64", "complex64"))
def test_layouts(name, dtype):
    function = getattr(ferroconv.ndimage, name)
    image, weights = paint((9, 10), dtype), paint((3, 4) if name in TWO else 4, "float64", 1)
    want = function(image, weights)
    for _, array in layouts(image):
        same(function(array, weights), want)
    both(name, image.astype(image.dtype.newbyteorder("S")), weights)
    for _, array in layouts(np.atleast_2d(weights)):
        same(function(image, array if name in TWO else array[0]), want)
    target = np.full((18, 30), 7, want.dtype)
    result = function(image, weights, output=target[::2, ::-3])
    assert result.base is target
    same(result, want)
    assert (target[1::2] == 7).all()


@pytest.mark.parametrize("name", TWO)
def test_axes(name):
    """The window's axes are in the image's order whatever that of `axes`; `origin` is in its order."""
    image, weights = paint((5, 6, 7), "float64"), paint((3, 4), "float64", 1)
    for axes in [(0, 1), (1, 2), (0, 2), (-1, 0), (2, 1)]:
        for origin in (0, (1, -1), (0, 1)):
            both(name, image, weights, axes=axes, origin=origin)
    same(
        ferroconv.ndimage.correlate(image, weights[0], axes=-1),  # SciPy stumbles over the bare negative
        ferroconv.ndimage.correlate(image, weights[0], axes=2),
    )
    for axes in (0, 1, (-1,), (2,)):
        both(name, image, weights[0], axes=axes, origin=-1)
    for origin in ((1, -2), (0, 1)):
        both(name, image[0], weights, axes=(1, 0), origin=origin)
    both(name, image[0, 0], weights[0])


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("shape, taps", [((6, 5, 7), (3, 2, 4)), ((3, 4, 5, 6), (2, 3, 1, 3)), ((3, 4, 5), (8, 3, 5))])
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "int16", "bool", "complex64"])
def test_windows_of_three_axes_and_more(name, shape, taps, dtype):
    image, weights = paint(shape, dtype), paint(taps, "float64", 1)
    weights.reshape(-1)[::3] = 0
    origin = (-1, *(0,) * (len(taps) - 1))
    for mode in MODES:
        both(name, image, weights, mode=mode, cval=1.5, origin=origin)
    both(name, image.astype("complex64"), weights + 1j * weights[::-1])
    both(name, image, weights, output="complex64" if dtype == "complex64" else "float64")


@pytest.mark.parametrize("name", TWO)
def test_three_of_four_axes(name):
    image, weights = paint((4, 5, 6, 7), "float64"), paint((2, 3, 3), "float64", 1)
    for axes in [(0, 1, 2), (3, 0, 1), (-1, -2, -4)]:
        both(name, image, weights, axes=axes)
        out = np.full((4, 5, 6, 14), np.nan)[..., ::2]
        getattr(ferroconv.ndimage, name)(image, weights, out, axes=axes)
        same(out, getattr(ferroconv.ndimage, name)(image, weights, axes=axes))
    with pytest.raises(ValueError, match="origin must lie within the window"):
        getattr(ferroconv.ndimage, name)(image, weights, axes=(0, 1, 2), origin=(2, 0, 0))
    assert getattr(ferroconv.ndimage, name)(image[:0], weights, axes=(1, 2, 3)).shape == (0, 5, 6, 7)
    with pytest.raises(ValueError, match="origin must lie within the window"):
        getattr(ferroconv.ndimage, name)(image[:0], weights, axes=(1, 2, 3), origin=9)
    image[1, 2, 3, 4] = np.nan
    ours, right = (getattr(one, name)(image, weights, axes=(0, 1, 2)) for one in (ferroconv.ndimage, scipy.ndimage))
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(right))
    out = np.full(image.shape, 7.0)
    ferroconv.explain(getattr(ferroconv.ndimage, name), image, weights, out, axes=(0, 1, 2))
    assert (out == 7).all()


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("dtype", ["float64", "uint8", "complex64"])
def test_a_window_of_no_axes(name, dtype):
    for image in (paint((3, 4), dtype), paint((1,), dtype).reshape(())):
        both(name, image, np.array(2.5), axes=())
        out = np.zeros(image.shape, dtype)
        assert getattr(ferroconv.ndimage, name)(image, np.array(2.5), out, axes=()) is out
        same(out, getattr(scipy.ndimage, name)(image, np.array(2.5), axes=()))


@pytest.mark.parametrize("cval", [-1, -1.0, 300, 2.0, np.inf, 1e300, np.nan, np.float64("nan")])
@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16"])
def test_volumes_go_on_with_what_their_dtype_does_not_hold(dtype, cval):
    image, options = paint((3, 4, 5), dtype), {"mode": "constant", "cval": cval, "output": "float64"}
    ours, right = (one.correlate(image, np.ones((3, 3, 3)), **options) for one in (ferroconv.ndimage, scipy.ndimage))
    np.testing.assert_allclose(ours, right, rtol=1e-13)


# The quirks, in the order of docs/scipy-differences.md.


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_even_windows_are_centred_as_ndimages(name):
    impulse = np.zeros((7, 7), int)
    impulse[3, 3] = 1
    for taps in (2, 4, 5):
        weights = np.arange(1, taps + 1)
        both(name, impulse, weights if name in ONE else np.multiply.outer(weights, weights))


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_origin(name):
    """Within -(k // 2) to (k - 1) // 2; a positive one moves the result onwards; convolve turns it."""
    image = paint((9, 9), "int16", small=True)
    for k in (1, 2, 3, 4, 5):
        for origin in range(-4, 5):
            both(
                name,
                image,
                np.arange(k) if name in ONE else np.ones((k, 3)),
                origin=origin if name in ONE else (origin, 1),
            )
            if name in TWO:
                both(name, image, np.arange(9).reshape(3, 3)[:, :k], origin=origin)
    row = np.arange(8)
    same(ferroconv.ndimage.correlate(row, [0, 1, 0], origin=1)[2:], row[1:-1])


@pytest.mark.parametrize("name", (*TWO, *ONE))
@pytest.mark.parametrize("dtype", ("bool", *INTEGERS))
def test_results_truncate_and_wrap_as_cs_casts(name, dtype):
    """For every double, in and out of range, SciPy's results on x86 are reproduced.

    Listed difference: sums beyond -2**63 stored in uint64, which C leaves undefined.
    """
    edges = [0.5, 0.99, 1.99, 1.0, 255, 256, 257, 300.7, 32767.5, 32768, 65536, 2.0**31 - 1, 2.0**31, 2.0**31 + 0.5,
             2.0**31 + 1, 2.0**32, 2.0**32 + 5, 3e9, 1e10, 2.0**53, 2.0**62, 2.0**63 - 1024]  # fmt: skip
    far = [2.0**63, 2.0**63 + 2048, 1e19, 2.0**64, 1e30, np.inf]
    values = [*edges, *(-x for x in edges), *far, -(2.0**63), np.nan]
    if dtype != "uint64":
        values += [-x for x in far]
    image = np.multiply.outer(values, np.ones(3))
    both(name, image, [[1.0]] if name in TWO else [1.0], output=np.dtype(dtype))


@pytest.mark.parametrize("name", (*TWO, *ONE))
@pytest.mark.parametrize("dtype", ("bool", *INTEGERS[:6]))
def test_integer_sums_are_made_in_scipys_order(name, dtype):
    """Weights whose sums are a hair above or below a whole number show the order and the roundings."""
    image = paint((40, 50), dtype)
    thirds, tenths, sevenths = np.full(9, 1 / 3), np.arange(1, 10) / 10, np.full(9, 1 / 7)
    for weights in (thirds, tenths, sevenths, tenths - 0.5, tenths[::-1] * [1, -1, 1, -1, 1, -1, 1, -1, 1]):
        both(name, image, weights.reshape(3, 3) if name in TWO else weights, mode="mirror")
        both(name, image, weights.reshape(3, 3) if name in TWO else weights, output=np.int64)


def test_tiny_weights_are_left_out_as_scipys_footprint_does():
    image = paint((5, 40), "int32").astype(np.float64) * 2.0**30
    for weights in ([[2.0**-52, 1.0]], [[2.0**-51, 1.0]], [[2.0**-53, 1.0, 2.0**-51]], [[-(2.0**-52), 2.0**-30]]):
        both("correlate", image, weights, output=np.int64)
        both("correlate", image, weights, output=np.int32)


def test_bool_images():
    """A byte of 256 is false, as C's cast makes it. Listed difference: ours are bytes of 0 and 1."""
    for name in TWO:
        for value in (1, -1, 0.3, -0.3, 0.5, 2, 128):
            both(name, paint((20, 21), "bool"), np.full((3, 3), value))
    both("correlate", np.ones((20, 20), bool), np.ones((16, 16)), output=bool)
    got = ferroconv.ndimage.correlate(np.ones((4, 4), bool), np.ones((3, 3)))
    assert set(got.view(np.uint8).ravel()) == {1}


def test_int64_and_uint64_are_exact():
    """Listed difference: SciPy sums in float64 and is off beyond 2**53."""
    for dtype in ("int64", "uint64"):
        image = paint((12, 13), dtype)
        for name in TWO:
            same(getattr(ferroconv.ndimage, name)(image, [[1]]), image)
            weights = paint((3, 3), "int64", 1)
            window = weights[::-1, ::-1] if name == "convolve" else weights
            with np.errstate(over="ignore"):
                want = dense(extended(image, (1, 1), (1, 1), "reflect"), window.astype(dtype))
            same(getattr(ferroconv.ndimage, name)(image, weights), want)
            small = paint((12, 13), dtype, small=True)
            both(name, small, weights % 7)
            both(name, small, paint((3, 3), "float64"))


def test_nan_stays_local():
    image = np.ones((32, 32), np.float32)
    image[16, 16] = np.nan
    for name, weights, count in [("convolve", np.ones((3, 3)), 9), ("correlate1d", np.ones(5), 5)]:
        got = getattr(ferroconv.ndimage, name)(image, weights)
        want = getattr(scipy.ndimage, name)(image, weights)
        assert np.isnan(got).sum() == count
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


def test_a_nan_under_a_zero_tap():
    """Listed difference: SciPy's footprint leaves such taps out."""
    image = np.ones((9, 9))
    image[4, 4] = np.nan
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    assert np.isnan(ferroconv.ndimage.correlate(image, cross)).sum() == 9
    assert np.isnan(scipy.ndimage.correlate(image, cross)).sum() == 5
    # A line of taps in a square of zeros is taken for the line that it is, as by SciPy.
    got, want = ferroconv.ndimage.correlate(image, np.eye(7)), scipy.ndimage.correlate(image, np.eye(7))
    assert (np.isnan(got) == np.isnan(want)).all()
    assert np.isnan(got).sum() == 7


def test_masks_are_ignored():
    masked = np.ma.masked_array(np.ones((3, 3)), np.eye(3))
    got = both("correlate", masked, [[1.0, 2.0]])
    assert type(got) is np.ndarray


@pytest.mark.parametrize("name", (*TWO, *ONE))
@pytest.mark.parametrize("mode", MODES)
def test_tiny_axes_under_large_reflections(name, mode):
    """Listed difference: SciPy reads outside an axis that a reflection folds often."""
    for shape in ((1, 1), (2, 3), (1, 4)):
        image = paint(shape, "int64", small=True)
        for k in (2, 7, 12, 31):
            weights = paint((k, k), "int64", 1, small=True)
            if name in ONE:
                weights = weights[:1]
            window = weights[::-1, ::-1] if name.startswith("convolve") else weights
            before = [n // 2 - (name.startswith("convolve") and n % 2 == 0) for n in weights.shape]
            after = [n - 1 - b for n, b in zip(weights.shape, before, strict=True)]
            want = dense(extended(image, before, after, mode, 3), window)
            got = getattr(ferroconv.ndimage, name)(image, weights if name in TWO else weights[0], mode=mode, cval=3)
            same(got, want)


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_output(name):
    """An array, a dtype or a name; and one that overlaps the input."""
    weights = np.ones((3, 2)) if name in TWO else np.ones(3)
    function = getattr(ferroconv.ndimage, name)
    for dtype in (*INTEGERS, *FLOATS):
        image = paint((6, 7), dtype, small=True)
        both(name, image, weights, output=dtype)
        both(name, image, weights, output=np.dtype(dtype))
        both(name, image, weights, output=np.dtype(dtype).type)
        both(name, image, weights, output=np.dtype(dtype).newbyteorder("S"))
        target = np.zeros((6, 7), dtype)
        assert function(image, weights, output=target) is target
        same(target, function(image, weights))
        swapped = np.zeros((6, 7), np.dtype(dtype).newbyteorder("S"))
        assert function(image, weights, output=swapped) is swapped
        np.testing.assert_array_equal(swapped, target)
    both(name, image, weights, output=[[1.0] * 7] * 6)
    both(name, image, weights, output="bool")
    both(name, image, weights, output=bool)
    both(name, image, weights, output="float128")
    both(name, image[0], weights[0] if name in TWO else weights, output=np.zeros(7))
    for target in (np.zeros((6, 6)), np.zeros(6), np.zeros((1, 6, 7))):
        both(name, image, weights, output=target)


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_output_may_overlap_the_input(name):
    weights = np.array([[1.0, 2.0], [0.5, 3.0]]) if name in TWO else np.array([1.0, 2.0, 4.0])
    for dtype in ("float64", "uint8"):
        whole = paint((9, 9), dtype)
        for take in (np.s_[:8, :8], np.s_[1:, 1:], np.s_[7::-1, :8]):
            expected = getattr(ferroconv.ndimage, name)(whole[:8, :8].copy(), weights)
            buffer = whole.copy()
            result = getattr(ferroconv.ndimage, name)(buffer[:8, :8], weights, output=buffer[take])
            same(result, expected)
    line = paint(9, "float64")
    want = ferroconv.ndimage.correlate1d(line, [1, 2, 3])
    ferroconv.ndimage.correlate1d(line, [1, 2, 3], output=line)
    same(line, want)


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_complex_outputs(name):
    image, weights = paint((5, 6), "complex64"), np.ones((2, 2)) if name in TWO else np.ones(2)
    both(name, image, weights, output=np.complex128)
    both(name, image, weights, output="complex128")
    both(name, image, weights, output="float32")
    both(name, image, weights, output=np.zeros((5, 6)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both(name, image, weights, output=np.float64)
    with pytest.warns(UserWarning, match="promoting"):
        getattr(ferroconv.ndimage, name)(image, weights, output=np.float64)


@pytest.mark.parametrize("name", (*TWO, *ONE))
def test_exceptions_are_scipys(name):
    image, weights = np.ones((4, 4)), np.ones((3, 3)) if name in TWO else np.ones(3)
    both(name, image, weights, mode="nope")
    both(name, image, weights, mode=None)
    both(name, image, weights, mode=["wrap", "wrap"])
    both(name, image, weights, origin=9)
    both(name, image, weights, cval=1j)
    both(name, image, weights.astype(complex), cval=1j)
    both(name, image, weights, cval="a")
    both(name, image, weights[..., :0])
    both(name, image, weights[None])
    for dtype in ("object", "float16", "longdouble", "U1", "M8[s]"):
        both(name, np.zeros((4, 4), dtype), weights)
        if dtype != "U1":
            both(name, image, weights, output=np.zeros((4, 4), dtype))
    frozen = np.zeros((4, 4))
    frozen.setflags(write=False)
    both(name, image, weights, output=frozen)
    both(name, frozen, weights, output=frozen)
    if name in ONE:
        both(name, image, weights, axis=2)
        both(name, image, weights, axis=-3)
        both(name, np.ones(()), weights)
        with pytest.raises(IndexError):
            getattr(ferroconv.ndimage, name)(image, weights, axis=2)
    else:
        both(name, image, weights, origin=(0, 0, 0))
        both(name, image, weights, origin=0.5)
        both(name, image, weights, axes=(0, 0))
        both(name, image, weights, axes=(0,))
        both(name, image, weights, axes=(0, 5))
        both(name, image, weights[0])


def test_a_zero_sized_window_is_refused():
    """Matched for most shapes; listed difference for those that SciPy lets through."""
    for name, shape in [("correlate", (0, 3)), ("convolve", (3, 0)), ("correlate1d", 0), ("convolve1d", 0)]:
        with pytest.raises(RuntimeError, match="one tap at least") as caught:
            getattr(ferroconv.ndimage, name)(np.ones((4, 4)), np.ones(shape))
        assert isinstance(caught.value, ValueError)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_sweep_of_sizes(name, mode, dtype):
    for h in (2, 3, 8, 17):
        for w in (2, 7, 16, 33):
            for kh in (1, 2, 3, 7):
                for kw in (1, 2, 5, 8):
                    if kh <= h and kw <= w:
                        both(name, paint((h, w), dtype), paint((kh, kw), "float64", 1), mode=mode, cval=2)
                        both(name, paint((h, w), dtype), paint((kh, kw), "int8", 1), mode=mode, cval=2)
