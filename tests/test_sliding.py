"""Means and extremes of sliding windows, against scipy.ndimage and against their definitions."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import scipy.ndimage
from support import FLOATS, INTEGERS, extended, layouts, paint, python, same, within

import ferroconv
import ferroconv.ndimage

MODES = ("reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap")
SMALL = ("bool", *INTEGERS[:6], *FLOATS)
KINDS = ("uniform_filter", "minimum_filter", "maximum_filter")
GREY = ("grey_erosion", "grey_dilation", "grey_opening", "grey_closing")
DISC = np.array([[0, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]], bool)


def both(name, image, *args, **kwargs):
    """Ours and SciPy's; or SciPy's type of exception from both."""
    theirs, ours = getattr(scipy.ndimage, name), getattr(ferroconv.ndimage, name)
    try:
        want = theirs(image, *args, **kwargs)
    except (ValueError, RuntimeError, TypeError) as error:
        kind = ValueError if isinstance(error, np.exceptions.AxisError) else type(error)
        with pytest.raises(kind):
            ours(image, *args, **kwargs)
        return None
    got = ours(image, *args, **kwargs)
    if want.dtype.kind not in "fc" or "uniform" not in name:
        same(got, want)
        return got
    magnitude = theirs(np.abs(image), *args, **{**kwargs, "output": np.float64, "cval": abs(kwargs.get("cval", 0))})
    within(got, want, 40, magnitude)
    return got


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", KINDS)
def test_modes_and_dtypes(name, mode, dtype):
    """Odd, even, oversized windows; images of a pixel, of a vector and one more or less, of none."""
    for shape in ((1, 1), (7, 9), (9, 31), (23, 33), (5, 130), (0, 4), (4, 0)):
        for size in ((1, 1), 3, (2, 4), (5, 1), (1, 9), (6, 7), (9, 17), (7, 21)):
            longest = max(np.atleast_1d(size))
            if mode in ("reflect", "grid-mirror", "mirror") and longest > min(shape):
                continue  # SciPy reads outside the image there: a test of its own
            both(name, paint(shape, dtype), size, mode=mode, cval=1)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", ("uint8", "int16", "float32"))
def test_large_windows(name, dtype):
    image = paint((150, 170), dtype)
    for size in (15, 16, 31, 51, 64, 85, (97, 2), (3, 101), (150, 170)):
        for mode in ("reflect", "wrap", "constant"):
            both(name, image, size, mode=mode)


def test_windows_of_thousands_of_rows_over_channels():
    image = paint((64, 8, 16), "float32")
    columns = np.pad(image.max(axis=0), ((1, 1), (0, 0)), mode="edge")
    wanted = np.maximum(np.maximum(columns[:-2], columns[1:-1]), columns[2:])
    found = ferroconv.maximum(image, (2000, 3), border="nearest", channel_axis=-1)
    same(found, np.broadcast_to(wanted, image.shape))


@pytest.mark.parametrize("name", KINDS)
def test_windows_that_exceed_a_reflected_image_are_the_periodic_continuation(name):
    fold = {"uniform_filter": np.mean, "minimum_filter": np.min, "maximum_filter": np.max}[name]
    for shape, size in (((2, 3), (9, 14)), ((1, 5), (4, 11)), ((3, 1), (8, 9))):
        for mode in MODES:
            image = paint(shape, "float64")
            wide = extended(image, [k // 2 for k in size], [k - 1 - k // 2 for k in size], mode, 2.0)
            want = fold(np.lib.stride_tricks.sliding_window_view(wide, size), axis=(-2, -1))
            got = getattr(ferroconv.ndimage, name)(image, size, mode=mode, cval=2.0)
            np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", KINDS)
def test_modes_and_origins_per_axis(name):
    for dtype in ("uint8", "int32", "float64"):
        image = paint((12, 19), dtype)
        for modes in itertools.permutations(("reflect", "constant", "wrap"), 2):
            for origin in ((1, -2), (-1, 1), 0, 1):
                both(name, image, (3, 4), mode=modes, origin=origin, cval=7)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", ("uint8", "int16", "float32"))
def test_any_number_of_axes(name, dtype):
    for shape in ((9,), (6, 7, 8), (4, 5, 6, 7), ()):
        image = paint(shape, dtype)
        both(name, image, 3)
        both(name, image, 2, mode="constant", cval=5)
    image = paint((6, 7, 8), dtype)
    for axes in [(0,), 1, (-1,), (0, 1), (1, 2), (0, 2), (2, 0), (1, 0), (2, 1, 0), (-1, 0, 1), ()]:
        count = np.size(axes)
        both(
            name, image, axes=axes, size=[2, 3, 4][:count] if count else 3, mode=["wrap", "reflect", "nearest"][:count]
        )
    with pytest.raises(ValueError, match="unique"):
        getattr(ferroconv.ndimage, name)(image, 3, axes=(0, 0))


@pytest.mark.parametrize("name", ["uniform_filter1d", "minimum_filter1d", "maximum_filter1d"])
@pytest.mark.parametrize("dtype", SMALL)
def test_one_dimensional(name, dtype):
    for shape in ((9,), (7, 12), (5, 6, 4)):
        for axis in (-1, 0):
            for size, origin in ((1, 0), (2, 0), (3, 1), (4, -2), (5, 2)):
                for mode in ("reflect", "constant", "grid-wrap"):
                    both(name, paint(shape, dtype), size, axis, mode=mode, cval=1, origin=origin)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("source", SMALL)
def test_output_dtypes(name, source):
    """Every pair of dtypes: SciPy casts after each axis. (A float's mean that is cut to an integer is its own test.)"""
    for target in ("bool", *INTEGERS, *FLOATS):
        if name == "uniform_filter" and source in FLOATS and target not in FLOATS:
            continue
        image = paint((7, 8), source, small=source not in ("uint8", "int16"))
        signed = np.dtype(source).kind in "if" and target == "uint64"
        if signed or (name == "uniform_filter" and source in INTEGERS and target == "bool"):
            with pytest.raises(NotImplementedError, match="are stored"):
                getattr(ferroconv.ndimage, name)(image, (3, 2), output=np.dtype(target))
            continue
        both(name, image, (3, 2), output=np.dtype(target))
        both(name, image, (2, 3), output=np.dtype(target), mode="constant", cval=1)


def test_means_of_floats_in_an_integer_array_are_cut_off():
    image = np.arange(48.0).reshape(6, 8) * 3
    for target in ("uint8", "int32", "int64"):
        both("uniform_filter", image, 3, output=np.dtype(target))
        both("uniform_filter", -image, 3, output=np.dtype("int16"))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", ("uint8", "int8", "int32", "float32"))
def test_cvals_that_the_dtype_does_not_hold(name, dtype):
    for cval in (2.5, -3, -5.5, 300, 1000.75):
        if name == "uniform_filter" and dtype != "float32" and cval % 1:
            with pytest.raises(NotImplementedError, match="whole cval"):
                ferroconv.ndimage.uniform_filter(paint((7, 8), dtype), (3, 4), mode="constant", cval=cval)
            continue
        both(name, paint((7, 8), dtype), (3, 4), mode="constant", cval=cval)
        both(name, paint((7, 8), dtype), (3, 4), mode=("constant", "wrap"), cval=cval, origin=-1)


@pytest.mark.parametrize("name", [*KINDS, *GREY])
def test_layouts_and_output(name):
    function = getattr(ferroconv.ndimage, name)
    for dtype in ("uint8", "int32", "float32"):
        image = paint((11, 40), dtype)
        want = function(image, (3, 5))
        same(want, getattr(scipy.ndimage, name)(image, (3, 5))) if dtype != "float32" else None
        for layout, array in layouts(image):
            same(function(array, (3, 5)), want.astype(want.dtype.newbyteorder("="))), layout
        target = np.full((22, 120), 7, dtype)
        result = function(image, (3, 5), output=target[::2, ::-3])
        assert result.base is target
        same(result, want)
        assert (target[1::2] == 7).all()
        swapped = np.empty(image.shape, np.dtype(dtype).newbyteorder("S"))
        assert function(image, (3, 5), output=swapped) is swapped
        np.testing.assert_array_equal(swapped, want)
        for overlapping in (image.copy(), image.copy()[::-1]):
            result = function(overlapping, (3, 5), output=overlapping)
            assert result is overlapping
            same(np.ascontiguousarray(result), function(image if overlapping.base is None else image[::-1], (3, 5)))
        with pytest.raises(RuntimeError):
            function(image, 3, output=np.empty((3, 3)))
        frozen = np.empty_like(image)
        frozen.setflags(write=False)
        with pytest.raises(ValueError, match="writable"):
            function(image, 3, output=frozen)


def test_complex_means():
    image = paint((7, 9), "complex64")
    for kwargs in ({}, {"mode": "constant", "cval": 1 - 2j}, {"output": np.complex128}):
        want = scipy.ndimage.uniform_filter(image, (3, 4), **kwargs)
        got = ferroconv.ndimage.uniform_filter(image, (3, 4), **kwargs)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        ferroconv.box(image, (3, 4)), scipy.ndimage.uniform_filter(image, (3, 4)), rtol=1e-5, atol=1e-6
    )
    for name in KINDS[1:]:
        both(name, image, 3)


@pytest.mark.parametrize("name", ["minimum_filter", "maximum_filter", *GREY])
@pytest.mark.parametrize("dtype", SMALL)
def test_footprints(name, dtype):
    image = paint((9, 37), dtype)
    for footprint in (DISC, DISC[:, ::-1].T, np.ones((3, 2)), [[0, 0, 1]], np.eye(5), np.eye(3)[::2] > 0):
        footprint = np.asarray(footprint, bool)
        for mode in ("reflect", "constant", "wrap", "mirror", "nearest"):
            both(name, image, footprint=footprint, mode=mode, cval=1)
            both(name, image, footprint=footprint, mode=mode, origin=[(n - 1) // 2 for n in footprint.shape])
    for target in (np.int64, np.uint8, np.float32):
        both(name, paint((9, 37), dtype, small=True), footprint=DISC, output=target)
    both(name, image, footprint=DISC, mode="constant", cval=2.75)


@pytest.mark.parametrize("name", ["minimum_filter", "maximum_filter", *GREY])
def test_footprints_over_any_axes(name):
    image = paint((6, 7, 8), "int16")
    solid = paint((2, 3, 3), "bool", 5)
    both(name, image, footprint=solid)
    both(name, image, footprint=solid, mode="constant", cval=3, origin=(0, 1, -1))
    for axes in [(0, 1), (1, 2), (0, 2), (2, 0), (-1, 0)]:
        both(name, image, footprint=DISC[:2], axes=axes)
        both(name, image, footprint=DISC[:2], axes=axes, origin=(0, -1))
    both(name, image, footprint=[True, False, True], axes=1)
    both(name, paint(9, "uint8"), footprint=[True, False, True])
    if name in ("grey_dilation", "grey_closing"):  # SciPy looks for a third axis of the window there
        with pytest.raises(ValueError, match="must match"):
            getattr(ferroconv.ndimage, name)(image, footprint=DISC)
    else:
        both(name, image, footprint=DISC)
    both(name, image[0], footprint=DISC, mode=("wrap", "reflect"))


@pytest.mark.parametrize("name", GREY)
@pytest.mark.parametrize("dtype", SMALL[1:])
def test_structures(name, dtype):
    """The first tap is added in double, the others in the image's dtype, where integers wrap."""
    image = paint((9, 23), dtype)
    tilted = np.array([[0.5, 1, 2], [3, -1.75, 0]])
    for structure in (tilted, np.zeros((3, 3)), [[4.0]], tilted.T * 40):
        for kwargs in ({}, {"mode": "constant", "cval": 5.5}, {"mode": "wrap"}):
            both(name, image, structure=structure, **kwargs)
    both(name, image, structure=tilted, footprint=[[1, 0, 1], [1, 1, 0]])
    both(name, image, structure=tilted, output=np.float64)
    both(name, paint((5, 6, 7), dtype), structure=tilted, axes=(0, 2))


def test_sizes_and_sequences_are_checked_as_by_scipy():
    image = np.ones((5, 6))
    for name in (*KINDS, *GREY):
        both(name, image, (3, 3, 3))
        both(name, image, 3, origin=(1, 1, 1))
        both(name, image, 3, mode=["reflect"])
        both(name, image, 3, mode="unknown")
        both(name, image, 3, origin=2)
        both(name, image, 3, axes=(0, 2))
    for name in ("minimum_filter", "maximum_filter", *GREY):
        both(name, image)
        both(name, image, footprint=np.zeros((2, 2)))
        both(name, image.astype(complex), 3)
        both(name, image.astype("float16"), 3)
    for name in GREY:
        with pytest.raises(ValueError, match="axis for each|must match"):  # SciPy: an IndexError, or a RuntimeError
            getattr(ferroconv.ndimage, name)(image, structure=np.ones(3))
        both(name, image, structure=np.ones((3, 3)), origin=2)
    both("uniform_filter1d", image, 0)
    both("uniform_filter1d", image, 3, axis=2)
    both("uniform_filter", image.astype("float16"), 3)
    both("uniform_filter", image, 3, output=np.complex64)
    for name in ("minimum_filter", "grey_erosion", "grey_closing"):
        with pytest.warns(UserWarning, match="ignoring size"):
            getattr(ferroconv.ndimage, name)(image, 3, footprint=DISC)


def test_sizes_below_one_and_nan_are_refused():
    image = np.ones((5, 6))
    for name in (*KINDS, *GREY):
        for size in (0, -1, (3, 0), float("nan"), 2**70, "3"):
            with pytest.raises(ValueError, match="size|64 bits|at most|window"):
                getattr(ferroconv.ndimage, name)(image, size)
    for function in (ferroconv.box, ferroconv.minimum, ferroconv.maximum):
        for size in (0, -1, (3, 0), 2**70):
            with pytest.raises(ValueError, match="at least|64 bits"):
                function(image, size)


def test_a_structure_has_the_footprints_shape():
    with pytest.raises(ValueError, match="footprint's shape"):
        ferroconv.ndimage.grey_erosion(np.ones((5, 6)), structure=np.ones((3, 3)), footprint=np.ones((5, 5)))


def test_float32_is_summed_in_float32():
    image = np.full((9, 9), 2e38, np.float32)
    assert np.isinf(ferroconv.ndimage.uniform_filter(image, 3)).all()
    np.testing.assert_array_equal(ferroconv.ndimage.uniform_filter(image, 3, output=np.float64), image.astype(float))
    np.testing.assert_array_equal(scipy.ndimage.uniform_filter(image, 3), image)


def test_nan_stays_in_its_windows():
    for dtype in ("float32", "float64"):
        image = paint((40, 60), dtype)
        for value in (np.nan, -np.nan):
            image[20, 30] = value
            for function in (*(getattr(ferroconv.ndimage, name) for name in KINDS), ferroconv.box, ferroconv.minimum):
                for size in (3, (7, 5), 13):
                    k = np.broadcast_to(size, 2)
                    want = np.zeros(image.shape, bool)
                    want[20 - k[0] // 2 : 21 + k[0] // 2, 30 - k[1] // 2 : 31 + k[1] // 2] = True
                    np.testing.assert_array_equal(np.isnan(function(image, size)), want)
        got = ferroconv.ndimage.minimum_filter(image, footprint=DISC)
        assert np.isnan(got).sum() == DISC.sum()


def test_64_bit_integers_are_exact():
    for dtype in ("int64", "uint64"):
        image = np.array([2**62 + 1, 2**62 + 3, 2**62 + 5, 2**62 + 7], dtype)
        assert ferroconv.ndimage.minimum_filter(image, 3).tolist() == [*image[[0, 0, 1, 2]]]
        assert ferroconv.ndimage.maximum_filter(image, footprint=[1, 0, 1]).tolist() == [*image[[1, 2, 3, 3]]]
        assert ferroconv.ndimage.uniform_filter(image, 3)[1:3].tolist() == [*image[1:3]]
        assert ferroconv.box(image, (1,), axes=(0,)).tolist() == [*image]
        assert ferroconv.box(image[None], (1, 3))[0, 1:3].tolist() == [*image[1:3]]


def definition(image, size, fold, extent="same", border="reflect", cval=0, origin=(0, 0)):
    """Every window, cut out and folded."""
    before = {
        "same": [k // 2 + o for k, o in zip(size, origin, strict=True)],
        "full": [k - 1 for k in size],
        "valid": [0, 0],
    }[extent]
    count = {
        "same": image.shape,
        "full": [n + k - 1 for n, k in zip(image.shape, size, strict=True)],
        "valid": [n - k + 1 for n, k in zip(image.shape, size, strict=True)],
    }[extent]
    pad = max(size) + 2
    wide = extended(image, [pad, pad], [pad, pad], border, cval)
    result = np.empty(count, object)
    for y, x in np.ndindex(*count):
        top, left = y - before[0] + pad, x - before[1] + pad
        result[y, x] = fold(wide[top : top + size[0], left : left + size[1]])
    return result


@pytest.mark.parametrize("dtype", ("bool", *INTEGERS, "float16", "float32", "float64"))
def test_native_forms_agree_with_their_definitions(dtype):
    image = paint((13, 22), dtype)
    for size in ((3, 3), (2, 5), (7, 4), (6, 9)):
        for extent, border in itertools.product(("same", "full", "valid"), ("reflect", "constant", "wrap")):
            options = {"extent": extent, "border": border, "cval": 1}
            for function, fold in ((ferroconv.minimum, np.min), (ferroconv.maximum, np.max)):
                want = definition(image, size, fold, **options)
                got = function(image, size, **options)
                assert got.dtype == image.dtype
                assert got.tolist() == want.tolist()
            got = ferroconv.box(image, size, **options)
            assert got.dtype == image.dtype
            sums = definition(image, size, lambda w: sum(w.ravel().tolist()), **options)
            if dtype in ("float16", *FLOATS):
                step = np.finfo(dtype).eps
                np.testing.assert_allclose(
                    got.astype(float), (sums / np.prod(size)).astype(float), rtol=step, atol=8 * step
                )
            else:
                assert got.astype(object).tolist() == [
                    [half_even(s, int(np.prod(size))) for s in row] for row in sums.tolist()
                ]


def half_even(total, count):
    near, rest = divmod(total, count)
    return near + (2 * rest > count or (2 * rest == count and near % 2 == 1))


def test_native_options():
    image = paint((5, 9, 11, 3), "uint8")
    for function in (ferroconv.box, ferroconv.minimum, ferroconv.maximum):
        want = np.stack([function(image[..., c], (3, 4), border=("wrap", "constant"), cval=9) for c in range(3)], -1)
        same(function(image, (3, 4), channel_axis=-1, border=("wrap", "constant"), cval=9), want)
        same(function(image, (3, 4), axes=(1, 2), border=("wrap", "constant"), cval=9), want)
        out = np.empty_like(want)
        assert function(image, (3, 4), axes=(2, 1), border=("constant", "wrap"), cval=9, out=out) is out
        same(function(image, (4, 3), axes=(2, 1), border=("constant", "wrap"), cval=9), want)
        same(
            function(image[..., 0], 3, origin=(1, -1))[:, 1:-1, 1:-1],
            np.roll(function(image[..., 0], 3), (1, -1), (1, 2))[:, 1:-1, 1:-1],
        )
        later = ({"stride": 2}, {"dilation": 2}, {"nan": "ignore"}, {"mask": image})
        for option in later[: 2 if function is ferroconv.box else 4]:
            with pytest.raises(NotImplementedError, match=next(iter(option))):
                function(image, 3, **option)
        with pytest.raises(ValueError, match="overlap"):
            function(image, 3, out=image)
        with pytest.raises(ValueError, match="different axes"):
            function(image, 3, axes=(1, 1))
        with pytest.raises(ValueError, match="border mode"):
            function(image, 3, border="symm")
    same(
        ferroconv.box(image[..., 0], 3, dtype=np.int32, axes=(0,))[1],
        np.rint(image[:3, ..., 0].mean(0)).astype(np.int32),
    )
    assert ferroconv.maximum(np.array([[300, -7]]), 1, dtype=np.uint8).tolist() == [[255, 0]]
    assert ferroconv.maximum(np.array([[300, -7]]), 1, dtype=np.uint8, overflow="wrap").tolist() == [[44, 249]]


def test_native_means_over_more_axes_round_once():
    for dtype in ("uint8", "int16", "int32", "float32", "float64"):
        image = paint((7, 8, 9), dtype)
        sums = image.astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(sums, 1, mode="constant", constant_values=2), (3, 3, 3)
        )
        want = windows.mean(axis=(-3, -2, -1))
        got = ferroconv.box(image, 3, axes=(0, 1, 2), border="constant", cval=2)
        assert got.dtype == dtype
        if dtype in FLOATS:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, np.rint(want))
    with pytest.raises(NotImplementedError, match="more than two axes"):
        ferroconv.box(np.ones((4, 4, 4), np.int64), 3, axes=(0, 1, 2))


def test_a_mean_of_equal_samples_is_that_sample():
    for dtype in ("uint8", "uint16", "int32", "float32", "float64"):
        image = np.full((40, 70), 101, dtype)
        for size in (3, 7, 10, 31, 51):
            assert (ferroconv.box(image, size) == 101).all()
            assert (ferroconv.ndimage.uniform_filter(image, size) == 101).all()


def test_the_same_bits_for_any_number_of_threads_and_instruction_set():
    code = """
import hashlib, numpy as np, ferroconv
rng = np.random.default_rng(0)
for dtype in ("float32", "float64", "uint8"):
    image = (rng.standard_normal((700, 900)) * 50).astype(dtype)
    for size in (3, 6, 15, (40, 2), (2, 70)):
        for function in (ferroconv.box, ferroconv.minimum):
            first = function(image, size, border="wrap", workers=1)
            for workers in (2, 3, 7):
                assert function(image, size, border="wrap", workers=workers).tobytes() == first.tobytes()
            part = function(image[:, 100:300], size, border="nearest")[:, 40:-40]
            assert part.tobytes() == function(image, size, border="nearest")[:, 140:260].tobytes()
            print(hashlib.sha1(first.tobytes()).hexdigest())
"""
    prints = {python(code, FERROCONV_ISA=isa) for isa in ferroconv.info()["isa_detected"]}
    assert len(prints) == 1


def test_explanations_name_what_would_run():
    (plan,) = ferroconv.explain(ferroconv.box, np.ones((8, 8), np.uint8), 3).plans
    assert plan.chosen.split("/")[:3] == ["sliding", "bytes", "u16"]
    assert plan.bound == "exact"
    plans = ferroconv.explain(ferroconv.ndimage.uniform_filter, np.ones((8, 8, 8), np.float32), 3).plans
    assert len(plans) == 2
    (plan,) = ferroconv.explain(ferroconv.ndimage.minimum_filter, np.ones((8, 8)), footprint=DISC).plans
    assert plan.chosen.startswith("footprint/taps/")


def test_no_warnings_from_finite_images():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in KINDS:
            getattr(ferroconv.ndimage, name)(paint((9, 9), "float32"), 3)


@pytest.mark.parametrize("name", ["box", "minimum", "maximum"])
def test_options_of_other_types_are_told_from_integers_after_them(name):
    image, call = paint((9, 8), "uint8"), getattr(ferroconv, name)
    right = call(image, (3, 5))
    for wrong in ((3.0, 5.0), 3.0):
        with pytest.raises(TypeError):
            call(image, wrong)
    same(call(image, (3, 5)), right)
    for wrong in ((0.0, 0.0), 0.0):
        with pytest.raises(TypeError):
            call(image, (3, 5), origin=wrong)
    same(call(image, (3, 5), origin=(0, 0)), right)
    same(call(image, [3, 5], border=["reflect", "reflect"]), right)
