"""Training on several machines: data parallel, each with the same weights and its own part of the images.

Keras 3's ``fit`` fails under TensorFlow's ``MultiWorkerMirroredStrategy`` (keras issue 20585); `train` is
the loop to use there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import keras
import tensorflow as tf

__all__ = ["is_chief", "strategy", "train"]


@functools.cache
def strategy() -> Any:
    """Return the strategy of this process, made on the first call: do that before any other use of TensorFlow.

    It reads the environment variable ``TF_CONFIG``, which names the machines and which of them this is;
    without it the process trains alone.

    Returns
    -------
    tf.distribute.MultiWorkerMirroredStrategy
        The same one whenever it is asked for.
    """
    return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief() -> bool:
    """Return whether this process is the one that saves and reports: the first worker, or the only process.

    Returns
    -------
    bool
        True in one of the processes.
    """
    resolver = strategy().cluster_resolver
    return not resolver.cluster_spec() or (resolver.task_type in (None, "chief", "worker") and not resolver.task_id)


def train(
    model_fn: Callable[[], Any],
    dataset_fn: Callable[[Any], Any],
    *,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
    on_epoch_end: Callable[[int, dict[str, float]], object] | None = None,
) -> tuple[Any, dict[str, list[float]]]:
    """Train a model on every machine of ``TF_CONFIG`` at once. Each of them calls this with the same arguments.

    Gradients are averaged over the machines at every step, so that all hold the same weights throughout.

    Parameters
    ----------
    model_fn : callable
        Builds and compiles the model. Call `keras.utils.set_random_seed` in it, so that all begin alike.
    dataset_fn : callable
        Takes a `tf.distribute.InputContext`, gives the ``tf.data.Dataset`` of this machine: batches of images and
        labels (and weights), of ``context.num_input_pipelines`` parts the one numbered
        ``context.input_pipeline_id``.
    epochs : int, optional
        Times that the data are gone through.
    steps_per_epoch : int, optional
        Batches of an epoch on each machine; by default as many as the smallest part has.
    on_epoch_end : callable, optional
        Called after each epoch with its number, from 0, and its means.

    Returns
    -------
    keras.Model
        The model: `save`, `predict` and `get_weights` work as ever, `fit` and `evaluate` say that they can't.
    dict
        For the loss and each metric a list of means over all machines, an epoch each.

    Raises
    ------
    ValueError
        If the model is not compiled, or a machine has no batch, or how many it has can't be known.
    """
    here = strategy()
    with here.scope():
        model = model_fn()
    if not getattr(model, "compiled", False):
        raise ValueError("model_fn must compile the model: its optimizer, loss and metrics are used here.")
    guard(model)
    sizes: list[int] = []

    def counted(context: Any) -> Any:
        dataset = dataset_fn(context)
        sizes.append(int(dataset.cardinality()))
        return dataset

    batches = here.distribute_datasets_from_function(counted)
    steps = steps_per_epoch or _agreed(here, sizes[0])
    step = _step(here, model)
    history: dict[str, list[float]] = {}
    for epoch in range(epochs):
        for metric in model.metrics:
            metric.reset_state()
        iterator = iter(batches)
        losses = [step(iterator) for _ in range(steps)]
        means = {"loss": sum(float(one) for one in losses) / steps}
        means |= {name: float(value) for name, value in model.get_metrics_result().items() if name != "loss"}
        for name, value in means.items():
            history.setdefault(name, []).append(value)
        if on_epoch_end is not None:
            on_epoch_end(epoch, means)
    return model, history


def _agreed(here: Any, size: int) -> int:
    """The least number of batches among the machines: a machine that steps once more than another waits for ever."""
    sizes = here.gather(here.run(lambda: tf.constant([size], tf.int64)), axis=0)
    least = int(tf.reduce_min(sizes))
    if least <= 0:
        raise ValueError(
            "Every machine's dataset must have a known number of batches, at least one; or say steps_per_epoch. "
            f"Received: {sizes.numpy().tolist()} (-1 is infinite, -2 unknown)."
        )
    return least


def _step(here: Any, model: Any) -> Callable[[Any], Any]:
    """One step of all machines as a TensorFlow function; its result is the mean loss."""

    def on_replica(batch: Any) -> Any:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            # Keras divides it by the number of replicas; so gradients and losses are summed here.
            loss = model.compute_loss(x, y, outputs, weights, training=True)
            scaled = model.optimizer.scale_loss(loss)
        variables = model.trainable_variables
        model.optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        model.compute_metrics(x, y, outputs, weights)
        return loss

    @tf.function
    def step(iterator: Any) -> Any:
        return here.reduce(tf.distribute.ReduceOp.SUM, here.run(on_replica, args=(next(iterator),)), None)

    return step


def _refuse(method: str, mend: str, *_args: Any, **_kwargs: Any) -> NoReturn:
    raise RuntimeError(
        f"Keras 3's {method} fails under MultiWorkerMirroredStrategy "
        f"(https://github.com/keras-team/keras/issues/20585). {mend}"
    )


REFUSED = {
    "fit": "Train with ferroconv.keras.distributed.train(model_fn, dataset_fn) instead.",
    "evaluate": "Save the model and evaluate it in a process of its own, or use predict.",
}


def guard(model: Any) -> Any:
    """Have a model's `fit` say that it can't, if the model is made under the strategy for several machines.

    Parameters
    ----------
    model : keras.Model
        A model.

    Returns
    -------
    keras.Model
        The same.
    """
    if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        for method, mend in REFUSED.items():
            setattr(model, method, functools.partial(_refuse, method, mend))
    return model
