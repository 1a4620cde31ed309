"""The ops where TensorFlow uses them: graphs, datasets, saved models, other processes, threads, wrong arguments."""

from __future__ import annotations

import concurrent.futures
import doctest
import inspect
import itertools

import numpy as np
import pytest
from support import python

tf = pytest.importorskip("tensorflow")

import ferroconv  # noqa: E402
import ferroconv.tensorflow as ft  # noqa: E402
from ferroconv import _core, nn  # noqa: E402
from ferroconv.tensorflow import _ops  # noqa: E402

X = tf.constant(np.random.default_rng(1).standard_normal((3, 8, 6, 4)), tf.float32)
W = tf.constant(np.random.default_rng(2).standard_normal((3, 3, 4, 5)), tf.float32)
B = tf.constant(np.random.default_rng(3).standard_normal(5), tf.float32)

CALLS = {
    "conv2d": lambda x: ft.conv2d(x, W, B, activation="relu", padding="same", strides=2),
    "conv2d_transpose": lambda x: ft.conv2d_transpose(x, tf.transpose(W, (0, 1, 3, 2)), strides=2, padding="same"),
    "depthwise_conv2d": lambda x: ft.depthwise_conv2d(x, W[..., :2]),
    "separable_conv2d": lambda x: ft.separable_conv2d(x, W[..., :1], W[:1, :1], B),
    "max_pool2d": lambda x: ft.max_pool2d(x),
    "max_pool2d with indices": lambda x: ft.max_pool2d(x, return_indices=True)[0],
    "avg_pool2d": lambda x: ft.avg_pool2d(x, 3, 2, "same"),
    "global_max_pool2d": lambda x: ft.global_max_pool2d(x),
    "global_avg_pool2d": lambda x: ft.global_avg_pool2d(x, keepdims=True),
}


def test_every_function_is_tried():
    assert {name.partition(" ")[0] for name in CALLS} == set(ft.__all__)


def test_what_the_layers_on_arrays_have_and_these_lack():
    """As the README says."""
    ours, arrays = set(ft.__all__), set(nn.__all__)
    assert ours <= arrays
    assert all(name.startswith("adaptive_") or "_grad_" in name for name in arrays - ours)
    lacking = set()
    for name in ours:
        here, there = (set(inspect.signature(getattr(module, name)).parameters) for module in (ft, nn))
        lacking |= there - here
    assert lacking == {"precision", "divisor_override", "out", "workers"}


@pytest.mark.parametrize("name", CALLS)
def test_graphs_compute_what_eager_calls_do(name):
    call = CALLS[name]
    want = call(X).numpy()
    np.testing.assert_array_equal(tf.function(call)(X), want)
    np.testing.assert_array_equal(np.concatenate(list(tf.data.Dataset.from_tensor_slices(X[:, None]).map(call))), want)
    np.testing.assert_array_equal(tf.vectorized_map(lambda x: call(x[None])[0], X), want)
    np.testing.assert_array_equal(tf.map_fn(lambda x: call(x[None])[0], X), want)


@pytest.mark.parametrize("name", CALLS)
def test_gradients_in_graphs_are_those_of_eager_calls(name):
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(CALLS[name](x) ** 2)
        return tape.gradient(loss, x)

    np.testing.assert_allclose(tf.function(gradient)(X), gradient(X), rtol=1e-6, atol=1e-6)


def test_variables_and_arrays_are_taken():
    filters, bias = tf.Variable(W), tf.Variable(B)
    want = ft.conv2d(X, W, B)
    np.testing.assert_array_equal(ft.conv2d(X.numpy(), W.numpy(), B.numpy()), want)
    for wrap in (lambda f: f, lambda f: tf.function(f, autograph=False)):

        def step():
            with tf.GradientTape() as tape:
                y = ft.conv2d(X, filters, bias)
            return y, *tape.gradient(y, [filters, bias])

        y, dfilters, dbias = wrap(step)()
        np.testing.assert_array_equal(y, want)
        assert dfilters.shape == W.shape
        np.testing.assert_array_equal(dbias, np.full(5, 3 * 6 * 4, np.float32))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("known", list(itertools.product((True, False), repeat=3)))
def test_static_shapes(known, data_format):
    """What is known of a result before it is computed: all that follows from what is known of x."""

    def shape(n, h, w, c):
        sizes = [size if is_known else None for size, is_known in zip((n, h, w), known, strict=True)]
        return [*sizes, c] if data_format == "channels_last" else [sizes[0], c, *sizes[1:]]

    found = {}
    layout = {"data_format": data_format}

    @tf.function(input_signature=[tf.TensorSpec(shape(3, 8, 6, 4), tf.float32)])
    def trace(x):
        found["conv2d"] = ft.conv2d(x, W, padding="same", strides=(2, 3), **layout)
        found["transposed"] = ft.conv2d_transpose(x, tf.transpose(W, (0, 1, 3, 2)), strides=2, **layout)
        found["depthwise"] = ft.depthwise_conv2d(x, W[..., :2], **layout)
        found["max"], found["indices"] = ft.max_pool2d(x, 2, return_indices=True, **layout)
        found["avg"] = ft.avg_pool2d(x, 3, 2, ceil_mode=True, **layout)
        found["gradient"] = tf.gradients(found["conv2d"], x)[0]

    trace.get_concrete_function()
    assert found["conv2d"].shape.as_list() == shape(3, 4, 2, 5)
    assert found["transposed"].shape.as_list() == shape(3, 17, 13, 5)
    assert found["depthwise"].shape.as_list() == shape(3, 6, 4, 8)
    assert found["max"].shape.as_list() == found["indices"].shape.as_list() == shape(3, 4, 3, 4)
    assert found["avg"].shape.as_list() == shape(3, 4, 3, 4)
    assert found["gradient"].shape.as_list() == shape(3, 8, 6, 4)


def test_shapes_of_unknown_rank():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def f(x):
        y = ft.conv2d(x, W)
        assert y.shape.as_list() == [None, None, None, 5]
        return ft.max_pool2d(y)

    assert f(X).shape == (3, 3, 2, 5)


def test_a_mirrored_strategy_trains():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        weights = tf.Variable(W)

    @tf.function
    def step(x):
        def replica(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(ft.max_pool2d(ft.conv2d(x, weights)) ** 2)
            (gradient,) = tape.gradient(loss, [weights])
            weights.assign_sub(1e-4 * gradient)
            return loss

        return strategy.run(replica, (x,))

    assert step(X) > step(X) > step(X)


def test_a_saved_model_is_loaded_and_differentiated_in_a_new_process(tmp_path):
    class Model(tf.Module):
        def __init__(self):
            self.w = tf.Variable(W)

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 6, 4], tf.float32)])
        def __call__(self, x):
            return ft.avg_pool2d(ft.conv2d(x, self.w, B, activation="relu"))

        @tf.function(input_signature=[tf.TensorSpec([None, 8, 6, 4], tf.float32)])
        def gradient(self, x):
            return tf.gradients(self(x), x)[0]

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "model"))
    np.savez(tmp_path / "want.npz", x=X, y=model(X), dx=model.gradient(X))
    code = f"""
import numpy as np, tensorflow as tf
try:
    tf.saved_model.load({str(tmp_path / "model")!r})
except Exception as error:
    print("without:", "Ferroconv" in str(error))
import ferroconv.tensorflow
model, want = tf.saved_model.load({str(tmp_path / "model")!r}), np.load({str(tmp_path / "want.npz")!r})
np.testing.assert_array_equal(model(want["x"]), want["y"])
np.testing.assert_allclose(model.gradient(tf.constant(want["x"])), want["dx"], rtol=1e-6)
with tf.GradientTape() as tape:
    x = tf.constant(want["x"])
    tape.watch(x)
    y = model(x)
np.testing.assert_allclose(tape.gradient(y, x), want["dx"], rtol=1e-6)
print(model.signatures, model(want["x"]).shape)
"""
    printed = python(code, TF_CPP_MIN_LOG_LEVEL="3")
    assert "without: True" in printed
    assert "(3, 3, 2, 5)" in printed


def test_imported_twice_reloaded_and_beside_a_copy():
    code = """
import importlib, pathlib, shutil, sys, tempfile
import numpy as np
import tensorflow as tf
import ferroconv.tensorflow as first
importlib.reload(first)
from ferroconv.tensorflow import _gradients, _ops
importlib.reload(_ops)
importlib.reload(_gradients)
folder = pathlib.Path(tempfile.mkdtemp())
shutil.copytree(pathlib.Path(_gradients.__file__).parents[1], folder / "ferroconv")
for name in [n for n in sys.modules if n.partition(".")[0] == "ferroconv"]:
    del sys.modules[name]
sys.path.insert(0, str(folder))
import ferroconv.tensorflow as second
assert second.__file__.startswith(str(folder)), second.__file__
x = tf.ones([1, 4, 4, 1])
for module in (first, second):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = module.max_pool2d(module.conv2d(x, np.ones((2, 2, 1, 1), np.float32)))
    assert tape.gradient(y, x).shape == x.shape
print("alive")
"""
    assert python(code, TF_CPP_MIN_LOG_LEVEL="3").endswith("alive\n")


def test_importing_ferroconv_does_not_import_tensorflow():
    code = (
        "import sys, ferroconv, ferroconv.nn; print('tensorflow' in sys.modules, 'ferroconv.tensorflow' in sys.modules)"
    )
    assert python(code).split() == ["False", "False"]


def test_without_tensorflow_the_error_names_the_extra():
    code = """
import sys
sys.modules["tensorflow"] = None
try:
    import ferroconv.tensorflow
except ImportError as error:
    print(error)
from ferroconv import _core
try:
    _core.register_tensorflow_ops()
except ImportError as error:
    print(error)
"""
    printed = python(code)
    assert "pip install 'ferroconv[tensorflow]'" in printed
    assert "is not loaded; import tensorflow first" in printed


def test_the_functions_made_by_public_means_do_the_same():
    for name, call in (
        ("FerroconvMaxPool2D", lambda op: op(X, (2, 2), (2, 2), (1, 1), "valid", (), False, "channels_last")),
        ("FerroconvConv2D", lambda op: op(X, W, [B], [], (1, 1), (1, 1), "same", (), 1, "channels_last", True, False)),
    ):
        made = _ops._by_graph(_ops.REGISTERED[name])
        np.testing.assert_array_equal(call(made), call(_ops.OPS[name]))
        np.testing.assert_array_equal(tf.function(lambda call=call, made=made: call(made))(), call(_ops.OPS[name]))


def test_the_registry_holds_what_was_described():
    from tensorflow.python.framework import op_def_registry

    for name, op in _ops.REGISTERED.items():
        definition = op_def_registry.get(name)
        assert [f"{a.name}" for a in definition.input_arg] == [spec.partition(":")[0] for spec in op.inputs]
        assert [f"{a.name}" for a in definition.output_arg] == [spec.partition(":")[0] for spec in op.outputs]
        assert {a.name for a in definition.attr} == {"T", *(spec.partition(":")[0] for spec in op.attributes)}
        assert not definition.is_stateful
        defaults = [" = " in spec for spec in op.settings()]
        assert defaults == sorted(defaults), f"{name}: the generator puts attributes with defaults last"
    assert [row[0] for row in _core.register_tensorflow_ops()] == list(_ops.REGISTERED)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_tensors_that_are_not_aligned(dtype):
    """DLPack tensors stand where their array does."""
    raw = np.zeros(X.numpy().size * np.dtype(dtype).itemsize + 64, np.uint8)
    item = np.dtype(dtype).itemsize
    for shift in (item, 3 * item, 64 - raw.ctypes.data % 64):
        array = raw[shift : shift + X.numpy().size * item].view(dtype).reshape(X.shape)
        array[...] = X
        if not hasattr(tf.experimental.dlpack, "from_dlpack"):
            pytest.skip("this TensorFlow has no DLPack")
        x = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
        aligned = tf.constant(array.copy())
        np.testing.assert_array_equal(ft.max_pool2d(x), ft.max_pool2d(aligned))
        w = tf.cast(W, dtype)
        for call in (lambda x, w: ft.conv2d(x, w), lambda x, w: ft.conv2d_transpose(x, tf.transpose(w, (0, 1, 3, 2)))):
            found = []
            for one in (x, aligned):
                with tf.GradientTape() as tape:
                    tape.watch([one, w])
                    y = call(one, w)
                found.append([y, *tape.gradient(y, [one, w])])
            for mine, theirs in zip(*found, strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("shape", [(0, 8, 6, 4), (2, 8, 6, 0), (2, 0, 6, 4), (0, 0, 0, 0)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_tensors_of_no_elements(shape, data_format):
    n, h, w, c = shape
    x = tf.zeros(shape if data_format == "channels_last" else (n, c, h, w))
    filters, bias = tf.ones((3, 3, c, 5)), tf.ones(5)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, filters, bias])
        results = {
            "conv": ft.conv2d(x, filters, bias, padding="same", data_format=data_format, activation="relu"),
            "transposed": ft.conv2d_transpose(x, tf.ones((3, 3, 5, c)), bias, padding="same", data_format=data_format),
            "max": ft.max_pool2d(x, 2, padding="same", data_format=data_format),
            "avg": ft.avg_pool2d(x, 2, padding="same", data_format=data_format),
        }
    assert tf.reduce_all(results["conv"] == 1)
    for name, y in results.items():
        assert y.shape[0] == n, name
        assert tape.gradient(y, x).shape == x.shape, name
    dfilters, dbias = tape.gradient(results["conv"], [filters, bias])
    assert dfilters.shape == filters.shape
    assert tf.reduce_all(dfilters == 0)
    assert tf.reduce_all(dbias == tf.cast(n * h * w, tf.float32))


def test_no_results_and_no_channels():
    assert ft.conv2d(X, tf.ones((3, 3, 4, 0))).shape == (3, 6, 4, 0)
    assert ft.depthwise_conv2d(X, tf.ones((3, 3, 4, 0))).shape == (3, 6, 4, 0)


def test_many_threads_at_once():
    def work(seed):
        x = tf.constant(np.random.default_rng(seed).standard_normal((2, 30, 31, 8)), tf.float32)
        w = tf.constant(np.random.default_rng(seed).standard_normal((3, 3, 8, 8)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = ft.max_pool2d(ft.conv2d(x, w, padding="same"))
        return [a.numpy() for a in (y, *tape.gradient(y, [x, w]))]

    alone = [work(seed) for seed in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for got, want in zip(pool.map(work, range(16)), alone, strict=True):
                for mine, theirs in zip(got, want, strict=True):
                    np.testing.assert_array_equal(mine, theirs)


WRONG = {
    "an axis too few": (lambda x: ft.conv2d(x[0], W), "x must have"),
    "an axis too few to pool": (lambda x: ft.max_pool2d(x[0]), "x must have"),
    "another number of channels": (lambda x: ft.conv2d(x[..., :3], W), "channels"),
    "channels that groups don't divide": (lambda x: ft.conv2d(x, W[:, :, :1], groups=3), "groups|channels"),
    "no group": (lambda x: ft.conv2d(x, W, groups=0), "groups must be at least 1"),
    "filters of three axes": (lambda x: ft.conv2d(x, W[0]), "filters must have"),
    "a bias too long": (lambda x: ft.conv2d(x, W, tf.ones(6)), "bias must"),
    "a stride of nothing": (lambda x: ft.conv2d(x, W, strides=0), "a stride must be at least 1"),
    "a negative stride": (lambda x: ft.avg_pool2d(x, 2, -1), "a stride must be at least 1"),
    "no dilation": (lambda x: ft.conv2d(x, W, dilation_rate=(1, 0)), "a dilation must be at least 1"),
    "a window of nothing": (lambda x: ft.max_pool2d(x, 0), "a window axis must be at least 1"),
    "a window that does not fit": (lambda x: ft.max_pool2d(x, 20), "must fit"),
    "filters that don't fit": (lambda x: ft.conv2d(x, tf.ones((9, 1, 4, 1))), "must fit"),
    "padding beyond half the window": (lambda x: ft.max_pool2d(x, padding=((2, 0), (0, 0))), "half the window"),
    "output_padding of a stride": (
        lambda x: ft.conv2d_transpose(x, tf.transpose(W, (0, 1, 3, 2)), output_padding=1), "output_padding"
    ),
    "transposed filters of other channels": (lambda x: ft.conv2d_transpose(x, W), "filters"),
    "depthwise filters of other channels": (lambda x: ft.depthwise_conv2d(x, W[:, :, :2]), "filters"),
    "integers": (lambda x: ft.max_pool2d(tf.cast(x, tf.int32)), "int32"),
    "filters of another dtype": (lambda x: ft.conv2d(x, tf.cast(W, tf.float64)), "dtype|double|float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused(name):
    call, message = WRONG[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(X)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        tf.function(call, autograph=False)(X)
    unknown = tf.function(call, autograph=False, input_signature=[tf.TensorSpec(None, tf.float32)])
    if "axis" not in name:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            unknown(X)
    assert ft.max_pool2d(X).shape == (3, 4, 3, 4)


@pytest.mark.parametrize("name", ft.__all__)
def test_every_docstring_is_filled_in_and_runs(name):
    function = getattr(ft, name)
    assert "%(" not in function.__doc__
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(recurse=False).find(function, name, globs={}):
        runner.run(test)
        assert test.examples
    assert runner.summarize(verbose=False).failed == 0


def test_words_that_are_none():
    for call in (
        lambda: ft.conv2d(X, W, padding="full"),
        lambda: ft.conv2d(X, W, padding=(1, 1)),
        lambda: ft.max_pool2d(X, data_format="NHWC"),
        lambda: ft.conv2d(X, W, activation="tanh"),
        lambda: ft.max_pool2d(X, (1, 2, 3)),
    ):
        with pytest.raises(ValueError, match="Received"):
            call()


def test_large_results_are_their_own():
    """Those of a MiB and more are made in memory that is kept for the next one: never one that is still held."""
    images = tf.reshape(tf.range(1 << 18, dtype=tf.float32), (1, 512, 512, 1))
    held = {shift: ft.max_pool2d(images + float(shift), 1) for shift in range(4)}
    # What these give back is made into the next ones.
    del held[0], held[2]
    held |= {shift: ft.max_pool2d(images + float(shift), 1) for shift in range(4, 8)}
    for shift, result in held.items():
        np.testing.assert_array_equal(result, images + float(shift))


def test_memory_of_large_results_is_kept_and_given_back():
    ferroconv.clear_cache()
    images = tf.ones((1, 512, 512, 2))
    graph = tf.function(lambda x: tf.reduce_sum(ft.max_pool2d(x, 1)))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert {float(total) for total in pool.map(lambda _: graph(images), range(8))} == {2.0**19}
    assert ferroconv.clear_cache() >= 2 << 20
    code = """
import tensorflow as tf, ferroconv, ferroconv.tensorflow as ft
assert float(tf.reduce_sum(ft.max_pool2d(tf.ones((1, 512, 512, 2)), 1))) == 2 ** 19
assert ferroconv.clear_cache() == 0
"""
    python(code, FERROCONV_CACHE="0")


def test_xla_says_that_it_can_not():
    with pytest.raises((tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)):
        tf.function(lambda x: ft.max_pool2d(x), jit_compile=True, autograph=False)(X)
