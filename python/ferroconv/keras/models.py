"""Networks whose names everybody knows, on ferroconv's layers or, with ``stock=True``, on Keras' own.

Built after the same `keras.utils.set_random_seed`, both begin with the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from ferroconv.keras import layers
from ferroconv.keras.distributed import guard

__all__ = ["alexnet", "googlenet", "lenet", "lenet5"]

Shape = Sequence[int | None]


def _house(stock: bool) -> Any:
    """The module that convolution and pooling layers are taken from."""
    return keras.layers if stock else layers


def lenet(input_shape: Shape = (28, 28, 1), classes: int = 10, *, stock: bool = False) -> Any:
    """Return the LeNet of lessons: two convolutions with relu, each with a maximum pooling, and three dense layers.

    Parameters
    ----------
    input_shape : sequence of int, optional
        Rows, columns and channels.
    classes : int, optional
        Outputs, with a softmax.
    stock : bool, optional
        Build it of Keras' own layers.

    Returns
    -------
    keras.Model
        Not compiled. 44,426 weights by default.
    """
    house = _house(stock)
    return guard(
        keras.Sequential(
            [
                keras.Input(input_shape),
                house.Conv2D(6, 5, activation="relu", name="C1"),
                house.MaxPooling2D(2, name="S2"),
                house.Conv2D(16, 5, activation="relu", name="C3"),
                house.MaxPooling2D(2, name="S4"),
                keras.layers.Flatten(name="flatten"),
                keras.layers.Dense(120, activation="relu", name="F5"),
                keras.layers.Dense(84, activation="relu", name="F6"),
                keras.layers.Dense(classes, activation="softmax", name="output"),
            ],
            name="lenet",
        )
    )


def lenet5(input_shape: Shape = (32, 32, 1), classes: int = 10, *, stock: bool = False) -> Any:
    """Return LeNet-5 in its classical order: C1, S2, C3, S4, C5, F6, output.

    6, 16 and 120 feature maps, 84 units and 10 outputs, with tanh and average pooling as in 1998; C3
    sees every map of S2, and the output is a softmax rather than distances to drawn digits.

    Parameters
    ----------
    input_shape : sequence of int, optional
        Rows, columns and channels; C5 covers what S4 leaves of 32x32 entirely.
    classes : int, optional
        Outputs, with a softmax.
    stock : bool, optional
        Build it of Keras' own layers.

    Returns
    -------
    keras.Model
        Not compiled. 61,706 weights by default.
    """
    house = _house(stock)
    return guard(
        keras.Sequential(
            [
                keras.Input(input_shape),
                house.Conv2D(6, 5, activation="tanh", name="C1"),
                house.AveragePooling2D(2, name="S2"),
                house.Conv2D(16, 5, activation="tanh", name="C3"),
                house.AveragePooling2D(2, name="S4"),
                house.Conv2D(120, 5, activation="tanh", name="C5"),
                keras.layers.Flatten(name="flatten"),
                keras.layers.Dense(84, activation="tanh", name="F6"),
                keras.layers.Dense(classes, activation="softmax", name="output"),
            ],
            name="lenet5",
        )
    )


def alexnet(input_shape: Shape = (227, 227, 3), classes: int = 1000, *, stock: bool = False) -> Any:
    """Return AlexNet as published in 2012: convolutions in two groups, local response normalisation, dropout.

    Parameters
    ----------
    input_shape : sequence of int, optional
        Rows, columns and channels.
    classes : int, optional
        Outputs, with a softmax.
    stock : bool, optional
        Build it of Keras' own layers, but for `LocalResponseNormalization`, which Keras has not.

    Returns
    -------
    keras.Model
        Not compiled. 60,965,224 weights by default.
    """
    house = _house(stock)
    return guard(
        keras.Sequential(
            [
                keras.Input(input_shape),
                house.Conv2D(96, 11, 4, activation="relu", name="conv1"),
                layers.LocalResponseNormalization(name="norm1"),
                house.MaxPooling2D(3, 2, name="pool1"),
                house.Conv2D(256, 5, padding="same", groups=2, activation="relu", name="conv2"),
                layers.LocalResponseNormalization(name="norm2"),
                house.MaxPooling2D(3, 2, name="pool2"),
                house.Conv2D(384, 3, padding="same", activation="relu", name="conv3"),
                house.Conv2D(384, 3, padding="same", groups=2, activation="relu", name="conv4"),
                house.Conv2D(256, 3, padding="same", groups=2, activation="relu", name="conv5"),
                house.MaxPooling2D(3, 2, name="pool5"),
                keras.layers.Flatten(name="flatten"),
                keras.layers.Dense(4096, activation="relu", name="fc6"),
                keras.layers.Dropout(0.5, name="drop6"),
                keras.layers.Dense(4096, activation="relu", name="fc7"),
                keras.layers.Dropout(0.5, name="drop7"),
                keras.layers.Dense(classes, activation="softmax", name="fc8"),
            ],
            name="alexnet",
        )
    )


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "pool3": None,
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "pool4": None,
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""GoogLeNet's modules: maps of 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; and of the pooled branch."""


def googlenet(input_shape: Shape = (224, 224, 3), classes: int = 1000, *, stock: bool = False) -> Any:
    """Return GoogLeNet, version 1, without its auxiliary heads.

    Parameters
    ----------
    input_shape : sequence of int, optional
        Rows, columns and channels.
    classes : int, optional
        Outputs, with a softmax.
    stock : bool, optional
        Build it of Keras' own layers, but for `LocalResponseNormalization`, which Keras has not.

    Returns
    -------
    keras.Model
        Not compiled. 6,998,552 weights by default.
    """
    house = _house(stock)

    def conv(x: Any, maps: int, size: int, name: str, strides: int = 1) -> Any:
        return house.Conv2D(maps, size, strides, padding="same", activation="relu", name=name)(x)

    def pool(x: Any, name: str, strides: int = 2) -> Any:
        return house.MaxPooling2D(3, strides, padding="same", name=name)(x)

    def normalised(x: Any, name: str) -> Any:
        return layers.LocalResponseNormalization(bias=1.0, alpha=2e-5, name=name)(x)

    def inception(x: Any, name: str, maps: Sequence[int]) -> Any:
        one, three_reduced, three, five_reduced, five, pooled = maps
        branches = [
            conv(x, one, 1, f"{name}_1x1"),
            conv(conv(x, three_reduced, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
            conv(conv(x, five_reduced, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
            conv(pool(x, f"{name}_pool", 1), pooled, 1, f"{name}_pool_proj"),
        ]
        return keras.layers.Concatenate(name=f"{name}_output")(branches)

    inputs = keras.Input(input_shape)
    x = normalised(pool(conv(inputs, 64, 7, "conv1", 2), "pool1"), "norm1")
    x = conv(conv(x, 64, 1, "conv2_reduce"), 192, 3, "conv2")
    x = pool(normalised(x, "norm2"), "pool2")
    for name, maps in INCEPTIONS.items():
        x = inception(x, f"inception_{name}", maps) if maps else pool(x, name)
    x = house.GlobalAveragePooling2D(name="pool5")(x)
    x = keras.layers.Dropout(0.4, name="dropout")(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="output")(x)
    return guard(keras.Model(inputs, outputs, name="googlenet"))
