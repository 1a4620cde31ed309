"""Gradients of pooling against a definition in NumPy, the forward pass's adjoint, and differences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import python
from test_pool_definition import adaptive_windows, axis_windows, dtype_of, first, painted, pair, reference, views

import ferroconv
from ferroconv import nn

FLOATS = ("float16", "bfloat16", "float32", "float64")

CASES = {
    "LeNet": dict(pool_size=2),
    "odd sizes": dict(pool_size=2, padding="same"),
    "threes side by side": dict(pool_size=3, ceil_mode=True),
    "gaps between windows": dict(pool_size=2, strides=3),
    "AlexNet": dict(pool_size=3, strides=2),
    "ResNet": dict(pool_size=3, strides=2, padding=((1, 1), (1, 1))),
    "TensorFlow's same": dict(pool_size=3, strides=2, padding="same"),
    "Inception": dict(pool_size=3, strides=1, padding=((1, 1), (1, 1))),
    "ceil": dict(pool_size=(3, 2), strides=(2, 3), padding=((1, 0), (0, 1)), ceil_mode=True),
    "dilated": dict(pool_size=(2, 3), strides=(1, 2), padding=((1, 1), (2, 0)), dilation_rate=2),
    "one row": dict(pool_size=(1, 9), strides=1),
    "far apart": dict(pool_size=2, strides=10**9),
}


def windows_of(shape, pool_size, strides=None, padding="valid", dilation_rate=1, ceil_mode=False):
    size, dilation = pair(pool_size), pair(dilation_rate)
    strides = size if strides is None else pair(strides)
    sides = (padding, padding) if isinstance(padding, str) else padding
    return [axis_windows(shape[1 + i], size[i], strides[i], sides[i], dilation[i], ceil_mode) for i in range(2)]


def painted_gradient(shape, dtype):
    values = np.random.default_rng([9, *shape]).integers(-40, 40, shape) / 16
    return values.astype(dtype_of(dtype))


def of_max(x, grad, places):
    """Each gradient to its place, in float64; and the sum of their magnitudes."""
    n, h, w, c = x.shape
    result, magnitude = np.zeros((n, h * w, c)), np.zeros((n, h * w, c))
    for b, y, z, k in np.ndindex(grad.shape):
        g = float(grad[b, y, z, k])
        result[b, places[b, y, z, k], k] += g
        magnitude[b, places[b, y, z, k], k] += abs(g)
    return result.reshape(x.shape), magnitude.reshape(x.shape)


def of_mean(shape, grad, rows, cols, count_include_pad=False, divisor=None):
    result = np.zeros(shape)
    for y, (ys, padded_y) in enumerate(rows):
        for z, (xs, padded_x) in enumerate(cols):
            taps = divisor or (padded_y * padded_x if count_include_pad else len(ys) * len(xs))
            for i in ys:
                for j in xs:
                    result[:, i, j] += grad[:, y, z].astype(float) / taps
    return result


def close(got, want, magnitude, dtype):
    assert got.dtype == dtype_of(dtype)
    eps = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 0)
    sums = 2.0**-52 if dtype == "float64" else 2.0**-23
    assert (np.abs(got.astype(float) - want) <= 12 * sums * magnitude + 1.01 * eps * np.abs(want)).all()


def both(x):
    yield "channels_last", x, lambda r: r
    yield "channels_first", first(x), lambda r: r.transpose(0, 2, 3, 1)


def turned(array, layout):
    return first(array) if layout == "channels_first" else array


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("case", CASES)
def test_maxima(case, channels, dtype):
    x = painted((2, 9, 13, channels), dtype)
    rows, cols = windows_of(x.shape, **CASES[case])
    _, places = reference(x, rows, cols, "max")
    grad = painted_gradient((2, len(rows), len(cols), channels), dtype)
    want, magnitude = of_max(x, grad, places)
    for layout, given, back in both(x):
        options = CASES[case] | dict(data_format=layout)
        g = turned(grad, layout)
        out = np.full(given.shape, np.nan, given.dtype)
        assert nn.max_pool2d_grad_input(given, g, **options, out=out) is out
        close(back(out), want, magnitude, dtype)
        _, indices = nn.max_pool2d(given, **options, return_indices=True)
        close(back(nn.max_pool2d_grad_input(given, g, **options, indices=indices)), want, magnitude, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("case", CASES)
def test_means(case, channels, dtype):
    shape = (2, 9, 13, channels)
    rows, cols = windows_of(shape, **CASES[case])
    grad = painted_gradient((2, len(rows), len(cols), channels), dtype)
    for counted in ({}, dict(count_include_pad=True), dict(divisor_override=7)):
        rule = counted.get("count_include_pad", False), counted.get("divisor_override")
        want = of_mean(shape, grad, rows, cols, *rule)
        magnitude = of_mean(shape, np.abs(grad), rows, cols, *rule)
        for layout, _, back in both(np.empty(shape)):
            g = turned(grad, layout)
            size = turned(np.empty(shape), layout).shape
            out = np.full(size, np.nan, grad.dtype)
            got = nn.avg_pool2d_grad_input(size, g, **CASES[case], **counted, data_format=layout, out=out)
            assert got is out
            close(back(got), want, magnitude, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, (3, 4), (9, 13), (11, 5)], ids=str)
@pytest.mark.parametrize("channels", [1, 6])
def test_adaptive_and_global(size, channels, dtype):
    x = painted((2, 9, 13, channels), dtype)
    rows, cols = (adaptive_windows(n, m) for n, m in zip(x.shape[1:3], pair(size), strict=True))
    _, places = reference(x, rows, cols, "max")
    grad = painted_gradient((2, len(rows), len(cols), channels), dtype)
    want, magnitude = of_max(x, grad, places)
    mean, mean_magnitude = (of_mean(x.shape, g, rows, cols) for g in (grad, np.abs(grad)))
    for layout, given, back in both(x):
        g, options = turned(grad, layout), dict(data_format=layout)
        _, indices = nn.adaptive_max_pool2d(given, size, **options, return_indices=True)
        for more in ({}, dict(indices=indices)):
            close(back(nn.adaptive_max_pool2d_grad_input(given, g, **options, **more)), want, magnitude, dtype)
        got = nn.adaptive_avg_pool2d_grad_input(given.shape, g, **options)
        close(back(got), mean, mean_magnitude, dtype)
        if size == 1:
            for flat in (g, g.reshape(2, channels)):
                close(back(nn.global_max_pool2d_grad_input(given, flat, **options)), want, magnitude, dtype)
                got = nn.global_avg_pool2d_grad_input(given.shape, flat, **options)
                close(back(got), mean, mean_magnitude, dtype)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_the_gradient_of_a_mean_is_the_forward_passs_adjoint(case, layout):
    rng = np.random.default_rng(0)
    x = turned(rng.standard_normal((2, 11, 12, 11)), layout)
    options = CASES[case] | dict(data_format=layout)
    y = nn.avg_pool2d(x, **options)
    grad = rng.standard_normal(y.shape)
    back = nn.avg_pool2d_grad_input(x.shape, grad, **options)
    assert np.vdot(y, grad) == pytest.approx(np.vdot(x, back), rel=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_the_gradient_of_a_maximum_is_a_difference_quotient(case, layout):
    rng = np.random.default_rng(1)
    # All different, and further apart than the step.
    x = turned(rng.permutation(2 * 8 * 9 * 3).reshape(2, 8, 9, 3).astype(float), layout)
    options = CASES[case] | dict(data_format=layout)
    y = nn.max_pool2d(x, **options)
    grad = rng.integers(-9, 9, y.shape).astype(float)
    back = nn.max_pool2d_grad_input(x, grad, **options)
    direction = rng.integers(-8, 9, x.shape) / 32
    change = nn.max_pool2d(x + direction, **options) - y
    assert np.vdot(change, grad) == np.vdot(direction, back)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("channels", [1, 3, 24])
@pytest.mark.parametrize("case", ["LeNet", "ResNet", "threes side by side"])
def test_every_layout_in_memory_gives_the_same_bits(case, channels, dtype):
    x = painted((2, 10, 14, channels), dtype)
    y, indices = nn.max_pool2d(x, **CASES[case], return_indices=True)
    grad = painted_gradient(y.shape, dtype)
    want = nn.max_pool2d_grad_input(x, grad, **CASES[case])
    mean = nn.avg_pool2d_grad_input(x.shape, grad, **CASES[case])
    named = zip(views(x), views(grad), views(indices), strict=True)
    for (name, x_view), (_, grad_view), (_, indices_view) in named:
        if dtype == "bfloat16" and name == "byte-swapped":
            continue
        got = nn.max_pool2d_grad_input(x_view, grad_view, **CASES[case])
        assert got.tobytes() == want.tobytes(), name
        got = nn.max_pool2d_grad_input(x_view, grad_view, **CASES[case], indices=indices_view)
        np.testing.assert_array_equal(got.astype(float), want.astype(float), err_msg=name)
        assert nn.avg_pool2d_grad_input(x.shape, grad_view, **CASES[case]).tobytes() == mean.tobytes(), name
    room = np.full([2 * n for n in x.shape], 7, x.dtype)
    out = room[::-2, ::2, ::-2, ::2]
    assert nn.max_pool2d_grad_input(x, grad, **CASES[case], out=out) is out
    np.testing.assert_array_equal(out.astype(float), want.astype(float))
    assert (room[::2] == 7).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5, 64, 66, 3), (1, 300, 301, 1), (2, 40, 41, 70)], ids=str)
@pytest.mark.parametrize("case", ["LeNet", "ResNet", "Inception", "one row"])
def test_any_number_of_workers_gives_the_same_bits(case, shape, dtype):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape).astype(dtype_of(dtype))
    y, indices = nn.max_pool2d(x, **CASES[case], return_indices=True)
    grad = rng.standard_normal(y.shape).astype(x.dtype)
    calls = [
        lambda w: nn.max_pool2d_grad_input(x, grad, **CASES[case], workers=w),
        lambda w: nn.max_pool2d_grad_input(x, grad, **CASES[case], indices=indices, workers=w),
        lambda w: nn.avg_pool2d_grad_input(x.shape, grad, **CASES[case], workers=w),
        lambda w: nn.global_avg_pool2d_grad_input(x.shape, grad[:, :1, :1], workers=w),
        lambda w: nn.adaptive_max_pool2d_grad_input(x, grad[:, :7, :9], workers=w),
    ]
    for call in calls:
        want = call(1).tobytes()
        for workers in (2, 3, 7, -1):
            assert call(workers).tobytes() == want


SCRIPT = """
import hashlib, json
import numpy as np
from ferroconv import nn
rng = np.random.default_rng(0)
x = rng.standard_normal((2, 19, 70, 5))
said = []
for dtype in ("float16", "float32", "float64"):
    for k, s in ((2, 2), (3, 2), (3, 1)):
        y = nn.max_pool2d(x.astype(dtype), k, s, "same")
        grad = rng.standard_normal(y.shape).astype(dtype)
        for got in (nn.max_pool2d_grad_input(x.astype(dtype), grad, k, s, "same"), nn.avg_pool2d_grad_input(x.shape, grad, k, s, "same")):
            said.append(hashlib.sha256(got.tobytes()).hexdigest())
print(json.dumps(said))
"""


def test_every_instruction_set_gives_the_same_bits():
    results = {isa: json.loads(python(SCRIPT, FERROCONV_ISA=isa)) for isa in ferroconv.info()["isa_detected"]}
    assert all(result == results["scalar"] for result in results.values())


def test_nan_takes_the_gradient_and_gradients_may_be_nan():
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 1, 0] = np.nan
    grad = np.array([5, np.nan, np.inf, 2], np.float32).reshape(1, 2, 2, 1)
    got = nn.max_pool2d_grad_input(x, grad)[0, :, :, 0]
    want = np.zeros((4, 4), np.float32)
    want[1, 1], want[0, 2], want[2, 0], want[2, 2] = 5, np.nan, np.inf, 2
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(nn.max_pool2d_grad_input(x, grad, 3, 1)[0, 1, 1, 0], np.nan)


def test_empty_arrays_have_empty_gradients():
    assert nn.max_pool2d_grad_input(np.zeros((0, 4, 4, 2)), np.zeros((0, 2, 2, 2))).shape == (0, 4, 4, 2)
    assert nn.avg_pool2d_grad_input((1, 4, 4, 0), np.zeros((1, 2, 2, 0), np.float32)).shape == (1, 4, 4, 0)
    assert nn.max_pool2d_grad_input(np.zeros((2, 0, 4, 1)), np.zeros((2, 0, 2, 1))).shape == (2, 0, 4, 1)


X, G = np.zeros((1, 4, 4, 1), np.float32), np.ones((1, 2, 2, 1), np.float32)
I = np.array([0, 2, 8, 10]).reshape(1, 2, 2, 1)  # noqa: E741
BIG = 2**62
REFUSED = {
    "grad-shape": (ValueError, r"grad.*\[1, 2, 2, 1\].*Received", lambda o: nn.max_pool2d_grad_input(X, G[:, :1], out=o)),
    "grad-axes": (ValueError, "grad.*Received", lambda o: nn.max_pool2d_grad_input(X, G[0], out=o)),
    "grad-dtype": (TypeError, "grad.*float32.*Received: float64", lambda o: nn.max_pool2d_grad_input(X, G.astype(float), out=o)),
    "integers": (TypeError, "floating.*Received: int32", lambda o: nn.max_pool2d_grad_input(X.astype("i4"), G.astype("i4"), out=o)),
    "integer-mean": (TypeError, "floating.*Received: int32", lambda o: nn.avg_pool2d_grad_input(X.shape, G.astype("i4"), out=o)),
    "complex": (TypeError, "complex64", lambda o: nn.avg_pool2d_grad_input(X.shape, G.astype("c8"), out=o)),
    "x-axes": (ValueError, "x must have four axes", lambda o: nn.max_pool2d_grad_input(X[0], G, out=o)),
    "indices-shape": (ValueError, "indices.*Received", lambda o: nn.max_pool2d_grad_input(X, G, indices=I[:, :1], out=o)),
    "indices-dtype": (TypeError, "int64.*Received: int32", lambda o: nn.max_pool2d_grad_input(X, G, indices=I.astype("i4"), out=o)),
    "indices-negative": (ValueError, "Received: -1", lambda o: nn.max_pool2d_grad_input(X, G, indices=I - 1, out=o)),
    "indices-large": (ValueError, "Received: 16", lambda o: nn.max_pool2d_grad_input(X, G, indices=np.where(I == 10, 16, I), out=o)),
    "indices-huge": (ValueError, "Received: 46", lambda o: nn.max_pool2d_grad_input(X, G, indices=I + BIG, out=o)),
    "indices-elsewhere": (ValueError, "Received: 2 ", lambda o: nn.max_pool2d_grad_input(X, G, indices=I + 2, out=o)),
    "shape-3": (ValueError, "input_shape", lambda o: nn.avg_pool2d_grad_input((4, 4, 1), G, out=o)),
    "shape-negative": (ValueError, "input_shape", lambda o: nn.avg_pool2d_grad_input((1, -4, 4, 1), G, out=o)),
    "shape-huge": (ValueError, "Received", lambda o: nn.avg_pool2d_grad_input((1, BIG, BIG, 1), G, out=o)),
    "shape-text": (ValueError, "input_shape", lambda o: nn.avg_pool2d_grad_input("1441", G, out=o)),
    "window-0": (ValueError, "window axis", lambda o: nn.max_pool2d_grad_input(X, G, 0, out=o)),
    "divisor-0": (ValueError, "divisor_override", lambda o: nn.avg_pool2d_grad_input(X.shape, G, divisor_override=0, out=o)),
    "format": (ValueError, "data_format", lambda o: nn.max_pool2d_grad_input(X, G, data_format="NHWC", out=o)),
    "workers": (ValueError, "workers", lambda o: nn.max_pool2d_grad_input(X, G, workers=0, out=o)),
    "global-grad": (ValueError, "grad.*Received", lambda o: nn.global_max_pool2d_grad_input(X, G, out=o)),
    "global-channels": (ValueError, "grad.*Received", lambda o: nn.global_avg_pool2d_grad_input(X.shape, G[0, :, :, 0], out=o)),
    "adaptive-batch": (ValueError, "grad.*Received", lambda o: nn.adaptive_avg_pool2d_grad_input((3, 4, 4, 1), G, out=o)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_is_written(name):
    error, words, call = REFUSED[name]
    out = np.full_like(X, 7)
    with pytest.raises(error, match=words):
        call(out)
    assert (out == 7).all()


def test_an_out_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="dtype"):
        nn.max_pool2d_grad_input(X, G, out=np.zeros(X.shape))
    with pytest.raises(ValueError, match="shape"):
        nn.avg_pool2d_grad_input(X.shape, G, out=np.zeros((1, 4, 5, 1), np.float32))
    x = X.copy()
    with pytest.raises(ValueError, match="share memory"):
        nn.max_pool2d_grad_input(x, G, out=x)


def test_explain_says_what_runs_and_why():
    plan, = ferroconv.explain(nn.max_pool2d_grad_input, X, G).plans  # fmt: skip
    assert plan.chosen.startswith("max-gradient/")
    costs = {name: nanoseconds for name, nanoseconds, _ in plan.candidates if nanoseconds is not None}
    assert plan.chosen == min(costs, key=lambda name: costs[name])
    assert plan.bound == "exact"
    plan, = ferroconv.explain(nn.max_pool2d_grad_input, X, G, indices=I).plans  # fmt: skip
    assert plan.chosen.startswith("max-gradient/scattered/f32/")
    plan, = ferroconv.explain(nn.avg_pool2d_grad_input, X.shape, G).plans  # fmt: skip
    assert plan.chosen.startswith("mean-gradient/spread/f32/")
