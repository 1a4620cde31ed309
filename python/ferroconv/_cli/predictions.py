"""`ferroconv bench predict`: predictions of Keras models, stock and accelerated for inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import ferroconv
from ferroconv._cli.layer_peers import tensorflow
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.peers import OURS
from ferroconv._cli.steps import HASTE, OUTPUTS_APART, STOCK, ModelCase
from ferroconv._cli.timing import Contestant, Effort, race
from ferroconv._extras import needed

EFFORT = Effort(8.0, 3, 40)


@dataclass(frozen=True)
class PredictCase(ModelCase):
    """A model that predicts."""

    kind: ClassVar[str] = "predict"

    def stock(self, keras: Any) -> Any:
        """The model on Keras' own layers; its batch normalisations have statistics as after training."""
        model = super().stock(keras)
        random = np.random.default_rng(1)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_mean.assign(random.normal(0, 0.1, layer.moving_mean.shape))
                layer.moving_variance.assign(random.uniform(0.5, 1.5, layer.moving_variance.shape))
        return model


PREDICT_CASES = [
    PredictCase("lenet", 28, 1, 128),
    PredictCase("VGG16", 224, 3, 8),
    PredictCase("ResNet50", 224, 3, 8),
]
"""Every case."""


def measure(case: PredictCase, quick: bool) -> list[Outcome]:
    """Time `predict_on_batch` of both models in turn, after holding their outputs against each other."""
    tensorflow()
    keras = needed("keras")
    from ferroconv.keras import accelerate

    original = case.stock(keras)
    fast = accelerate(original, inference=True)
    x = np.random.default_rng(0).random((case.batch, case.size, case.size, case.channels), np.float32)
    ours, right = fast.predict_on_batch(x), original.predict_on_batch(x)
    apart = float(np.abs(ours - right).max() / np.abs(right).max())
    contestants = [
        Contestant(OURS, lambda: fast.predict_on_batch(x)),
        Contestant(STOCK, lambda: original.predict_on_batch(x)),
    ]
    timings = race(contestants, HASTE if quick else EFFORT)
    mine, theirs = Times.of(timings[OURS]), Times.of(timings[STOCK])
    against = Against(STOCK, theirs, None, None, apart, apart <= OUTPUTS_APART, theirs.median / mine.median, None)
    threads, finite = ferroconv.get_num_threads(), bool(np.isfinite(ours).all())
    return [Outcome(case.name, case, "", threads, mine, None, None, None, finite, {STOCK: against}, case.group)]
