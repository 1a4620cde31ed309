"""What several functions do with their arguments: padding as attributes, refusals, static shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar, cast

import tensorflow as tf

from ferroconv import _core
from ferroconv._args import Padding
from ferroconv._docs import PARAGRAPHS, fill

DTYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
"""What the ops take."""

PARAGRAPHS["tf_x"] = """x : Tensor
    A batch of images of ``float16``, ``bfloat16``, ``float32`` or ``float64``: batch, rows, columns, channels, or
    with the channels second."""

PARAGRAPHS["tf_name"] = """name : str, optional
    A name of the node in a graph."""

PARAGRAPHS["tf_raises"] = """Raises
------
tf.errors.InvalidArgumentError
    For shapes, sizes and dtypes that can't be meant, eagerly and while a graph is traced.
ValueError
    For an argument that is no size, padding or data format at all."""


_F = TypeVar("_F", bound=Callable[..., object])


def public(function: _F) -> _F:
    """Fill a docstring in, and mark the function for AutoGraph as one that it need not rewrite."""
    vars(function)["autograph_info__"] = {}
    return fill(function)


def cached(function: _F) -> _F:
    """Keep what a function of plain arguments gave; eager calls repeat themselves."""
    kept = functools.lru_cache(maxsize=1024, typed=True)(function)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return kept(*arguments)
        except TypeError:  # a list can't be looked up
            return function(*arguments)

    return cast(_F, call)


def refuse(message: str) -> NoReturn:
    """Raise the error of an op that gets what it can't take."""
    raise tf.errors.InvalidArgumentError(None, None, message)


def padding_attributes(padding: Padding) -> tuple[str, Sequence[int]]:
    """Give a padding as the two attributes of an op."""
    if padding == "valid" or padding == "same":
        return str(padding), ()
    try:
        if not isinstance(padding, str):
            (top, bottom), (left, right) = padding
            return "explicit", (int(top), int(bottom), int(left), int(right))
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"padding must be 'valid', 'same', or ((top, bottom), (left, right)) of numbers from 0 on. "
        f"Received: {padding!r}."
    )


def checked_format(data_format: str) -> str:
    """Refuse what is no data format."""
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first'. Received: {data_format!r}.")
    return data_format


def symbolic(x: Any, name: str = "x") -> Any:
    """Give a tensor of a graph, of a dtype that the ops take."""
    x = tf.convert_to_tensor(x)
    if x.dtype not in DTYPES:
        known = ", ".join(dtype.name for dtype in DTYPES)
        refuse(f"{name} must be of one of {known}. Received: {x.dtype.name}.")
    return x


def axes(x: Any, data_format: str, name: str = "x") -> tuple[int | None, ...]:
    """Give what is known of batch, rows, columns and channels."""
    if x.shape.rank is None:
        return None, None, None, None
    if x.shape.rank != 4:
        order = (
            "batch, channels, rows, columns" if data_format == "channels_first" else "batch, rows, columns, channels"
        )
        refuse(f"{name} must have 4 axes: {order}. Received: shape {x.shape}.")
    n, *rest = x.shape.as_list()
    h, w, c = rest if data_format == "channels_last" else (rest[1], rest[2], rest[0])
    return n, h, w, c


def shape(n: int | None, size: Sequence[int | None], c: int | None, data_format: str) -> list[int | None]:
    """Give a shape in the order of `data_format`."""
    return [n, *size, c] if data_format == "channels_last" else [n, c, *size]


def pooled_size(image: Sequence[int | None], *window: Any) -> list[int | None]:
    """Give rows and columns of a pooled image as far as they are known, by the rule of the kernels."""
    try:
        return _core.pool2d_size(image, *window)
    except ValueError as error:
        refuse(str(error))


def filter_axes(filters: Any) -> tuple[int | None, ...]:
    """Give what is known of a layer's filters."""
    if filters.shape.rank is None:
        return None, None, None, None
    if filters.shape.rank != 4:
        refuse(f"filters must have 4 axes: rows, columns and two of channels. Received: shape {filters.shape}.")
    return tuple(filters.shape.as_list())


def convolved_size(
    image: Sequence[int | None],
    taps: Sequence[int | None],
    strides: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    transposed: bool = False,
    extra: Sequence[int] | None = None,
) -> list[int | None]:
    """Give rows and columns of a layer's results as far as they are known, by the rule of the kernels."""
    try:
        return _core.conv2d_size(image, taps, strides, padding, dilation, transposed, extra)
    except ValueError as error:
        refuse(str(error))
