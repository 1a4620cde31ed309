"""Pooling against a definition that shares nothing with it: windows listed position by position."""

import os
import subprocess
import sys

import numpy as np
import pytest

import ferroconv
from ferroconv import nn

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]

CASES = {
    "halves each axis": dict(pool_size=2),
    "overlaps": dict(pool_size=3, strides=2, padding=((1, 1), (1, 1))),
    "one stride for each axis": dict(pool_size=(3, 2), strides=(1, 3), padding=((1, 0), (0, 1)), ceil_mode=True),
    "gaps between taps and a window over the end": dict(
        pool_size=(2, 3), strides=(2, 1), padding=((0, 1), (2, 2)), dilation_rate=2, ceil_mode=True
    ),
    "dense": dict(pool_size=3, strides=1),
    "stride beyond the window": dict(pool_size=2, strides=5),
    "a whole row": dict(pool_size=(1, 40), strides=1),
    "TensorFlow's same": dict(pool_size=3, strides=2, padding="same"),
}


def windows(n, taps, stride, dilation, padding, ceil):
    """For each window of an axis: the positions of its taps, in the image or not."""
    reach = dilation * (taps - 1) + 1
    if padding == "same":
        count = -(-n // stride)
        total = max(0, (count - 1) * stride + reach - n)
        before = total // 2
    else:
        before, after = (0, 0) if padding == "valid" else padding
        count = (n + before + after - reach + (stride - 1 if ceil else 0)) // stride + 1
        if ceil and (count - 1) * stride >= n + before:
            count -= 1
    return [[o * stride - before + t * dilation for t in range(taps)] for o in range(count)]


def definition(x, pool_size, strides=None, padding="valid", dilation_rate=1, ceil_mode=False):
    """Maxima, their positions, sums, and positions counted (without padding, with it), of NHWC images."""
    pair = lambda v: (v, v) if isinstance(v, int) else v  # noqa: E731
    size, dilation = pair(pool_size), pair(dilation_rate)
    strides = size if strides is None else pair(strides)
    sides = (padding, padding) if isinstance(padding, str) else padding
    rows, cols = (windows(x.shape[1 + i], size[i], strides[i], dilation[i], sides[i], ceil_mode) for i in range(2))
    h, w = x.shape[1:3]
    # TensorFlow pads until the last window fits.
    after = [dict(valid=0, same=99)[side] if isinstance(side, str) else side[1] for side in sides]
    shape = (x.shape[0], len(rows), len(cols), x.shape[3])
    largest, places = np.zeros(shape, x.dtype), np.zeros(shape, np.int64)
    sums = np.zeros(shape, np.float64)
    inside, padded = np.zeros(shape[1:3]), np.zeros(shape[1:3])
    for y, ys in enumerate(rows):
        for z, zs in enumerate(cols):
            at = [(i, j) for i in ys for j in zs if 0 <= i < h and 0 <= j < w]
            samples = np.stack([x[:, i, j] for i, j in at])
            first = samples.argmax(0)
            largest[:, y, z] = samples.max(0)
            places[:, y, z] = np.array([i * w + j for i, j in at])[first]
            sums[:, y, z] = samples.astype(np.float64).sum(0)
            inside[y, z] = len(at)
            padded[y, z] = sum(i < h + after[0] and j < w + after[1] for i in ys for j in zs)
    return largest, places, sums, inside[..., None], padded[..., None]


def images(dtype, shape=(2, 9, 40, 3)):
    return (
        (np.arange(np.prod(shape)) * 37 % 251 - (0 if np.dtype(dtype).kind == "u" else 100))
        .reshape(shape)
        .astype(dtype)
    )


def both_layouts(x):
    yield "channels_last", x, lambda r: r
    yield "channels_first", np.ascontiguousarray(x.transpose(0, 3, 1, 2)), lambda r: r.transpose(0, 2, 3, 1)
    yield "channels_first", x.transpose(0, 3, 1, 2), lambda r: r.transpose(0, 2, 3, 1)
    yield "channels_last", x[:, ::-1][:, ::-1], lambda r: r


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_maxima_and_their_positions(case, dtype):
    x = images(dtype)
    largest, places, *_ = definition(x, **CASES[case])
    for layout, given, back in both_layouts(x):
        result, index = nn.max_pool2d(given, **CASES[case], data_format=layout, return_indices=True)
        assert result.dtype == dtype
        assert index.dtype == np.int64
        assert np.array_equal(back(result), largest)
        assert np.array_equal(back(index), places)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("counted", ["inside", "padding", "override"])
def test_means(case, dtype, counted):
    x = images(dtype)
    _, _, sums, inside, padded = definition(x, **CASES[case])
    options = dict(count_include_pad=counted == "padding", divisor_override=7 if counted == "override" else None)
    count = {"inside": inside, "padding": padded, "override": 7}[counted]
    mean = sums / count
    for layout, given, back in both_layouts(x):
        result = back(nn.avg_pool2d(given, **CASES[case], data_format=layout, **options))
        assert result.dtype == dtype
        if x.dtype.kind in "iu":
            limits = np.iinfo(dtype)
            assert np.array_equal(result, np.rint(mean).clip(limits.min, limits.max).astype(dtype))
        else:
            eps = np.finfo(dtype).eps
            bound = 2 * eps * np.abs(mean) + 130 * np.finfo(np.float32 if dtype == "float16" else dtype).eps * 150
            assert (np.abs(result.astype(np.float64) - mean) <= bound).all()


def test_bool_images_have_a_maximum_and_no_mean():
    x = images("uint8") > 200
    assert np.array_equal(nn.max_pool2d(x), nn.max_pool2d(x.astype(np.uint8)).astype(bool))
    with pytest.raises(TypeError, match=r"numbers.*Received: bool"):
        nn.avg_pool2d(x)


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_nan_is_the_maximum_as_in_torch(layout):
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 1, 0] = np.nan
    given = x if layout == "channels_last" else x.transpose(0, 3, 1, 2)
    result, index = nn.max_pool2d(given, data_format=layout, return_indices=True)
    assert np.isnan(result.ravel()[0])
    assert np.isnan(result).sum() == 1
    assert index.ravel()[0] == 5


def test_the_first_of_equal_samples_has_the_index():
    _, index = nn.max_pool2d(np.ones((1, 4, 6, 1)), 2, return_indices=True)
    assert index[0, :, :, 0].tolist() == [[0, 2, 4], [12, 14, 16]]


def test_a_window_of_minus_infinity_gives_its_first_position():
    x = np.full((1, 2, 2, 1), -np.inf, np.float32)
    largest, index = nn.max_pool2d(x, return_indices=True)
    assert largest.item() == -np.inf
    assert index.item() == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (9, 40), (12, 50)])
def test_adaptive_windows_share_the_image_evenly(size):
    x = images("float64")
    rows, cols = (
        [(o * n // m, -(-(o + 1) * n // m)) for o in range(m)] for n, m in zip(x.shape[1:3], size, strict=True)
    )
    pick = lambda f: np.stack([np.stack([f(x[:, a:b, c:d]) for c, d in cols], 1) for a, b in rows], 1)  # noqa: E731
    for layout, given, back in both_layouts(x):
        assert np.array_equal(
            back(nn.adaptive_max_pool2d(given, size, data_format=layout)), pick(lambda p: p.max((1, 2)))
        )
        np.testing.assert_allclose(
            back(nn.adaptive_avg_pool2d(given, size, data_format=layout)), pick(lambda p: p.mean((1, 2))), rtol=1e-13
        )


def test_global_pooling_is_over_rows_and_columns():
    x = images("float64")
    for layout, given, _ in both_layouts(x):
        assert np.array_equal(nn.global_max_pool2d(given, data_format=layout), x.max((1, 2)))
        mean = nn.global_avg_pool2d(given, data_format=layout, keepdims=True)
        assert mean.shape == ((2, 1, 1, 3) if layout == "channels_last" else (2, 3, 1, 1))
        np.testing.assert_allclose(mean.ravel(), x.mean((1, 2)).ravel(), rtol=1e-13)
        out = np.empty((2, 3))
        assert nn.global_avg_pool2d(given, data_format=layout, out=out) is out
        np.testing.assert_allclose(out, x.mean((1, 2)), rtol=1e-13)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_threads_give_the_same_bits(name):
    x = np.random.default_rng(0).standard_normal((3, 300, 211, 5)).astype(np.float32)
    function = getattr(nn, name)
    one = function(x, 3, 2, workers=1)
    for workers in (2, 3, 7):
        assert function(x, 3, 2, workers=workers).tobytes() == one.tobytes()


def test_instruction_sets_give_the_same_bits():
    code = (
        "import numpy as np, hashlib; from ferroconv import nn;"
        "x = np.random.default_rng(0).standard_normal((2, 67, 53, 5)).astype(np.float32);"
        "print(*[hashlib.sha256(f(x, 3, 2).tobytes()).hexdigest() for f in (nn.max_pool2d, nn.avg_pool2d)])"
    )
    said = set()
    for isa in ferroconv.info()["isa_detected"]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "FERROCONV_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1


def test_empty_batches_and_channels_are_empty_results():
    assert nn.max_pool2d(np.zeros((0, 4, 4, 2))).shape == (0, 2, 2, 2)
    assert nn.avg_pool2d(np.zeros((1, 4, 4, 0), np.float32)).shape == (1, 2, 2, 0)


def test_explain_names_the_implementations():
    text = str(ferroconv.explain(nn.max_pool2d, np.zeros((1, 8, 8, 3), np.float32), return_indices=True))
    assert "runs    pool/indexed/float32" in text
    assert "- pool/separable/float32" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(pool_size=0), "at least 1.*Received: 0"),
        (dict(pool_size=9), "fit.*Received"),
        (dict(strides=0), "at least 1.*Received: 0"),
        (dict(dilation_rate=0), "at least 1.*Received: 0"),
        (dict(dilation_rate=2**62), "Received"),
        (dict(padding="full"), "padding.*Received: 'full'|padding.*Received: \"full\""),
        (dict(padding=((2, 2), (0, 0))), "half the window.*Received"),
        (dict(padding=((-1, 0), (0, 0))), "from 0 on.*Received"),
        (dict(padding=3), "padding.*Received: 3"),
        (dict(data_format="NHWC"), "data_format.*Received: 'NHWC'"),
        (dict(workers=0), "workers.*Received: 0"),
        (dict(pool_size="two"), "pool_size.*Received: 'two'"),
        (dict(out=np.zeros((1, 2, 2, 2), np.float64)), "dtype.*Received: float64"),
        (dict(out=np.zeros((1, 2, 2, 3), np.float32)), "shape.*Received"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        nn.max_pool2d(np.zeros((1, 4, 4, 2), np.float32), **arguments)


def test_wrong_images():
    with pytest.raises(ValueError, match=r"four axes.*Received: shape \[4, 4\]"):
        nn.max_pool2d(np.zeros((4, 4)))
    with pytest.raises(TypeError, match=r"complex64"):
        nn.max_pool2d(np.zeros((1, 4, 4, 2), np.complex64))
    with pytest.raises(ValueError, match=r"divisor_override"):
        nn.avg_pool2d(np.zeros((1, 4, 4, 2)), divisor_override=0)
    x = np.zeros((1, 4, 4, 1))
    with pytest.raises(ValueError, match=r"share memory"):
        nn.max_pool2d(x, out=x[:, :2, :2])
