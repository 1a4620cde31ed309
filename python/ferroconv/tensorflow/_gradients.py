"""The ops' gradients, registered when this module is first imported.

A convolution is bilinear, and so are its gradients: each of the three is the gradient of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ferroconv.tensorflow._ops import ATTRIBUTES, OPS

_CONV, _CONV_INPUT, _CONV_FILTERS = (OPS[f"FerroconvConv2D{what}"] for what in ("", "GradInput", "GradFilters"))
_TRANSPOSE, _TRANSPOSE_INPUT, _TRANSPOSE_FILTERS = (
    OPS[f"FerroconvConv2DTranspose{what}"] for what in ("", "GradInput", "GradFilters")
)
_MAX_WITH_INDICES, _MAX_GRAD = OPS["FerroconvMaxPool2DWithIndices"], OPS["FerroconvMaxPool2DGrad"]
_AVG, _AVG_GRAD = OPS["FerroconvAvgPool2D"], OPS["FerroconvAvgPool2DGrad"]

Gradient = Callable[..., Any]


def _gradient_of(name: str) -> Callable[[Gradient], Gradient]:
    """Register a gradient, unless that was done: by this module before it was reloaded, or by a copy of it."""

    def register(gradient: Gradient) -> Gradient:
        try:
            return tf.RegisterGradient(name)(gradient)
        except KeyError:
            return gradient

    return register


def _attributes(op: Any, like: str) -> list[Any]:
    """Give the attributes that an op shares with the op `like`."""
    return [op.get_attr(name) for name in ATTRIBUTES[like]]


def _wanted(op: Any) -> Callable[[int], bool]:
    """Say of an input whether its gradient is asked for; a graph prunes what is not."""
    skipped = getattr(op, "skip_input_indices", None) or ()
    return lambda index: index not in skipped


def _masked(grad: Any, y: Sequence[Any]) -> Any:
    """Give what comes through a relu, if there was one."""
    return tf.raw_ops.ReluGrad(gradients=grad, features=y[0]) if y else grad


@_gradient_of("FerroconvConv2D")
def _conv2d(op: Any, grad: Any) -> list[Any]:
    x, filters, *rest = op.inputs
    bias = rest[: op.get_attr("biases")]
    layer, wanted = _attributes(op, "FerroconvConv2DGradInput"), _wanted(op)
    y = [op.outputs[0]] if op.get_attr("relu") else []
    dx = _CONV_INPUT(x, filters, grad, y, *layer) if wanted(0) else None
    daddend = [_masked(grad, y) if wanted(2 + len(bias)) else None for _ in rest[len(bias) :]]
    if not wanted(1) and not (bias and wanted(2)):
        return [dx, None, *[None for _ in bias], *daddend]
    dfilters, dbias = _CONV_FILTERS(x, filters, grad, y, *layer, bool(bias))
    if not bias:
        return [dx, dfilters, *daddend]
    dbias.set_shape(bias[0].shape)
    return [dx, dfilters, dbias, *daddend]


@_gradient_of("FerroconvConv2DGradInput")
def _conv2d_grad_input(op: Any, d: Any) -> list[Any]:
    _, filters, grad, *y = op.inputs
    layer, wanted = _attributes(op, "FerroconvConv2DGradInput"), _wanted(op)
    dfilters = _CONV_FILTERS(d, filters, grad, y, *layer, False)[0] if wanted(1) else None
    dgrad = _masked(_CONV(d, filters, [], [], *layer, False, False), y) if wanted(2) else None
    return [None, dfilters, dgrad, *[None for _ in y]]


@_gradient_of("FerroconvConv2DGradFilters")
def _conv2d_grad_filters(op: Any, d: Any, dbias: Any) -> list[Any]:
    x, _, grad, *y = op.inputs
    layer, wanted = _attributes(op, "FerroconvConv2DGradInput"), _wanted(op)
    bias = [dbias] if op.get_attr("bias") else []
    dx = _CONV_INPUT(x, d, grad, y, *layer) if wanted(0) else None
    dgrad = _masked(_CONV(x, d, bias, [], *layer, False, False), y) if wanted(2) else None
    return [dx, None, dgrad, *[None for _ in y]]


@_gradient_of("FerroconvConv2DTranspose")
def _transpose(op: Any, grad: Any) -> list[Any]:
    x, filters, *bias = op.inputs
    layer, wanted = _attributes(op, "FerroconvConv2DTransposeGradInput"), _wanted(op)
    grad = _masked(grad, [op.outputs[0]] if op.get_attr("relu") else [])
    dx = _TRANSPOSE_INPUT(x, filters, grad, *layer) if wanted(0) else None
    dfilters = _TRANSPOSE_FILTERS(x, filters, grad, *layer) if wanted(1) else None
    if not bias:
        return [dx, dfilters]
    first = op.get_attr("data_format") in (b"channels_first", "channels_first")
    return [dx, dfilters, tf.reduce_sum(grad, (0, 2, 3) if first else (0, 1, 2))]


@_gradient_of("FerroconvConv2DTransposeGradInput")
def _transpose_grad_input(op: Any, d: Any) -> list[Any]:
    _, filters, grad = op.inputs
    layer, wanted = _attributes(op, "FerroconvConv2DTransposeGradInput"), _wanted(op)
    dfilters = _TRANSPOSE_FILTERS(d, filters, grad, *layer) if wanted(1) else None
    return [None, dfilters, _TRANSPOSE(d, filters, [], *layer, False) if wanted(2) else None]


@_gradient_of("FerroconvConv2DTransposeGradFilters")
def _transpose_grad_filters(op: Any, d: Any) -> list[Any]:
    x, _, grad = op.inputs
    layer, wanted = _attributes(op, "FerroconvConv2DTransposeGradInput"), _wanted(op)
    dx = _TRANSPOSE_INPUT(x, d, grad, *layer) if wanted(0) else None
    return [dx, None, _TRANSPOSE(x, d, [], *layer, False) if wanted(2) else None]


@_gradient_of("FerroconvMaxPool2D")
def _max_pool2d(op: Any, grad: Any) -> Any:
    return _MAX_GRAD(op.inputs[0], grad, [], *_attributes(op, "FerroconvMaxPool2D"))


@_gradient_of("FerroconvMaxPool2DWithIndices")
def _max_pool2d_with_indices(op: Any, grad: Any, _: Any) -> Any:
    return _MAX_GRAD(op.inputs[0], grad, [op.outputs[1]], *_attributes(op, "FerroconvMaxPool2D"))


@_gradient_of("FerroconvMaxPool2DGrad")
def _max_pool2d_grad(op: Any, d: Any) -> list[Any]:
    x, _, *indices = op.inputs
    if not indices:
        indices = [_MAX_WITH_INDICES(x, *_attributes(op, "FerroconvMaxPool2D"))[1]]
    return [None, _selected(d, indices[0], op.get_attr("data_format")), *[None for _ in op.inputs[2:]]]


def _selected(d: Any, indices: Any, data_format: str | bytes) -> Any:
    """Give the elements of `d` at positions ``y * width + x`` of each channel of each picture."""
    n, *sizes = tf.unstack(tf.shape(d, tf.int64))
    if data_format in (b"channels_first", "channels_first"):
        c, h, w = sizes
        planes = tf.reshape(tf.range(n * c) * h * w, tf.stack([n, c, 1, 1]))
        places = planes + indices
    else:
        h, w, c = sizes
        places = (tf.reshape(tf.range(n) * h * w, [-1, 1, 1, 1]) + indices) * c + tf.range(c)
    return tf.gather(tf.reshape(d, [-1]), places)


@_gradient_of("FerroconvAvgPool2D")
def _avg_pool2d(op: Any, grad: Any) -> Any:
    return _AVG_GRAD(op.inputs[0], grad, *_attributes(op, "FerroconvAvgPool2D"))


@_gradient_of("FerroconvAvgPool2DGrad")
def _avg_pool2d_grad(op: Any, d: Any) -> list[Any]:
    return [None, _AVG(d, *_attributes(op, "FerroconvAvgPool2D"))]
