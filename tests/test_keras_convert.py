"""accelerate and to_stock: what is replaced, what is copied, and that the original stays as it was."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from support_keras import fk, keras, tf

L = keras.layers
IMAGES = np.random.default_rng(0).random((24, 12, 12, 3), np.float32)
LABELS = np.arange(24) % 4


def sequential():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            L.Conv2D(6, 3, activation="relu", name="first"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.SeparableConv2D(8, 3, padding="same", activation="gelu"),
            L.Dropout(0.2, seed=5),
            L.AveragePooling2D(2, padding="same"),
            L.GlobalAveragePooling2D(),
            L.Dense(4, activation="softmax"),
        ],
        name="straight",
    )


def functional():
    """A layer that is used twice, a model within the model, two inputs of one shape, and a join."""
    inner_input = keras.Input((12, 12, 6))
    inner = keras.Model(inner_input, L.DepthwiseConv2D(3, name="deep")(L.Conv2D(6, 1)(inner_input)), name="inner")
    left, right = keras.Input((12, 12, 3), name="left"), keras.Input((12, 12, 3), name="right")
    shared = L.Conv2D(6, 3, padding="same", activation="relu", name="shared")
    x = L.Add()([inner(shared(left)), inner(shared(right))])
    x = L.GlobalMaxPooling2D()(L.Conv2DTranspose(6, 3, strides=2)(x))
    return keras.Model([left, right], L.Dense(4, activation="softmax")(x), name="joined")


def subclassed_layer():
    class Block(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.conv = L.Conv2D(3, 1, name="inside")

        def call(self, x):
            return self.conv(x)

    return Block


def trained(model, optimizer="adam"):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(inputs(model), LABELS, batch_size=8, shuffle=False, verbose=0)
    return model


def inputs(model):
    return [IMAGES, IMAGES[:, ::-1]] if len(model.inputs) == 2 else IMAGES


def kinds(model):
    return [type(layer) for layer in model._flatten_layers()]


@pytest.mark.parametrize("make, optimizer", [(sequential, "adam"), (functional, "rmsprop")])
def test_a_trained_model_goes_on_as_if_nothing_happened(make, optimizer):
    model = trained(make(), optimizer=optimizer)
    weights = [np.array(one) for one in model.get_weights()]
    before = kinds(model)
    fast = fk.accelerate(model)

    assert kinds(model) == before
    assert not {id(one) for one in model.variables} & {id(one) for one in fast.variables}
    assert fast.name == model.name
    assert fast.loss == model.loss
    assert int(fast.optimizer.iterations) == 3
    for one, other in zip(fast.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(
        fast.predict(inputs(model), verbose=0), model.predict(inputs(model), verbose=0), atol=2e-6
    )

    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
    ours = fast.fit(inputs(model), LABELS, **options).history["loss"]
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg="training the copy changed the original")
    theirs = model.fit(inputs(model), LABELS, **options).history["loss"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("make", [sequential, functional])
def test_there_and_back(make):
    model = make()
    fast, there = fk.accelerate(model, report=True)
    back, home = fk.to_stock(fast, report=True)
    assert kinds(back) == kinds(model)
    assert {entry.name for entry in there.replaced} == {entry.name for entry in home.replaced}
    assert not there.kept
    assert not home.kept
    assert not any(type(layer).__module__.startswith("ferroconv") for layer in back._flatten_layers())
    for one, other in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_everything_that_has_a_counterpart_is_replaced():
    _, report = fk.accelerate(sequential(), report=True)
    assert [entry.kind for entry in report.replaced] == [
        "Conv2D", "MaxPooling2D", "SeparableConv2D", "AveragePooling2D", "GlobalAveragePooling2D",
    ]  # fmt: skip
    assert report.others == 3
    fast, report = fk.accelerate(functional(), report=True)
    assert sorted(e.kind for e in report.replaced) == [
        "Conv2D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "GlobalMaxPooling2D",
    ]  # fmt: skip
    assert sum(isinstance(layer, fk.Conv2D) for layer in fast._flatten_layers()) == 2, "a shared layer was doubled"
    assert type(fast.get_layer("inner").get_layer("deep")) is fk.DepthwiseConv2D


def test_a_report_says_what_stays_and_why():
    class Own(L.Conv2D):
        pass

    block = subclassed_layer()
    model = keras.Sequential(
        [keras.Input((12, 12, 3)), Own(3, 3, name="own"), block(name="block"), fk.Conv2D(3, 3, name="ours"), L.Reshape((64, 3)),
         L.Conv1D(3, 3, name="line"), L.Flatten()]
    )  # fmt: skip
    fast, report = fk.accelerate(model, report=True)
    assert not report.replaced
    reasons = {entry.name: entry.reason for entry in report.kept}
    assert "subclass" in reasons["own"]
    assert "code of Block" in reasons["block/inside"]
    assert "already" in reasons["ours"]
    assert "no layer" in reasons["line"]
    text = str(report)
    assert all(name in text for name in reasons)
    np.testing.assert_allclose(fast.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6)

    _, report = fk.to_stock(keras.Sequential([keras.Input((9, 9, 4)), fk.LocalResponseNormalization(name="lrn"),
                                              fk.Conv2D(2, 3, strides=2, dilation_rate=2, name="both")]), report=True)  # fmt: skip
    reasons = {entry.name: entry.reason for entry in report.kept}
    assert "import ferroconv.keras" in reasons["lrn"]
    assert "both" in reasons or [entry.name for entry in report.replaced] == ["both"]  # newer Keras takes it


def test_layers_inside_wrappers_are_replaced():
    model = keras.Sequential(
        [keras.Input((2, 12, 12, 3)), L.TimeDistributed(L.Conv2D(2, 3, name="wrapped")), L.Flatten(), L.Dense(2)]
    )
    fast, report = fk.accelerate(model, report=True)
    assert [entry.name for entry in report.replaced] == ["wrapped"]
    assert type(fast.layers[0].layer) is fk.Conv2D
    x = np.random.default_rng(0).random((2, 2, 12, 12, 3), np.float32)
    np.testing.assert_allclose(fast.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    back, report = fk.to_stock(fast, report=True)
    assert type(back.layers[0].layer) is L.Conv2D
    assert len(report.replaced) == 1


def test_frozen_stays_frozen():
    model = functional()
    model.get_layer("inner").trainable = False
    model.get_layer("inner").get_layer("deep").trainable = True
    fast = fk.accelerate(model)
    flags = [
        [(layer.name, layer.trainable) for layer in one._flatten_layers() if not isinstance(layer, L.InputLayer)]
        for one in (model, fast)
    ]
    assert flags[0] == flags[1]
    assert [one.shape for one in fast.trainable_variables] == [one.shape for one in model.trainable_variables]


def test_a_model_that_is_not_built_yet():
    model = keras.Sequential([L.Conv2D(2, 3, name="c"), L.Flatten()])
    fast, report = fk.accelerate(model, report=True)
    assert len(report.replaced) == 1
    assert fast(IMAGES).shape == model(IMAGES).shape
    fast = fk.accelerate(model)  # which the call has built
    np.testing.assert_allclose(fast(IMAGES), model(IMAGES), atol=1e-6)


def test_mixed_precision_with_its_loss_scale():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = trained(sequential())
        fast = fk.accelerate(model)
    finally:
        keras.config.set_dtype_policy(policy)
    assert fast.layers[0].compute_dtype == "float16"
    assert len(fast.optimizer.variables) == len(model.optimizer.variables)
    for one, other in zip(fast.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(fast.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=4e-3)


def test_a_loss_and_a_metric_of_ones_own():
    def gentle(truth, answer):
        return keras.losses.sparse_categorical_crossentropy(truth, answer) / 2

    def sharpness(truth, answer):
        return tf.reduce_max(answer, axis=-1)

    model = sequential()
    model.compile(keras.optimizers.SGD(0.1), gentle, metrics=[sharpness])
    model.fit(IMAGES, LABELS, verbose=0)
    fast = fk.accelerate(model)
    assert fast.evaluate(IMAGES, LABELS, verbose=0) == pytest.approx(
        model.evaluate(IMAGES, LABELS, verbose=0), rel=1e-4
    )


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_a_lambda_is_refused_with_the_mend():
    model = sequential()
    model.compile("sgd", lambda truth, answer: tf.reduce_sum(answer))
    with pytest.raises(ValueError, match="functions with names"):
        fk.accelerate(model)


def test_the_public_names_and_their_examples():
    assert list(fk.__all__) == sorted(fk.__all__)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name in fk.__all__:
        value = getattr(fk, name)
        assert value.__doc__, name
        for test in finder.find(value, name, globs={}):
            runner.run(test)
    assert runner.summarize(verbose=False).attempted > 0
    assert runner.summarize(verbose=False).failed == 0


def test_a_subclassed_model_is_refused_with_the_mend():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = L.Conv2D(2, 3)

        def call(self, x):
            return self.conv(x)

    with pytest.raises(TypeError, match=r"Sequential or functional.*Received: Mine"):
        fk.accelerate(Mine())


def test_an_optimizer_of_other_weights_is_refused():
    model = sequential()
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match="compile the model again"):
        fk.accelerate(model)
