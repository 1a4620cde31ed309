"""`ferroconv lenet`: train, compare, evaluate, predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ferroconv._cli import lenet_charts
from ferroconv._cli.console import duration, ratio, table
from ferroconv._cli.digits import Data, DataError, load, picture
from ferroconv._cli.steps import stepping
from ferroconv._cli.timing import Contestant, Effort, race

if TYPE_CHECKING:
    from rich.console import Console

COMPARED_STEPS = 50
"""Steps over which `--compare` holds one loss against the other."""
STEP_EFFORT = Effort(1.0, 5, 60)

HOUSES = {False: "ferroconv", True: "stock Keras"}


@dataclass
class Trained:
    """A model after its training."""

    model: Any
    history: dict[str, list[float]]
    first_losses: list[float]
    """Of the first steps, one by one."""
    loss: float
    accuracy: float
    seconds: float
    """All epochs, their tests aside."""


def _keras() -> Any:
    """Keras, and our layers known to it."""
    import keras

    import ferroconv.keras  # noqa: F401

    return keras


def train(source: str, console: Console, *, limit: int | None, output: Path, **options: Any) -> int:
    """Train a LeNet, say how good it is, and write the model and three pictures."""
    data = load(source).limited(limit)
    keras = _keras()
    compare, stock = options.pop("compare"), options.pop("stock")
    console.print(f"{data.name}: {len(data.y_train):,} images train, {len(data.y_test):,} test")
    runs = {
        house: _run(keras, data, console, stock=house, **options) for house in ([False, True] if compare else [stock])
    }
    shown = runs[stock if not compare else False]
    if compare:
        _compare(runs, data, console, options["batch_size"])
    console.print(
        f"accuracy {shown.accuracy:.2%} on {len(data.y_test):,} test images, loss {shown.loss:.4f}", style="bold"
    )
    for path in _write(keras, shown, data, output):
        console.print(f"wrote {path}", soft_wrap=True)
    return 0


def _run(
    keras: Any, data: Data, console: Console, *, model: str, epochs: int, batch_size: int, seed: int, stock: bool
) -> Trained:
    from ferroconv.keras import models

    keras.utils.set_random_seed(seed)
    made = getattr(models, model)(classes=data.classes, stock=stock)
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    console.print(f"\n{model}, layers of {HOUSES[stock]}: {made.count_params():,} weights", style="bold")
    data = data.sized(made.input_shape[1])
    watch = _watch(keras, console)
    fitted = made.fit(
        data.x_train, data.y_train, batch_size=batch_size, epochs=epochs,
        validation_data=(data.x_test, data.y_test), validation_batch_size=512,
        verbose=1 if console.is_terminal else 0, callbacks=[watch],
    )  # fmt: skip
    loss, accuracy = made.evaluate(data.x_test, data.y_test, batch_size=512, verbose=0)
    history = {name: [float(one) for one in values] for name, values in fitted.history.items()}
    return Trained(made, history, watch.losses, float(loss), float(accuracy), watch.seconds)


def _watch(keras: Any, console: Console) -> Any:
    """A callback: the first losses one by one, the seconds of training, a line an epoch where no bar is drawn."""

    class Watch(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.losses: list[float] = []
            self.seconds = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start, self.sum, self.steps = perf_counter(), 0.0, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if len(self.losses) < COMPARED_STEPS:
                # Keras gives the mean of the epoch's losses so far.
                self.steps += 1
                total = float(logs["loss"]) * self.steps
                self.losses.append(total - self.sum)
                self.sum = total

        def on_test_begin(self, logs: Any = None) -> None:
            self.seconds += perf_counter() - self.start

        def on_test_end(self, logs: Any = None) -> None:
            self.start = perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if not console.is_terminal:
                console.print(
                    f"epoch {epoch + 1}/{self.params['epochs']}: loss {logs['loss']:.4f}, accuracy "
                    f"{logs['accuracy']:.2%}; test loss {logs['val_loss']:.4f}, accuracy {logs['val_accuracy']:.2%}"
                )

    return Watch()


def _compare(runs: dict[bool, Trained], data: Data, console: Console, batch_size: int) -> None:
    """Print both runs side by side; the time of a step is taken in turns, on the trained models' copies."""
    steps = race([_step(one.model, data, batch_size, HOUSES[stock]) for stock, one in runs.items()], STEP_EFFORT)
    rows = [
        [
            HOUSES[stock], f"{one.accuracy:.2%}", f"{one.loss:.4f}", duration(steps[HOUSES[stock]].median),
            duration(steps[HOUSES[stock]].minimum), f"{one.seconds:.1f} s",
        ]
        for stock, one in runs.items()
    ]  # fmt: skip
    columns = ("layers", "test accuracy", "test loss", "a step, median", "least", "all epochs")
    console.print()
    console.print(table(f"Side by side, {batch_size} images a step", columns, rows))
    ours, theirs = (np.array(runs[stock].first_losses) for stock in (False, True))
    apart = float(np.max(np.abs(ours - theirs) / np.abs(theirs)))
    quicker = steps[HOUSES[True]].median / steps[HOUSES[False]].median
    console.print(
        f"\nferroconv's step is {ratio(quicker)} as quick; over the first {len(ours)} steps the losses are at most "
        f"{apart:.1e} apart, relatively\n"
    )


def _step(model: Any, data: Data, batch_size: int, name: str) -> Contestant:
    """One training step as fit() runs it, again and again on one batch; the model itself is not trained further."""
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    batch = data.sized(model.input_shape[1]).limited(batch_size)
    return Contestant(name, stepping(copy, batch.x_train, batch.y_train))


def _write(keras: Any, trained: Trained, data: Data, output: Path) -> list[Path]:
    output.mkdir(parents=True, exist_ok=True)
    model, test = trained.model, data.sized(trained.model.input_shape[1])
    paths = [output / name for name in ("model.keras", "training.png", "feature_maps.png", "confusion.png")]
    model.save(paths[0])
    title = f"{model.name} on {data.name}"
    lenet_charts.curve(paths[1], trained.history, f"{title}: {trained.accuracy:.2%}")
    first = model.layers[0]
    digit = test.x_test[:1]
    maps = keras.ops.convert_to_numpy(first(digit))[0]
    lenet_charts.feature_maps(paths[2], digit[0, ..., 0], maps, first.name, f"{title}: {first.name} of a digit")
    answers = model.predict(test.x_test, batch_size=512, verbose=0).argmax(axis=1)
    lenet_charts.confusion(paths[3], _counts(test.y_test, answers, data.classes), f"{title}: test images")
    return paths


def _counts(truth: Any, answers: Any, classes: int) -> Any:
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, answers), 1)
    return counts


def _opened(path: Path) -> tuple[Any, Any, int]:
    """Load a model of square grey images; Keras, the model and the side."""
    keras = _keras()
    try:
        model = keras.models.load_model(path)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path} can't be loaded as a Keras model: {lines[-1]}") from error
    shape = model.input_shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[1] is None or shape[3] != 1:
        raise DataError(f"The model must take square grey images. Received: {path}, which takes {shape}.")
    return keras, model, shape[1]


def evaluate(path: Path, source: str, console: Console) -> int:
    """Say how good a saved model is on the test images of some data, digit by digit."""
    data = load(source)
    _, model, side = _opened(path)
    data = data.sized(side)
    answers = model.predict(data.x_test, batch_size=512, verbose=1 if console.is_terminal else 0).argmax(axis=1)
    classes = max(data.classes, model.output_shape[-1])
    counts = _counts(data.y_test, answers, classes)
    rows = []
    for truth, row in enumerate(counts):
        wrong = row.copy()
        wrong[truth] = 0
        taken = f"{wrong.argmax()} ({wrong.max()} times)" if wrong.any() else ""
        rows.append([str(truth), str(row.sum()), f"{row[truth] / max(row.sum(), 1):.2%}", taken])
    console.print(table("", ("class", "images", "right", "most often taken for"), rows))
    right = int((answers == data.y_test).sum())
    console.print(f"accuracy {right / len(answers):.2%}: {right:,} of {len(answers):,} test images of {data.name}")
    return 0


def predict(path: Path, images: Sequence[Path], console: Console) -> int:
    """Print the probability of each class for image files."""
    keras, model, side = _opened(path)
    pictures = [picture(one, side) for one in images]
    probabilities = keras.ops.convert_to_numpy(model(np.concatenate([one for one, _ in pictures])))
    columns = ("image", "answer", *(str(digit) for digit in range(probabilities.shape[1])), "")
    rows = [
        [str(name), str(row.argmax()), *(f"{one:.3f}" for one in row), "inverted" if inverted else ""]
        for name, row, (_, inverted) in zip(images, probabilities, pictures, strict=True)
    ]
    console.print(table("", columns, rows))
    return 0
