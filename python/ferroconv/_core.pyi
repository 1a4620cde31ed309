"""Types of the extension module; `make stubs` holds them against the module itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "InvalidArgument",
    "__version__",
    "adaptive_pool2d",
    "adaptive_pool2d_gradient",
    "begin_explaining",
    "border_modes",
    "clear_cache",
    "conv2d",
    "conv2d_grad_filters",
    "conv2d_grad_input",
    "conv2d_size",
    "conv2d_transpose",
    "correlate",
    "dtypes",
    "end_explaining",
    "footprint",
    "get_num_threads",
    "info",
    "measure",
    "override_num_threads",
    "pool2d",
    "pool2d_gradient",
    "pool2d_size",
    "precisions",
    "prefer",
    "register_tensorflow_ops",
    "set_num_threads",
    "sliding",
]
__version__: str

class InvalidArgument(ValueError): ...

def clear_cache() -> int: ...
def conv2d(
    x: npt.ArrayLike,
    filters: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    addend: npt.ArrayLike | None,
    layer: tuple[Any, ...],
    relu: bool,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def conv2d_transpose(
    x: npt.ArrayLike,
    filters: npt.ArrayLike,
    bias: npt.ArrayLike | None,
    layer: tuple[Any, ...],
    output_padding: Sequence[int] | None,
    relu: bool,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def conv2d_grad_input(
    input_shape: Sequence[int],
    filters: npt.ArrayLike,
    grad: npt.ArrayLike,
    result: npt.ArrayLike | None,
    layer: tuple[Any, ...],
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def conv2d_grad_filters(
    x: npt.ArrayLike,
    filters_shape: Sequence[int],
    grad: npt.ArrayLike,
    result: npt.ArrayLike | None,
    layer: tuple[Any, ...],
    with_bias: bool,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> Any: ...
def correlate(
    image: npt.ArrayLike,
    weights: Any,
    axes: Sequence[int],
    rule: str,
    turn: bool,
    conjugate: bool,
    extent: str,
    border: str | Sequence[str],
    cval: complex,
    origin: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    dtype: np.dtype[Any] | None,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    left_out: tuple[npt.NDArray[np.bool_] | None, bool] | None = None,
    /,
) -> npt.NDArray[Any]: ...
def sliding(
    image: npt.ArrayLike,
    kind: str,
    rule: str,
    windows: Sequence[tuple[int, int, int, str]],
    extent: str,
    cval: complex,
    dtype: np.dtype[Any] | None,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def footprint(
    image: npt.ArrayLike,
    maximum: bool,
    footprint: Sequence[Sequence[int]],
    structure: Sequence[float] | None,
    axes: Sequence[int],
    origins: Sequence[int],
    border: str,
    cval: complex,
    dtype: np.dtype[Any] | None,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def pool2d(
    x: npt.ArrayLike,
    kind: str,
    window: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    dilation: Sequence[int],
    ceil: bool,
    channels_first: bool,
    count_padding: bool,
    divisor: int | None,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> Any: ...
def adaptive_pool2d(
    x: npt.ArrayLike,
    kind: str,
    output_size: Sequence[int],
    channels_first: bool,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> Any: ...
def pool2d_gradient(
    image: npt.ArrayLike,
    grad: npt.ArrayLike,
    indices: npt.ArrayLike | None,
    kind: str,
    window: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    dilation: Sequence[int],
    ceil: bool,
    channels_first: bool,
    count_padding: bool,
    divisor: int | None,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def adaptive_pool2d_gradient(
    image: npt.ArrayLike,
    grad: npt.ArrayLike,
    indices: npt.ArrayLike | None,
    kind: str,
    channels_first: bool,
    out: npt.NDArray[Any] | None,
    workers: int | None,
    /,
) -> npt.NDArray[Any]: ...
def pool2d_size(
    image: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    dilation: Sequence[int],
    ceil: bool,
    /,
) -> list[int | None]: ...
def conv2d_size(
    image: Sequence[int | None],
    taps: Sequence[int | None],
    strides: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    dilation: Sequence[int],
    transposed: bool,
    extra: Sequence[int] | None,
    /,
) -> list[int | None]: ...
def register_tensorflow_ops() -> list[tuple[str, list[str], list[str], list[str]]]: ...
def border_modes() -> list[tuple[str, str, list[str], list[str], str]]: ...
def dtypes() -> list[str]: ...
def precisions() -> list[str]: ...
def info() -> dict[str, Any]: ...
def measure() -> tuple[float, float]: ...
def set_num_threads(threads: int, /) -> None: ...
def get_num_threads() -> int: ...
def override_num_threads(threads: int | None, /) -> int | None: ...
def prefer(implementation: str | None, /) -> str | None: ...
def begin_explaining() -> None: ...
def end_explaining() -> list[dict[str, Any]]: ...
