"""The layers as PyTorch and TensorFlow are asked to compute them, on tensors that were made before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli.conv_problem import ConvProblem, laid_out
from ferroconv._cli.peers import OURS, TORCH, installed
from ferroconv._cli.pool_problem import PoolProblem
from ferroconv._cli.timing import Contestant

Array = npt.NDArray[Any]
LayerProblem = ConvProblem | PoolProblem

TENSORFLOW = "TensorFlow"


@dataclass(frozen=True)
class Way:
    """One library in one layout."""

    peer: str
    layout: str
    call: Callable[[], Any]
    array: Callable[[Any], Array]
    """The call's result as ferroconv's is with channels last."""
    before: Callable[[], object] = lambda: None

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.peer} {self.layout}"

    @property
    def contestant(self) -> Contestant:
        """What is timed."""
        return Contestant(self.name, self.call, self.before)


def ways(problem: LayerProblem) -> list[Way]:
    """Everyone who computes the problem, ours first."""
    found = [
        Way(OURS, layout, problem.ours(layout), partial(problem.array, layout=layout)) for layout in ("nhwc", "nchw")
    ]
    torch, tf = installed("torch"), tensorflow()
    if torch is not None:
        found += _torch(torch, problem)
    if tf is not None:
        found += _tensorflow(tf, problem)
    return found


def tensorflow() -> Any | None:
    """TensorFlow with as many threads as ferroconv, or None if it is not installed."""
    tf = installed("tensorflow")
    if tf is None:
        return None
    threading, wanted = tf.config.threading, ferroconv.get_num_threads()
    if (threading.get_intra_op_parallelism_threads() or ferroconv.info()["cores"]) != wanted:
        threading.set_intra_op_parallelism_threads(wanted)  # raises, if TensorFlow has begun with another number
    return tf


def _torch(torch: Any, problem: LayerProblem) -> list[Way]:
    """PyTorch, by the operators below its automatic differentiation, contiguous and with channels last."""
    before = partial(torch.set_num_threads, ferroconv.get_num_threads())
    found = []
    for layout, memory in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)):

        def tensor(array: Array, memory: Any = memory) -> Any:
            return torch.from_numpy(np.ascontiguousarray(array)).contiguous(memory_format=memory)

        call: Callable[[], Any] | None
        if isinstance(problem, ConvProblem):
            call = _torch_conv(torch, problem, tensor)
        else:
            call = _torch_pool(torch, problem, tensor)
        if call is not None:
            found.append(Way(TORCH, layout, call, partial(_from_torch, problem), before))
    return found


def _from_torch(problem: LayerProblem, result: Any) -> Array:
    if problem.direction == "grad_filters":
        return np.asarray(result.permute(2, 3, 1, 0))
    if problem.direction == "max_indices":
        return problem.array([one.numpy() for one in result], "nchw")
    return problem.array(result.numpy(), "nchw")


def _torch_conv(torch: Any, problem: ConvProblem, tensor: Callable[[Array], Any]) -> Callable[[], Any]:
    layer = problem.layer
    x, grad = (tensor(laid_out(images, "nchw")) for images in (problem.x, problem.grad))
    filters = tensor(problem.filters.transpose(3, 2, 0, 1))
    stride, pad = [layer.stride] * 2, [layer.pad] * 2
    if problem.direction == "forward":
        return partial(torch.nn.functional.conv2d, x, filters, None, stride, pad, 1, layer.groups)
    wanted = [problem.direction == "grad_input", problem.direction == "grad_filters", False]
    backward, at = torch.ops.aten.convolution_backward, wanted.index(True)
    rest = (None, stride, pad, [1, 1], False, [0, 0], layer.groups, wanted)
    return lambda: backward(grad, x, filters, *rest)[at]


def _torch_pool(torch: Any, problem: PoolProblem, tensor: Callable[[Array], Any]) -> Callable[[], Any] | None:
    layer, direction = problem.layer, problem.direction
    x, grad = (tensor(laid_out(images, "nchw")) for images in (problem.x, problem.grad))
    # The odd sample of padding at the bottom and the right is a window that ends outside.
    ceil = layer.padding == "same"
    window = ([layer.window] * 2, [layer.stride] * 2, [layer.before] * 2)
    if direction == "avg":
        return partial(torch.nn.functional.avg_pool2d, x, *window, ceil, False)
    if direction == "avg_grad":
        return partial(torch.ops.aten.avg_pool2d_backward, grad, x, *window, ceil, False, None)
    if direction in ("max", "max_indices"):
        return partial(torch.nn.functional.max_pool2d, x, *window, 1, ceil, direction == "max_indices")
    if direction == "max_grad":
        return None  # it has no gradient without places
    _, places = torch.nn.functional.max_pool2d(x, *window, 1, ceil, True)
    return partial(torch.ops.aten.max_pool2d_with_indices_backward, grad, x, *window, [1, 1], ceil, places)


def _tensorflow(tf: Any, problem: LayerProblem) -> list[Way]:
    """TensorFlow's raw operators, eagerly; on CPUs they have channels last only."""
    call = _tensorflow_conv(tf, problem) if isinstance(problem, ConvProblem) else _tensorflow_pool(tf, problem)
    return [] if call is None else [Way(TENSORFLOW, "nhwc", call, partial(_from_tensorflow, problem))]


def _from_tensorflow(problem: LayerProblem, result: Any) -> Array:
    if isinstance(problem, ConvProblem) and problem.direction == "grad_filters" and problem.layer.depthwise:
        return np.asarray(result.numpy().transpose(0, 1, 3, 2))
    if problem.direction == "max_indices":  # its places count channels too
        return problem.array([result[0].numpy(), result[1].numpy() // problem.x.shape[3]], "nhwc")
    return problem.array(result.numpy(), "nhwc")


def _tensorflow_conv(tf: Any, problem: ConvProblem) -> Callable[[], Any] | None:
    layer, ops = problem.layer, tf.raw_ops
    if layer.groups > 1 and not layer.depthwise and problem.direction != "forward":
        return None  # "Gradients for grouped convolutions are not supported on CPU"
    # Its depthwise filters are rows, columns, channels, results of a channel.
    laid = problem.filters.transpose(0, 1, 3, 2) if layer.depthwise else problem.filters
    x, filters, grad = (tf.constant(array) for array in (problem.x, laid, problem.grad))
    pad = [layer.pad] * 2
    options: dict[str, Any] = {"strides": [1, layer.stride, layer.stride, 1], "padding": "VALID"}
    if layer.pad:
        options |= {"padding": "EXPLICIT", "explicit_paddings": [0, 0, *pad, *pad, 0, 0]}
    if problem.direction == "forward":
        call = ops.DepthwiseConv2dNative if layer.depthwise else ops.Conv2D
        return partial(call, input=x, filter=filters, **options)
    if problem.direction == "grad_input":
        call = ops.DepthwiseConv2dNativeBackpropInput if layer.depthwise else ops.Conv2DBackpropInput
        return partial(call, input_sizes=tf.constant(x.shape), filter=filters, out_backprop=grad, **options)
    call = ops.DepthwiseConv2dNativeBackpropFilter if layer.depthwise else ops.Conv2DBackpropFilter
    return partial(call, input=x, filter_sizes=tf.constant(laid.shape), out_backprop=grad, **options)


def _tensorflow_pool(tf: Any, problem: PoolProblem) -> Callable[[], Any] | None:
    layer, direction, ops = problem.layer, problem.direction, tf.raw_ops
    x, grad = tf.constant(problem.x), tf.constant(problem.grad)
    options = {
        "ksize": [1, layer.window, layer.window, 1], "strides": [1, layer.stride, layer.stride, 1],
        "padding": layer.padding.upper(),
    }  # fmt: skip
    if direction == "avg":
        return partial(ops.AvgPool, value=x, **options)
    if direction == "avg_grad":
        return partial(ops.AvgPoolGrad, orig_input_shape=tf.constant(problem.x.shape), grad=grad, **options)
    if direction == "max":
        return partial(ops.MaxPool, input=x, **options)
    if direction == "max_indices":
        return partial(ops.MaxPoolWithArgmax, input=x, **options)
    if direction == "max_grad":
        made = ops.MaxPool(input=x, **options)
        return partial(ops.MaxPoolGrad, orig_input=x, orig_output=made, grad=grad, **options)
    return None  # its gradient by places has no kernel for CPUs
