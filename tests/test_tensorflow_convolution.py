"""Convolution ops on tensors: results and gradients of first and second order against the definition and tf.nn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import tensorflow_definitions as definition  # noqa: E402

import ferroconv.tensorflow as ft  # noqa: E402

# The image is 7 x 9 with 4 channels, the filters 3 x 2 to 6 results, unless said.
LAYERS = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": (2, 3), "padding": "same"},
    "dilation": {"dilation_rate": (2, 3)},
    "strides with dilation": {"strides": (2, 1), "dilation_rate": (1, 3), "padding": "same"},
    "explicit padding": {"padding": ((0, 2), (3, 1))},
    "padding wider than the window": {"padding": ((4, 0), (0, 3))},
    "groups": {"groups": 2},
    "groups, strides": {"groups": 2, "strides": 2, "padding": "same"},
    "one channel a group": {"groups": 4, "outputs": 8},
    "pointwise": {"taps": (1, 1)},
    "pointwise, strides": {"taps": (1, 1), "strides": 2},
    "one channel": {"inputs": 1},
    "many channels": {"inputs": 33, "outputs": 34},
    "window as large as the image": {"taps": (7, 9)},
}
FORMATS = ("channels_last", "channels_first")


def two(value):
    return (value, value) if isinstance(value, int) else value


def case(name, data_format, dtype="float64", taps=(3, 2), inputs=4, outputs=6, **options):
    rng = np.random.default_rng(len(name))
    groups = options.get("groups", 1)
    x = rng.standard_normal((2, 7, 9, inputs))
    x = x if data_format == "channels_last" else x.transpose(0, 3, 1, 2)
    w = rng.standard_normal((*taps, inputs // groups, outputs))
    arrays = [tf.constant(a, dtype) for a in (x, w, rng.standard_normal(outputs))]
    wanted = {
        "strides": two(options.get("strides", 1)), "padding": options.get("padding", "valid"),
        "dilation": two(options.get("dilation_rate", 1)), "groups": groups, "data_format": data_format,
    }  # fmt: skip
    return arrays, {**options, "data_format": data_format}, wanted


def gradients(function, arrays, weight):
    """Result and gradients of its sum, weighted so that every result counts differently."""
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        y = function(*arrays)
        loss = tf.reduce_sum(y * weight(y))
    return [y, *tape.gradient(loss, arrays)]


def ramp(y):
    return tf.reshape(tf.linspace(tf.constant(-1, y.dtype), 1, tf.size(y)), tf.shape(y))


def close(got, want, tolerance):
    scale = max(1.0, float(tf.reduce_max(tf.abs(want)))) if tf.size(want) else 1.0
    np.testing.assert_allclose(
        np.asarray(got, np.float64), np.asarray(want, np.float64), atol=tolerance * scale, rtol=0
    )


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", LAYERS)
def test_conv2d_and_its_gradients(name, data_format):
    for bias, activation in itertools.product((False, True), (None, "relu")):
        arrays, options, wanted = case(name, data_format, **LAYERS[name])
        arrays = arrays if bias else arrays[:2]
        got = gradients(lambda *a: ft.conv2d(*a, activation=activation, **options), arrays, ramp)
        want = gradients(
            lambda *a: definition.conv2d(*a[:2], relu=activation == "relu", bias=swapped(a), **wanted), arrays, ramp
        )
        for mine, theirs in zip(got, want, strict=True):
            assert mine.shape == theirs.shape
            close(mine, theirs, 1e-12)


def swapped(arrays):
    return arrays[2] if len(arrays) > 2 else None


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float16", 6e-3), ("bfloat16", 5e-2)])
def test_other_dtypes(dtype, tolerance):
    for name in ("plain", "strides", "groups"):
        arrays, options, wanted = case(name, "channels_last", dtype, **LAYERS[name])
        got = gradients(lambda *a, options=options: ft.conv2d(*a, activation="relu", **options), arrays, tf.ones_like)
        wide = [tf.cast(a, "float64") for a in arrays]
        want = gradients(lambda *a, wanted=wanted: definition.conv2d(*a, relu=True, **wanted), wide, tf.ones_like)
        for mine, theirs in zip(got, want, strict=True):
            assert mine.dtype.name == dtype
            close(tf.cast(mine, "float64"), theirs, tolerance)


@pytest.mark.parametrize("name", ["plain", "strides with dilation", "groups, strides"])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_second_order(name, activation):
    arrays, options, wanted = case(name, "channels_last", **LAYERS[name])

    def penalty(function):
        with tf.GradientTape() as outer:
            outer.watch(arrays)
            with tf.GradientTape() as inner:
                inner.watch(arrays)
                y = function(*arrays)
                loss = tf.reduce_sum(y * y * ramp(y))
            first = inner.gradient(loss, arrays)
            loss = sum(tf.reduce_sum(g * g * ramp(g)) for g in first)
        return outer.gradient(loss, arrays)

    got = penalty(lambda *a: ft.conv2d(*a, activation=activation, **options))
    want = penalty(lambda *a: definition.conv2d(*a, relu=activation == "relu", **wanted))
    for mine, theirs in zip(got, want, strict=True):
        close(mine, theirs, 1e-11)
    traced = tf.function(lambda: penalty(lambda *a: ft.conv2d(*a, activation=activation, **options)))()
    for mine, theirs in zip(traced, want, strict=True):
        close(mine, theirs, 1e-11)


def test_finite_differences():
    rng = np.random.default_rng(3)
    x, w, b = (tf.constant(rng.standard_normal(shape)) for shape in ((1, 4, 5, 2), (2, 3, 2, 2), (2,)))
    for function, arrays in (
        (lambda x, w, b: ft.conv2d(x, w, b, strides=2, padding="same"), [x, w, b]),
        (lambda x, w: ft.conv2d_transpose(x, w, strides=2), [x, w]),
        (lambda x, w: ft.depthwise_conv2d(x, w), [x, w]),
    ):
        for theory, measured in zip(*tf.test.compute_gradient(function, arrays), strict=True):
            np.testing.assert_allclose(theory, measured, atol=1e-7)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides, dilation", [(1, 1), (2, 1), (1, 2)])
def test_against_tf_nn(padding, strides, dilation):
    x, w, _ = case("x", "channels_last", "float32")[0]

    def mine(x, w):
        return ft.conv2d(x, w, strides=strides, padding=padding, dilation_rate=dilation)

    def theirs(x, w):
        return tf.nn.conv2d(x, w, strides, padding.upper(), dilations=dilation)

    close(mine(x, w), theirs(x, w), 1e-5)
    if dilation > 1:
        return  # TensorFlow's has no gradient on a CPU
    for one, other in zip(gradients(mine, [x, w], ramp), gradients(theirs, [x, w], ramp), strict=True):
        close(one, other, 1e-5)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "strides, dilation, padding", [(1, 1, "valid"), (2, 1, "same"), (1, 2, "same"), (2, 3, "same")]
)
def test_depthwise_and_separable(strides, dilation, padding, data_format):
    rng = np.random.default_rng(5)
    x, w, p, b = (tf.constant(rng.standard_normal(s)) for s in ((2, 9, 8, 3), (3, 2, 3, 2), (1, 1, 6, 4), (4,)))
    flat = tf.reshape(w, (3, 2, 1, 6))
    options = {"strides": strides, "dilation_rate": dilation, "padding": padding, "data_format": data_format}
    plan = {"strides": two(strides), "dilation": two(dilation), "padding": padding, "data_format": data_format}

    def mine(x, w, p, b):
        return ft.separable_conv2d(definition.back(x, data_format), w, p, b, activation="relu", **options)

    def theirs(x, w, p, b):
        between = definition.conv2d(definition.back(x, data_format), tf.reshape(w, flat.shape), groups=3, **plan)
        one = {**plan, "strides": (1, 1), "dilation": (1, 1)}
        return definition.conv2d(between, p, b, relu=True, **one)

    for one, other in zip(gradients(mine, [x, w, p, b], ramp), gradients(theirs, [x, w, p, b], ramp), strict=True):
        close(one, other, 1e-12)


TRANSPOSED = {
    "plain": {}, "strides": {"strides": 2}, "same": {"strides": 2, "padding": "same"},
    "strides beyond the window": {"strides": (4, 3)}, "output_padding": {"strides": 3, "output_padding": (1, 2)},
    "same, output_padding": {"strides": 2, "padding": "same", "output_padding": 1},
    "explicit": {"strides": 2, "padding": ((1, 0), (1, 1)), "output_padding": (1, 0)}, "dilation": {"dilation_rate": 2},
    "groups": {"groups": 2, "strides": 2, "padding": "same"},
}  # fmt: skip


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_is_the_transpose(name, data_format):
    """<transposed(x), z> = <x, conv(z)>, for which gradients are the definition's."""
    options = {"data_format": data_format, **TRANSPOSED[name]}
    rng, groups = np.random.default_rng(7), options.get("groups", 1)
    x = tf.constant(rng.standard_normal((2, 5, 4, 6)))
    w, b = tf.constant(rng.standard_normal((3, 2, 4 // groups, 6))), tf.constant(rng.standard_normal(4))
    x = definition.back(x, data_format)
    y = ft.conv2d_transpose(x, w, **options)
    if "output_padding" not in options and options.get("padding") != ((1, 0), (1, 1)):
        s, d = two(options.get("strides", 1)), two(options.get("dilation_rate", 1))
        span = [(k - 1) * each + 1 for k, each in zip((3, 2), d, strict=True)]
        sizes = [
            n * each if options.get("padding") == "same" else n * each + max(k - each, 0)
            for n, each, k in zip((5, 4), s, span, strict=True)
        ]
        assert definition.swap(y, data_format).shape == (2, *sizes, 4)

    z = tf.constant(rng.standard_normal(y.shape))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, w, z, b])
        forward = tf.reduce_sum(ft.conv2d_transpose(x, w, **options) * z)
        relu = tf.reduce_sum(ft.conv2d_transpose(x, w, b, activation="relu", **options) * z)
        apart = ft.conv2d_transpose(x, w, **options) + (b if data_format == "channels_last" else b[:, None, None])
        relu_apart = tf.reduce_sum(tf.nn.relu(apart) * z)
    dx, dw = tape.gradient(forward, [x, w])
    close(tf.reduce_sum(dx * x), forward, 1e-12)
    close(tf.reduce_sum(dw * w), forward, 1e-12)
    for one, other in zip(tape.gradient(relu, [x, w, b]), tape.gradient(relu_apart, [x, w, b]), strict=True):
        close(one, other, 1e-12)


def test_transposed_against_tf_nn_and_second_order():
    rng = np.random.default_rng(8)
    x, w = tf.constant(rng.standard_normal((2, 5, 4, 6))), tf.constant(rng.standard_normal((3, 3, 4, 6)))
    for padding, shape in (("same", (2, 10, 8, 4)), ("valid", (2, 11, 9, 4))):

        def second(function):
            with tf.GradientTape() as outer:
                outer.watch([x, w])
                with tf.GradientTape() as inner:
                    inner.watch([x, w])
                    y = function(x, w)
                    loss = tf.reduce_sum(y**3)
                first = inner.gradient(loss, [x, w])
                loss = sum(tf.reduce_sum(g * ramp(g)) for g in first)
            return [y, *first, *outer.gradient(loss, [x, w])]

        got = second(lambda x, w, padding=padding: ft.conv2d_transpose(x, w, strides=2, padding=padding))
        want = second(
            lambda x, w, padding=padding, shape=shape: tf.nn.conv2d_transpose(x, w, shape, 2, padding.upper())
        )
        for mine, theirs in zip(got, want, strict=True):
            close(mine, theirs, 1e-10)
