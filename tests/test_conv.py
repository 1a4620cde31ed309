"""Convolution layers against their definition in NumPy, which shares nothing with the kernels."""

import inspect
import itertools
import re

import numpy as np
import pytest
from support import paint

from ferroconv import explain, nn

EPS = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}


def taps(x, filters_shape, strides, padding, dilation):
    """For each tap, the samples that it reads: an array of the result's rows and columns, zeros outside."""
    (top, bottom), (left, right) = padding
    kh, kw = filters_shape[:2]
    padded = np.zeros((x.shape[0], x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3]))
    padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    rows = np.arange(0, padded.shape[1] - (kh - 1) * dilation[0], strides[0])
    cols = np.arange(0, padded.shape[2] - (kw - 1) * dilation[1], strides[1])
    for i, j in itertools.product(range(kh), range(kw)):
        yield i, j, padded[:, rows[:, None] + i * dilation[0], cols[None] + j * dilation[1]]


def conv2d(x, filters, strides, padding, dilation, groups):
    inner, outputs = filters.shape[2:]
    each = outputs // groups
    parts = []
    for g in range(groups):
        mine = filters[..., g * each : (g + 1) * each]
        channels = slice(g * inner, (g + 1) * inner)
        total = 0.0
        for i, j, samples in taps(x[..., channels], filters.shape, strides, padding, dilation):
            total = total + samples @ mine[i, j]
        parts.append(total)
    return np.concatenate(parts, axis=-1)


def matrix(shape, filters, **layer):
    """The layer on one image as a matrix, a column for each sample: what its gradient is the transpose of."""
    columns = []
    for index in np.ndindex(*shape):
        unit = np.zeros((1, *shape))
        unit[(0, *index)] = 1
        columns.append(conv2d(unit, filters, **layer).ravel())
    return np.stack(columns, axis=1)


def explicit(padding, sizes, window, strides, dilation):
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding != "same":
        return padding
    pads = []
    for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


# images, channels, results, groups, window, strides, dilation, padding
LAYERS = {
    "lenet C1": ((2, 28, 28), 1, 6, 1, (5, 5), (1, 1), (1, 1), "valid"),
    "lenet C3": ((3, 12, 12), 6, 16, 1, (5, 5), (1, 1), (1, 1), "valid"),
    "same": ((2, 9, 7), 3, 8, 1, (3, 3), (1, 1), (1, 1), "same"),
    "same, even window, strides": ((1, 10, 11), 4, 5, 1, (2, 4), (2, 3), (1, 1), "same"),
    "asymmetric padding": ((1, 6, 8), 2, 9, 1, (3, 2), (1, 2), (1, 1), ((3, 0), (1, 4))),
    "strides and dilation": ((1, 13, 12), 3, 4, 1, (3, 3), (2, 2), (2, 3), "same"),
    "dilation": ((1, 11, 11), 2, 17, 1, (3, 3), (1, 1), (3, 2), "valid"),
    "pointwise": ((2, 5, 6), 19, 33, 1, (1, 1), (1, 1), (1, 1), "valid"),
    "pointwise, strides beyond the window": ((1, 9, 9), 4, 3, 1, (1, 1), (3, 2), (1, 1), "valid"),
    "groups": ((1, 8, 8), 6, 10, 2, (3, 3), (1, 1), (1, 1), "same"),
    "groups, strides": ((2, 9, 8), 12, 12, 4, (3, 3), (2, 1), (1, 1), "same"),
    "depthwise": ((2, 7, 9), 5, 5, 5, (3, 3), (1, 1), (1, 1), "same"),
    "depthwise, multiplier, strides": ((1, 8, 9), 9, 18, 9, (3, 2), (2, 2), (1, 1), "same"),
    "depthwise, dilation": ((1, 8, 6), 17, 17, 17, (3, 3), (1, 1), (2, 2), "valid"),
    "window of the whole image": ((3, 4, 5), 3, 7, 1, (4, 5), (1, 1), (1, 1), "valid"),
    "one sample": ((1, 1, 1), 1, 1, 1, (1, 1), (1, 1), (1, 1), "valid"),
    "more padding than image": ((1, 2, 3), 2, 3, 1, (3, 3), (2, 1), (1, 1), ((4, 5), (3, 3))),
    "wide rows": ((1, 5, 700), 3, 4, 1, (3, 3), (1, 1), (1, 1), "same"),
}


class Layer:
    def __init__(self, name, dtype, data_format, seed=0):
        (n, h, w), channels, outputs, groups, window, strides, dilation, padding = LAYERS[name]
        rng = np.random.default_rng(seed)
        make = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
        self.x, self.filters = make(n, h, w, channels), make(*window, channels // groups, outputs)
        self.bias = make(outputs)
        self.pads = explicit(padding, (h, w), window, strides, dilation)
        self.definition = {"strides": strides, "padding": self.pads, "dilation": dilation, "groups": groups}
        self.options = {"strides": strides, "padding": padding, "dilation_rate": dilation, "groups": groups}
        self.options["data_format"] = data_format
        self.first, self.dtype = data_format == "channels_first", dtype
        self.y = conv2d(self.x.astype(float), self.filters.astype(float), **self.definition)
        self.grad = make(*self.y.shape)

    def to(self, array):
        return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if self.first else array

    def back(self, array):
        return np.moveaxis(array, 1, -1) if self.first else array

    def within(self, found, exact, magnitude, terms):
        """Element by element: as many roundings as there are products, and that of the result."""
        assert found.dtype == self.dtype
        assert found.shape == exact.shape
        computed = EPS["float64" if self.dtype == "float64" else "float32"] / 2
        bound = (terms + 2) * computed * magnitude + EPS[self.dtype] * np.abs(exact) + 1e-7 * (self.dtype == "float16")
        assert np.all(np.abs(found.astype(float) - exact) <= bound)


@pytest.fixture(params=["channels_last", "channels_first"])
def data_format(request):
    return request.param


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", EPS)
def test_the_layer_is_its_definition(name, dtype, data_format):
    layer = Layer(name, dtype, data_format)
    out = np.full(layer.to(layer.y).shape, np.nan, dtype)
    found = nn.conv2d(layer.to(layer.x), layer.filters, layer.bias, activation="relu", out=out, **layer.options)
    assert found is out
    magnitude = conv2d(np.abs(layer.x).astype(float), np.abs(layer.filters).astype(float), **layer.definition)
    exact = np.maximum(layer.y + layer.bias.astype(float), 0)
    terms = np.prod(layer.filters.shape[:3]) + 1
    layer.within(layer.back(found), exact, magnitude + np.abs(layer.bias.astype(float)), terms)


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("wide rows", "lenet C1")])
@pytest.mark.parametrize("dtype", EPS)
def test_the_gradients_are_the_transposes(name, dtype, data_format):
    layer = Layer(name, dtype, data_format)
    x, filters, grad = (a.astype(float) for a in (layer.x, layer.filters, layer.grad))
    shape = layer.to(layer.x).shape
    out = np.full(shape, np.nan, dtype)
    found = nn.conv2d_grad_input(shape, layer.filters, layer.to(layer.grad), out=out, **layer.options)
    a = matrix(layer.x.shape[1:], filters, **layer.definition)
    flat = grad.reshape(len(grad), -1)
    terms = np.prod(layer.filters.shape[:2]) * layer.filters.shape[3]
    layer.within(layer.back(found), (flat @ a).reshape(x.shape), (np.abs(flat) @ np.abs(a)).reshape(x.shape), terms)

    out = np.full(filters.shape, np.nan, dtype)
    found, bias = nn.conv2d_grad_filters(
        layer.to(layer.x), filters.shape, layer.to(layer.grad), return_bias=True, out=out, **layer.options
    )
    each, groups = filters.shape[3] // layer.definition["groups"], layer.definition["groups"]
    exact, magnitude = np.zeros(filters.shape), np.zeros(filters.shape)
    for g in range(groups):
        mine, channels = slice(g * each, (g + 1) * each), slice(g * filters.shape[2], (g + 1) * filters.shape[2])
        args = (filters.shape, layer.definition["strides"], layer.pads, layer.definition["dilation"])
        for i, j, samples in taps(x[..., channels], *args):
            exact[i, j, :, mine] = np.einsum("nhwc,nhwo->co", samples, grad[..., mine])
            magnitude[i, j, :, mine] = np.einsum("nhwc,nhwo->co", np.abs(samples), np.abs(grad[..., mine]))
    pixels = grad.size // grad.shape[-1]
    layer.within(found, exact, magnitude, pixels)
    layer.within(bias, grad.sum((0, 1, 2)), np.abs(grad).sum((0, 1, 2)), pixels)


@pytest.mark.parametrize("name", LAYERS)
def test_forward_and_gradients_are_adjoint(name, data_format):
    layer = Layer(name, "float64", data_format)
    x, grad = layer.to(layer.x), layer.to(layer.grad)
    y = nn.conv2d(x, layer.filters, **layer.options)
    dx = nn.conv2d_grad_input(x.shape, layer.filters, grad, **layer.options)
    dw = nn.conv2d_grad_filters(x, layer.filters.shape, grad, **layer.options)
    scale = np.abs(y).ravel() @ np.abs(grad).ravel()
    assert abs((y * grad).sum() - (dx * x).sum()) <= 1e-13 * scale
    assert abs((y * grad).sum() - (dw * layer.filters).sum()) <= 1e-13 * scale


@pytest.mark.parametrize("name", ["lenet C3", "strides and dilation", "groups, strides"])
def test_gradients_by_finite_differences_through_a_relu(name):
    layer = Layer(name, "float64", "channels_last")
    rng = np.random.default_rng(1)

    def loss(x, filters, bias):
        y = nn.conv2d(x, filters, bias, activation="relu", **layer.options)
        return (y * layer.grad).sum()

    y = nn.conv2d(layer.x, layer.filters, layer.bias, activation="relu", **layer.options)
    dx = nn.conv2d_grad_input(layer.x.shape, layer.filters, layer.grad, result=y, **layer.options)
    dw, db = nn.conv2d_grad_filters(
        layer.x, layer.filters.shape, layer.grad, result=y, return_bias=True, **layer.options
    )
    for which, gradient in enumerate((dx, dw, db)):
        arguments = [layer.x, layer.filters, layer.bias]
        step = 1e-7 * rng.standard_normal(gradient.shape)
        ahead, behind = list(arguments), list(arguments)
        ahead[which], behind[which] = arguments[which] + step, arguments[which] - step
        difference = (loss(*ahead) - loss(*behind)) / 2
        assert difference == pytest.approx((gradient * step).sum(), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_for_any_number_of_threads(name, dtype, data_format):
    layer = Layer(name, dtype, data_format)
    x, grad = layer.to(layer.x), layer.to(layer.grad)
    calls = [
        lambda n: nn.conv2d(x, layer.filters, workers=n, **layer.options),
        lambda n: nn.conv2d_grad_input(x.shape, layer.filters, grad, workers=n, **layer.options),
        lambda n: nn.conv2d_grad_filters(x, layer.filters.shape, grad, workers=n, **layer.options),
    ]
    for call in calls:
        one = call(1)
        for workers in (2, 3, 7):
            np.testing.assert_array_equal(call(workers), one)


def test_a_batch_large_enough_for_several_threads_and_chunks(data_format):
    rng = np.random.default_rng(3)
    x, filters = rng.standard_normal((70, 20, 20, 6)), rng.standard_normal((5, 5, 6, 16))
    grad = rng.standard_normal((70, 16, 16, 16))
    to = (lambda a: np.moveaxis(a, -1, 1)) if data_format == "channels_first" else (lambda a: a)
    y = nn.conv2d(to(x), filters, data_format=data_format, workers=3)
    dw = nn.conv2d_grad_filters(to(x), filters.shape, to(grad), data_format=data_format, workers=3)
    dx = nn.conv2d_grad_input(to(x).shape, filters, to(grad), data_format=data_format, workers=3)
    np.testing.assert_allclose(y, to(conv2d(x, filters, (1, 1), ((0, 0), (0, 0)), (1, 1), 1)), atol=1e-11)
    assert (y * to(grad)).sum() == pytest.approx((dw * filters).sum(), rel=1e-10)
    assert (y * to(grad)).sum() == pytest.approx((dx * to(x)).sum(), rel=1e-10)
    np.testing.assert_array_equal(dw, nn.conv2d_grad_filters(to(x), filters.shape, to(grad), data_format=data_format))


@pytest.mark.parametrize("output_padding", [None, 0, 1])
@pytest.mark.parametrize("padding", ["valid", "same", ((1, 0), (0, 1))])
@pytest.mark.parametrize("window, strides, dilation", [((3, 3), 2, 1), ((2, 5), 3, 1), ((1, 1), 2, 1), ((3, 2), 1, 2)])
def test_transposed_layers(window, strides, dilation, padding, output_padding, data_format):
    rng = np.random.default_rng(0)
    x, filters = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal((*window, 4, 3))
    to = (lambda a: np.moveaxis(a, -1, 1)) if data_format == "channels_first" else (lambda a: a)
    options = {"strides": strides, "dilation_rate": dilation, "data_format": data_format}
    if output_padding is not None and output_padding >= strides:
        with pytest.raises(ValueError, match="output_padding must be less than the stride"):
            nn.conv2d_transpose(to(x), filters, padding=padding, output_padding=output_padding, **options)
        return
    y = nn.conv2d_transpose(to(x), filters, padding=padding, output_padding=output_padding, **options)
    # Scatter every sample times the filters into the full result, then cut off the padding.
    spans = [(k - 1) * dilation + 1 for k in window]
    full = np.zeros((2, (4 - 1) * strides + spans[0] + strides, (5 - 1) * strides + spans[1] + strides, 4))
    for p, q, i, j in itertools.product(range(4), range(5), range(window[0]), range(window[1])):
        full[:, p * strides + i * dilation, q * strides + j * dilation] += x[:, p, q] @ filters[i, j].T
    sizes, cut = [], []
    for axis, (n, span) in enumerate(zip((4, 5), spans, strict=True)):
        if padding == "valid":
            size = (
                n * strides + max(span - strides, 0)
                if output_padding is None
                else (n - 1) * strides + span + output_padding
            )
            before = 0
        elif padding == "same":
            size = (
                n * strides if output_padding is None else (n - 1) * strides + span - 2 * (span // 2) + output_padding
            )
            total = span - strides if output_padding is None else 2 * (span // 2) - output_padding
            before = max(total, 0) // 2
        else:
            before = padding[axis][0]
            size = (n - 1) * strides + span - sum(padding[axis]) + (output_padding or 0)
        sizes.append(size)
        cut.append(slice(before, before + size))
    np.testing.assert_allclose(y, to(full[:, cut[0], cut[1]]), atol=1e-12)


def test_depthwise_and_separable_layers_and_their_gradients():
    rng = np.random.default_rng(5)
    x, depth, point = (rng.standard_normal(s) for s in ((2, 8, 7, 3), (3, 3, 3, 2), (1, 1, 6, 4)))
    bias = rng.standard_normal(4)
    options = {"strides": 2, "padding": "same"}
    pads = explicit("same", (8, 7), (3, 3), (2, 2), (1, 1))
    depths = np.concatenate(
        [
            conv2d(x[..., c : c + 1], depth[:, :, c : c + 1].reshape(3, 3, 1, 2), (2, 2), pads, (1, 1), 1)
            for c in range(3)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(nn.depthwise_conv2d(x, depth, **options), depths, atol=1e-12)
    y = nn.separable_conv2d(x, depth, point, bias, **options)
    np.testing.assert_allclose(y, depths @ point[0, 0] + bias, atol=1e-12)
    grad = rng.standard_normal(y.shape)
    dx = nn.separable_conv2d_grad_input(x.shape, depth, point, grad, **options)
    dd, dp, db = nn.separable_conv2d_grad_filters(x, depth, point, grad, return_bias=True, **options)
    total = ((y - bias) * grad).sum()
    assert total == pytest.approx((dx * x).sum())
    assert total == pytest.approx((dd * depth).sum())
    assert total == pytest.approx((dp * point).sum())
    np.testing.assert_allclose(db, grad.sum((0, 1, 2)))
    middle = nn.depthwise_conv2d(x, depth, **options)
    up = rng.standard_normal(middle.shape)
    assert (middle * up).sum() == pytest.approx(
        (nn.depthwise_conv2d_grad_input(x.shape, depth, up, **options) * x).sum()
    )
    out = np.full(depth.shape, np.nan)
    assert (middle * up).sum() == pytest.approx(
        (nn.depthwise_conv2d_grad_filters(x, depth.shape, up, out=out, **options) * depth).sum()
    )
    assert not np.isnan(out).any()


def test_transposed_gradients_are_adjoint():
    rng = np.random.default_rng(6)
    x, filters = rng.standard_normal((2, 5, 4, 6)), rng.standard_normal((3, 3, 2, 6))
    options = {"strides": 2, "padding": "same", "groups": 2}
    y = nn.conv2d_transpose(x, filters, **options)
    grad = rng.standard_normal(y.shape)
    dx = nn.conv2d_transpose_grad_input(x.shape, filters, grad, **options)
    dw = nn.conv2d_transpose_grad_filters(x, filters.shape, grad, **options)
    assert (y * grad).sum() == pytest.approx((dx * x).sum())
    assert (y * grad).sum() == pytest.approx((dw * filters).sum())
    with pytest.raises(ValueError, match="shape that the transposed layer gives"):
        nn.conv2d_transpose_grad_input((2, 5, 5, 6), filters, grad, **options)


@pytest.mark.parametrize("x_shape", [(0, 8, 8, 3), (2, 0, 8, 3), (1, 8, 8, 0)])
def test_empty_arrays(x_shape):
    filters = np.ones((3, 3, x_shape[3], 4), "f")
    y = nn.conv2d(np.ones(x_shape, "f"), filters, np.ones(4, "f"), padding="same")
    assert y.shape == (*x_shape[:3], 4)
    assert (y == 1).all()
    dw, db = nn.conv2d_grad_filters(np.ones(x_shape, "f"), filters.shape, y, padding="same", return_bias=True)
    assert dw.shape == filters.shape
    assert (dw == 0).all() and (db == y.sum((0, 1, 2))).all()
    dx = nn.conv2d_grad_input(x_shape, filters, y, padding="same")
    assert dx.shape == x_shape


def test_awkward_memory():
    layer = Layer("same", "float32", "channels_last")
    plain = nn.conv2d(layer.x, layer.filters, layer.bias, **layer.options)
    flipped = np.ascontiguousarray(layer.x[:, ::-1, ::-1])[:, ::-1, ::-1]
    buffer = np.zeros(layer.x.nbytes + 1, np.uint8)[1:]
    unaligned = buffer.view(np.float32).reshape(layer.x.shape)
    unaligned[...] = layer.x
    for x in (flipped, unaligned, layer.x.astype(">f4"), np.asfortranarray(layer.x)):
        x.flags.writeable = False
        np.testing.assert_array_equal(nn.conv2d(x, layer.filters, layer.bias, **layer.options), plain)
    filters = np.asfortranarray(layer.filters)
    np.testing.assert_array_equal(nn.conv2d(layer.x, filters, layer.bias, **layer.options), plain)
    out = np.full((*plain.shape[:3], 2 * plain.shape[3]), np.nan, "f")[..., ::2]
    assert nn.conv2d(layer.x, layer.filters, layer.bias, out=out, **layer.options) is out
    np.testing.assert_array_equal(out, plain)


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    layer = Layer("same", "float32", "channels_last")
    narrow = [a.astype(ml_dtypes.bfloat16) for a in (layer.x, layer.filters)]
    found = nn.conv2d(*narrow, **layer.options)
    assert found.dtype == ml_dtypes.bfloat16
    wide = nn.conv2d(*(a.astype(np.float32) for a in narrow), **layer.options)
    np.testing.assert_array_equal(found, wide.astype(ml_dtypes.bfloat16))


def test_a_nan_stays_in_the_windows_that_hold_it():
    x = np.ones((1, 9, 9, 2), "f")
    x[0, 4, 4, 1] = np.nan
    y = nn.conv2d(x, np.ones((3, 3, 2, 3), "f"), padding="same", activation="relu")
    assert np.isnan(y[0, 3:6, 3:6]).all()
    assert np.isnan(y).sum() == 27


X, W = np.ones((1, 8, 8, 4), "f"), np.ones((3, 3, 4, 5), "f")


@pytest.mark.parametrize(
    "error, match, call",
    [
        (ValueError, "filters must fit the channels", lambda: nn.conv2d(X, W[:, :, :3])),
        (ValueError, "four axes", lambda: nn.conv2d(X[0], W)),
        (ValueError, "four axes", lambda: nn.conv2d(X, W[0])),
        (ValueError, "bias must have the shape", lambda: nn.conv2d(X, W, np.ones(4, "f"))),
        (TypeError, "one dtype", lambda: nn.conv2d(X, W.astype("d"))),
        (TypeError, "float16, bfloat16, float32 or float64", lambda: nn.conv2d(X.astype("i4"), W.astype("i4"))),
        (TypeError, "float16, bfloat16, float32 or float64", lambda: nn.conv2d(X.astype("c8"), W.astype("c8"))),
        (ValueError, "groups", lambda: nn.conv2d(X, W, groups=3)),
        (ValueError, "groups", lambda: nn.conv2d(X, W, groups=0)),
        (ValueError, "stride", lambda: nn.conv2d(X, W, strides=0)),
        (ValueError, "dilation", lambda: nn.conv2d(X, W, dilation_rate=-1)),
        (ValueError, "padding must be", lambda: nn.conv2d(X, W, padding="full")),
        (ValueError, "must fit into the padded image", lambda: nn.conv2d(X[:, :2], W)),
        (ValueError, "data_format", lambda: nn.conv2d(X, W, data_format="NHWC")),
        (ValueError, "activation", lambda: nn.conv2d(X, W, activation="tanh")),
        (ValueError, "precision", lambda: nn.conv2d(X, W, precision="low")),
        (ValueError, "shape", lambda: nn.conv2d(X, W, out=np.empty((1, 6, 6, 4), "f"))),
        (ValueError, "dtype", lambda: nn.conv2d(X, W, out=np.empty((1, 6, 6, 5), "d"))),
        (ValueError, "workers", lambda: nn.conv2d(X, W, workers=0)),
        (ValueError, "grad must have the shape", lambda: nn.conv2d_grad_input(X.shape, W, np.ones((1, 6, 6, 4), "f"))),
        (
            ValueError,
            "grad must have the shape",
            lambda: nn.conv2d_grad_filters(X, W.shape, np.ones((1, 7, 6, 5), "f")),
        ),
        (ValueError, "four sizes", lambda: nn.conv2d_grad_input((8, 8, 4), W, np.ones((1, 6, 6, 5), "f"))),
        (
            ValueError,
            "output_padding",
            lambda: nn.conv2d_transpose(X, np.ones((3, 3, 5, 4), "f"), strides=2, output_padding=2),
        ),
        (
            ValueError,
            "padding must leave",
            lambda: nn.conv2d_transpose(X, np.ones((3, 3, 5, 4), "f"), padding=((9, 9), (0, 0))),
        ),
        (ValueError, "at most", lambda: nn.conv2d_transpose(X, np.ones((3, 3, 5, 4), "f"), strides=2**60)),
        (ValueError, "depthwise filters", lambda: nn.depthwise_conv2d(X, W[0])),
    ],
)
def test_bad_input(error, match, call):
    with pytest.raises(error, match=match):
        call()


def test_out_may_not_overlap_the_input():
    x = np.ones((1, 8, 8, 5), "f")
    with pytest.raises(ValueError, match="share memory"):
        nn.conv2d(x, np.ones((1, 1, 5, 5), "f"), out=x)
    assert (x == 1).all()


# F(4, 3) of the points 0, 1, -1, 1/2, -2 and infinity: absolute values of its transforms of samples, taps and products.
SAMPLES = np.abs(
    [
        [1, -1.5, -2, 1.5, 1, 0],
        [0, -1, 0.5, 2.5, 1, 0],
        [0, 1, -2.5, 0.5, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 0.5, -1, -0.5, 1, 0],
        [0, 1, -1.5, -2, 1.5, 1],
    ]
)
TAPS = np.abs(np.array([[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]]) / 15)
RESULTS = np.abs([[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 0], [0, 1, 1, 0.25, 4, 0], [0, 1, -1, 0.125, -8, 1]])


def test_high_precision_is_within_its_bound():
    rng = np.random.default_rng(5)
    x, filters = rng.standard_normal((1, 56, 56, 64)), rng.standard_normal((3, 3, 64, 64))
    x, filters = x.astype("f"), filters.astype("f")
    plan = explain(nn.conv2d, x, filters, padding="same", precision="high").plans[0]
    exact = nn.conv2d(x.astype("d"), filters.astype("d"), padding="same", precision="highest")
    error = np.abs(nn.conv2d(x, filters, padding="same", precision="high") - exact)[0]
    assert "precision high" in plan.problem
    if "/split/" in plan.chosen:  # a CPU with a matrix unit
        terms = nn.conv2d(np.abs(x).astype("d"), np.abs(filters).astype("d"), padding="same")[0]
        bound = float(re.search(r"within (\S+) x sum \|x w\|", plan.bound)[1])
        assert bound < 5e-5
        assert (error <= bound * terms + 2.0**-24 * np.abs(exact[0])).all()
        return
    assert "winograd-4x4" in plan.chosen
    assert "6x6 samples of its tile" in plan.bound
    padded = np.pad(np.abs(x[0]).astype("d"), ((1, 1), (1, 1), (0, 0)))
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (6, 6), (0, 1))[::4, ::4]
    samples = np.einsum("pi,qj,yxcij->pqyxc", SAMPLES, SAMPLES, tiles, optimize=True)
    weights = np.einsum("pi,qj,ijco->pqco", TAPS, TAPS, np.abs(filters).astype("d"), optimize=True)
    spread = np.einsum("ip,jq,pqyxo->yixjo", RESULTS, RESULTS, samples @ weights[:, :, None], optimize=True)
    assert (error <= (64 + 2 * 10 + 2) * 2.0**-24 * spread.reshape(56, 56, 64)).all()
    assert np.sqrt((error**2).mean() / (exact**2).mean()) < 2e-6
    medium = nn.conv2d(x, filters, padding="same", precision="medium")
    assert (medium == nn.conv2d(x, filters, padding="same", precision="high")).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("size", "channels"), [(8, 4), (56, 64), (14, 256)])
def test_only_lower_classes_take_what_is_less_exact(dtype, size, channels):
    x, filters = np.ones((1, size, size, channels), dtype), np.ones((3, 3, channels, channels), dtype)
    calls = {
        nn.conv2d: (x, filters),
        nn.conv2d_grad_input: (x.shape, filters, x),
        nn.conv2d_transpose: (x, filters),
    }
    for function, arrays in calls.items():
        for options in ({}, {"precision": "highest"}):
            plan = explain(function, *arrays, padding="same", **options).plans[0]
            assert "4x4" not in plan.chosen and "precision highest" in plan.problem
            assert [reason for name, cost, reason in plan.candidates if "4x4" in name and cost is None] == [
                "is less exact than precision='highest'"
            ]
        candidates = explain(function, *arrays, padding="same", precision="high").plans[0].candidates
        assert [cost is not None for name, cost, _ in candidates if "4x4" in name] == [True]


def test_signatures():
    bare = {}
    for name in (name for name in nn.__all__ if "conv" in name and "grad" not in name):
        signature = inspect.signature(getattr(nn, name))
        parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
        bare[name] = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    layer = "bias=None, *, strides=1, padding='valid', dilation_rate=1, "
    rest = "data_format='channels_last', activation=None, precision='highest', out=None, workers=None)"
    assert bare == {
        "conv2d": "(x, filters, " + layer + "groups=1, " + rest.removesuffix(")") + ", addend=None)",
        "depthwise_conv2d": "(x, filters, " + layer + rest,
        "separable_conv2d": "(x, depthwise_filters, pointwise_filters, " + layer + rest,
        "conv2d_transpose": "(x, filters, "
        + layer.replace("dilation", "output_padding=None, dilation")
        + "groups=1, "
        + rest,
    }


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("filters", [(3, 3, 6, 10), (1, 1, 6, 200), (5, 4, 6, 3)])
def test_an_addend_is_added_before_the_activation(filters, data_format):
    x, w, bias = paint((2, 9, 8, 6), "float64"), paint(filters, "float64", 1), paint(filters[3], "float64", 2)
    first = data_format == "channels_first"
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if first else x
    plain = nn.conv2d(x, w, bias, padding="same", data_format=data_format)
    addend = paint(plain.shape, "float64", 3)
    options = {"padding": "same", "data_format": data_format, "activation": "relu"}
    for one in (addend, np.asfortranarray(addend), addend.astype(">f8")):
        got = nn.conv2d(x, w, bias, addend=one, **options)
        np.testing.assert_allclose(got, np.maximum(plain + addend, 0), atol=1e-12)
    half = [one.astype(np.float16) for one in (x, w, bias, addend)]
    got = nn.conv2d(*half[:3], addend=half[3], **options)
    want = np.maximum(nn.conv2d(*(one.astype(np.float64) for one in half[:3]), padding="same", data_format=data_format)
                      + half[3], 0)  # fmt: skip
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)
    with pytest.raises(ValueError, match=r"addend must have the shape.*Received"):
        nn.conv2d(x, w, bias, addend=addend[:1], padding="same", data_format=data_format)
    with pytest.raises(TypeError, match="one dtype"):
        nn.conv2d(x, w, bias, addend=addend.astype(np.float32), padding="same", data_format=data_format)
    with pytest.raises(ValueError, match="share memory"):
        nn.conv2d(x, w, bias, addend=addend, out=addend, **options)
