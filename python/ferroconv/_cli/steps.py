"""`ferroconv bench steps`: whole training steps of Keras models, stock and accelerated."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import ferroconv
from ferroconv._cli.layer_peers import tensorflow
from ferroconv._cli.outcomes import Against, Outcome, Times
from ferroconv._cli.peers import OURS
from ferroconv._cli.timing import Contestant, Effort, Timing, race
from ferroconv._extras import needed

Array = npt.NDArray[Any]

# Before Keras is first imported, which is later: in the functions below.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # without TensorFlow's greetings

EFFORT = Effort(2.0, 2, 40)
HASTE = Effort(0.05, 1, 2)
STOCK = "stock Keras"
REST = "the rest"
OUTPUTS_APART = 1e-5
"""How far two models' outputs may be apart, as a share of the largest."""
GRADIENTS_APART = 3e-2
"""How far their gradients may be apart, as a share of the norm. A relu or a maximum within a rounding of a tie sends
its gradient one way or the other: with one such relu in VGG16's `block5_conv2`, the gradients of that layer and of
all before it were 6e-3 apart, those of all behind it 2e-6. Other weights are tenths away."""
CLASSES = 10


@dataclass(frozen=True)
class ModelCase:
    """A model, square images of a side, and how many at once."""

    kind: ClassVar[str]
    """What it is, as every case says."""
    model: str
    size: int
    channels: int
    batch: int

    @property
    def name(self) -> str:
        """As `ferroconv bench` filters and prints it: ``steps/lenet/batch128``."""
        return f"{self.kind}/{self.model}/batch{self.batch}"

    @property
    def group(self) -> str:
        """What is summed up together."""
        return self.kind

    def stock(self, keras: Any) -> Any:
        """The model on Keras' own layers, ours or that of `keras.applications`, with random weights."""
        from ferroconv.keras import models

        shape = (self.size, self.size, self.channels)
        keras.utils.set_random_seed(0)
        made = getattr(models, self.model, None)
        if made is not None:
            return made(shape, CLASSES, stock=True)
        return getattr(keras.applications, self.model)(weights=None, input_shape=shape, classes=CLASSES)


@dataclass(frozen=True)
class StepCase(ModelCase):
    """A model that is trained."""

    kind: ClassVar[str] = "steps"
    optimizer: str
    """That of the lesson is Adam; SGD where Adam's three copies of the weights would be most of the time."""

    def stock(self, keras: Any) -> Any:
        """The model on Keras' own layers, compiled."""
        return self.compiled(super().stock(keras))

    def compiled(self, model: Any) -> Any:
        """The model, ready to be trained."""
        model.compile(self.optimizer, "sparse_categorical_crossentropy")
        return model


STEP_CASES = [
    StepCase("lenet", 28, 1, 128, "adam"),
    StepCase("lenet", 28, 1, 512, "adam"),
    StepCase("alexnet", 227, 3, 4, "sgd"),
    StepCase("VGG16", 224, 3, 1, "sgd"),
    StepCase("ResNet50", 224, 3, 2, "sgd"),
]
"""Every case; batches are small where a step is a hundred milliseconds and more."""


def stepping(model: Any, x: Array, y: Array) -> Callable[[], Any]:
    """One training step of a compiled model as ``fit()`` runs it, again and again on one batch."""
    import tensorflow as tf

    batches = iter(tf.data.Dataset.from_tensors((x, y)).repeat())
    model.make_train_function()
    return lambda: model.train_function(batches)


def measure(case: StepCase, quick: bool) -> list[Outcome]:
    """Time a step of both models in turn; of LeNet also without its convolution and pooling layers.

    Before that, both models' outputs and gradients for one batch are held against each other, without what
    is random in training.
    """
    needed("tensorflow").get_logger().setLevel("ERROR")  # each model is traced once, of which it warns
    tensorflow()
    keras = needed("keras")
    from ferroconv.keras import accelerate

    stock = case.stock(keras)
    fast = case.compiled(accelerate(stock))
    random = np.random.default_rng(0)
    x = random.random((case.batch, case.size, case.size, case.channels), np.float32)
    y = random.integers(0, CLASSES, case.batch)
    apart = _apart(fast, stock, x, y)
    contestants = [Contestant(OURS, stepping(fast, x, y)), Contestant(STOCK, stepping(stock, x, y))]
    rest = _rest(keras, case, stock)
    if rest is not None:
        seen = random.random((case.batch, *rest.input_shape[1:]), np.float32)
        contestants.append(Contestant(REST, stepping(rest, seen, y)))
    timings = race(contestants, HASTE if quick else EFFORT)
    ours, theirs = Times.of(timings[OURS]), Times.of(timings[STOCK])
    outcomes = [_outcome(case, case.name, ours, theirs, apart)]
    if rest is not None:
        part = f"{case.name}/convolution-and-pooling"
        without = timings[REST]
        outcomes.append(_outcome(case, part, _less(ours, without), _less(theirs, without), apart))
    return outcomes


def _outcome(case: StepCase, name: str, ours: Times, theirs: Times, apart: tuple[float, float]) -> Outcome:
    ratio = theirs.median / ours.median
    agrees = apart[0] <= OUTPUTS_APART and apart[1] <= GRADIENTS_APART
    against = Against(STOCK, theirs, None, None, max(apart), agrees, ratio, None)
    return Outcome(
        name, case, "", ferroconv.get_num_threads(), ours, None, None, None, bool(np.isfinite(apart).all()),
        {STOCK: against}, case.group if name == case.name else "steps, convolution and pooling",
    )  # fmt: skip


def _less(whole: Times, rest: Timing) -> Times:
    return Times(whole.minimum - rest.minimum, whole.median - rest.median, whole.samples)


def _rest(keras: Any, case: StepCase, model: Any) -> Any | None:
    """A chain of layers from its first dense ones on, as a model of its own; None if the model is no chain.

    What the layers before it take is then the step of the whole less its own.
    """
    if not isinstance(model, keras.Sequential):
        return None
    names = [type(layer).__name__ for layer in model.layers]
    first = names.index("Flatten")
    kept = [type(layer).from_config(layer.get_config()) for layer in model.layers[first:]]
    return case.compiled(keras.Sequential([keras.Input(model.layers[first].input.shape[1:]), *kept]))


def _apart(fast: Any, stock: Any, x: Array, y: Array) -> tuple[float, float]:
    """How far two models of the same weights are apart: outputs and gradients, relative to their size."""
    import tensorflow as tf

    found = []
    for model in (fast, stock):
        with tf.GradientTape() as tape:
            outputs = model(x, training=False)
            loss = model.compute_loss(x, y, outputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        found.append((outputs.numpy(), [one.numpy() for one in gradients]))
    (mine, ours), (right, theirs) = found
    differences = sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(ours, theirs, strict=True))
    size = sum(float(np.square(b, dtype=np.float64).sum()) for b in theirs)
    return float(np.abs(mine - right).max() / np.abs(right).max()), (differences / size) ** 0.5
