"""Pooling ops on tensors: results and gradients against the definition and tf.nn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import tensorflow_definitions as definition  # noqa: E402

import ferroconv.tensorflow as ft  # noqa: E402

WINDOWS = {
    "plain": {},
    "same": {"padding": "same", "pool_size": 3, "strides": 2},
    "overlapping": {"pool_size": 3, "strides": 1},
    "gaps": {"pool_size": 2, "strides": 3},
    "oblong": {"pool_size": (3, 1), "strides": (1, 2)},
    "dilation": {"pool_size": 2, "strides": 1, "dilation_rate": (2, 3)},
    "explicit padding": {"pool_size": (3, 4), "strides": 2, "padding": ((0, 1), (2, 0))},
    "ceil": {"pool_size": 2, "ceil_mode": True},
    "ceil with padding": {"pool_size": 3, "strides": 2, "padding": ((1, 1), (1, 0)), "ceil_mode": True},
}
FORMATS = ("channels_last", "channels_first")


def two(value):
    return (value, value) if isinstance(value, int) else value


def case(name, data_format, dtype="float64"):
    options = {"pool_size": 2, **WINDOWS[name], "data_format": data_format}
    rng = np.random.default_rng(len(name))
    x = rng.permutation(2 * 7 * 9 * 5).reshape(2, 7, 9, 5) / 100  # no ties
    x = tf.constant(x if data_format == "channels_last" else x.transpose(0, 3, 1, 2), dtype)
    wanted = {
        "taps": two(options["pool_size"]), "strides": two(options.get("strides", options["pool_size"])),
        "padding": options.get("padding", "valid"), "dilation": two(options.get("dilation_rate", 1)),
        "ceil": options.get("ceil_mode", False), "data_format": data_format,
    }  # fmt: skip
    return x, options, wanted


def ramp(y):
    return tf.reshape(tf.linspace(tf.constant(-1, y.dtype), 1, tf.size(y)), tf.shape(y))


def derivatives(function, x):
    """Result, gradient, and gradient of a function of the gradient."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
            loss = tf.reduce_sum(y * y * ramp(y))
        first = inner.gradient(loss, x)
        loss = tf.reduce_sum(first * first * ramp(first))
    return y, first, outer.gradient(loss, x)


def agree(got, want, tolerance=1e-10):
    for mine, theirs in zip(got, want, strict=True):
        assert mine.shape == theirs.shape
        scale = max(1.0, float(tf.reduce_max(tf.abs(theirs))))
        np.testing.assert_allclose(
            np.asarray(mine, np.float64), np.asarray(theirs, np.float64), rtol=0, atol=tolerance * scale
        )


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", WINDOWS)
def test_max_pool(name, data_format):
    x, options, wanted = case(name, data_format)
    want = derivatives(lambda x: definition.max_pool2d(x, **wanted), x)
    agree(derivatives(lambda x: ft.max_pool2d(x, **options), x), want)
    agree(derivatives(lambda x: ft.max_pool2d(x, return_indices=True, **options)[0], x), want)
    agree(tf.function(lambda: derivatives(lambda x: ft.max_pool2d(x, **options), x))(), want)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", WINDOWS)
def test_indices_point_at_the_maxima(name, data_format):
    x, options, _ = case(name, data_format)
    y, indices = ft.max_pool2d(x, return_indices=True, **options)
    assert indices.dtype == tf.int64
    planes = definition.swap(x, data_format).numpy().transpose(0, 3, 1, 2).reshape(10, -1)
    places = definition.swap(indices, data_format).numpy().transpose(0, 3, 1, 2).reshape(10, -1)
    maxima = definition.swap(y, data_format).numpy().transpose(0, 3, 1, 2).reshape(10, -1)
    np.testing.assert_array_equal(np.take_along_axis(planes, places, 1), maxima)


@pytest.mark.parametrize("count", [False, True])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", WINDOWS)
def test_avg_pool(name, data_format, count):
    x, options, wanted = case(name, data_format)
    want = derivatives(lambda x: definition.avg_pool2d(x, count=count, **wanted), x)
    agree(derivatives(lambda x: ft.avg_pool2d(x, count_include_pad=count, **options), x), want)


@pytest.mark.parametrize("padding, size, strides", list(itertools.product(("valid", "same"), (2, 3), (1, 2))))
def test_against_tf_nn(padding, size, strides):
    x, _, _ = case("plain", "channels_last", "float32")
    for ours, theirs in ((ft.max_pool2d, tf.nn.max_pool2d), (ft.avg_pool2d, tf.nn.avg_pool2d)):
        got = derivatives(lambda x, f=ours: f(x, size, strides, padding), x)
        want = derivatives(lambda x, f=theirs: f(x, size, strides, padding.upper()), x)
        agree(got, want, 1e-5)


@pytest.mark.parametrize("dtype, tolerance", [("float16", 3e-3), ("bfloat16", 2e-2), ("float32", 1e-6)])
def test_other_dtypes(dtype, tolerance):
    x = tf.constant(np.random.default_rng(0).standard_normal((2, 8, 9, 3)), dtype)
    for pool in (ft.max_pool2d, ft.avg_pool2d):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y, wide = pool(x, 3, 2), pool(tf.cast(x, "float64"), 3, 2)
        got, want = tape.gradient(y, x), tape.gradient(wide, x)
        assert y.dtype.name == got.dtype.name == dtype
        agree([tf.cast(y, "float64"), tf.cast(got, "float64")], [wide, tf.cast(want, "float64")], tolerance)


@pytest.mark.parametrize(
    "pool, theirs", [(ft.global_max_pool2d, tf.reduce_max), (ft.global_avg_pool2d, tf.reduce_mean)]
)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("data_format, axes", [("channels_last", (1, 2)), ("channels_first", (2, 3))])
def test_global_pools(pool, theirs, keepdims, data_format, axes):
    x, _, _ = case("plain", data_format)
    want = derivatives(lambda x: theirs(x, axes, keepdims), x)
    agree(derivatives(lambda x: pool(x, data_format=data_format, keepdims=keepdims), x), want)
    unknown = tf.TensorSpec([None, None, None, None], tf.float64)
    traced = tf.function(lambda x: pool(x, data_format=data_format, keepdims=keepdims), input_signature=[unknown])
    agree([traced(x)], want[:1])


def test_finite_differences():
    x, _, _ = case("plain", "channels_last")
    for function in (lambda x: ft.max_pool2d(x, 3, 2), lambda x: ft.avg_pool2d(x, 3, 2, "same")):
        (theory,), (numbers,) = tf.test.compute_gradient(function, [x[:1, :, :, :2]])
        np.testing.assert_allclose(theory, numbers, atol=1e-7)


def test_the_first_of_equal_samples_wins_and_nan_is_the_greatest():
    x = tf.constant([[1.0, 1.0], [1.0, np.nan]])[None, :, :, None]
    assert np.isnan(ft.max_pool2d(x).numpy()).all()
    y, index = ft.max_pool2d(tf.ones([1, 2, 2, 1]), return_indices=True)
    assert (float(y[0, 0, 0, 0]), int(index[0, 0, 0, 0])) == (1.0, 0)
