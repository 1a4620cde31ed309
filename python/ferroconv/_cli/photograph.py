"""The demo's photograph, its windows and the lesson's small image."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Picture = Literal["china", "flower"]
PICTURES: tuple[Picture, ...] = ("china", "flower")


def photograph(picture: Picture, size: int) -> npt.NDArray[np.uint8]:
    """A photograph that comes with scikit-learn: its middle square in grey, enlarged to `size` squared."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    samples = load_sample_images()
    image = samples.images[PICTURES.index(picture)]
    grey = Image.fromarray(image).convert("L")
    side = min(grey.size)
    left, top = (grey.width - side) // 2, (grey.height - side) // 2
    square = grey.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS), np.uint8)


def gaussian(radius: int, sigma: float) -> npt.NDArray[np.float64]:
    """The outer product of a sampled normal curve with itself, of sum 1."""
    curve = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    curve /= curve.sum()
    return np.outer(curve, curve)


def gabor(radius: int, degrees: float, wavelength: float) -> npt.NDArray[np.float64]:
    """A wave under a normal curve, of sum 0: it answers to edges along one direction."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    angle = np.deg2rad(degrees)
    along = x * np.cos(angle) + y * np.sin(angle)
    sigma = radius / 2.2
    wave = np.exp(-0.5 * (x**2 + y**2) / sigma**2) * np.sin(2 * np.pi * along / wavelength)
    weights: npt.NDArray[np.float64] = wave - wave.mean()
    return weights / np.abs(weights).sum() * 4


def laplacian_of_gaussian(radius: int, sigma: float) -> npt.NDArray[np.float64]:
    """The second derivative of a blur, of sum 0 and gain 4: it answers to edges in every direction."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    square = (x**2 + y**2) / sigma**2
    curve = np.exp(-0.5 * square)
    weights = (2 - square) * curve
    weights -= curve * (weights.sum() / curve.sum())
    result: npt.NDArray[np.float64] = weights / np.abs(weights).sum() * 8
    return result


def windows() -> dict[str, npt.NDArray[Any]]:
    """The demo's windows, by name."""
    emboss = np.add.outer(np.arange(-2, 3), np.arange(-2, 3)) / 3
    emboss[2, 2] = 1
    return {
        "sharpen 3x3": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        "emboss 5x5": emboss,
        "edge 7x7": laplacian_of_gaussian(3, 1.4),
        "blur 7x7": gaussian(3, 1.6),
        "oriented 11x11, 0°": gabor(5, 0, 8),
        "oriented 11x11, 60°": gabor(5, 60, 8),
    }


LESSON_IMAGE = np.full((6, 6), 5)
LESSON_IMAGE[0, :] = LESSON_IMAGE[:, 0] = 10
LESSON_WINDOW = np.array([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]])
LESSON_VALUE = 15
"""The first value of the valid convolution: 10 + 10 + 10 - 5 - 5 - 5."""
