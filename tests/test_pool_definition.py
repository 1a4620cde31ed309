"""Pooling against its definition in NumPy, written here, window by window."""

from __future__ import annotations

import doctest
import inspect
import json
import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from support import python, same

import ferroconv
from ferroconv import nn

ml_dtypes = pytest.importorskip("ml_dtypes")

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "bfloat16", "float32", "float64")


def dtype_of(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def painted(shape, name, seed=0):
    """Few different values, so that ties are many; floats with NaN and infinities."""
    rng = np.random.default_rng([seed, *shape])
    dtype = dtype_of(name)
    if name == "bool":
        return rng.random(shape) < 0.2
    if name in INTEGERS:
        info = np.iinfo(dtype)
        return rng.choice(np.array([info.min, info.max, 0, 1, 2, 3, info.max // 3], dtype), shape)
    values = rng.integers(-20, 20, shape) / 8
    values[rng.random(shape) < 0.02] = np.nan
    values[rng.random(shape) < 0.05] = -np.inf
    return values.astype(dtype)


def alike(got, want):
    """The same dtype and numbers; NumPy doesn't know a bfloat16 NaN for one."""
    if want.dtype.kind == "V":
        assert got.dtype == want.dtype
        got, want = got.astype(np.float32), want.astype(np.float32)
    same(got, want)


def pair(value):
    return (value, value) if isinstance(value, int) else value


def axis_windows(n, taps, stride, padding, dilation, ceil):
    """For each result of an axis: positions in the image, and taps in image and padding."""
    if padding == "same":
        total = max((-(-n // stride) - 1) * stride + (taps - 1) * dilation + 1 - n, 0)
        before, after = total // 2, total - total // 2
    else:
        before, after = (0, 0) if padding == "valid" else padding
    size = math.floor((n + before + after - dilation * (taps - 1) - 1 + (stride - 1 if ceil else 0)) / stride) + 1
    if ceil and (size - 1) * stride >= n + before:
        size -= 1
    windows = []
    for o in range(size if n else 0):
        places = [o * stride + t * dilation for t in range(taps)]
        inside = [p - before for p in places if before <= p < before + n]
        windows.append((inside, sum(p < before + n + after for p in places)))
    return windows


def adaptive_windows(n, size):
    spans = [range(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]
    return [(list(span), len(span)) for span in spans]


def rounded_half_even(fraction, dtype):
    info = np.iinfo(dtype)
    return min(max(round(fraction), info.min), info.max)  # Python's round is half to even


def reference(x, rows, cols, kind, count_include_pad=False, divisor=None):
    """Channels-last pooling of `x`: the result, and the positions of maxima."""
    n, _, w, c = x.shape
    result = np.zeros((n, len(rows), len(cols), c), x.dtype)
    indices = np.zeros(result.shape, np.int64)
    integer = x.dtype.kind in "iub"
    for b, oy, ox, k in np.ndindex(result.shape):
        (ys, padded_y), (xs, padded_x) = rows[oy], cols[ox]
        window = [(x[b, y, xx, k], y * w + xx) for y in ys for xx in xs]
        if kind == "max":
            best, place = None, window[0][1]
            for value, position in window:
                if best is None or value > best or value != value:
                    # All -inf: the first position stays.
                    best, place = value, position
            result[b, oy, ox, k], indices[b, oy, ox, k] = best, place
            continue
        taps = divisor or (padded_y * padded_x if count_include_pad else len(window))
        if integer:
            total = sum(int(value) for value, _ in window)
            result[b, oy, ox, k] = rounded_half_even(Fraction(total, taps), x.dtype)
        else:
            with np.errstate(invalid="ignore"):
                result[b, oy, ox, k] = np.sum([float(value) for value, _ in window]) / taps
    return result, indices


def sliding(x, kind, pool_size, strides=None, padding="valid", dilation_rate=1, ceil_mode=False, **rest):
    taps, steps, dilation = pair(pool_size), pair(strides or pool_size), pair(dilation_rate)
    pads = (padding, padding) if isinstance(padding, str) else padding
    rows, cols = (
        axis_windows(x.shape[1 + i], taps[i], steps[i], pads[i], dilation[i], ceil_mode) for i in range(2)
    )  # fmt: skip
    return reference(x, rows, cols, kind, **rest)


# Name, why it is here: shape, arguments.
CASES = {
    "lenet": ((3, 28, 28, 6), dict(pool_size=2)),
    "odd-size-cut-off": ((1, 7, 9, 2), dict(pool_size=2)),
    "odd-size-kept": ((1, 7, 9, 2), dict(pool_size=2, ceil_mode=True)),
    "overlapping": ((1, 13, 15, 3), dict(pool_size=3, strides=2)),
    "resnet-stem-channels": ((1, 12, 13, 17), dict(pool_size=3, strides=2, padding=((1, 1), (1, 1)))),
    "inception-stride-one": ((1, 9, 10, 4), dict(pool_size=3, strides=1, padding="same")),
    "same-odd-sample-after": ((1, 8, 7, 2), dict(pool_size=(3, 2), strides=2, padding="same")),
    "one-sided-padding": ((1, 9, 9, 1), dict(pool_size=(3, 4), strides=2, padding=((1, 0), (0, 2)))),
    "ceil-drops-a-window-in-the-padding": (
        (1, 4, 5, 1),
        dict(pool_size=2, strides=3, padding=((1, 1), (1, 1)), ceil_mode=True),
    ),
    "ceil-window-larger-than-the-image": ((1, 2, 2, 1), dict(pool_size=3, strides=2, ceil_mode=True)),
    "dilated": ((1, 15, 16, 2), dict(pool_size=3, strides=1, dilation_rate=(2, 3))),
    "dilated-padded-strided": ((1, 15, 16, 1), dict(pool_size=3, strides=2, dilation_rate=2, padding=((2, 2), (1, 2)))),
    "stride-beyond-the-window": ((1, 20, 21, 2), dict(pool_size=2, strides=(5, 7))),
    "large-window": ((1, 17, 18, 1), dict(pool_size=(7, 13), strides=1)),
    "window-of-one-row": ((2, 5, 40, 1), dict(pool_size=(1, 4), strides=(1, 2))),
    "pictures-that-stack": ((5, 6, 10, 1), dict(pool_size=2)),
    "pictures-that-do-not-stack": ((5, 7, 10, 1), dict(pool_size=2)),
    "no-picture": ((0, 6, 6, 2), dict(pool_size=2)),
    "no-row": ((2, 0, 6, 2), dict(pool_size=2)),
    "no-channel": ((2, 6, 6, 0), dict(pool_size=2)),
}


def first(array):
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ("bool", *INTEGERS, *FLOATS))
def test_max_pooling_is_the_definition(name, dtype):
    shape, arguments = CASES[name]
    x = painted(shape, dtype)
    want, places = sliding(x, "max", **arguments)
    alike(nn.max_pool2d(x, **arguments), want)
    got, indices = nn.max_pool2d(x, **arguments, return_indices=True)
    alike(got, want)
    same(indices, places)
    got, indices = nn.max_pool2d(first(x), **arguments, data_format="channels_first", return_indices=True)
    alike(got, first(want))
    same(indices, first(places))
    alike(nn.max_pool2d(first(x), **arguments, data_format="channels_first"), first(want))


MEANS = [{}, {"count_include_pad": True}, {"divisor_override": 3}]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", (*INTEGERS, *FLOATS))
@pytest.mark.parametrize("how", MEANS, ids=str)
def test_average_pooling_is_the_definition(name, dtype, how):
    shape, arguments = CASES[name]
    x = painted(shape, dtype)
    rest = {"count_include_pad": how.get("count_include_pad", False), "divisor": how.get("divisor_override")}
    want, _ = sliding(x, "mean", **arguments, **rest)
    for got in (
        nn.avg_pool2d(x, **arguments, **how),
        np.moveaxis(nn.avg_pool2d(first(x), **arguments, **how, data_format="channels_first"), 1, -1),
    ):
        if dtype in INTEGERS:
            same(got, want)
        else:
            # Samples are multiples of 1/8, so that sums are exact and only the division rounds.
            assert got.dtype == want.dtype
            step = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 3e-7, "float64": 5e-16}[dtype]
            np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=step, atol=0)


@pytest.mark.parametrize("dtype", ("bool", "uint8", "int64", *FLOATS))
@pytest.mark.parametrize("size", [1, 2, 3, (4, 5), (7, 11), (9, 13)], ids=str)
def test_adaptive_pooling_is_the_definition(dtype, size):
    x = painted((2, 7, 11, 3), dtype)
    rows, cols = (adaptive_windows(n, m) for n, m in zip(x.shape[1:3], pair(size), strict=True))
    want, places = reference(x, rows, cols, "max")
    got, indices = nn.adaptive_max_pool2d(x, size, return_indices=True)
    alike(got, want)
    same(indices, places)
    alike(nn.adaptive_max_pool2d(first(x), size, data_format="channels_first"), first(want))
    if dtype != "bool":
        want, _ = reference(x, rows, cols, "mean")
        got = nn.adaptive_avg_pool2d(x, size)
        assert got.dtype == x.dtype
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-2 if "16" in dtype else 5e-7)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_global_pooling_is_a_reduction(data_format):
    axes = (1, 2) if data_format == "channels_last" else (2, 3)
    x = np.random.default_rng(3).standard_normal((3, 20, 30, 25))
    for keepdims in (False, True):
        options = {"data_format": data_format, "keepdims": keepdims}
        want = x.max(axes, keepdims=keepdims)
        same(nn.global_max_pool2d(x, **options), want)
        out = np.full(want.shape, np.nan)
        assert nn.global_max_pool2d(x, **options, out=out) is out
        same(out, want)
        np.testing.assert_allclose(
            nn.global_avg_pool2d(x, **options), x.mean(axes, keepdims=keepdims), rtol=0, atol=1e-14
        )


def test_nan_spreads_to_every_window_that_holds_it():
    x = np.zeros((1, 7, 7, 1), np.float32)
    x[0, 3, 3, 0] = np.nan
    got, indices = nn.max_pool2d(x, 3, 1, return_indices=True)
    assert np.isnan(got).sum() == 9
    assert (indices[np.isnan(got)] == 3 * 7 + 3).all()
    assert np.isnan(nn.avg_pool2d(x, 3, 1)).sum() == 9


def test_the_first_of_equal_samples_counts():
    x = np.array([[0.0, -0.0], [0.0, 0.0]]).reshape(1, 2, 2, 1)
    assert nn.max_pool2d(x, return_indices=True)[1].ravel() == 0


def test_a_window_of_nothing_but_the_least_has_its_first_place_in_the_image():
    x = np.full((1, 4, 4, 1), -np.inf)
    _, indices = nn.max_pool2d(x, 3, 2, ((1, 1), (1, 1)), return_indices=True)
    assert indices.ravel().tolist() == [0, 1, 4, 5]


def test_means_of_integers_round_half_to_even():
    x = np.array([0, 1, 1, 2, 2, 3, 254, 255], np.uint8).reshape(1, 1, 8, 1)
    assert nn.avg_pool2d(x, (1, 2)).ravel().tolist() == [0, 2, 2, 254]
    big = np.array([2**63 - 1, 2**63 - 2], np.int64).reshape(1, 1, 2, 1)
    assert nn.avg_pool2d(big, (1, 2)).item() == 2**63 - 2


def test_long_means_do_not_drift():
    x = np.full((1, 300, 300, 1), 0.1, np.float32)
    assert abs(nn.global_avg_pool2d(x).item() - np.float32(0.1)) < 1e-8


def views(x):
    """The same numbers in awkward places."""
    yield "negative strides", np.ascontiguousarray(x[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    yield "channels first in memory", np.moveaxis(first(x), 1, -1)
    yield "fortran order", np.asfortranarray(x)
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    wide[::2, ::2, ::2, ::2] = x
    yield "strided", wide[::2, ::2, ::2, ::2]
    frozen = x.copy()
    frozen.setflags(write=False)
    yield "read-only", frozen
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:].view(x.dtype).reshape(x.shape)[...] = x
    yield "unaligned", raw[1:].view(x.dtype).reshape(x.shape)
    yield "byte-swapped", x.astype(x.dtype.newbyteorder("S"))


@pytest.mark.parametrize("dtype", ("uint8", "float16", "float32", "float64"))
@pytest.mark.parametrize("channels", [1, 3, 24])
@pytest.mark.parametrize("arguments", [dict(pool_size=2), dict(pool_size=3, strides=2, padding="same")], ids=str)
def test_every_layout_gives_the_same_bits(dtype, channels, arguments):
    x = painted((2, 10, 14, channels), dtype)
    for function in (nn.max_pool2d, nn.avg_pool2d):
        want = function(x, **arguments)
        for name, view in views(x):
            got = function(view, **arguments)
            np.testing.assert_array_equal(got, want, err_msg=name)
            assert np.asarray(got, want.dtype).tobytes() == want.tobytes() or np.isnan(want.astype(float)).any(), name
    want = nn.max_pool2d(x, **arguments, return_indices=True)
    for name, view in views(x):
        for got, wanted in zip(nn.max_pool2d(view, **arguments, return_indices=True), want, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=name)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_out_is_filled_in_place_whatever_its_strides(data_format):
    x = painted((3, 9, 10, 6), "float32")
    for function in (nn.max_pool2d, nn.avg_pool2d):
        want = function(x, 2, data_format=data_format)
        room = np.full([2 * n for n in want.shape], 7, np.float32)
        out = room[::-2, ::2, ::-2, ::2]
        assert function(x, 2, data_format=data_format, out=out) is out
        np.testing.assert_array_equal(out, want)
        assert (room[::2] == 7).all()


@pytest.mark.parametrize("dtype", ("uint8", "float32", "float64"))
@pytest.mark.parametrize("shape", [(5, 64, 66, 3), (1, 300, 301, 1), (2, 40, 41, 70)], ids=str)
def test_any_number_of_workers_gives_the_same_bits(dtype, shape):
    x = np.random.default_rng(1).normal(100, 30, shape).astype(dtype)
    calls = [
        lambda w: nn.max_pool2d(x, 3, 2, "same", workers=w),
        lambda w: nn.avg_pool2d(x, 3, 2, "same", workers=w),
        lambda w: nn.max_pool2d(x, 3, 2, "same", return_indices=True, workers=w)[1],
        lambda w: nn.avg_pool2d(x, 2, workers=w),
        lambda w: nn.adaptive_avg_pool2d(x, (7, 9), workers=w),
        lambda w: nn.global_avg_pool2d(x, workers=w),
    ]
    for call in calls:
        want = call(1).tobytes()
        for workers in (2, 3, 7, -1):
            assert call(workers).tobytes() == want


SCRIPT = """
import json
import numpy as np
from ferroconv import nn
x = np.random.default_rng(0).normal(0, 50, (2, 19, 70, 5))
answers = []
for dtype in ("uint8", "int16", "int64", "float16", "float32", "float64"):
    y = np.clip(x, 0, 255).astype(dtype)
    for k, s in ((2, 2), (3, 2), (3, 1)):
        got, where = nn.max_pool2d(y, k, s, "same", return_indices=True)
        answers.append([int(where.sum()), float(got.astype(float).sum()), float(nn.max_pool2d(y, k, s, "same").astype(float).sum())])
        if dtype[0] != "f":
            answers.append(float(nn.avg_pool2d(y, k, s, "same").astype(float).sum()))
print(json.dumps(answers))
"""


def test_every_instruction_set_gives_the_same_maxima_and_integer_means():
    results = {isa: json.loads(python(SCRIPT, FERROCONV_ISA=isa)) for isa in ferroconv.info()["isa_detected"]}
    assert all(result == results["scalar"] for result in results.values())


X = np.zeros((1, 4, 4, 1), np.float32)
REFUSED = {
    "3-D": (ValueError, "four axes", lambda: nn.max_pool2d(np.zeros((4, 4, 1)))),
    "complex": (TypeError, "complex64", lambda: nn.max_pool2d(X.astype("complex64"))),
    "bool-mean": (TypeError, "bool", lambda: nn.avg_pool2d(X.astype(bool))),
    "window-0": (ValueError, "window axis", lambda: nn.max_pool2d(X, 0)),
    "window-negative": (ValueError, "window axis", lambda: nn.max_pool2d(X, -2)),
    "window-too-large": (ValueError, "fit into", lambda: nn.max_pool2d(X, 5)),
    "window-huge": (ValueError, "64 bits", lambda: nn.max_pool2d(X, 2**70)),
    "stride-0": (ValueError, "stride", lambda: nn.max_pool2d(X, 2, 0)),
    "three-strides": (ValueError, "strides", lambda: nn.max_pool2d(X, 2, (1, 2, 3))),
    "dilation-0": (ValueError, "dilation", lambda: nn.max_pool2d(X, 2, dilation_rate=0)),
    "padding-name": (ValueError, "padding", lambda: nn.max_pool2d(X, 2, padding="full")),
    "padding-number": (ValueError, "padding", lambda: nn.max_pool2d(X, 2, padding=1)),
    "padding-negative": (ValueError, "padding", lambda: nn.max_pool2d(X, 2, padding=((0, -1), (0, 0)))),
    "padding-large": (ValueError, "half the window", lambda: nn.max_pool2d(X, 2, padding=((2, 0), (0, 0)))),
    "empty-window": (
        ValueError,
        "hold a sample",
        lambda: nn.max_pool2d(X[:, :1], 2, 1, ((2, 2), (0, 0)), dilation_rate=(4, 1)),
    ),
    "divisor-0": (ValueError, "divisor_override", lambda: nn.avg_pool2d(X, divisor_override=0)),
    "format": (ValueError, "data_format", lambda: nn.max_pool2d(X, data_format="NHWC")),
    "workers": (ValueError, "workers", lambda: nn.max_pool2d(X, workers=0)),
    "adaptive-0": (ValueError, "one position", lambda: nn.adaptive_avg_pool2d(X, 0)),
    "global-of-nothing": (ValueError, "one position", lambda: nn.global_max_pool2d(X[:, :0])),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_arguments_say_what_is_wrong(name):
    error, words, call = REFUSED[name]
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    "out", [np.full((1, 2, 2, 1), 7.0), np.full((1, 2, 3, 1), 7, np.float32), np.full((1, 2, 2, 1), 7, ">f4")], ids=["dtype", "shape", "order"]
)  # fmt: skip
def test_an_out_that_does_not_fit_is_left_alone(out):
    with pytest.raises(ValueError, match="out="):
        nn.max_pool2d(X, out=out)
    assert (out == 7).all()


def test_an_out_over_the_input_is_refused():
    x = np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="share memory"):
        nn.max_pool2d(x, out=x[:, :2, :2])


def test_explain_is_silent_about_what_is_computed_from_results_that_are_none():
    def pooled_and_more(x):
        return nn.max_pool2d(x) + (np.float32(np.inf) - np.float32(np.inf))

    with pytest.warns(RuntimeWarning):
        pooled_and_more(X)
    assert len(ferroconv.explain(pooled_and_more, X).plans) == 1


def test_explain_says_what_runs_and_why():
    plan, = ferroconv.explain(nn.max_pool2d, X).plans  # fmt: skip
    assert plan.chosen.startswith("pool/abreast/float32/")
    assert plan.bound == "exact"
    assert all((nanoseconds is None) == bool(reason) for _, nanoseconds, reason in plan.candidates)
    accepted = {name.split("/")[1] for name, nanoseconds, _ in plan.candidates if nanoseconds is not None}
    assert accepted == {"abreast", "separable"}
    out = np.full((1, 2, 2, 1), 7, np.float32)
    plan, = ferroconv.explain(nn.avg_pool2d, X, out=out).plans  # fmt: skip
    assert "f32" in plan.chosen
    assert (out == 7).all()


def test_signatures():
    bare = {}
    for name in (name for name in nn.__all__ if "pool" in name):
        signature = inspect.signature(getattr(nn, name))
        parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
        bare[name] = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    window = "(x, pool_size=2, strides=None, padding='valid', *, dilation_rate=1, ceil_mode=False, data_format='channels_last', "
    adaptive = "(x, output_size, *, data_format='channels_last', "
    rest = "data_format='channels_last', out=None, workers=None)"
    assert bare == {
        "max_pool2d": window + "return_indices=False, out=None, workers=None)",
        "avg_pool2d": window + "count_include_pad=False, divisor_override=None, out=None, workers=None)",
        "adaptive_max_pool2d": adaptive + "return_indices=False, out=None, workers=None)",
        "adaptive_avg_pool2d": adaptive + "out=None, workers=None)",
        "global_max_pool2d": "(x, *, data_format='channels_last', keepdims=False, out=None, workers=None)",
        "global_avg_pool2d": "(x, *, data_format='channels_last', keepdims=False, out=None, workers=None)",
        "max_pool2d_grad_input": window.replace("(x,", "(x, grad,") + "indices=None, out=None, workers=None)",
        "avg_pool2d_grad_input": window.replace("(x,", "(input_shape, grad,")
        + "count_include_pad=False, divisor_override=None, out=None, workers=None)",
        "adaptive_max_pool2d_grad_input": "(x, grad, *, " + rest.replace("out", "indices=None, out"),
        "adaptive_avg_pool2d_grad_input": "(input_shape, grad, *, " + rest,
        "global_max_pool2d_grad_input": "(x, grad, *, " + rest,
        "global_avg_pool2d_grad_input": "(input_shape, grad, *, " + rest,
    }


def test_docstrings_are_filled_and_run():
    modules = {sys.modules[getattr(nn, name).__module__] for name in nn.__all__}
    assert len(modules) == 4
    for name in nn.__all__:
        assert "%(" not in getattr(nn, name).__doc__, name
    for module in modules:
        ran = doctest.testmod(module)
        assert ran.failed == 0
        assert ran.attempted > 3
