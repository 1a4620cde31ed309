"""The Keras layers against Keras' own, forwards and backwards, over what can be configured."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support_keras import LAST, compare, fk, forward_and_gradients, keras, tf

FORMATS = (LAST, "channels_first")
POLICIES = {"float32": 1e-5, "float64": 1e-13, "mixed_float16": 2**-7, "mixed_bfloat16": 2**-5}
SHAPE = (2, 9, 8, 4)


def spelled(value):
    return str(value).replace(" ", "")


def each(**options):
    """Every combination, as dicts."""
    return [dict(zip(options, one, strict=True)) for one in itertools.product(*options.values())]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("geometry", each(strides=[1, 2, (1, 2)], kernel_size=[1, 3, (2, 5)]), ids=spelled)
def test_conv2d_geometry(geometry, padding, data_format):
    compare("Conv2D", {"filters": 6, **geometry, "padding": padding}, SHAPE, data_format=data_format)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("options", each(padding=["valid", "same"], dilation_rate=[2, (1, 3)]), ids=spelled)
def test_conv2d_dilation(options, data_format):
    compare("Conv2D", {"filters": 5, "kernel_size": 3, **options}, SHAPE, data_format=data_format)


@pytest.mark.parametrize("data_format", FORMATS)
def test_conv2d_takes_strides_with_dilation(data_format):
    """Keras 3.15 refuses it: the reference is every second sample of the dilated convolution."""
    config = {"filters": 5, "kernel_size": 3, "dilation_rate": 2, "activation": "relu"}

    def reference(ours):
        stock = keras.layers.Conv2D(**config)
        stock.build(SHAPE)
        stock.set_weights(ours.get_weights())
        return keras.Sequential([keras.Input(SHAPE[1:]), stock, keras.layers.Lambda(lambda y: y[:, ::2, ::2])])

    compare("Conv2D", {**config, "strides": 2}, SHAPE, data_format=data_format, reference=reference)
    layer = fk.Conv2D(**config, strides=(2, 1))
    assert fk.Conv2D.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("options", [{"groups": 2}, {"groups": 4, "strides": 2, "padding": "same"}], ids=spelled)
def test_conv2d_groups(options, data_format):
    compare("Conv2D", {"filters": 8, "kernel_size": 3, **options}, SHAPE, data_format=data_format)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", [None, "relu", "tanh", "gelu", "softmax"])
@pytest.mark.parametrize("name", ["Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose"])
def test_bias_and_activation(name, activation, use_bias):
    sizes = {"kernel_size": 3} if name == "DepthwiseConv2D" else {"kernel_size": 3, "filters": 5}
    compare(name, {**sizes, "activation": activation, "use_bias": use_bias}, SHAPE)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "options",
    each(strides=[1, 2], padding=["valid", "same"], dilation_rate=[1, 2], depth_multiplier=[1, 3]),
    ids=spelled,
)
@pytest.mark.parametrize("name", ["DepthwiseConv2D", "SeparableConv2D"])
def test_depthwise_and_separable(name, options, data_format):
    filters = {} if name == "DepthwiseConv2D" else {"filters": 5}
    compare(name, {"kernel_size": (3, 2), **filters, **options}, SHAPE, data_format=data_format)


@pytest.mark.parametrize("name", ["DepthwiseConv2D", "SeparableConv2D"])
def test_depthwise_takes_unequal_strides(name):
    """TensorFlow refuses them: the reference is every second column of the result at stride 1."""
    config = {"kernel_size": 3} if name == "DepthwiseConv2D" else {"kernel_size": 3, "filters": 5}

    def reference(ours):
        stock = getattr(keras.layers, name)(**config)
        stock.build(SHAPE)
        stock.set_weights(ours.get_weights())
        return keras.Sequential([keras.Input(SHAPE[1:]), stock, keras.layers.Lambda(lambda y: y[:, :, ::2])])

    compare(name, {**config, "strides": (1, 2)}, SHAPE, reference=reference)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [
        *each(strides=[1, 2, 3, (1, 2)], padding=["valid", "same"]),
        {"strides": 2, "output_padding": 1}, {"strides": 3, "output_padding": (2, 1), "padding": "same"},
    ],
    ids=spelled,
)  # fmt: skip
@pytest.mark.parametrize("kernel_size", [3, (2, 4)], ids=spelled)
def test_conv2d_transpose(kernel_size, options, data_format):
    compare(
        "Conv2DTranspose", {"filters": 5, "kernel_size": kernel_size, **options}, (2, 5, 4, 3), data_format=data_format
    )


class Spread:
    """A transposed convolution whose dilated filter is written out with its zeros: TensorFlow has no other on a CPU."""

    def __init__(self, ours):
        self.trainable_variables = [tf.Variable(one) for one in ours.get_weights()]
        self.padding, (self.rows, self.columns) = ours.padding, ours.dilation_rate

    def __call__(self, x):
        kernel, bias = self.trainable_variables
        rows, columns = kernel.shape[0], kernel.shape[1]
        kernel = tf.pad(
            kernel[:, None, :, None], [(0, 0), (0, self.rows - 1), (0, 0), (0, self.columns - 1), (0, 0), (0, 0)]
        )
        kernel = tf.reshape(kernel, (rows * self.rows, columns * self.columns, *kernel.shape[4:]))
        kernel = kernel[: (rows - 1) * self.rows + 1, : (columns - 1) * self.columns + 1]
        return keras.ops.conv_transpose(x, kernel, 1, self.padding) + bias


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel_size", [3, (2, 4)], ids=spelled)
def test_conv2d_transpose_dilated(kernel_size, padding, data_format):
    config = {"filters": 5, "kernel_size": kernel_size, "dilation_rate": (2, 3), "padding": padding}
    compare("Conv2DTranspose", config, (2, 5, 4, 3), data_format=data_format, reference=Spread)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("geometry", each(pool_size=[2, 3, (1, 4)], strides=[None, 1, (2, 3)]), ids=spelled)
@pytest.mark.parametrize("name", ["MaxPooling2D", "AveragePooling2D"])
def test_pooling(name, geometry, padding, data_format):
    compare(name, {**geometry, "padding": padding}, SHAPE, data_format=data_format)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("name", ["GlobalMaxPooling2D", "GlobalAveragePooling2D"])
def test_global_pooling(name, keepdims, data_format):
    compare(name, {"keepdims": keepdims}, SHAPE, data_format=data_format)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "name, config",
    [
        ("Conv2D", {"filters": 6, "kernel_size": 3, "activation": "relu"}),
        ("DepthwiseConv2D", {"kernel_size": 3}),
        ("SeparableConv2D", {"filters": 6, "kernel_size": 3, "use_bias": False}),
        ("Conv2DTranspose", {"filters": 6, "kernel_size": 3, "strides": 2}),
        ("AveragePooling2D", {"pool_size": 3, "padding": "same"}),
        ("MaxPooling2D", {"pool_size": 2}),
        ("GlobalAveragePooling2D", {}),
    ],
)
def test_dtype_policies(name, config, policy, data_format):
    compare(name, config, SHAPE, data_format=data_format, policy=policy, bound=POLICIES[policy])


def test_integers_are_pooled_as_keras_does():
    x = np.random.default_rng(0).integers(0, 99, SHAPE, np.int32)
    for name in ("MaxPooling2D", "GlobalMaxPooling2D"):
        assert np.array_equal(getattr(fk, name)(dtype="int32")(x), getattr(keras.layers, name)(dtype="int32")(x))


def test_a_subclass_may_go_by_keras_hook():
    class Doubled(fk.Conv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, 2 * kernel)

    x = np.ones(SHAPE, np.float32)
    plain, doubled = fk.Conv2D(3, 3), Doubled(3, 3)
    expected = plain(x)
    doubled.build(SHAPE)
    doubled.set_weights(plain.get_weights())
    np.testing.assert_allclose(doubled(x), 2 * expected, rtol=1e-6)


def test_lora():
    layer = fk.Conv2D(4, 3)
    x = np.random.default_rng(0).random(SHAPE, np.float32)
    before = layer(x)
    layer.enable_lora(2)
    np.testing.assert_allclose(layer(x), before, rtol=1e-6)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert not np.allclose(layer(x), before)
    _, _, gradients = forward_and_gradients(layer, x)
    assert len(gradients) == 4  # the input, the bias and the two factors


def test_no_layer_asks_for_xla():
    model = keras.Sequential([keras.Input((8, 8, 1)), fk.Conv2D(2, 3), fk.MaxPooling2D(), fk.GlobalMaxPooling2D()])
    assert not any(layer.supports_jit for layer in model.layers)
    model.compile("sgd", "mse", jit_compile="auto")
    assert model.jit_compile is False


def test_signatures_are_keras_own():
    import inspect

    for name in ("DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "MaxPooling2D", "GlobalMaxPooling2D"):
        assert inspect.signature(getattr(fk, name)) == inspect.signature(getattr(keras.layers, name)), name
    ours, theirs = (list(inspect.signature(one).parameters) for one in (fk.Conv2D, keras.layers.Conv2D))
    assert ours[:6] == theirs[:6]


@pytest.mark.parametrize(
    "arguments", [{"strides": 0}, {"strides": (1, 2, 3)}, {"dilation_rate": 0}, {"groups": 4}, {"padding": "reflect"}], ids=spelled
)  # fmt: skip
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        fk.Conv2D(6, 3, **arguments)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_local_response_normalisation(data_format, policy):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 9)) * 20
    square = np.pad(x**2, [(0, 0)] * 3 + [(2, 2)])
    total = sum(square[..., k : k + 9] for k in range(5))
    expected = x / (2 + 1e-4 * total) ** 0.75
    layer = fk.LocalResponseNormalization(data_format=data_format, dtype=policy)
    got = layer(np.moveaxis(x, -1, 1) if data_format != LAST else x)
    assert got.dtype == layer.compute_dtype
    got = np.moveaxis(np.asarray(tf.cast(got, tf.float64)), 1, -1) if data_format != LAST else tf.cast(got, tf.float64)
    np.testing.assert_allclose(got, expected, rtol=2e-3 if policy == "mixed_float16" else 2e-6)
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
