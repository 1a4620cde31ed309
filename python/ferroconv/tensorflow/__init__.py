"""Convolution and pooling as TensorFlow ops, with gradients.

Importing this module imports TensorFlow and registers the ops, once a process; ``import ferroconv`` does neither. A
SavedModel that uses the ops is loaded after ``import ferroconv.tensorflow``. The ops run on CPUs, eagerly, in a
``tf.function`` and in ``tf.data``; XLA can't compile them.
"""

from __future__ import annotations

try:
    import tensorflow as _tensorflow  # noqa: F401
except ImportError as error:
    raise ImportError(
        "ferroconv.tensorflow needs TensorFlow, which can't be imported here; "
        "install it with: pip install 'ferroconv[tensorflow]'"
    ) from error

from ferroconv.tensorflow import _gradients  # noqa: F401
from ferroconv.tensorflow._convolution import conv2d, conv2d_transpose, depthwise_conv2d, separable_conv2d
from ferroconv.tensorflow._pooling import avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "conv2d",
    "conv2d_transpose",
    "depthwise_conv2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "max_pool2d",
    "separable_conv2d",
]
