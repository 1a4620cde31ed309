"""How far layers of a trained network are from float64, in each class of precision: `python trained.py [epochs]`."""

import importlib.util
import sys

import keras
import numpy as np
from sklearn.datasets import load_digits

import ferroconv.keras
from ferroconv.nn import conv2d

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(x))
x = (x.reshape(-1, 8, 8, 1)[order].repeat(4, 1).repeat(4, 2) / 16).astype(np.float32)
y = y[order]
layers = [keras.layers.Conv2D(n, 3, padding="same", activation="relu") for n in (16, 64, 128, 128)]
pool = keras.layers.MaxPooling2D
stock = keras.Sequential(
    [keras.Input((32, 32, 1)), layers[0], pool(), layers[1], layers[2], pool(), layers[3],
     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
)  # fmt: skip
model = ferroconv.keras.accelerate(stock)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 8
model.fit(x[:1437], y[:1437], batch_size=64, epochs=epochs, verbose=0)
accuracy = model.evaluate(x[1437:], y[1437:], verbose=0)[1]
print(f"after {epochs} epochs: {accuracy:.3f} of 360 digits that were held back")


def onednn(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """PyTorch's layer on channels-last tensors, on an x86-64 CPU."""
    import torch

    filters = torch.tensor(weights.transpose(3, 2, 0, 1)).contiguous(memory_format=torch.channels_last)
    return (
        torch.nn.functional.conv2d(torch.tensor(maps).permute(0, 3, 1, 2), filters, padding=1)
        .permute(0, 2, 3, 1)
        .numpy()
    )


ways = {
    "highest": lambda maps, weights: conv2d(maps, weights, padding="same"),
    "high": lambda maps, weights: conv2d(maps, weights, padding="same", precision="high"),
}
if importlib.util.find_spec("torch"):
    ways["oneDNN"] = onednn
maps = x[-64:]
for layer in model.layers:
    if "conv2d" in layer.name:
        weights = layer.kernel.numpy()
        exact = conv2d(maps.astype(np.float64), weights.astype(np.float64), padding="same")
        scale = np.sqrt((exact**2).mean())
        words = [f"{weights.shape[2]:3} to {weights.shape[3]:3} channels, {maps.shape[1]}x{maps.shape[2]}"]
        for name, way in ways.items():
            found = (way(maps, weights) - exact) / scale
            words.append(f"{name} {np.sqrt((found**2).mean()):.1e}, {np.abs(found).max():.1e}")
        print("; ".join(words))
    maps = np.asarray(layer(maps))
