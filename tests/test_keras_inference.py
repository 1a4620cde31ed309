"""accelerate(inference=True): what is folded into a convolution, what is not, and that results stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from support_keras import LAST, close, exchanged, fk, keras, tf

L = keras.layers
IMAGES = np.random.default_rng(0).standard_normal((3, 9, 11, 4)).astype(np.float32)


def as_trained(model):
    """Weights and statistics that are none of those that layers begin with."""
    random = np.random.default_rng(1)
    for one in model.variables:
        low = 0.5 if "variance" in one.name or "gamma" in one.name else -1
        one.assign(random.uniform(low, 1.5, one.shape))
    return model


def straight(*layers, shape=IMAGES.shape[1:], **options):
    return as_trained(keras.Sequential([keras.Input(shape, **options), *layers]))


def fused(model):
    """The copy for inference, and the names of what is part of a convolution in it."""
    copy, report = fk.accelerate(model, inference=True, report=True)
    return copy, [one.name for one in report.fused]


CONVOLUTIONS = {
    "conv": lambda **options: L.Conv2D(6, 3, **options),
    "grouped": lambda **options: L.Conv2D(6, 3, groups=2, **options),
    "depthwise": lambda **options: L.DepthwiseConv2D(3, depth_multiplier=2, **options),
    "separable": lambda **options: L.SeparableConv2D(6, 3, depth_multiplier=2, **options),
    "transposed": lambda **options: L.Conv2DTranspose(6, 3, strides=2, **options),
}


@pytest.mark.parametrize("data_format", [LAST, "channels_first"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("relu", [lambda: L.ReLU(), lambda: L.Activation("relu"), None])
@pytest.mark.parametrize("make", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_normalisation_and_a_relu_become_part_of_the_convolution(make, relu, bias, data_format):
    axis = 3 if data_format == LAST else 1
    model = straight(
        make(use_bias=bias, data_format=data_format),
        L.BatchNormalization(axis=axis, epsilon=0.01),
        *([relu()] if relu else []),
        shape=exchanged(IMAGES, data_format).shape[1:],
    )
    copy, names = fused(model)
    assert names == [one.name for one in model.layers[1:]]
    assert [type(one) for one in copy.layers[1:]] == [L.Identity] * len(names)
    images = exchanged(IMAGES, data_format)
    # Keras' own layers, in the layout that they have on a CPU, or ours of which other tests say that they are right.
    right = (model if data_format == LAST else fk.accelerate(model)).predict_on_batch(images)
    close(copy.predict_on_batch(images), right, 2e-6)
    assert np.ptp(right) > 1


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"scale": False, "center": False}])
def test_a_normalisation_without_all_its_weights(options):
    model = straight(L.Conv2D(6, 3), L.BatchNormalization(**options))
    copy, names = fused(model)
    assert len(names) == 1
    close(copy.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), 2e-6)


@pytest.mark.parametrize(
    "layers, count",
    {
        "a relu alone": ([L.Conv2D(6, 3, use_bias=False), L.ReLU()], 1),
        "a relu first": ([L.Conv2D(6, 3), L.ReLU(), L.BatchNormalization()], 1),
        "two normalisations": ([L.Conv2D(6, 3), L.BatchNormalization(), L.BatchNormalization(), L.ReLU()], 1),
        "an activation": ([L.Conv2D(6, 3, activation="relu"), L.BatchNormalization(), L.ReLU()], 0),
        "pixels": ([L.Conv2D(6, 3), L.BatchNormalization(axis=1), L.ReLU()], 0),
        "other relus": ([L.Conv2D(6, 3), L.ReLU(max_value=1), L.ReLU(negative_slope=0.1), L.ReLU(threshold=0.1)], 0),
        "other functions": ([L.Conv2D(6, 3), L.Activation("tanh")], 0),
        "no convolution": ([L.MaxPooling2D(), L.BatchNormalization(), L.ReLU()], 0),
    }.values(),
)
def test_only_what_is_the_same_is_folded(layers, count):
    model = straight(*(type(one).from_config(one.get_config()) for one in layers))
    copy, names = fused(model)
    assert len(names) == count
    close(copy.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), 2e-6)


def test_results_that_others_read_are_kept():
    x = keras.Input(IMAGES.shape[1:])
    read_twice = L.Conv2D(4, 3, padding="same", name="read_twice")(x)
    output = L.Conv2D(4, 1, name="output")(L.Add()([L.BatchNormalization()(read_twice), read_twice]))
    by_the_batch = L.BatchNormalization(name="by_the_batch")(L.Conv2D(4, 1)(L.ReLU()(output)), training=True)
    again = L.Conv2D(4, 1, name="again")
    y = L.ReLU(name="folded")(again(L.BatchNormalization()(again(L.ReLU()(by_the_batch)))))
    y = L.ReLU(name="behind")(L.Conv2D(4, 1, name="alone")(y))
    model = as_trained(keras.Model(x, [output, y]))
    copy, names = fused(model)
    assert names == ["behind"]
    for ours, right in zip(copy.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), strict=True):
        close(ours, right, 5e-6)


def residual(block, *, shape=(9, 11, 4), **options):
    x = keras.Input(shape, **options)
    return as_trained(keras.Model(x, block(L.Conv2D(4, 3, padding="same", activation="relu", name="before")(x))))


SHORTCUTS = {
    "identity": lambda x: L.ReLU(name="relu")(
        L.Add(name="sum")([x, L.BatchNormalization(name="norm")(L.Conv2D(4, 3, padding="same")(x))])
    ),
    "first": lambda x: L.Add(name="sum")([L.BatchNormalization(name="norm")(L.Conv2D(4, 1)(x)), x]),
    "projection": lambda x: L.ReLU(name="relu")(
        L.Add(name="sum")(
            [
                L.BatchNormalization(name="norm")(L.Conv2D(6, 1, strides=2, use_bias=False)(x)),
                L.BatchNormalization(name="norm2")(L.Conv2D(6, 3, strides=2, padding="same", groups=2)(x)),
            ]
        )
    ),
    "chain": lambda x: L.Conv2D(3, 1, name="behind")(
        L.ReLU(name="relu2")(
            L.Add(name="sum2")([L.Conv2D(4, 3, padding="same")(x), L.Add(name="sum")([x, L.Conv2D(4, 1)(x)])])
        )
    ),
    "tanh": lambda x: L.Activation("tanh")(L.Add(name="sum")([x, L.Conv2D(4, 1)(x)])),
}


FUSED = {
    "identity": "norm relu sum",
    "first": "norm sum",
    "projection": "norm norm2 relu sum",
    "chain": "relu2 sum sum2",
    "tanh": "sum",
}


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of Keras
@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_shortcut_is_added_by_the_convolution(name, tmp_path):
    model = residual(SHORTCUTS[name])
    copy, found = fused(model)
    assert sorted(found) == FUSED[name].split()
    assert {one.name for one in copy.layers[1:]} == {one.name for one in model.layers[1:]}
    right = model.predict_on_batch(IMAGES)
    close(copy.predict_on_batch(IMAGES), right, 2e-6)
    close(copy(IMAGES), right, 2e-6)
    copy.save(tmp_path / "copy.keras")
    loaded = keras.models.load_model(tmp_path / "copy.keras")
    close(loaded.predict_on_batch(IMAGES), right, 2e-6)
    close(fused(loaded)[0].predict_on_batch(IMAGES), right, 2e-6)


@pytest.mark.parametrize(
    "block, options",
    {
        "twice the same": (lambda x: (lambda y: L.Add()([y, y]))(L.Conv2D(4, 1)(x)), {}),
        "three": (lambda x: L.Add()([x, x, L.Conv2D(4, 1)(x)]), {}),
        "spread over": (lambda x: L.Add()([L.Conv2D(4, 1)(x), L.Conv2D(4, (9, 11))(x)]), {}),
        "perhaps": (lambda x: L.Add()([x, L.Conv2D(4, 1)(x)]), {"shape": (None, None, 4)}),
        "read before": (lambda x: (lambda y: L.Multiply()([y, L.Add()([x, y])]))(L.Conv2D(4, 1)(x)), {}),
        "depthwise": (lambda x: L.Add()([x, L.DepthwiseConv2D(3, padding="same")(x)]), {}),
        "other dtype": (lambda x: L.Add(dtype="float64")([x, L.Conv2D(4, 1)(x)]), {}),
        "a penalty": (lambda x: L.Add(activity_regularizer="l2")([x, L.Conv2D(4, 1)(x)]), {}),
    }.values(),
)
def test_other_sums_stay(block, options):
    model = residual(block, **options)
    copy, found = fused(model)
    assert not found
    close(copy.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), 2e-6)


def test_a_sum_is_no_part_of_the_normalisation_behind_it():
    """What a convolution adds is not scaled with its filters when a copy is converted once more."""
    copy, _ = fused(residual(SHORTCUTS["first"]))
    model = as_trained(keras.Model(copy.input, L.BatchNormalization()(copy.output)))
    again, found = fused(model)
    assert not found
    close(again.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), 2e-6)


def test_a_convolution_with_an_addend_has_no_counterpart_in_keras():
    copy, _ = fused(residual(SHORTCUTS["identity"]))
    _, report = fk.to_stock(copy, report=True)
    assert ["addend" in one.reason for one in report.kept] == [True]


def test_inputs_of_their_own_are_not_taken_for_arrays_of_one_shape():
    x, whole = keras.Input((9, 11, 4)), keras.Input((9, 11, 4), dtype="int32")
    model = as_trained(keras.Model([x, whole], L.Add()([whole, L.Conv2D(4, 1)(x)])))
    copy, found = fused(model)
    assert not found
    integers = np.arange(9 * 11 * 4, dtype=np.int32).reshape(1, 9, 11, 4)
    for second in (np.repeat(integers, 3, 0), integers):  # Keras spreads one picture over three
        inputs = [IMAGES, second]
        close(copy(inputs), model(inputs), 2e-6)


def test_layers_within_wrappers_on_the_way_back():
    layers = [fk.Conv2D(4, 1, keep_filters=True), L.TimeDistributed(fk.Conv2D(3, 1, keep_filters=True))]
    model = keras.Sequential([keras.Input((2, 5, 6, 4)), layers[1]])
    frames = np.random.default_rng(3).random((2, 2, 5, 6, 4), np.float32)
    close(fk.to_stock(model).predict_on_batch(frames), model.predict_on_batch(frames), 2e-6)
    x = keras.Input((5, 6, 4))
    _, report = fk.to_stock(keras.Model(x, layers[0](x, x)), report=True)
    assert ["addend" in one.reason for one in report.kept] == [True]


def test_weights_that_change_are_packed_anew():
    copy, _ = fused(straight(L.Conv2D(40, 3, use_bias=False), L.ReLU(), L.Conv2D(30, 1), L.Conv2D(30, 3, groups=2)))
    assert all(one.keep_filters for one in copy.layers if hasattr(one, "kernel"))
    right = copy.predict_on_batch(IMAGES)
    np.testing.assert_array_equal(copy.predict_on_batch(IMAGES), right)
    first = copy.layers[0].kernel
    for change in (lambda: first.assign(2 * first), lambda: first.value.assign_add(first.value)):
        change()
        doubled = copy.predict_on_batch(IMAGES)
        assert not np.array_equal(doubled, right)
        np.testing.assert_array_equal(doubled, copy(IMAGES))
        np.testing.assert_array_equal(copy.predict_on_batch(IMAGES[:2]), doubled[:2])
        right = doubled
    first.value.scatter_nd_update([[0, 0, 0, 0]], [7.0])
    changed = copy.predict_on_batch(IMAGES)
    assert not np.array_equal(changed, right)
    np.testing.assert_array_equal(changed, copy(IMAGES))


def test_models_in_models():
    shared = L.Conv2D(4, 3, padding="same", name="shared")

    def inner(name, *behind):
        x = keras.Input(IMAGES.shape[1:])
        y = L.ReLU(name=f"{name}_relu")(L.BatchNormalization(name=f"{name}_norm")(L.Conv2D(4, 3, padding="same")(x)))
        for layer in (shared, *behind):
            y = layer(y)
        return keras.Model(x, y, name=name)

    x = keras.Input(IMAGES.shape[1:])
    twice, other = inner("twice", L.BatchNormalization(name="of_shared")), inner("other")
    chain = keras.Sequential([keras.Input(IMAGES.shape[1:]), L.Conv2D(4, 1), L.ReLU(name="chain_relu")])
    model = as_trained(keras.Model(x, L.BatchNormalization(name="outside")(chain(other(twice(twice(x)))))))
    copy, names = fused(model)
    assert sorted(names) == ["chain_relu", "other_norm", "other_relu", "twice_norm", "twice_relu"]
    close(copy.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), 5e-6)


def test_functional_models_in_sequential_ones():
    def block(name):
        x = keras.Input((5, 5, 4))
        y = L.BatchNormalization(name=f"{name}_norm")(L.Conv2D(4, 3, padding="same")(x))
        return keras.Model(x, L.ReLU(name=f"{name}_relu")(y), name=name)

    shared = block("shared")
    inner = keras.Sequential([keras.Input((5, 5, 4)), shared, block("other")])
    x = keras.Input((5, 5, 4))
    joined = keras.Model(x, L.Add()([inner(x), shared(inputs=L.Identity()(inputs=x))]))
    for model in (keras.Sequential([keras.Input((5, 5, 4)), joined, L.Flatten(), L.Dense(3)]), joined):
        copy, names = fused(as_trained(model))
        assert sorted(names) == ["other_norm", "other_relu", "shared_norm", "shared_relu"]
        images = IMAGES[:, :5, :5]
        close(copy.predict_on_batch(images), model.predict_on_batch(images), 5e-6)
        assert len(copy.variables) < len(model.variables)
        close(fk.accelerate(model).predict_on_batch(images), model.predict_on_batch(images), 5e-6)


def test_batches_that_are_always_normalised_by_themselves():
    x = keras.Input(IMAGES.shape[1:])
    y = L.BatchNormalization(name="inside")(L.Conv2D(4, 3, padding="same")(x))
    inner = keras.Model(x, L.ReLU()(y))
    x = keras.Input(IMAGES.shape[1:])
    y = L.BatchNormalization(name="outside")(L.Conv2D(4, 3)(inner(x, training=True)), training=True)
    model = as_trained(keras.Model(x, y))
    copy, names = fused(model)
    assert not names
    assert not copy.trainable_variables
    close(copy(IMAGES), model(IMAGES), 5e-6)


def test_penalties_on_results_stay():
    layers = L.Conv2D(6, 3, activity_regularizer="l2"), L.BatchNormalization(activity_regularizer="l1"), L.ReLU()
    assert fused(straight(*layers))[1] == []
    assert fused(straight(L.Conv2D(6, 3), *layers[1:]))[1] == []


def test_a_copy_is_frozen_and_can_be_evaluated():
    fusable = L.Conv2D(6, 3, kernel_regularizer="l2")
    model = straight(fusable, L.BatchNormalization(), L.ReLU(), L.GlobalAveragePooling2D(), L.Dense(3))
    model.compile("adam", "mse", metrics=["mae"])
    answers = np.zeros((3, 3), np.float32)
    model.fit(IMAGES, answers, verbose=0)
    before = model.get_weights()
    copy, _ = fused(model)
    assert not copy.trainable_variables
    right = model.evaluate(IMAGES, answers, verbose=0)
    right[0] -= float(sum(model.losses))
    close(copy.evaluate(IMAGES, answers, verbose=0), right, 1e-5)
    assert model.trainable_variables and all(
        np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)
    )


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of Keras
def test_files_and_the_way_back(tmp_path):
    model = straight(L.Conv2D(6, 3), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D())
    right = model.predict_on_batch(IMAGES)
    copy, _ = fused(fk.accelerate(model))  # of ferroconv's own layers
    copy.save(tmp_path / "copy.keras")
    close(keras.models.load_model(tmp_path / "copy.keras").predict_on_batch(IMAGES), right, 2e-6)
    stock = fk.to_stock(copy)
    assert type(stock.layers[0]) is L.Conv2D
    close(stock.predict_on_batch(IMAGES), right, 2e-6)


@pytest.mark.parametrize("policy, bound", [("float64", 1e-14), ("mixed_bfloat16", 0.03)])
def test_other_dtypes(policy, bound):
    layers = (L.Conv2D(6, 3, dtype=policy), L.BatchNormalization(dtype=policy), L.ReLU(dtype=policy))
    model = straight(*layers, dtype="float64" if policy == "float64" else None)
    copy, names = fused(model)
    assert len(names) == 2
    close(copy.predict_on_batch(IMAGES), model.predict_on_batch(IMAGES), bound)


def test_a_model_without_weights_is_refused_with_the_mend():
    model = keras.Sequential([L.Conv2D(6, 3), L.BatchNormalization()], name="unbuilt")
    with pytest.raises(ValueError, match=r"weights.*build 'unbuilt' first"):
        fk.accelerate(model, inference=True)
    with pytest.raises(TypeError, match="Sequential or functional"):
        fk.accelerate(keras.Model(), inference=True)


def test_a_network_of_many_blocks():
    model = as_trained(keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), alpha=0.25, classes=5))
    copy, report = fk.accelerate(model, inference=True, report=True)
    assert len(report.fused) == 27  # of each convolution the normalisation; its relu is cut off at 6
    images = np.random.default_rng(2).random((2, 32, 32, 3), np.float32)
    close(copy.predict_on_batch(images), model.predict_on_batch(images), 1e-5)
    assert tf.reduce_all(tf.math.is_finite(copy(images)))
