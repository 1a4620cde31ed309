"""The layers of neural networks on arrays, and their gradients."""

from __future__ import annotations

from ferroconv._convolution import conv2d, conv2d_transpose, depthwise_conv2d, separable_conv2d
from ferroconv._convolution_gradients import (
    conv2d_grad_filters,
    conv2d_grad_input,
    conv2d_transpose_grad_filters,
    conv2d_transpose_grad_input,
    depthwise_conv2d_grad_filters,
    depthwise_conv2d_grad_input,
    separable_conv2d_grad_filters,
    separable_conv2d_grad_input,
)
from ferroconv._pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
    max_pool2d,
)
from ferroconv._pooling_gradients import (
    adaptive_avg_pool2d_grad_input,
    adaptive_max_pool2d_grad_input,
    avg_pool2d_grad_input,
    global_avg_pool2d_grad_input,
    global_max_pool2d_grad_input,
    max_pool2d_grad_input,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad_input",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_grad_input",
    "avg_pool2d",
    "avg_pool2d_grad_input",
    "conv2d",
    "conv2d_grad_filters",
    "conv2d_grad_input",
    "conv2d_transpose",
    "conv2d_transpose_grad_filters",
    "conv2d_transpose_grad_input",
    "depthwise_conv2d",
    "depthwise_conv2d_grad_filters",
    "depthwise_conv2d_grad_input",
    "global_avg_pool2d",
    "global_avg_pool2d_grad_input",
    "global_max_pool2d",
    "global_max_pool2d_grad_input",
    "max_pool2d",
    "max_pool2d_grad_input",
    "separable_conv2d",
    "separable_conv2d_grad_filters",
    "separable_conv2d_grad_input",
]
