"""What the Keras tests share: Keras' own layers as the reference, in the layout that it can train on a CPU."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the [tensorflow] extra is not installed")
keras = pytest.importorskip("keras", reason="the [tensorflow] extra is not installed")

import ferroconv.keras as fk  # noqa: E402

LAST = "channels_last"


def exchanged(x, data_format):
    """Between channels last and `data_format`, either way for squares of axes."""
    return x if data_format == LAST or len(x.shape) != 4 else np.moveaxis(np.asarray(x), -1, 1)


def forward_and_gradients(layer, x, upstream=None, seed=1):
    """The result, and the gradients of its product with `upstream` in the input and the weights."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        if upstream is None:
            upstream = np.random.default_rng(seed).standard_normal(y.shape)
        weighted = tf.reduce_sum(tf.cast(y, tf.float64) * upstream)
    gradients = tape.gradient(weighted, [x, *layer.trainable_variables])
    return y, upstream, [np.asarray(tf.cast(one, tf.float64)) for one in gradients]


def close(ours, theirs, bound, what=""):
    """Every element within `bound` of the largest."""
    ours, theirs = (np.asarray(tf.cast(one, tf.float64)) for one in (ours, theirs))
    assert ours.shape == theirs.shape, what
    scale = max(float(np.abs(theirs).max(initial=0)), 1e-30)
    assert np.isfinite(ours).all(), what
    assert np.abs(ours - theirs).max(initial=0) <= bound * scale, what


def compare(name, config, shape, *, data_format=LAST, policy="float32", bound=1e-5, reference=None):
    """Hold our layer against Keras': result, shape, dtype, gradients. `shape` has its channels last."""
    rng = np.random.default_rng(0)
    storage = {"mixed_float16": np.float16, "mixed_bfloat16": tf.bfloat16.as_numpy_dtype, "float64": np.float64}
    kind = storage.get(policy, np.float32)
    exact = "float64" if policy == "float64" else "float32"

    ours = getattr(fk, name)(**config, data_format=data_format, dtype=policy)
    ours.build(exchanged(np.zeros(shape), data_format).shape)
    ours.set_weights([(rng.standard_normal(w.shape) / 3).astype(kind).astype(exact) for w in ours.get_weights()])
    x = rng.standard_normal(shape).astype(kind).astype(exact)

    if reference is None:
        stock = getattr(keras.layers, name)(**config, data_format=LAST, dtype=exact)
        stock.build(shape)
        stock.set_weights(ours.get_weights())
    else:
        stock = reference(ours)
    expected, upstream, wanted = forward_and_gradients(stock, x)
    got, _, gradients = forward_and_gradients(
        ours, np.ascontiguousarray(exchanged(x, data_format)), exchanged(upstream, data_format)
    )

    assert got.dtype == ours.compute_dtype
    symbolic = ours(keras.Input(batch_shape=(None, *exchanged(x, data_format).shape[1:])))
    assert tuple(symbolic.shape[1:]) == tuple(got.shape[1:])
    close(got, exchanged(expected, data_format), bound, "result")
    wanted[0] = exchanged(wanted[0], data_format)
    for what, one, other in zip(["input", *(w.path for w in ours.trainable_variables)], gradients, wanted, strict=True):
        close(one, other, bound, f"gradient in {what}")
