"""The named networks: their shapes, a training step, and agreement with Keras' own layers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support_keras import close, fk, forward_and_gradients, keras, tf

from ferroconv._cli import digits

# Keras 3.15 reads variables for a file in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

models = fk.models
WEIGHTS = {"lenet": 44_426, "lenet5": 61_706, "alexnet": 60_965_224, "googlenet": 6_998_552}


def ours_only(model):
    stock = [layer.name for layer in model._flatten_layers() if type(layer) in fk.convert.PAIRS]
    assert not stock
    return model


def test_lenet5_is_in_its_classical_order():
    model = ours_only(models.lenet5())
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}
    assert list(shapes) == ["C1", "S2", "C3", "S4", "C5", "flatten", "F6", "output"]
    assert [shapes[name] for name in ("C1", "S2", "C3", "S4", "C5", "F6", "output")] == [
        (28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (1, 1, 120), (84,), (10,),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["lenet", "lenet5"])
def test_the_same_seed_gives_the_same_weights(name):
    made = []
    for stock in (False, True):
        keras.utils.set_random_seed(3)
        made.append(getattr(models, name)(stock=stock))
    assert made[0].count_params() == WEIGHTS[name]
    for one, other in zip(made[0].get_weights(), made[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not any(isinstance(layer, fk.layers.Native) for layer in made[1].layers)


@pytest.mark.parametrize("name", ["lenet", "lenet5"])
def test_the_losses_of_the_first_fifty_steps_are_stock_keras(name):
    rng = np.random.default_rng(0)
    side = 32 if name == "lenet5" else 28
    labels = rng.integers(0, 10, 16 * 50)
    patterns = rng.random((10, side, side, 1), np.float32)
    images = 0.6 * patterns[labels] + 0.4 * rng.random((len(labels), side, side, 1), np.float32)
    curves = []
    for stock in (False, True):
        keras.utils.set_random_seed(0)
        model = getattr(models, name)(stock=stock)
        model.compile("adam", "sparse_categorical_crossentropy")
        losses = []
        for step in range(50):
            part = slice(16 * step, 16 * step + 16)
            losses.append(float(model.train_on_batch(images[part], labels[part])))
            model.reset_metrics()
        curves.append(losses)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    assert min(curves[0][-5:]) < 0.96 * curves[0][0], "it does not learn"


@pytest.fixture
def double():
    """Models in float64: in float32 a rounding error turns the maximum of some window, and its gradient elsewhere."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy(before[0])
    keras.config.set_floatx(before[1])


@pytest.mark.parametrize("seed", [0, 1, 4, 6])
def test_the_losses_on_the_digits_are_stock_keras_to_the_roundings(seed, double):
    # In float32 these curves part by up to 1e-2 where the two greatest samples of a window differ in their last
    # bit, as stock Keras' own do when its number of threads changes.
    data = digits.load("digits")
    order = np.random.default_rng(seed)
    order = np.concatenate([order.permutation(len(data.x_train)) for _ in range(5)])
    curves = []
    for stock in (False, True):
        keras.utils.set_random_seed(seed)
        model = models.lenet(stock=stock)
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        losses = []
        for step in range(50):
            part = order[128 * step :][:128]
            losses.append(float(model.train_on_batch(data.x_train[part].astype(float), data.y_train[part])))
            model.reset_metrics()
        curves.append(losses)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-7)
    assert min(curves[0][-5:]) < 0.5 * curves[0][0], "it does not learn"


def agree(model, stock):
    """Outputs and gradients of both, element by element."""
    x = np.random.default_rng(0).random((2, *model.input_shape[1:]))
    got, upstream, gradients = forward_and_gradients(model, x)
    expected, _, wanted = forward_and_gradients(stock, x, upstream)
    assert got.dtype == tf.float64
    close(got, expected, 1e-12, "output")
    for variable, one, other in zip([x, *model.trainable_variables], gradients, wanted, strict=True):
        close(one, other, 1e-10, getattr(variable, "path", "input"))


NETWORKS = [
    pytest.param("alexnet", {"input_shape": (67, 67, 3), "classes": 7}, id="alexnet"),
    pytest.param("googlenet", {"input_shape": (64, 64, 3), "classes": 7}, id="googlenet"),
    pytest.param("alexnet", {}, id="alexnet as published", marks=pytest.mark.slow),
    pytest.param("googlenet", {}, id="googlenet as published", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name, options", NETWORKS)
def test_our_networks_agree_with_stock(name, options, double):
    model, stock = (getattr(models, name)(**options, stock=stock) for stock in (False, True))
    ours_only(model)
    stock.set_weights(model.get_weights())
    agree(model, stock)


@pytest.mark.parametrize("name, options", NETWORKS)
def test_our_networks_take_a_training_step(name, options):
    keras.utils.set_random_seed(0)
    model = getattr(models, name)(**options)
    if not options:
        assert model.count_params() == WEIGHTS[name]
    before = [np.array(one) for one in model.get_weights()]
    model.compile(keras.optimizers.SGD(1e-2), "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
    assert np.isfinite(model.train_on_batch(x, np.array([1, model.output_shape[-1] - 1])))
    assert int(model.optimizer.iterations) == 1
    for one, other, variable in zip(model.get_weights(), before, model.weights, strict=True):
        assert np.isfinite(one).all()
        assert (one != other).any(), f"{variable.path} did not move"


@pytest.mark.parametrize(
    "make, side",
    [
        pytest.param(keras.applications.MobileNet, 32, id="MobileNet"),
        pytest.param(keras.applications.VGG16, 32, id="VGG16", marks=pytest.mark.slow),
        pytest.param(keras.applications.ResNet50, 32, id="ResNet50", marks=pytest.mark.slow),
        pytest.param(keras.applications.VGG16, 224, id="VGG16 at 224", marks=pytest.mark.slow),
        pytest.param(keras.applications.ResNet50, 224, id="ResNet50 at 224", marks=pytest.mark.slow),
    ],
)
def test_keras_applications_agree(make, side, double):
    keras.utils.set_random_seed(0)
    stock = make(weights=None, input_shape=(side, side, 3), classes=10)
    model, report = fk.accelerate(stock, report=True)
    assert not report.kept
    ours_only(model)
    agree(model, stock)


LOAD = """
import sys
import numpy as np
{imports}
import keras
model = keras.models.load_model(sys.argv[1])
x, y = np.load(sys.argv[2]).values()
np.testing.assert_allclose(model.predict(x, verbose=0), y, atol=1e-6)
model.fit(x, np.zeros(len(x)), verbose=0)
"""


def fresh(imports, *arguments):
    program = LOAD.format(imports=imports)
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def saved(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            fk.Conv2D(4, 3, activation="relu", groups=1),
            fk.DepthwiseConv2D(3, strides=1),
            fk.LocalResponseNormalization(),
            fk.MaxPooling2D(),
            fk.SeparableConv2D(4, 2),
            fk.Conv2DTranspose(4, 3, strides=2),
            fk.AveragePooling2D(2),
            keras.layers.Activation("tanh"),
            fk.GlobalAveragePooling2D(keepdims=True),
            fk.GlobalMaxPooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((4, 12, 12, 3), np.float32)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, y=model.predict(x, verbose=0))
    return tmp_path / "model.keras", tmp_path / "data.npz"


def test_a_file_loads_in_a_fresh_process_after_one_import(tmp_path):
    paths = saved(tmp_path)
    done = fresh("import ferroconv.keras", *paths)
    assert done.returncode == 0, done.stderr
    done = fresh("", *paths)
    assert done.returncode != 0
    assert "ferroconv.keras>Conv2D" in done.stderr, "the error does not name what to import"


def test_weights_are_interchangeable_with_stock(tmp_path):
    ours, stock = models.lenet(), models.lenet(stock=True)
    stock.save_weights(tmp_path / "lenet.weights.h5")
    ours.load_weights(tmp_path / "lenet.weights.h5")
    x = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    np.testing.assert_allclose(ours.predict(x, verbose=0), stock.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    "code, words",
    [
        (
            "import sys, types, importlib.machinery as m\n"
            "fake = sys.modules['keras'] = types.ModuleType('keras')\n"
            "fake.backend = types.SimpleNamespace(backend=lambda: 'jax')\n",
            "KERAS_BACKEND=tensorflow",
        ),
        ("import sys; sys.modules['tensorflow'] = None\n", 'pip install "ferroconv[tensorflow]"'),
    ],
)
def test_what_is_missing_is_named(code, words):
    done = subprocess.run(
        [sys.executable, "-c", code + "import ferroconv.keras"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert words in done.stderr


def test_our_modules_do_not_shadow_the_real_ones():
    assert keras.__file__ != fk.__file__
    assert hasattr(tf, "nn")
