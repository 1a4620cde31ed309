"""`ferroconv explain`: from words on a command line to a call that is explained.

A function's signature says what it has to be called with. One table gives a value for each name of a parameter,
another each module's spelling of an option; the operations are all functions that these two suffice for.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._halo import NATIVE

Array = npt.NDArray[Any]

WEIGHTS: dict[str, Callable[[tuple[int, ...]], Array]] = {
    "fractions": lambda shape: np.random.default_rng(0).standard_normal(shape),
    "whole": lambda shape: np.arange(np.prod(shape)).reshape(shape) % 7 - 3.0,
    "product": lambda shape: np.multiply.reduce(np.ix_(*(np.linspace(0.1, 0.9, n) for n in shape))),
}

SPELLINGS: dict[str, dict[str, str]] = {
    "": {name: name for name in ("border", "extent", "stride", "dilation", "precision")},
    "ndimage": {"border": "mode"},
    "signal": {"border": "boundary", "extent": "mode"},
    "nn": {
        "stride": "strides", "dilation": "dilation_rate", "padding": "padding", "groups": "groups",
        "data_format": "data_format", "precision": "precision",
    },
}  # fmt: skip
"""Options of the command, and the keywords that the functions of a module have for them."""


def sizes(text: str, what: str) -> tuple[int, ...]:
    """``2048x1024`` as two numbers."""
    if not re.fullmatch(r"\d+([x,]\d+)*", text):
        raise ValueError(f"{what} must be sizes joined by x, such as 5x5. Received: {text!r}.")
    return tuple(int(part) for part in re.split("[x,]", text))


class Call:
    """What a function is called with: the options that were given, in the arrays and keywords that it takes.

    Arrays of images and maps are never touched, so that their memory is never taken.
    """

    def __init__(self, operation: str, given: Mapping[str, Any]) -> None:
        self.operation, self.given = operation, given
        self.module, self.function = OPERATIONS[operation]
        self.parameters = inspect.signature(self.function).parameters
        self.used: set[str] = set()

    def take(self, option: str, otherwise: Any) -> Any:
        """Give an option of the command."""
        self.used.add(option)
        return self.given.get(option, otherwise)

    @functools.cached_property
    def forward(self) -> Call:
        """The layer whose gradient this is, or this."""
        layer = self.operation.partition("_grad_")[0]
        return self if layer == self.operation else Call(layer, self.given)

    @functools.cached_property
    def arguments(self) -> dict[str, Any]:
        """Every argument by its name."""
        values = {name: PARAMETERS[name](self) for name in self.parameters if name in PARAMETERS}
        for option, keyword in SPELLINGS[self.module].items():
            # The layer's parameters: some gradients only hand them on, and their signature does not list them.
            if option in self.given and keyword in self.forward.parameters:
                values[keyword] = self.take(option, None)
        return values

    @functools.cached_property
    def image(self) -> Array:
        """The image."""
        return np.zeros(sizes(self.take("image", "2048x2048"), "--image"), self.take("dtype", "float32"))

    @functools.cached_property
    def pictures(self) -> Array:
        """A batch of images with channels; of two sizes one image with one channel."""
        if self.image.ndim != 2:
            return self.image
        return np.expand_dims(self.image, (0, 1) if self.given.get("data_format") == "channels_first" else (0, 3))

    @functools.cached_property
    def gradient(self) -> Array:
        """What has the shape of the layer's result."""
        results: list[Array] = []
        ferroconv.explain(lambda: results.append(self.forward.function(**self.forward.arguments)))
        self.used |= self.forward.used
        return np.zeros(results[0].shape, self.image.dtype)

    def kernel(self, otherwise: str) -> Any:
        """The window's sizes: one number, or one for each axis."""
        window = sizes(self.take("kernel", otherwise), "--kernel")
        return window[-1] if len(window) == 1 or "axis" in self.parameters else window

    def weights(self, *, line: bool = False) -> Array:
        """The window's values; one number is a row of them."""
        shape = sizes(self.take("kernel", "5x5"), "--kernel")
        if line or "axis" in self.parameters:
            shape = shape[-1:]
        elif len(shape) == 1:
            shape = (1, *shape)
        values = WEIGHTS[self.take("weights", "fractions")](shape)
        return values.astype(self.image.dtype) if self.image.dtype.kind == "f" else values

    def sigma(self) -> Any:
        """The standard deviation of a Gaussian, or one for each axis."""
        text = self.take("sigma", "1")
        try:
            numbers = [float(part) for part in re.split("[x,]", text)]
        except ValueError:
            raise ValueError(f"--sigma must be numbers joined by x, such as 1.5x3. Received: {text!r}.") from None
        return numbers[0] if len(numbers) == 1 else numbers

    def filters(self) -> Array:
        """The layer's filters."""
        return self.window("3x3", *FILTERS[self.forward.operation](self))

    def window(self, otherwise: str | None, *shape: int) -> Array:
        """Filters of so many channels; without a size of those that are not given, they are 1x1."""
        sides = sizes(self.take("kernel", otherwise), "--kernel") if otherwise else (1,)
        return np.zeros((sides[0], sides[-1], *shape), self.image.dtype)

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return int(self.pictures.shape[1 if self.given.get("data_format") == "channels_first" else -1])

    @property
    def results(self) -> int:
        """Channels of the layer's result."""
        return int(self.take("channels", self.channels))

    def group(self, channels: int) -> int:
        """Those of the channels that one group has."""
        groups = self.given.get("groups", 1)
        if channels % groups:
            raise ValueError(f"--groups must divide the channels, here {channels}. Received: {groups}.")
        return int(channels // groups)


FILTERS: dict[str, Callable[[Call], tuple[int, int]]] = {
    "conv2d": lambda call: (call.group(call.channels), call.results),
    "conv2d_transpose": lambda call: (call.group(call.results), call.channels),
    "depthwise_conv2d": lambda call: (call.channels, 1),
}
"""The last two sides of a layer's filters."""

PARAMETERS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("image", "input", "in1"), lambda call: call.image),
    **dict.fromkeys(("weights", "in2"), lambda call: call.weights()),
    **dict.fromkeys(("hrow", "hcol"), lambda call: call.weights(line=True)),
    "size": lambda call: call.kernel("5x5"),
    "sigma": Call.sigma,
    "x": lambda call: call.pictures,
    "input_shape": lambda call: call.pictures.shape,
    "filters": Call.filters,
    "filters_shape": lambda call: call.filters().shape,
    "depthwise_filters": lambda call: call.window("3x3", call.channels, 1),
    "pointwise_filters": lambda call: call.window(None, call.channels, call.results),
    "pool_size": lambda call: call.kernel("2"),
    "output_size": lambda call: sizes(call.take("output_size", "7x7"), "--output-size"),
    "grad": lambda call: call.gradient,
}
"""What is given for a parameter of that name."""


NO_PLAN = "choose_conv_method"
"""It speaks of SciPy's own loops."""


def _operations() -> dict[str, tuple[str, Callable[..., Any]]]:
    """Every function that an image and the parameters above are all that it needs, with its module."""
    found = {}
    for module in SPELLINGS:
        home: Any = getattr(ferroconv, module) if module else ferroconv
        # A layer's name is no filter's.
        prefix = f"{module}." if module in ("ndimage", "signal") else ""
        for name in sorted(home.__all__ if module else NATIVE):
            function = getattr(home, name)
            needs = {
                parameter.name
                for parameter in inspect.signature(function).parameters.values()
                if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
            }
            if needs <= PARAMETERS.keys() and name != NO_PLAN:
                found[prefix + name] = (module, function)
    return found


OPERATIONS = _operations()
"""Every operation that the command knows."""


def listing() -> str:
    """Give the operations, a paragraph for each module."""
    return "\n\n".join(
        ", ".join(name for name, (home, _) in OPERATIONS.items() if home == module) for module in SPELLINGS
    )


def explain(operation: str, *, threads: int | None, **given: Any) -> ferroconv.Explanation:
    """Say what the call would run.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`.
    threads : int or None
        As `ferroconv.threads` takes them.
    **given
        The command's options by their names; those that are None were not given.

    Raises
    ------
    ValueError
        For options that the function has not, and what it refuses.
    """
    call = Call(operation, {option: value for option, value in given.items() if value is not None})
    arguments = call.arguments
    for option in call.given:
        if option not in call.used:
            raise ValueError(f"{operation} has no --{option.replace('_', '-')}.")
    with nullcontext() if threads is None else ferroconv.threads(threads):
        return ferroconv.explain(call.function, **arguments)
