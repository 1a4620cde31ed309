"""The layers of networks that `ferroconv bench conv`, `pool` and `lenet` time: every layer in every direction."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from ferroconv._cli.conv_problem import ConvProblem
from ferroconv._cli.networks import BATCHES, CONVOLUTIONS, POOLINGS, Convolution, Pooling
from ferroconv._cli.pool_problem import PoolProblem

CONV_DIRECTIONS = ("forward", "grad_input", "grad_filters")
POOL_DIRECTIONS = {"max": ("max", "max_indices", "max_grad", "max_grad_indices"), "avg": ("avg", "avg_grad")}
"""`max_indices` are the maxima with their places, and `max_grad_indices` is the gradient by those places."""


@dataclass(frozen=True)
class LayerCase:
    """A layer of a network, a batch, and what is computed of it, in both layouts."""

    network: str
    layer: Convolution | Pooling
    batch: int
    direction: str

    @property
    def kind(self) -> str:
        """``conv`` or ``pool``."""
        return "conv" if isinstance(self.layer, Convolution) else "pool"

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``conv/lenet/C1/batch16/forward``."""
        return f"{self.kind}/{self.network}/{self.layer.name}/batch{self.batch}/{self.direction}"

    @property
    def group(self) -> str:
        """What is summed up together."""
        return f"{self.kind}/{self.network}/{self.direction}"

    @property
    def size(self) -> int:
        """Side of its images."""
        return self.layer.size

    @property
    def times(self) -> int:
        """How often the network has the layer."""
        return self.layer.times

    def problem(self) -> ConvProblem | PoolProblem:
        """The case with its numbers, the same in every run."""
        seed = zlib.crc32(self.name.encode())
        if isinstance(self.layer, Convolution):
            return ConvProblem(self.layer, self.batch, self.direction, seed)
        return PoolProblem(self.layer, self.batch, self.direction, seed)


def _all() -> list[LayerCase]:
    convolutions = [
        LayerCase(network, layer, batch, direction)
        for network, layers in CONVOLUTIONS.items()
        for layer in layers
        for batch in BATCHES[network]
        for direction in CONV_DIRECTIONS
    ]
    poolings = [
        LayerCase(network, layer, batch, direction)
        for network, layers in POOLINGS.items()
        for layer in layers
        for batch in BATCHES[network]
        for direction in POOL_DIRECTIONS[layer.kind]
    ]
    return convolutions + poolings


LAYER_CASES = _all()
"""Every case, convolutions first."""
