"""Batch normalisation and relu after a convolution, folded into it: what a model for inference may do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ferroconv.keras import layers

KERNELS = {
    keras.layers.Conv2D: (("kernel",), (3,)),
    keras.layers.DepthwiseConv2D: (("kernel",), (2, 3)),
    keras.layers.SeparableConv2D: (("depthwise_kernel", "pointwise_kernel"), (3,)),
    keras.layers.Conv2DTranspose: (("kernel",), (2,)),
}
"""The filters of a convolution layer, and along which axes of the last ones its results are counted."""

KERNELS |= {getattr(layers, stock.__name__): entry for stock, entry in KERNELS.items()}


@dataclass(frozen=True)
class Fusion:
    """A convolution, and the layers after it that become part of it."""

    conv: Any
    norm: Any = None
    relu: Any = None

    @property
    def absorbed(self) -> list[Any]:
        """The layers that do nothing in the copy."""
        return [one for one in (self.norm, self.relu) if one is not None]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the convolution that does it all."""
        config = self.conv.get_config()
        if self.norm is not None:
            config |= {"use_bias": True, "bias_initializer": "zeros"}
        return config | ({"activation": "relu"} if self.relu is not None else {})

    def assign(self, copy: Any) -> None:
        """Give their weights to the convolution that was built from `config`.

        With ``s = gamma / sqrt(variance + epsilon)`` for each channel, the filters become ``s * filters``
        and the bias ``s * (bias - mean) + beta``, in ``float64`` (Jacob et al. 2018, section 3.2).
        """
        names, axes = KERNELS[type(self.conv)]
        *first, last = (_value(getattr(self.conv, name)) for name in names)
        bias = _value(self.conv.bias) if self.conv.use_bias else np.zeros(())
        if self.norm is not None:
            scale, shift = _line(self.norm)
            last = last * scale.reshape([n if i in axes else 1 for i, n in enumerate(last.shape)])
            bias = scale * bias + shift
        for name, value in zip(names, (*first, last), strict=True):
            getattr(copy, name).assign(value)
        if copy.use_bias:
            copy.bias.assign(bias)


def fusions(model: Any) -> list[Fusion]:
    """Find the convolutions of a model, and of models in it, that can take in what follows them."""
    graphs = [list(_nodes(one)) for one in _models(model)]
    calls = Counter(id(node.operation) for nodes in graphs for node in nodes)
    found = []
    for nodes, one in zip(graphs, _models(model), strict=True):
        readers = defaultdict(list)
        for node in nodes:
            for tensor in node.input_tensors:
                readers[id(tensor)].append(node)
        kept = {id(tensor) for tensor in keras.tree.flatten(one.outputs)}

        def following(node: Any, readers: Any = readers, kept: Any = kept) -> Any:
            """The one call that reads what this one makes; None if there are others or it is a layer's of several."""
            [result] = node.outputs
            behind = readers[id(result)]
            alone = len(behind) == 1 and id(result) not in kept and calls[id(behind[0].operation)] == 1
            return behind[0] if alone else None

        for node in nodes:
            conv = node.operation
            if type(conv) not in KERNELS or calls[id(conv)] > 1 or not _linear(conv):
                continue
            behind, norm, relu = following(node), None, None
            if behind and _normalises(behind, conv):
                norm, behind = behind.operation, following(behind)
            if behind and _is_relu(behind.operation):
                relu = behind.operation
            if norm or relu:
                found.append(Fusion(conv, norm, relu))
    return found


def _models(model: Any) -> Iterator[Any]:
    """The model and those in it, each once, as graphs of calls."""
    seen, left = set(), [model]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, keras.Sequential):
            if not one.built:
                raise ValueError(
                    f"A model for inference takes its weights from a model that has some: build {one.name!r} first, "
                    "by keras.Input as its first layer, build() or a call."
                )
            one = one._functional
        yield one
        left += [layer for layer in one.layers if isinstance(layer, keras.Sequential) or hasattr(layer, "operations")]


def _nodes(model: Any) -> Iterator[Any]:
    """The calls of a model's graph; those that make its inputs are none."""
    for nodes in model._nodes_by_depth.values():
        yield from (node for node in nodes if node.input_tensors)


def _linear(conv: Any) -> bool:
    """Whether a convolution's results are as it summed them, and its filters plain variables."""
    plain = not getattr(conv, "lora_enabled", False) and getattr(conv, "quantization_mode", None) is None
    return plain and conv.activation in (None, keras.activations.linear)


def _normalises(node: Any, conv: Any) -> bool:
    """Whether a call normalises a convolution's channels by what it learned, not by the batch."""
    norm = node.operation
    if type(norm) is not keras.layers.BatchNormalization or node.arguments.kwargs.get("training"):
        return False
    if len(node.arguments.args) > 1 or len(node.input_tensors) > 1:
        return False
    return norm.axis in ((-1, 3) if conv.data_format == "channels_last" else (1, -3))


def _is_relu(layer: Any) -> bool:
    if type(layer) is keras.layers.ReLU:
        return layer.max_value is None and not layer.negative_slope and not layer.threshold
    return type(layer) is keras.layers.Activation and layer.activation is keras.activations.relu


def _line(norm: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The line by which batch normalisation maps the samples of each channel: its slope and its height at 0."""
    mean, variance = _value(norm.moving_mean), _value(norm.moving_variance)
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * _value(norm.gamma)
    return scale, (_value(norm.beta) if norm.center else 0) - scale * mean


def _value(variable: Any) -> npt.NDArray[np.float64]:
    return np.asarray(tf.cast(tf.convert_to_tensor(variable), tf.float64))
