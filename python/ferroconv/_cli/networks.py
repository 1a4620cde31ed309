"""The layers of well-known networks that `ferroconv bench conv` and `ferroconv bench pool` time: one list.

The distinct layers of each network as benchdnn, the benchmark of oneDNN, lists them, each with the number of times
that the network has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Convolution:
    """A convolution layer of square images and square windows."""

    name: str
    channels: int
    size: int
    """Side of its images."""
    results: int
    """Channels that it makes."""
    window: int
    stride: int
    pad: int
    """Zeros on each side."""
    groups: int = 1
    times: int = 1
    """How often the network has it."""

    @property
    def depthwise(self) -> bool:
        """Whether each channel has a filter of its own."""
        return self.groups == self.channels == self.results

    @property
    def result_size(self) -> int:
        """Side of what it makes."""
        return (self.size + 2 * self.pad - self.window) // self.stride + 1


@dataclass(frozen=True)
class Pooling:
    """A pooling layer of square images and square windows."""

    name: str
    kind: Literal["max", "avg"]
    channels: int
    size: int
    window: int
    stride: int
    padding: Literal["valid", "same"] = "valid"
    times: int = 1

    @property
    def result_size(self) -> int:
        """Side of what it makes."""
        if self.padding == "same":
            return -(-self.size // self.stride)
        return (self.size - self.window) // self.stride + 1

    @property
    def before(self) -> int:
        """Samples of padding at the top and the left; there may be one more at the bottom and the right."""
        if self.padding == "valid":
            return 0
        return max((self.result_size - 1) * self.stride + self.window - self.size, 0) // 2


BATCHES = {
    "lenet": (1, 16, 64, 256), "alexnet": (4,), "googlenet_v1": (2,), "vgg_19": (1,), "resnet_50": (2,),
    "mobilenet_dw": (4,),
}  # fmt: skip
"""Images at once: small for the large networks, so that every layer of them has its turn within minutes."""


def _depthwise(name: str, channels: int, size: int, stride: int, times: int = 1) -> Convolution:
    return Convolution(name, channels, size, channels, 3, stride, 1, groups=channels, times=times)


CONVOLUTIONS = {
    # name, channels, size, results, window, stride, pad
    "lenet": [
        Convolution("C1", 1, 28, 6, 5, 1, 0),
        Convolution("C3", 6, 12, 16, 5, 1, 0),
    ],
    "alexnet": [
        Convolution("conv1", 3, 227, 96, 11, 4, 0),
        Convolution("conv2", 96, 27, 256, 5, 1, 2, groups=2),
        Convolution("conv3", 256, 13, 384, 3, 1, 1),
        Convolution("conv4", 384, 13, 384, 3, 1, 1, groups=2),
        Convolution("conv5", 384, 13, 256, 3, 1, 1, groups=2),
    ],
    "googlenet_v1": [
        Convolution("conv1", 3, 224, 64, 7, 2, 3),
        Convolution("conv2_reduce", 64, 56, 64, 1, 1, 0),
        Convolution("conv2", 64, 56, 192, 3, 1, 1),
        Convolution("3a_1x1", 192, 28, 64, 1, 1, 0),
        Convolution("3a_3x3_reduce", 192, 28, 96, 1, 1, 0),
        Convolution("3a_3x3", 96, 28, 128, 3, 1, 1),
        Convolution("3a_5x5_reduce", 192, 28, 16, 1, 1, 0),
        Convolution("3a_5x5", 16, 28, 32, 5, 1, 2),
        Convolution("3a_pool_proj", 192, 28, 32, 1, 1, 0),
        Convolution("3b_1x1", 256, 28, 128, 1, 1, 0, times=2),
        Convolution("3b_3x3", 128, 28, 192, 3, 1, 1),
        Convolution("3b_5x5_reduce", 256, 28, 32, 1, 1, 0),
        Convolution("3b_5x5", 32, 28, 96, 5, 1, 2),
        Convolution("3b_pool_proj", 256, 28, 64, 1, 1, 0),
        Convolution("4a_1x1", 480, 14, 192, 1, 1, 0),
        Convolution("4a_3x3_reduce", 480, 14, 96, 1, 1, 0),
        Convolution("4a_3x3", 96, 14, 208, 3, 1, 1),
        Convolution("4a_5x5_reduce", 480, 14, 16, 1, 1, 0),
        Convolution("4a_5x5", 16, 14, 48, 5, 1, 2),
        Convolution("4a_pool_proj", 480, 14, 64, 1, 1, 0),
        Convolution("4b_1x1", 512, 14, 160, 1, 1, 0),
        Convolution("4b_3x3_reduce", 512, 14, 112, 1, 1, 0, times=2),
        Convolution("4b_3x3", 112, 14, 224, 3, 1, 1),
        Convolution("4b_5x5_reduce", 512, 14, 24, 1, 1, 0, times=2),
        Convolution("4b_5x5", 24, 14, 64, 5, 1, 2, times=2),
        Convolution("4b_pool_proj", 512, 14, 64, 1, 1, 0, times=3),
        Convolution("4c_1x1", 512, 14, 128, 1, 1, 0, times=2),
        Convolution("4c_3x3", 128, 14, 256, 3, 1, 1),
        Convolution("4d_3x3_reduce", 512, 14, 144, 1, 1, 0),
        Convolution("4d_3x3", 144, 14, 288, 3, 1, 1),
        Convolution("4d_5x5_reduce", 512, 14, 32, 1, 1, 0),
        Convolution("4d_5x5", 32, 14, 64, 5, 1, 2),
        Convolution("4e_1x1", 528, 14, 256, 1, 1, 0),
        Convolution("4e_3x3_reduce", 528, 14, 160, 1, 1, 0),
        Convolution("4e_3x3", 160, 14, 320, 3, 1, 1),
        Convolution("4e_5x5_reduce", 528, 14, 32, 1, 1, 0),
        Convolution("4e_5x5", 32, 14, 128, 5, 1, 2),
        Convolution("4e_pool_proj", 528, 14, 128, 1, 1, 0),
        Convolution("5a_1x1", 832, 7, 256, 1, 1, 0),
        Convolution("5a_3x3_reduce", 832, 7, 160, 1, 1, 0),
        Convolution("5a_3x3", 160, 7, 320, 3, 1, 1),
        Convolution("5a_5x5_reduce", 832, 7, 32, 1, 1, 0),
        Convolution("5a_5x5", 32, 7, 128, 5, 1, 2),
        Convolution("5a_pool_proj", 832, 7, 128, 1, 1, 0, times=2),
        Convolution("5b_1x1", 832, 7, 384, 1, 1, 0),
        Convolution("5b_3x3_reduce", 832, 7, 192, 1, 1, 0),
        Convolution("5b_3x3", 192, 7, 384, 3, 1, 1),
        Convolution("5b_5x5_reduce", 832, 7, 48, 1, 1, 0),
        Convolution("5b_5x5", 48, 7, 128, 5, 1, 2),
    ],
    "vgg_19": [
        Convolution("conv1_1", 3, 224, 64, 3, 1, 1),
        Convolution("conv1_2", 64, 224, 64, 3, 1, 1),
        Convolution("conv2_1", 64, 112, 128, 3, 1, 1),
        Convolution("conv2_2", 128, 112, 128, 3, 1, 1),
        Convolution("conv3_1", 128, 56, 256, 3, 1, 1),
        Convolution("conv3_2", 256, 56, 256, 3, 1, 1, times=3),
        Convolution("conv4_1", 256, 28, 512, 3, 1, 1),
        Convolution("conv4_2", 512, 28, 512, 3, 1, 1, times=3),
        Convolution("conv5_1", 512, 14, 512, 3, 1, 1, times=4),
    ],
    "resnet_50": [
        Convolution("conv1", 3, 224, 64, 7, 2, 3),
        Convolution("res2a_branch1", 64, 56, 256, 1, 1, 0, times=4),
        Convolution("res2a_branch2a", 64, 56, 64, 1, 1, 0),
        Convolution("res2a_branch2b", 64, 56, 64, 3, 1, 1, times=3),
        Convolution("res2b_branch2a", 256, 56, 64, 1, 1, 0, times=2),
        Convolution("res3a_branch1", 256, 56, 512, 1, 2, 0),
        Convolution("res3a_branch2a", 256, 56, 128, 1, 2, 0),
        Convolution("res3a_branch2b", 128, 28, 128, 3, 1, 1, times=4),
        Convolution("res3a_branch2c", 128, 28, 512, 1, 1, 0, times=4),
        Convolution("res3b_branch2a", 512, 28, 128, 1, 1, 0, times=3),
        Convolution("res4a_branch1", 512, 28, 1024, 1, 2, 0),
        Convolution("res4a_branch2a", 512, 28, 256, 1, 2, 0),
        Convolution("res4a_branch2b", 256, 14, 256, 3, 1, 1, times=6),
        Convolution("res4a_branch2c", 256, 14, 1024, 1, 1, 0, times=6),
        Convolution("res4b_branch2a", 1024, 14, 256, 1, 1, 0, times=5),
        Convolution("res5a_branch1", 1024, 14, 2048, 1, 2, 0),
        Convolution("res5a_branch2a", 1024, 14, 512, 1, 2, 0),
        Convolution("res5a_branch2b", 512, 7, 512, 3, 1, 1, times=3),
        Convolution("res5a_branch2c", 512, 7, 2048, 1, 1, 0, times=3),
        Convolution("res5b_branch2a", 2048, 7, 512, 1, 1, 0, times=2),
    ],
    # name, channels, size, stride: of MobileNet those whose channels each have a filter of 3x3
    "mobilenet_dw": [
        _depthwise("conv_dw_1", 32, 112, 1),
        _depthwise("conv_dw_2", 64, 112, 2),
        _depthwise("conv_dw_3", 128, 56, 1),
        _depthwise("conv_dw_4", 128, 56, 2),
        _depthwise("conv_dw_5", 256, 28, 1),
        _depthwise("conv_dw_6", 256, 28, 2),
        _depthwise("conv_dw_7", 512, 14, 1, times=5),
        _depthwise("conv_dw_12", 512, 14, 2),
        _depthwise("conv_dw_13", 1024, 7, 1),
    ],
}

POOLINGS = {
    # name, kind, channels, size, window, stride
    "lenet": [Pooling("S2", "max", 6, 24, 2, 2), Pooling("S4", "max", 16, 8, 2, 2)],
    "alexnet": [
        Pooling("pool1", "max", 96, 55, 3, 2),
        Pooling("pool2", "max", 256, 27, 3, 2),
        Pooling("pool5", "max", 256, 13, 3, 2),
    ],
    "googlenet_v1": [
        Pooling("pool1", "max", 64, 112, 3, 2, "same"),
        Pooling("pool2", "max", 192, 56, 3, 2, "same"),
        Pooling("3a_pool", "max", 192, 28, 3, 1, "same"),
        Pooling("3b_pool", "max", 256, 28, 3, 1, "same"),
        Pooling("pool3", "max", 480, 28, 3, 2, "same"),
        Pooling("4a_pool", "max", 480, 14, 3, 1, "same"),
        Pooling("4b_pool", "max", 512, 14, 3, 1, "same", times=3),
        Pooling("4e_pool", "max", 528, 14, 3, 1, "same"),
        Pooling("pool4", "max", 832, 14, 3, 2, "same"),
        Pooling("5a_pool", "max", 832, 7, 3, 1, "same", times=2),
        Pooling("pool5", "avg", 1024, 7, 7, 1),
    ],
    "vgg_19": [
        Pooling("pool1", "max", 64, 224, 2, 2),
        Pooling("pool2", "max", 128, 112, 2, 2),
        Pooling("pool3", "max", 256, 56, 2, 2),
        Pooling("pool4", "max", 512, 28, 2, 2),
        Pooling("pool5", "max", 512, 14, 2, 2),
    ],
    "resnet_50": [Pooling("pool1", "max", 64, 112, 3, 2, "same"), Pooling("pool5", "avg", 2048, 7, 7, 1)],
}
