"""The ops themselves: registered when this module is first imported, and a Python function for each."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from ferroconv import _core


class Op(NamedTuple):
    """An op as it is registered: names and types as TensorFlow spells them."""

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Sequence[str]

    def lengths(self) -> list[str]:
        """Give for each input the attribute that is its length, if it is a list."""
        return [spec.partition(":")[2].split("*")[0].strip() if "*" in spec else "" for spec in self.inputs]

    def settings(self) -> list[str]:
        """Give the attributes that are set; lengths follow from the inputs."""
        return [spec for spec in self.attributes if spec.partition(":")[0] not in self.lengths()]


def _generated(ops: Sequence[Op]) -> dict[str, Callable[..., Any]]:
    """Functions by TensorFlow's own generator, as those of its own ops; it is not a public module."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.framework import _pywrap_python_op_gen as generator
    from tensorflow.python.framework import op_def_registry

    definitions = op_def_pb2.OpList(op=[op_def_registry.get(op.name) for op in ops])
    source = generator.GetPythonWrappers(definitions.SerializeToString())
    module = types.ModuleType("ferroconv.tensorflow._generated")
    module.__dict__["_IS_TENSORFLOW_PLUGIN"] = True
    exec(source, module.__dict__)
    made = {op.name: vars(module)[_snake(op.name)] for op in ops}
    return made


def _snake(name: str) -> str:
    """Give the generator's name of an op: an underscore before each capital that begins a word."""
    text = ""
    for before, letter, after in zip(" " + name, name, name[1:] + " ", strict=False):
        begins = letter.isupper() and (before.islower() or before.isdigit() or after.islower())
        text += ("_" if begins and text and before != "2" else "") + letter.lower()
    return text


def _value(spec: str, value: Any) -> Any:
    """Give an attribute as a graph's node holds it."""
    kind = spec.partition(":")[2].strip()
    if kind.startswith("list(int)"):
        return tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(i=list(value)))
    if kind.startswith("bool"):
        return tf.compat.v1.AttrValue(b=bool(value))
    if kind.startswith("int"):
        return tf.compat.v1.AttrValue(i=int(value))
    return tf.compat.v1.AttrValue(s=value if isinstance(value, bytes) else value.encode())


def _by_graph(op: Op) -> Callable[..., Any]:
    """Make a function by public means alone: it adds a node to a graph; eager calls go by a `tf.function`."""
    lists, attributes = op.lengths(), op.settings()

    def node(tensors: Sequence[Any], values: tuple[Any, ...], name: str | None) -> Any:
        flat, attrs, dtype = [], {}, None
        for tensor, length in zip(tensors, lists, strict=True):
            parts = [tf.convert_to_tensor(t, dtype) for t in (tensor if length else [tensor])]
            if length:
                attrs[length] = tf.compat.v1.AttrValue(i=len(parts))
            flat += parts
            dtype = flat[0].dtype
        attrs["T"] = tf.compat.v1.AttrValue(type=flat[0].dtype.as_datatype_enum)
        for spec, value in zip(attributes, values, strict=True):
            attrs[spec.partition(":")[0]] = _value(spec, value)
        graph = tf.compat.v1.get_default_graph()
        outputs = graph.create_op(op.name, flat, name=name, attrs=attrs).outputs
        return outputs[0] if len(outputs) == 1 else outputs

    @functools.lru_cache(maxsize=256)
    def compiled(values: tuple[Any, ...]) -> Any:
        return tf.function(lambda *tensors: node(tensors, values, None), autograph=False)

    def call(*arguments: Any, name: str | None = None) -> Any:
        tensors, values = arguments[: len(lists)], arguments[len(lists) :]
        values = tuple(tuple(value) if isinstance(value, list) else value for value in values)
        if not tf.executing_eagerly():
            return node(tensors, values, name)
        return compiled(values)(*tensors)

    return call


def _functions(ops: Sequence[Op]) -> Mapping[str, Callable[..., Any]]:
    try:
        return _generated(ops)
    except (ImportError, AttributeError, KeyError, TypeError):
        return {op.name: _by_graph(op) for op in ops}


REGISTERED: Mapping[str, Op] = {row[0]: Op(*row) for row in _core.register_tensorflow_ops()}
"""Every op by its name."""

OPS: Mapping[str, Callable[..., Any]] = _functions(list(REGISTERED.values()))
"""A function for each: inputs, then attributes, by position; ``name=`` is the node's."""

ATTRIBUTES: Mapping[str, list[str]] = {
    name: [spec.partition(":")[0] for spec in op.settings()] for name, op in REGISTERED.items()
}
"""The names of each op's attributes, in the order in which the functions take them."""
