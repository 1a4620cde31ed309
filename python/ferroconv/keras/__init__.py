"""Keras layers on ferroconv's TensorFlow ops, and the way to them and back.

The layers are Keras' own with the computation exchanged: the same arguments, weights, shapes and
files. `accelerate` puts a model's convolution and pooling layers on them, `to_stock` puts them back,
and `models` holds LeNet, AlexNet and GoogLeNet.

A model that was saved on these layers loads after ``import ferroconv.keras``.
"""

from __future__ import annotations

try:
    import keras
    import tensorflow
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] not in ("keras", "tensorflow"):
        raise
    raise ModuleNotFoundError(
        "ferroconv.keras needs TensorFlow and Keras 3. Install them with: "
        f'pip install "ferroconv[tensorflow]". Missing: {error.name}.',
        name=error.name,
    ) from error

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "ferroconv.keras needs Keras' TensorFlow backend. Set the environment variable KERAS_BACKEND=tensorflow "
        f"before keras is first imported. Received: the backend {keras.backend.backend()!r}."
    )

from ferroconv.keras import distributed, models
from ferroconv.keras.convert import Entry, Report, accelerate, to_stock
from ferroconv.keras.layers import (
    AveragePooling2D,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    LocalResponseNormalization,
    MaxPooling2D,
    SeparableConv2D,
)

del keras, tensorflow

__all__ = [
    "AveragePooling2D",
    "Conv2D",
    "Conv2DTranspose",
    "DepthwiseConv2D",
    "Entry",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "Report",
    "SeparableConv2D",
    "accelerate",
    "distributed",
    "models",
    "to_stock",
]
