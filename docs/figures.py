"""The tutorial's pictures: one function each. ``python docs/figures.py`` draws them all into docs/images.

Labels are symbols and short words, since the pictures serve every language.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv import nn
from ferroconv._cli import lenet_charts
from ferroconv._cli.charts import COLOURS, INK, PAPER, new_figure
from ferroconv._cli.photograph import LESSON_IMAGE, LESSON_WINDOW, photograph

Array = npt.NDArray[Any]

FIGURES: dict[str, Callable[[Path], None]] = {}
"""Every picture's function, by the name of its file."""

TONES, LARGEST = (256, 128, 64, 48, 40), 59_000
"""Colours of a picture, the most with which its file has no more bytes than `LARGEST`."""
SIDE = 180
"""Rows and columns of a photograph."""
EPOCHS = 8


def figure(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """List a function that writes the picture of its own name."""
    FIGURES[f"{function.__name__}.png"] = function
    return function


def draw(folder: Path) -> list[Path]:
    """Draw every picture into `folder`."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, function in FIGURES.items():
        path = folder / name
        function(path)
        with Image.open(path) as file:
            drawn = file.convert("RGB")
        for tones in TONES:
            drawn.quantize(tones, dither=Image.Dither.NONE).save(path, optimize=True)
            if path.stat().st_size <= LARGEST:
                break
        paths.append(path)
    return paths


def _panels(width: float, height: float, columns: int, rows: int = 1) -> tuple[Any, list[Any]]:
    drawn = new_figure(width, height)
    drawn.set_dpi(100)
    axes = list(drawn.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    return drawn, axes


def _save(drawn: Any, path: Path) -> None:
    drawn.tight_layout(pad=0.5, w_pad=1.2)
    drawn.savefig(path, facecolor=PAPER, dpi=drawn.get_dpi())


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, fontsize=10, color=INK, loc="left")


def _photographs(path: Path, panels: dict[str, tuple[Array, float, float]]) -> None:
    """Grey pictures side by side, pixel by pixel: each with the values that are black and white."""
    drawn, axes = _panels(2.05 * len(panels), 2.3, len(panels))
    for axis, (name, (pixels, black, white)) in zip(axes, panels.items(), strict=True):
        axis.imshow(pixels, cmap="gray", vmin=black, vmax=white)
        _title(axis, name)
    _save(drawn, path)


def _cells(axis: Any, matrix: Array, title: str, marked: tuple[int, int, int, int] | None = None) -> None:
    """A table of numbers; `marked` is the first row and column and the size of a frame on it."""
    from matplotlib.patches import Rectangle

    rows, columns = matrix.shape
    reach = max(float(np.abs(matrix).max()), 1e-6)
    axis.imshow(matrix, cmap="PuOr_r", vmin=-1.6 * reach, vmax=1.6 * reach)
    for row in range(rows):
        for column in range(columns):
            axis.text(column, row, f"{matrix[row, column]:g}", ha="center", va="center", fontsize=10, color=INK)
    for line in range(1, max(rows, columns)):
        axis.axhline(line - 0.5, color=PAPER, linewidth=1.2)
        axis.axvline(line - 0.5, color=PAPER, linewidth=1.2)
    if marked is not None:
        top, left, height, width = marked
        frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=INK, linewidth=2.2)
        frame.set_clip_on(False)
        axis.add_patch(frame)
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)
    _title(axis, title)


@functools.cache
def _grey() -> Array:
    return photograph("china", SIDE)


@figure
def window(path: Path) -> None:
    """Draw the worked example: the image, K, K turned, the result."""
    valid = ferroconv.signal.convolve2d(LESSON_IMAGE, LESSON_WINDOW, "valid")
    drawn, axes = _panels(8.4, 2.4, 4)
    _cells(axes[0], LESSON_IMAGE, "x", (0, 0, 3, 3))
    _cells(axes[1], LESSON_WINDOW, "K")
    _cells(axes[2], LESSON_WINDOW[::-1, ::-1], "K 180°", (0, 0, 3, 3))
    _cells(axes[3], valid, "y = x * K, valid", (0, 0, 1, 1))
    _save(drawn, path)


@figure
def flip(path: Path) -> None:
    """Draw one bright pixel, convolved and correlated."""
    impulse = np.zeros((5, 5), int)
    impulse[2, 2] = 1
    drawn, axes = _panels(8.4, 2.4, 4)
    _cells(axes[0], impulse, "x")
    _cells(axes[1], LESSON_WINDOW, "K")
    _cells(axes[2], ferroconv.signal.convolve2d(impulse, LESSON_WINDOW, "same"), "convolve", (1, 1, 3, 3))
    _cells(axes[3], ferroconv.signal.correlate2d(impulse, LESSON_WINDOW, "same"), "correlate", (1, 1, 3, 3))
    _save(drawn, path)


@figure
def borders(path: Path) -> None:
    """Draw a photograph and what each border makes of its outside: a single 1 copies, "full" shows it."""
    from matplotlib.patches import Rectangle

    image = photograph("flower", 96)
    reach = 32
    single = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    single[reach, reach] = 1
    modes = [mode[0] for mode in ferroconv._core.border_modes()]
    drawn, axes = _panels(1.75 * len(modes), 2.0, len(modes))
    for axis, mode in zip(axes, modes, strict=True):
        axis.imshow(ferroconv.correlate(image, single, extent="full", border=mode), cmap="gray", vmin=0, vmax=255)
        axis.add_patch(Rectangle((reach - 0.5, reach - 0.5), 96, 96, fill=False, edgecolor=COLOURS[1], linewidth=1.5))
        _title(axis, mode)
    _save(drawn, path)


@figure
def smooth_and_sharp(path: Path) -> None:
    """Draw the photograph, a mean of it, and it sharpened."""
    mean, sharpen = np.full((9, 9), 1 / 81), [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    panels = {
        "x": (_grey(), 0.0, 255.0),
        "mean 9x9": (ferroconv.convolve(_grey(), mean), 0.0, 255.0),
        "sharpen": (ferroconv.convolve(_grey(), sharpen), 0.0, 255.0),
    }
    _photographs(path, panels)


@figure
def edges(path: Path) -> None:
    """Draw the photograph outlined and embossed, and the length of its gradient."""
    outline, emboss = np.full((3, 3), -1), [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
    outline[1, 1] = 8
    panels = {
        "edges": (ferroconv.convolve(_grey(), outline, dtype=np.float32), -255.0, 255.0),
        "emboss": (ferroconv.convolve(_grey(), emboss), 0.0, 255.0),
        "Sobel": (ferroconv.sobel(_grey(), axis=None, dtype=np.float32), 0.0, 600.0),
    }
    _photographs(path, panels)


@figure
def pooling(path: Path) -> None:
    """Draw sixteen numbers pooled in both ways, and the photograph pooled again and again."""
    small = np.array([[1, 3, 2, 0], [4, 2, 1, 1], [0, 0, 5, 6], [0, 8, 7, 6]], np.float32)
    drawn, axes = _panels(9.0, 1.9, 6)
    _cells(axes[0], small, "x", (0, 0, 2, 2))
    for axis, name, pool in ((axes[1], "max 2x2", nn.max_pool2d), (axes[2], "mean 2x2", nn.avg_pool2d)):
        _cells(axis, pool(small[None, :, :, None], 2)[0, :, :, 0], name, (0, 0, 1, 1))
    image = photograph("flower", 128)[None, :, :, None]
    for axis in axes[3:]:
        axis.imshow(image[0, :, :, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        _title(axis, f"{image.shape[1]}x{image.shape[2]}")
        image = nn.max_pool2d(image, 2)
        image = nn.max_pool2d(image, 2) if axis is axes[4] else image
    _save(drawn, path)


@figure
def maps(path: Path) -> None:
    """Draw a layer of four kernels that look for edges from four sides."""
    side = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    weights = np.stack([np.rot90(side, turns) for turns in range(4)], axis=-1)[:, :, None, :]
    x = (_grey() / np.float32(255))[None, :, :, None]
    result = nn.conv2d(x, weights, padding="same", activation="relu")
    _photographs(path, {f"map {number}": (result[0, :, :, number], 0.0, 1.6) for number in range(4)})


@figure
def lenet(path: Path) -> None:
    """Draw LeNet's layers as stacks of maps, to one scale, with the shapes that the model says."""
    from matplotlib.patches import Rectangle

    from ferroconv.keras import models

    model = models.lenet()
    shapes = [("input", tuple(model.input_shape[1:]))]
    shapes += [(layer.name, tuple(layer.output.shape[1:])) for layer in model.layers if layer.name != "flatten"]
    drawn, (axis,) = _panels(9.0, 2.9, 1)
    left, lean, thin = 0.0, 0.9, 3.0
    for name, shape in shapes:
        count = shape[2] if len(shape) == 3 else 1
        width, height = (shape[1], shape[0]) if len(shape) == 3 else (thin, shape[0] / 4)
        colour = {"C": COLOURS[2], "S": COLOURS[1]}.get(name[0], COLOURS[3])
        for number in range(count):
            corner = (left + lean * number, -height / 2 + lean * (count - number) - lean * count / 2)
            axis.add_patch(Rectangle(corner, width, height, facecolor=colour, edgecolor=PAPER, linewidth=0.7))
        middle = left + (width + lean * (count - 1)) / 2
        axis.text(middle, 23, name, ha="center", fontsize=10, color=INK)
        axis.text(middle, -23, "x".join(map(str, shape)), ha="center", va="top", fontsize=8.5, color=INK)
        left += width + lean * (count - 1) + 11
    axis.set_xlim(-2, left - 7)
    axis.set_ylim(-27, 27)
    axis.set_aspect("equal")
    _save(drawn, path)


@functools.cache
def _trained() -> tuple[Any, dict[str, list[float]], Any]:
    """A LeNet that has learned scikit-learn's digits, its training, and the data."""
    import keras

    from ferroconv._cli.digits import load
    from ferroconv.keras import models

    data = load("digits")
    keras.utils.set_random_seed(0)
    model = models.lenet()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    fitted = model.fit(
        data.x_train, data.y_train, batch_size=32, epochs=EPOCHS, validation_data=(data.x_test, data.y_test), verbose=0
    )
    return model, fitted.history, data


@figure
def training(path: Path) -> None:
    """Draw loss and accuracy over the epochs."""
    _, history, _ = _trained()
    lenet_charts.curve(path, history, "LeNet")


@figure
def feature_maps(path: Path) -> None:
    """Draw a digit, and what C1 and C3 make of it."""
    import keras

    model, _, data = _trained()
    digit = data.x_test[:1]
    inside = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("C1", "C3")])
    first, second = (np.asarray(one)[0] for one in inside(digit))
    drawn, axes = _panels(9.0, 3.6, 8, 3)
    axes[0].imshow(digit[0, ..., 0], cmap="gray")
    _title(axes[0], "x")
    for name, result, row in (("C1", first, axes[1:7]), ("C3", second, axes[8:])):
        for number, axis in enumerate(row):
            axis.imshow(result[..., number], cmap="gray", vmin=0, vmax=float(result.max()))
            _title(axis, f"{name} {number + 1}")
    _save(drawn, path)


@figure
def confusion(path: Path) -> None:
    """Draw how often each digit of the test images was taken for each."""
    model, _, data = _trained()
    answers = model.predict(data.x_test, verbose=0).argmax(axis=1)
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (data.y_test, answers), 1)
    lenet_charts.confusion(path, counts, "LeNet")


if __name__ == "__main__":
    for drawn_path in draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"):
        print(drawn_path)
