"""Calls on tiny images: what is kept from one call for the next changes no result, and the benchmark of them judges."""

import warnings

import numpy as np
import pytest
import scipy.ndimage
from support import paint

import ferroconv
from ferroconv import _passes, _weights, ndimage, nn

IMAGE = paint((7, 8), "float64")
FLAT = np.ones((3, 4))


def test_a_sigma_of_another_type_has_its_own_weights():
    # Equal as keys, but the square of the first is rounded to float32.
    single, double = np.float32(0.7), float(np.float32(0.7))
    for sigma in (double, single, double):
        got = ndimage.gaussian_filter(IMAGE, sigma)
        np.testing.assert_allclose(got, scipy.ndimage.gaussian_filter(IMAGE, sigma), rtol=0, atol=1e-14)
    assert not np.array_equal(
        _weights.gaussian_taps(single, 0, 4.0, None).array, _weights.gaussian(double, 0, 4.0, None)
    )


@pytest.mark.parametrize("sigma", [np.array(1.2), [np.array(1.2), 0.5], (1.2, 0.5), np.array([1.2, 0.5])])
def test_sigmas_that_are_no_keys(sigma):
    for order in (0, np.array(1), (0, np.int8(2))):
        got = ndimage.gaussian_filter(IMAGE, sigma, order)
        np.testing.assert_allclose(got, scipy.ndimage.gaussian_filter(IMAGE, sigma, order), rtol=0, atol=1e-13)


def test_wide_windows_are_not_kept():
    few, many = (_weights.gaussian_taps(s, 0, 4.0, None) for s in (2, 1000))
    assert few is _weights.gaussian_taps(2, 0, 4.0, None)
    assert many is not _weights.gaussian_taps(1000, 0, 4.0, None)
    before = _passes._kept.cache_info().currsize
    ferroconv.gaussian(FLAT, (1, 1000))
    ndimage.gaussian_filter(FLAT, (1000, 1))
    assert _passes._kept.cache_info().currsize == before


def test_kept_weights_are_not_written():
    for taps in (_weights.gaussian_taps(1, 0, 4.0, None), _weights.SOBEL):
        with pytest.raises(ValueError, match="read-only"):
            taps.array[0] = 7
        assert taps.values == tuple(taps.array)
        assert (taps.size, taps.total) == (len(taps.values), pytest.approx(sum(taps.values)))
        assert taps.magnitude == pytest.approx(sum(map(abs, taps.values)))
        assert taps.whole == all(value == int(value) for value in taps.values)


@pytest.mark.parametrize("name", ["sobel", "prewitt", "laplace"])
def test_kept_passes_are_those_of_their_arguments(name):
    ours, theirs = getattr(ndimage, name), getattr(scipy.ndimage, name)
    image = paint((5, 6, 7), "float64")
    calls = [{"mode": m} for m in ("reflect", "wrap", ("wrap", "nearest", "mirror"), ["mirror", "wrap", "constant"])]
    calls += [{"axes": a} for a in ((0, 2), (2, 0), [1])] if name == "laplace" else [{"axis": a} for a in (0, 1, -1)]
    calls.append({"mode": "constant", "cval": 3.5})
    for options in [*calls, *reversed(calls)]:
        np.testing.assert_allclose(ours(image, **options), theirs(image, **options), rtol=0, atol=1e-13)
    np.testing.assert_allclose(ours(image[0]), theirs(image[0]), rtol=0, atol=1e-13)
    np.testing.assert_allclose(ours(image[0, 0]), theirs(image[0, 0]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["sobel", "prewitt", "gaussian_filter1d", "uniform_filter1d", "correlate1d"])
def test_an_axis_that_equals_an_integer_is_none(name):
    function = getattr(ndimage, name)
    arguments = {"gaussian_filter1d": (1,), "uniform_filter1d": (3,), "correlate1d": ([1.0, 2.0],)}.get(name, ())
    function(IMAGE, *arguments, axis=1)
    with pytest.raises(TypeError):
        function(IMAGE, *arguments, axis=1.0)


@pytest.mark.parametrize("filtered", [
    lambda image: ferroconv.signal.convolve2d(image, image),
    lambda image: ferroconv.signal.convolve2d(image, np.ones((2, 2), bool)),
    lambda image: ndimage.correlate(image, np.ones((2, 2), np.int8)),
    lambda image: ndimage.sobel(image),
    lambda image: ndimage.minimum_filter(image, 3),
    lambda image: ferroconv.gaussian(image, 1),
])  # fmt: skip
def test_dtypes_that_are_equal_are_told_apart(filtered):
    for code in "qlqQLlfdf":  # long and long long are equal, and print differently
        assert filtered(np.ones((5, 5), code)).dtype.char == code


def test_errors_are_not_kept():
    for _ in range(2):
        with pytest.raises(ValueError, match="mode must be one of constant"):
            ndimage.sobel(IMAGE, mode="nope")
        with pytest.raises(TypeError, match="not supported"):
            ndimage.sobel(IMAGE.astype(np.float16))
        with pytest.raises(NotImplementedError, match="uint64"):
            ndimage.minimum_filter(IMAGE, 3, output=np.uint64)
        with pytest.raises(ValueError, match="above zero"):
            ndimage.gaussian_filter1d(IMAGE, 0)
        with pytest.raises(TypeError, match="one name, or one for each"):
            ferroconv.gaussian(IMAGE, 1, border=(["wrap"], "wrap"))


@pytest.mark.parametrize("call", [
    lambda out: ndimage.uniform_filter(out, 3, output=out),
    lambda out: ndimage.maximum_filter(out, 3, output=out),
    lambda out: ndimage.correlate(out, np.ones((3, 3)), output=out),
    lambda out: ndimage.sobel(out, output=out),
])  # fmt: skip
def test_explaining_leaves_an_output_that_is_the_image_alone(call):
    out = IMAGE.copy()
    assert ferroconv.explain(call, out).plans
    np.testing.assert_array_equal(out, IMAGE)
    call(out)
    assert not np.array_equal(out, IMAGE)


@pytest.mark.parametrize("call", [
    lambda image: ndimage.gaussian_filter1d(image, 1, output=float),
    lambda image: ndimage.correlate(image, np.ones((3, 3)), output=float),
    lambda image: ndimage.correlate1d(image, np.ones(3), output=float),
    lambda image: ndimage.uniform_filter(image, 3, output=float),
])  # fmt: skip
def test_a_warning_names_the_callers_line(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert call(IMAGE + 1j).dtype == np.complex128
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("call", [
    lambda **precision: ferroconv.gaussian(IMAGE, 1, **precision),
    lambda **precision: ferroconv.sobel(IMAGE, **precision),
    lambda **precision: ferroconv.laplace(IMAGE, **precision),
    lambda **precision: nn.conv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)), **precision),
    lambda **precision: nn.conv2d_grad_input((1, 4, 4, 1), np.ones((3, 3, 1, 1)), np.ones((1, 2, 2, 1)), **precision),
])  # fmt: skip
def test_classes_of_precision(call):
    highest = call(precision="highest")
    for precision in ("high", "medium"):
        np.testing.assert_allclose(call(precision=precision), highest, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="'highest', 'high', 'medium'. Received: 'low'"):
        call(precision="low")


small = pytest.importorskip("ferroconv._cli.small", reason="the [cli] extra is not installed")


@pytest.mark.parametrize("case", [c for c in small.SMALL_CASES if c.size == 8], ids=lambda case: case.name)
def test_small_calls_agree_with_scipy(case):
    (outcome,) = small.measure(case, quick=True)
    assert outcome.sound
    assert outcome.peers


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("module, name", [(ferroconv, "sobel"), (ndimage, "sobel")])
def test_a_wrong_small_call_is_found(monkeypatch, module, name, dtype):
    right = getattr(module, name)

    def wrong(image):
        result = right(image)
        result[0] = result[1]
        return result

    monkeypatch.setattr(module, name, wrong)
    function = name if module is ferroconv else f"ndimage.{name}"
    (outcome,) = small.measure(small.SmallCase(function, dtype, 8), quick=True)
    assert not outcome.sound
