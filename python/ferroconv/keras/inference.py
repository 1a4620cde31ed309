"""What follows a convolution, made part of it: what a model for inference may do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
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
    add: Any = None
    relu: Any = None
    operand: int = 0
    """Which of what `add` adds the convolution's results are."""

    @property
    def absorbed(self) -> list[Any]:
        """The layers that do nothing in the copy."""
        return [one for one in (self.norm, self.add, self.relu) if one is not None]

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


@dataclass(frozen=True)
class Plan:
    """What becomes of a model for inference."""

    fusions: Sequence[Fusion] = ()
    by_the_batch: Sequence[Any] = ()
    """Batch normalisations that are always called as in training."""


def plan(model: Any) -> Plan:
    """Find the convolutions of a model, and of models in it, that can take in what follows them."""
    models = list(_models(model))
    graphs = [list(_nodes(one)) for one in models]
    calls = Counter(id(node.operation) for nodes in graphs for node in nodes)
    trained = _trained(models, graphs)
    found, by_the_batch = [], []
    # Sums that have become part of one of the convolutions before them.
    taken: set[int] = set()
    for one, nodes in zip(models, graphs, strict=True):
        always = id(one) in trained
        for node in nodes:
            normalises = type(node.operation) is keras.layers.BatchNormalization
            if normalises and (always or node.arguments.kwargs.get("training")):
                by_the_batch.append(node.operation)
        following = _following(one, nodes, calls)
        for node in nodes:
            conv = node.operation
            alone = calls[id(conv)] == 1 and len(node.input_tensors) == 1
            if type(conv) not in KERNELS or not alone or not _linear(conv):
                continue
            last, behind = node, following.get(id(node))
            norm = add = relu = None
            operand = 0
            if behind and not always and _normalises(behind, conv):
                norm, last, behind = behind.operation, behind, following.get(id(behind))
            if behind and id(behind.operation) not in taken and _adds(behind, conv, len(one.inputs) > 1):
                add, operand = behind.operation, _operand(behind, last)
                taken.add(id(add))
                behind = following.get(id(behind))
            if behind and _is_relu(behind.operation):
                relu = behind.operation
            if norm or add or relu:
                found.append(Fusion(conv, norm, add, relu, operand))
    return Plan(found, by_the_batch)


def _following(model: Any, nodes: Sequence[Any], calls: Counter[int]) -> dict[int, Any]:
    """For each call the one that alone reads its result, if that is its layer's only one."""
    readers = defaultdict(list)
    for node in nodes:
        for tensor in node.input_tensors:
            readers[id(tensor)].append(node)
    kept = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
    found = {}
    for node in nodes:
        behind = [reader for tensor in node.outputs for reader in readers[id(tensor)]]
        if len(behind) == 1 and calls[id(behind[0].operation)] == 1 and not kept & set(map(id, node.outputs)):
            found[id(node)] = behind[0]
    return found


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose layers can be followed: Sequential or functional."""
    return isinstance(layer, keras.Sequential) or (hasattr(layer, "layers") and hasattr(layer, "operations"))


def _graph(model: Any) -> Any:
    """A model as a graph of calls; None if it is no such model."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if is_graph(model) else None


def _trained(models: Sequence[Any], graphs: Sequence[Sequence[Any]]) -> set[int]:
    """The models that are called, somewhere, as in training, and those in them."""
    found: set[int] = set()
    while True:
        known = len(found)
        for one, nodes in zip(models, graphs, strict=True):
            for node in nodes:
                inner = _graph(node.operation)
                if inner is not None and (id(one) in found or node.arguments.kwargs.get("training")):
                    found.add(id(inner))
        if len(found) == known:
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
            if not one.built or one._functional is None:
                raise ValueError(
                    f"A model for inference takes its weights from a model that has some: build {one.name!r} first, "
                    "by keras.Input as its first layer, build() or a call."
                )
            one = one._functional
        yield one
        left += filter(is_graph, one.layers)


def _nodes(model: Any) -> Iterator[Any]:
    """The calls of a model's graph; those that make its inputs are none."""
    for nodes in model._nodes_by_depth.values():
        yield from (node for node in nodes if node.input_tensors)


def _linear(conv: Any) -> bool:
    """Whether a convolution's results are as it summed them, and its filters plain variables."""
    plain = not getattr(conv, "lora_enabled", False) and getattr(conv, "quantization_mode", None) is None
    return plain and conv.activation in (None, keras.activations.linear) and conv.activity_regularizer is None


def _normalises(node: Any, conv: Any) -> bool:
    """Whether a call normalises a convolution's channels by what it learned, not by the batch."""
    norm = node.operation
    if type(norm) is not keras.layers.BatchNormalization or node.arguments.kwargs.get("training"):
        return False
    if len(node.arguments.args) > 1 or len(node.input_tensors) > 1 or norm.activity_regularizer is not None:
        return False
    return norm.axis in ((-1, 3) if conv.data_format == "channels_last" else (1, -3))


def _adds(node: Any, conv: Any, several: bool) -> bool:
    """Whether a call adds two arrays of one shape and dtype, of which a convolution's results may be one.

    The model's `several` inputs may be batches of different lengths.
    """
    add, shapes = node.operation, [tuple(tensor.shape) for tensor in node.input_tensors]
    if type(add) is not keras.layers.Add or type(conv) not in (keras.layers.Conv2D, layers.Conv2D):
        return False
    # Else one may be spread over the other.
    if len(shapes) != 2 or shapes[0] != shapes[1] or None in shapes[0][0 if several else 1 :]:
        return False
    dtypes = {add.compute_dtype, conv.compute_dtype, *(tensor.dtype for tensor in node.input_tensors)}
    return add.activity_regularizer is None and len(dtypes) == 1


def _operand(node: Any, before: Any) -> int:
    """Which of a call's arguments is what the call `before` gives."""
    given = [id(tensor) for tensor in node.input_tensors]
    return given.index(id(before.outputs[0]))


def _is_relu(layer: Any) -> bool:
    if getattr(layer, "activity_regularizer", None) is not None:
        return False
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
