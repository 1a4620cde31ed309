"""The layers of neural networks on arrays: pooling and its gradients."""

from __future__ import annotations

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
    "global_avg_pool2d",
    "global_avg_pool2d_grad_input",
    "global_max_pool2d",
    "global_max_pool2d_grad_input",
    "max_pool2d",
    "max_pool2d_grad_input",
]
