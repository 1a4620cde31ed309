"""Keras' convolution and pooling layers with ferroconv's ops inside.

Each is a subclass of Keras' layer of the same name and overrides the computation only: arguments,
weights, initial values, shapes and configurations are Keras'. A bias and a relu are part of the op;
other activations are applied by Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ferroconv import tensorflow as ops
from ferroconv._args import pair

PACKAGE = "ferroconv.keras"
"""The package of the layers' names in files. Keras' complaint of an unknown layer shows it: it is what to import."""


def _registered(cls: Any) -> Any:
    """Register a layer, and have it say that it lives in the package: both names stand in files."""
    cls.__module__ = PACKAGE
    return keras.saving.register_keras_serializable(PACKAGE)(cls)


class Native:
    """What the layers share: no XLA, and how weights reach an op."""

    @property
    def supports_jit(self) -> bool:
        """Whether XLA can compile the layer: never, its ops are known to TensorFlow's executor only."""
        return False

    @supports_jit.setter
    def supports_jit(self, value: bool) -> None:
        """Take what Keras' constructor says of every layer."""

    def _finish(self: Any, op: Callable[..., Any], inputs: Any, *filters: Any, **options: Any) -> Any:
        """Apply `op`, bias and activation; weights are taken in the layer's compute dtype."""
        fused = self.activation is keras.activations.relu
        shared = {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "data_format": self.data_format,
            "activation": "relu" if fused else None,
        }
        weights = [tf.convert_to_tensor(one) for one in filters]
        bias = tf.convert_to_tensor(self.bias) if self.use_bias else None
        outputs = op(inputs, *weights, bias, **{**shared, **options})
        return outputs if fused or self.activation is None else self.activation(outputs)


@_registered
class Conv2D(Native, keras.layers.Conv2D):
    """Keras' Conv2D on ferroconv's op: grouped without XLA, and strided with dilation, which Keras refuses.

    Called with an ``addend``, a tensor of its results' shape, it adds that before the activation: a residual
    block's shortcut. With ``keep_filters=True`` the packed filters stay from call to call of a compiled function
    until the weights are assigned anew, for layers that are not trained any further: each function holds them in
    memory of its own, as large as the filters or, of 3x3 ones, twice that.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        data_format: Any = None,
        dilation_rate: Any = (1, 1),
        *args: Any,
        keep_filters: bool = False,
        **kwargs: Any,
    ) -> None:
        both = max(pair(strides, "strides")) > 1 and max(pair(dilation_rate, "dilation_rate")) > 1
        # Keras 3.15 refuses the two together; so it is shown one, and the other is set after it.
        shown = (1, 1) if both else dilation_rate
        super().__init__(filters, kernel_size, strides, padding, data_format, shown, *args, **kwargs)
        if both:
            self.dilation_rate = pair(dilation_rate, "dilation_rate")
        self.keep_filters = keep_filters

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve, without bias and activation."""
        return ops.conv2d(
            inputs,
            tf.convert_to_tensor(kernel),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            data_format=self.data_format,
        )

    def call(self, inputs: Any, addend: Any = None) -> Any:
        """Convolve, add the bias and the addend and apply the activation."""
        if type(self).convolution_op is not Conv2D.convolution_op:  # a subclass that goes by Keras' hook
            if addend is not None:
                raise ValueError("A layer with a convolution_op of its own takes no addend; add it to the result.")
            return super().call(inputs)
        options = {"groups": self.groups, "addend": addend, "keep_filters": self.keep_filters}
        return self._finish(ops.conv2d, inputs, self.kernel, **options)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | ({"keep_filters": True} if self.keep_filters else {})


@_registered
class DepthwiseConv2D(Native, keras.layers.DepthwiseConv2D):
    """Keras' DepthwiseConv2D on ferroconv's op: also with strides that differ between rows and columns."""

    def call(self, inputs: Any) -> Any:
        """Convolve each channel, add the bias and apply the activation."""
        return self._finish(ops.depthwise_conv2d, inputs, self.kernel)


@_registered
class SeparableConv2D(Native, keras.layers.SeparableConv2D):
    """Keras' SeparableConv2D on ferroconv's op: also with strides that differ between rows and columns."""

    def call(self, inputs: Any) -> Any:
        """Convolve each channel, mix the channels, add the bias and apply the activation."""
        return self._finish(ops.separable_conv2d, inputs, self.depthwise_kernel, self.pointwise_kernel)


@_registered
class Conv2DTranspose(Native, keras.layers.Conv2DTranspose):
    """Keras' Conv2DTranspose on ferroconv's op."""

    def call(self, inputs: Any) -> Any:
        """Convolve transposed, add the bias and apply the activation."""
        return self._finish(ops.conv2d_transpose, inputs, self.kernel, output_padding=self.output_padding)


def _floating(inputs: Any) -> bool:
    """Whether the ops take these inputs; integers are pooled by Keras."""
    return tf.as_dtype(inputs.dtype).is_floating


@_registered
class MaxPooling2D(Native, keras.layers.MaxPooling2D):
    """Keras' MaxPooling2D on ferroconv's op: a NaN in a window is its maximum, as torch has it."""

    def call(self, inputs: Any) -> Any:
        """Return the greatest sample of each window."""
        if not _floating(inputs):
            return super().call(inputs)
        padding = self.padding.lower()
        return ops.max_pool2d(inputs, self.pool_size, self.strides, padding, data_format=self.data_format)


@_registered
class AveragePooling2D(Native, keras.layers.AveragePooling2D):
    """Keras' AveragePooling2D on ferroconv's op: padding is left out of the mean, as in Keras."""

    def call(self, inputs: Any) -> Any:
        """Return the mean of each window."""
        if not _floating(inputs):
            return super().call(inputs)
        padding = self.padding.lower()
        return ops.avg_pool2d(inputs, self.pool_size, self.strides, padding, data_format=self.data_format)


@_registered
class GlobalMaxPooling2D(Native, keras.layers.GlobalMaxPooling2D):
    """Keras' GlobalMaxPooling2D on ferroconv's op: the gradient goes to the first of equal maxima."""

    def call(self, inputs: Any) -> Any:
        """Return the greatest sample of each channel."""
        if not _floating(inputs):
            return super().call(inputs)
        return ops.global_max_pool2d(inputs, data_format=self.data_format, keepdims=self.keepdims)


@_registered
class GlobalAveragePooling2D(Native, keras.layers.GlobalAveragePooling2D):
    """Keras' GlobalAveragePooling2D on ferroconv's op."""

    def call(self, inputs: Any) -> Any:
        """Return the mean of each channel."""
        if not _floating(inputs):
            return super().call(inputs)
        return ops.global_avg_pool2d(inputs, data_format=self.data_format, keepdims=self.keepdims)


@_registered
class LocalResponseNormalization(keras.layers.Layer):
    """AlexNet's normalisation across neighbouring channels, by TensorFlow's own op.

    A sample is divided by ``(bias + alpha * s) ** beta``, where ``s`` is the sum of the squares of the
    samples at its place in `depth_radius` channels on either side and its own.

    Parameters
    ----------
    depth_radius : int, optional
        Channels on either side.
    bias, alpha, beta : float, optional
        The constants of the formula; by default AlexNet's.
    data_format : {'channels_last', 'channels_first'}, optional
        Where the channels stand; by default as Keras is configured.
    **kwargs
        What any Keras layer takes.
    """

    def __init__(
        self,
        depth_radius: int = 2,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta
        self.data_format = data_format or keras.config.image_data_format()

    def call(self, inputs: Any) -> Any:
        """Normalise; TensorFlow has the op for 32 and 16 bits, so ``float64`` is computed in ``float32``."""
        last = self.data_format == "channels_last"
        x = inputs if last else tf.transpose(inputs, (0, 2, 3, 1))
        x = tf.cast(x, tf.float32) if x.dtype == tf.float64 else x
        x = tf.nn.local_response_normalization(x, self.depth_radius, self.bias, self.alpha, self.beta)
        return tf.cast(x if last else tf.transpose(x, (0, 3, 1, 2)), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("depth_radius", "bias", "alpha", "beta", "data_format")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
