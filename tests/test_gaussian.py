"""Gaussian filters: SciPy's, bit for bit in integers, and the native form by its definition."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from support import COMPLEX, FLOATS, INTEGERS, layouts, paint, same, within
from support_filters import MODES, both

import ferroconv
from ferroconv import _weights

FILTERS = ("gaussian_filter", "gaussian_laplace", "gaussian_gradient_magnitude")
ALL = ("gaussian_filter1d", *FILTERS)
DTYPES = ("bool", *INTEGERS[:6], *FLOATS, *COMPLEX)
BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")
SHAPES = ((11,), (9, 13), (1, 10), (0, 5), (6, 7, 5), (3, 4, 5, 3))


@pytest.mark.parametrize("order", range(5))
def test_weights_are_scipys_bit_for_bit(order):
    for sigma in (0.1, 0.5, 1, 1.3, 7, 100, np.float32(0.7), np.float64(2.1), np.int64(3), 1e-10, 0.7):
        for radius in (0, 1, 3, 17, 2000):
            want = scipy.ndimage._filters._gaussian_kernel1d(sigma, order, radius)[::-1]
            got = _weights.gaussian(sigma, order, 4.0, radius)
            assert got.dtype == np.float64 and got.tobytes() == want.tobytes()
    assert _weights.gaussian(1.3, order, 3.0, None).size == 2 * int(3.0 * 1.3 + 0.5) + 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
def test_modes_dtypes_and_axes(mode, dtype):
    for shape in SHAPES:
        image = paint(shape, dtype)
        both("gaussian_filter1d", image, 0.8, axis=0, mode=mode, cval=3)
        for name in FILTERS:
            both(name, image, 0.6, mode=mode, cval=3, radius=1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ("uint8", "int16", "float32", "complex64"))
def test_sigmas_truncations_and_radii(name, dtype):
    image = paint((21, 30), dtype)
    for sigma in (0.2, 1, 3.3, np.float32(1.1), 8):
        both(name, image, sigma, terms=300)
        both(name, image, sigma, truncate=2.2, terms=300)
        both(name, image, sigma, radius=2)
    if name != "gaussian_filter1d":
        for sigma in ((0, 1), (2, 0.5), (1e-15, 1), (0, 0)):
            both(name, image, sigma, terms=100)
            both(name, image, sigma, radius=(1, 3))
    both(name, paint((4, 5), dtype), 12, terms=300, mode="wrap")  # a window wider than the image


@pytest.mark.parametrize("dtype", ("uint8", "int32", "float64"))
def test_orders(dtype):
    image = paint((15, 16), dtype, small=True)
    for order in range(4):
        both("gaussian_filter1d", image, 1.2, -2, order)
        for other in range(4):
            both("gaussian_filter", image, (1.2, 0.7), (order, other))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("dtype", ("uint8", "float64", "complex128"))
def test_axes_and_modes_of_each(name, dtype):
    image = paint((6, 7, 8), dtype)
    for axes in (None, 0, -1, (1,), (0, 2), (2, 0), (-1, 1), (), (0, 1, 2)):
        count = 3 if axes is None else np.size(axes)
        sigmas = 3 if name == "gaussian_gradient_magnitude" else count
        both(name, image, 0.9, axes=axes)
        both(name, image, (0.5, 1.1, 0.8)[:sigmas], axes=axes, mode=("wrap", "nearest", "constant")[:count], cval=2)
        both(name, image, (1, 1, 1, 1), axes=axes)
        both(name, image, 1, axes=axes, mode=("wrap",) * 4)


def test_integer_passes_are_truncated_as_scipys():
    """A pass is stored in the result's dtype: the next one sums truncated, wrapped numbers."""
    image = paint((40, 50), "uint8")
    got = both("gaussian_filter", image, 2)
    exact = scipy.ndimage.gaussian_filter(image.astype(float), 2)
    assert (got != exact.round()).any()
    both("gaussian_filter", image, 2, output=np.int8)
    both("gaussian_filter", image, 1, order=(1, 2), output=np.uint16)


def pictures_of(dtype):
    """Images under which most sums are integers or next to one, and one under which few are."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    y, x = np.mgrid[:71, :193]
    flat = np.full((71, 193), most)
    squares = np.where((x // 40 + y // 25) % 2, least, most)
    ramp, steps = x + least, (x // 20 + y // 20) * 3 + least
    noise = np.random.default_rng(5).integers(least, most, (71, 193), endpoint=True)
    spots = np.where(noise > most - 2, most, 0)
    edge = np.where(x < 100, noise, 7)
    checks = np.where((x + y) % 2, least, most)
    for picture in (flat, squares, ramp, (ramp + y) % 100, steps, noise, spots, edge, checks):
        yield np.clip(picture, least, most).astype(dtype)


@pytest.mark.parametrize("dtype", ("uint8", "int8"))
def test_sums_next_to_integers_are_truncated_as_scipys(dtype):
    """Sums of 8-bit images are guessed by taps of 16 bits, and no guess shows."""
    for image in pictures_of(dtype):
        for sigma in (0.3, 0.5, 1, 2.5, 10):
            both("gaussian_filter", image, sigma)
        both("gaussian_filter", image, (3, 1), mode="constant", cval=3)
        both("gaussian_filter", image, (2, 1), mode="constant", cval=1000)
        both("gaussian_filter", image, (2, 1), mode="constant", cval=0.3)
        both("gaussian_filter", image, 1.5, order=(1, 2), mode="wrap")
        both("gaussian_filter", image, 1.5, order=1, output="int32")
        both("gaussian_filter", image, (0, 2.5), order=1, mode="constant", cval=-9, output="int16")
        both("gaussian_filter", image, (2.5, 0), mode="constant", cval=300, output="uint16")
        for weights in ([0.3, 0.1, 0.6], [0.25, 0.5], [0.7, 0, -0.7], [0.25, 0.5, 0.25], [1.5, -3.3, 0.4, 2.2]):
            for axis in (0, 1):
                both("correlate1d", image, weights, axis)
        both("gaussian_laplace", image, 1.2)
        both("gaussian_gradient_magnitude", image, 1.2)


def test_bool_passes_leave_bytes():
    """SciPy's next pass reads the bytes that the last one has left in a bool array."""
    image = paint((20, 21), "bool")
    for order in (0, 1, 2):
        both("gaussian_filter", image, 0.4, order)
    both("gaussian_filter", paint((20, 21), "int16"), 1, output=bool)


def test_log_takes_the_mode_of_its_own_axis_along_all():
    """A term of SciPy's sum has the mode of its own axis along every axis."""
    image = paint((8, 9), "float64")
    for name in FILTERS[1:]:
        got = both(name, image, 1, mode=("wrap", "nearest"))
        assert not np.allclose(got, getattr(scipy.ndimage, name)(image, 1, mode=("nearest", "wrap")))


def test_gradient_magnitude_smooths_the_axes_that_are_left_out():
    """gaussian_gradient_magnitude(axes=) has derivatives along `axes` and smooths along all."""
    image = paint((8, 9), "float64")
    got = both("gaussian_gradient_magnitude", image, 1, axes=(0,))
    np.testing.assert_allclose(got, abs(scipy.ndimage.gaussian_filter(image, 1, order=(1, 0))), atol=1e-12)
    np.testing.assert_allclose(
        both("gaussian_laplace", image, 1, axes=(0,)), scipy.ndimage.gaussian_filter1d(image, 1, 0, 2), atol=1e-12
    )


@pytest.mark.parametrize("dtype", ("bool", *INTEGERS[:6]))
def test_integer_magnitudes_wrap_and_truncate_as_scipys(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both("gaussian_gradient_magnitude", paint((20, 21), dtype), 1)
        both("gaussian_gradient_magnitude", paint((20, 21), dtype, small=True), 0.5, output=np.int32)


@pytest.mark.parametrize("name", ALL)
def test_output(name):
    ours = getattr(ferroconv.ndimage, name)
    for source in ("uint8", "float32", "float64"):
        image = paint((6, 7), source, small=True)
        for dtype in (*INTEGERS, *FLOATS):
            for output in (dtype, np.dtype(dtype), np.dtype(dtype).type, np.dtype(dtype).newbyteorder("S")):
                both(name, image, 0.8, output=output)
            for order in ("=", "S"):
                target = np.full((12, 21), 9, np.dtype(dtype).newbyteorder(order))
                assert ours(image, 0.8, output=target[::2, ::-3]).base is target
                np.testing.assert_array_equal(target[::2, ::-3], ours(image, 0.8, output=dtype))
                assert (target[1::2] == 9).all()
    both(name, image, 1, output=[[1.0] * 7] * 6)
    both(name, image, 1, output="bool")
    both(name, image, 1, output=np.zeros((6, 6)))
    both(name, image, 1, output="complex64")
    both(name, image + 1j, 1, output="float64")
    both(name, image + 1j, 1, output=np.zeros((6, 7)))
    both(name, image + 1j, 1, output=np.zeros((6, 7), complex))
    frozen = np.zeros((6, 7))
    frozen.setflags(write=False)
    both(name, image, 1, output=frozen)
    both(name, frozen, 1)
    if name == "gaussian_filter1d":
        with pytest.warns(UserWarning, match="promoting"):
            assert ours(image + 1j, 1, output=float).dtype == complex
    else:
        both(name, image + 1j, 1, output=float)


@pytest.mark.parametrize("name", ALL)
def test_output_may_overlap_the_input(name):
    """SciPy's sums read the input after they have written over it: a listed difference."""
    ours = getattr(ferroconv.ndimage, name)
    for dtype in ("float64", "uint8"):
        whole = paint((9, 9), dtype)
        want = ours(whole[:8, :8].copy(), 1)
        for take in (np.s_[:8, :8], np.s_[1:, 1:], np.s_[7::-1, :8]):
            buffer = whole.copy()
            same(ours(buffer[:8, :8], 1, output=buffer[take]), want)
            same(buffer[take], want)
    if name == "gaussian_filter":
        buffer = whole.copy()
        scipy.ndimage.gaussian_filter(buffer, 1, output=buffer)
        same(buffer, ours(whole, 1))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ("uint8", "float32", "complex64"))
def test_layouts(name, dtype):
    ours, image = getattr(ferroconv.ndimage, name), paint((9, 10), dtype)
    want = ours(image, 1)
    for _, array in layouts(image):
        same(ours(array, 1), want)
        same(ours(array, 1, workers=2), want)
    both(name, image.astype(image.dtype.newbyteorder("S")), 1)


def test_negative_and_nan_sigmas_are_refused():
    """Listed difference: SciPy leaves such an axis as it is."""
    for sigma in (-1, -1e-30, np.nan, np.float32(-2), (1, -1), (np.nan, 1)):
        for name in FILTERS:
            with pytest.raises(ValueError, match=r"sigma must be zero or more.*Received"):
                getattr(ferroconv.ndimage, name)(np.ones((3, 4)), sigma)
        with pytest.raises(ValueError, match=r"sigma must be zero or more.*Received"):
            ferroconv.gaussian(np.ones((3, 4)), sigma)


def test_a_sigma_of_zero_along_one_axis_is_refused():
    """Listed difference: SciPy divides by zero, with an exception or with NaN for an answer."""
    for sigma in (0, 0.0, np.float64(0), -1, np.nan, np.inf, 1e-200):
        with pytest.raises(ValueError, match="sigma.*Received"):
            ferroconv.ndimage.gaussian_filter1d(np.ones((3, 4)), sigma, radius=1)
    with pytest.raises(ValueError, match="sigma must be above zero for a derivative"):
        ferroconv.gaussian(np.ones((3, 4)), (0, 1), order=1)
    same(ferroconv.ndimage.gaussian_filter(np.ones((3, 4), np.float16), 0), np.ones((3, 4), np.float16))


@pytest.mark.parametrize("name", ALL)
def test_exceptions_are_scipys(name):
    image = np.ones((4, 5))
    for options in (
        {"mode": "nope"}, {"mode": None}, {"mode": ["wrap"] * 3}, {"cval": 1j}, {"cval": None}, {"truncate": -3},
        {"truncate": np.nan}, {"radius": -1}, {"radius": 1.0}, {"radius": (1,)}, {"order": -1}, {"order": 1.5},
        {"axes": 5}, {"axes": (0, 0)}, {"axes": (1.5,)}, {"axis": 2}, {"bogus": 1},
    ):  # fmt: skip
        both(name, image, 1, **options)
    for sigma in ("1", None, (1, 1, 1), [1]):
        both(name, image, sigma)
    for wrong in (image.astype(np.float16), image.astype("m8[s]"), image.astype(object)):
        with pytest.raises(TypeError):
            getattr(ferroconv.ndimage, name)(wrong, 1)
    both(name, image.astype(np.float16), 1)
    both(name, image, 1, output=np.float16)
    both(name, np.float64(3), 1)
    both(name, image[0], 1)


def test_nan_stays_local():
    image = np.ones((32, 32), np.float32)
    image[16, 16] = np.nan
    assert np.isnan(ferroconv.ndimage.gaussian_filter(image, 1)).sum() == 81
    assert np.isnan(ferroconv.gaussian(image, 1)).sum() == 81


# The native form: the correlation with the outer product of the weights.


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.data())
def test_native_is_the_correlation_with_the_outer_product(data):
    draw = data.draw
    dtype = draw(st.sampled_from((*DTYPES, "float16")))
    image = paint((draw(st.integers(1, 14)), draw(st.integers(1, 40))), dtype, draw(st.integers(0, 99)))
    sigma, order = draw(st.tuples(*[st.sampled_from((0.4, 1, 2.2))] * 2)), draw(st.tuples(*[st.integers(0, 2)] * 2))
    options = {
        "border": draw(st.tuples(*[st.sampled_from(BORDERS)] * 2)), "cval": draw(st.sampled_from((0, 2.5))),
        "extent": draw(st.sampled_from(("same", "same", "full"))), "stride": draw(st.sampled_from((1, 1, (1, 2)))),
        "dilation": draw(st.sampled_from((1, 1, (2, 1)))),
    }  # fmt: skip
    if options["extent"] == "same":
        options["origin"] = draw(st.sampled_from((0, (1, -1))))
    if draw(st.booleans()):
        options["dtype"] = draw(st.sampled_from(("complex64", "complex128") if "c" in dtype else (*INTEGERS, *FLOATS)))
    parts = [_weights.gaussian(s, o, 2.0, None) for s, o in zip(sigma, order, strict=True)]
    if options.get("origin", 0) != 0 and min(p.size for p in parts) == 1:
        del options["origin"]
    window = np.multiply.outer(*parts)
    got = ferroconv.gaussian(image, sigma, order=order, truncate=2.0, **options)
    kind = np.dtype(options.get("dtype", dtype)).kind
    # The definition in double precision, and the magnitude of its terms.
    exact = {**options, "dtype": "complex128" if "complex" in dtype else "float64"}
    wide = image.astype(exact["dtype"])
    want = ferroconv.correlate(wide, window, **exact)
    exact.update(dtype="float64", cval=abs(options["cval"]))
    size = ferroconv.correlate(np.abs(wide), np.abs(window), **exact)
    assert got.shape == want.shape and got.dtype == options.get("dtype", dtype)
    if kind in "fc":
        coarse = [np.finfo(t).eps for t in (got.dtype, dtype) if np.dtype(t).kind in "fc"]
        eps = max(*coarse, 1.2e-7 if np.dtype(dtype).itemsize <= 2 and got.dtype.itemsize <= 4 else 0, 0)
        np.testing.assert_array_less(np.abs(got.astype(want.dtype) - want), 4 * 30 * eps * size + 1e-300)
    elif kind in "iu":
        limits = np.iinfo(got.dtype)
        eps = 0.0 if dtype in ("bool", *INTEGERS) else (6e-8 if np.dtype(dtype).itemsize <= 4 else 2e-16)
        low, high = (np.clip(want + s * (0.5 + 1 / 32 + 60 * eps * size), limits.min, limits.max) for s in (-1, 1))
        assert ((got >= np.floor(low)) & (got <= np.ceil(high))).all()
        if eps == 0 and got.dtype.itemsize < 8:
            clear = np.abs(want - np.floor(want) - 0.5) > 1 / 32
            same(got[clear], np.clip(np.rint(want), limits.min, limits.max).astype(got.dtype)[clear])


def test_native_works_on_the_planes_that_axes_name():
    cube = paint((5, 6, 7), "float32")
    planes = np.stack([ferroconv.gaussian(cube[..., i], 1) for i in range(7)], -1)
    for options in ({"axes": (0, 1)}, {"channel_axis": -1}):
        within(ferroconv.gaussian(cube, 1, **options), planes, 20, np.full(planes.shape, 4.0))
    turned = ferroconv.gaussian(cube, (1, 2), axes=(1, 0))
    within(turned, ferroconv.gaussian(cube, (2, 1), axes=(0, 1)), 20, np.full(planes.shape, 4.0))


def test_native_out_and_threads():
    image = paint((300, 400), "float32")
    want = ferroconv.gaussian(image, 2)
    target = np.full((300, 800), np.nan, np.float32)
    assert ferroconv.gaussian(image, 2, out=target[:, ::2], workers=2).base is target
    same(target[:, ::2], want)
    for sigma in (0, (0, 0)):
        same(ferroconv.gaussian(image, sigma), image)


def test_native_rounds_once():
    """Half to even of the whole sum, where SciPy truncates after each pass."""
    image = paint((50, 60), "uint8")
    want = scipy.ndimage.gaussian_filter(image.astype(float), 1.5)
    clear = np.abs(want % 1 - 0.5) > 1 / 64
    assert clear.mean() > 0.9
    same(ferroconv.gaussian(image, 1.5)[clear], want.round().astype(np.uint8)[clear])
