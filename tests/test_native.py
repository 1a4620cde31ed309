"""The native forms: dtypes, rounding, overflow, borders for each axis, and what explain says."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from support import COMPLEX, FLOATS, INTEGERS, dense, extended, layouts, paint, same, within

import ferroconv

BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")
FUNCTIONS = (ferroconv.correlate, ferroconv.convolve)
SHAPES = (((8, 9), (3, 3)), ((9, 7), (2, 4)), ((13, 71), (5, 6)), ((4, 3), (6, 9)), ((1, 1), (3, 2)), ((5, 5), (1, 1)))


def exact(function, image, window, border, cval=0):
    """The same extent by its definition, in Python's integers or in complex float64."""
    kh, kw = window.shape
    turn = function is ferroconv.convolve
    before = [(k - 1) // 2 if turn else k // 2 for k in (kh, kw)]
    after = [k - 1 - b for k, b in zip((kh, kw), before, strict=True)]
    return dense(extended(image, before, after, border, cval), window[::-1, ::-1] if turn else window)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", ("bool", *INTEGERS))
def test_integers_saturate_or_wrap_the_exact_sum(function, border, dtype):
    for shape, taps in SHAPES:
        image, window = paint(shape, dtype), paint(taps, "int8", 1)
        whole = exact(function, image.astype(object) * 1, window.astype(object), border, 1)
        limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        got = function(image, window, border=border, cval=1)
        if dtype == "bool":
            same(got, whole.astype(bool))
            continue
        same(got, whole.clip(*limits).astype(dtype))
        bits = np.iinfo(dtype).bits
        modular = np.vectorize(lambda n, b=bits: n % 2**b, otypes=[object])(whole).astype(f"uint{bits}").view(dtype)
        same(function(image, window, border=border, cval=1, overflow="wrap"), modular)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_float_weights_on_integers_round_half_to_even_within_the_bound(function, dtype):
    image = paint((20, 31), dtype, small=True)
    halves = np.array([[0.5, 0.0, 0.25], [0.0, 0.75, 0.0]])
    same(
        function(image, halves),
        exact(function, image, halves, "reflect").round().clip(np.iinfo(dtype).min).astype(dtype),
    )
    image = paint((20, 31), dtype)
    smooth = np.abs(paint((3, 5), "float64"))
    smooth /= smooth.sum()
    error = np.abs(
        function(image, smooth).astype(object)
        - exact(function, image.astype(np.float64), smooth, "reflect").astype(object)
    )
    most = max(abs(np.iinfo(dtype).min), np.iinfo(dtype).max)
    bound = 0.5 + 1 / 64 + 2 * smooth.size * np.finfo(float).eps * most
    assert error.max() <= bound


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("dtype", (*FLOATS, *COMPLEX))
def test_floats_are_within_the_bound(function, border, dtype):
    for shape, taps in SHAPES:
        for weights in (dtype, "float64"):
            image, window = paint(shape, dtype), paint(taps, weights, 1)
            wide = complex if np.dtype(dtype).kind == "c" or window.dtype.kind == "c" else float
            want = exact(function, image.astype(wide), window.astype(wide), border, 0.5)
            magnitude = exact(function, np.abs(image).astype(float), np.abs(window).astype(float), border, 0.5)
            got = function(image, window, border=border, cval=0.5)
            within(got, want.astype(got.dtype), 2 * window.size, magnitude)


@pytest.mark.parametrize("dtype", (np.float16, ml_dtypes.bfloat16))
def test_half_precision_is_summed_in_float32_and_rounded_once(dtype):
    image, window = paint((12, 33), "float32").astype(dtype), paint((3, 4), "float32", 1)
    for function in FUNCTIONS:
        got = function(image, window)
        assert got.dtype == dtype
        want = function(image.astype(np.float32), window)
        np.testing.assert_array_equal(got.astype(np.float32), want.astype(dtype).astype(np.float32))
    same(ferroconv.correlate(image, window, dtype=np.float32), ferroconv.correlate(image.astype(np.float32), window))


def test_result_dtypes():
    for dtype in ("bool", *INTEGERS, "float16", *FLOATS, *COMPLEX):
        image = paint((4, 5), dtype, small=True)
        assert ferroconv.correlate(image, np.ones((2, 2))).dtype == dtype
        assert ferroconv.correlate(image, np.ones((2, 2)), dtype=np.complex128).dtype == np.complex128
        assert ferroconv.correlate(image, np.ones((2, 2), complex)).dtype.kind == "c"
        for target in (*INTEGERS, *FLOATS):
            if np.dtype(dtype).kind != "c":
                assert ferroconv.correlate(image, np.ones((2, 2)), dtype=target).dtype == target
    with pytest.raises(TypeError, match="Received"):
        ferroconv.correlate(np.ones((3, 3), complex), [[1]], dtype=float)
    assert ferroconv.correlate(np.ones((3, 3), ">f4"), [[1]]).dtype == np.float32


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ("bool", "uint8", "int32", "uint64", "float16", "float32", "float64", "complex64"))
def test_layouts(function, dtype):
    image, window = paint((9, 70), dtype, small=True), paint((3, 4), "int8", 1, small=True)
    want = function(image, window, border="mirror")
    for _, array in layouts(image):
        same(function(array, window, border="mirror"), want)
    for _, array in layouts(window):
        same(function(image, array, border="mirror"), want)


@pytest.mark.parametrize("rows", BORDERS)
@pytest.mark.parametrize("cols", BORDERS)
def test_a_border_for_each_axis(rows, cols):
    image, window = paint((5, 6), "int32", small=True), paint((4, 7), "int32", 1, small=True)
    got = ferroconv.correlate(image, window, border=(rows, cols), cval=3)
    if (rows == "constant") != (cols == "constant"):
        # Where one axis says constant, that decides: pad with the other first.
        other = extended(image, (2, 0), (1, 0), rows) if cols == "constant" else extended(image, (0, 3), (0, 3), cols)
        padded = np.pad(other, ((0, 0), (3, 3)) if cols == "constant" else ((2, 1), (0, 0)), constant_values=3)
    else:
        padded = extended(extended(image, (2, 0), (1, 0), rows, 3), (0, 3), (0, 3), cols, 3)
    same(got, dense(padded, window))


@pytest.mark.parametrize("extent", ("full", "same", "valid"))
@pytest.mark.parametrize("shape", ((0, 0), (0, 5), (5, 0), (3, 0, 4), (0, 4, 4)))
def test_empty_images_give_empty_results(extent, shape):
    got = ferroconv.correlate(np.ones(shape, np.float32), np.ones((2, 2)), extent=extent)
    assert got.size == 0
    assert got.dtype == np.float32


def test_batches_are_planes_apart():
    image, window = paint((2, 3, 6, 7), "float32"), paint((3, 3), "float32", 1)
    got = ferroconv.correlate(image, window)
    for i in range(2):
        for j in range(3):
            same(got[i, j], ferroconv.correlate(image[i, j], window))
    picture = paint((6, 7, 3), "uint8")
    got = ferroconv.convolve(picture, [[1, 0, -1]], channel_axis=-1)
    for c in range(3):
        same(got[..., c], ferroconv.convolve(picture[..., c], [[1, 0, -1]]))
    broadcast = np.broadcast_to(image[0, 0], (4, 6, 7))
    same(ferroconv.correlate(broadcast, window)[3], got_one := ferroconv.correlate(image[0, 0], window))
    assert got_one.shape == (6, 7)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_origin_is_ndimages(function):
    image, window = paint((7, 8), "int64", small=True), paint((3, 4), "int64", 1, small=True)
    mirror = getattr(ferroconv.ndimage, function.__name__)
    for origin in (0, -1, (1, -2), (0, 1), (-1, 0)):
        try:
            want = mirror(image, window, origin=origin)
        except ValueError:
            with pytest.raises(ValueError, match="origin"):
                function(image, window, origin=origin)
        else:
            same(function(image, window, origin=origin), want)


def test_nan_and_infinity_stay_where_the_sums_put_them():
    for dtype in ("float32", "float64", "complex64"):
        image = paint((40, 90), dtype)
        image[20, 45] = np.nan
        got = ferroconv.correlate(image, np.ones((3, 5)))
        assert np.isnan(got).sum() == 15
        image[20, 45] = np.inf
        got = ferroconv.correlate(image, np.array([[1.0, 0.0, -1.0]]))
        assert np.isnan(got).sum() == 1  # 0 * inf: a zero tap counts


def test_explain_runs_nothing_and_names_every_implementation():
    out = np.full((64, 64), 7, np.float32)
    explanation = ferroconv.explain(ferroconv.correlate, np.ones((64, 64), np.float32), np.ones((3, 3)), out=out)
    assert (out == 7).all()
    (plan,) = explanation.plans
    operation, implementation, arithmetic, isa = plan.chosen.split("/")
    assert (operation, arithmetic, isa) == ("correlate", "f32", ferroconv.info()["isa_used"])
    assert any(implementation in name and cost > 0 for name, cost, _ in plan.candidates if cost is not None)
    assert all(reason for _, cost, reason in plan.candidates if cost is None)
    assert "within" in plan.bound
    assert plan.chosen in str(explanation)
    assert ferroconv.explain(ferroconv.get_num_threads).plans == []


def test_explain_ends_after_an_error():
    with pytest.raises(ValueError, match="Received"):
        ferroconv.explain(ferroconv.correlate, np.ones((4, 4)), np.ones((3, 3)), border="nope")
    same(ferroconv.correlate(np.ones((2, 2)), [[2.0]]), np.full((2, 2), 2.0))


@pytest.mark.parametrize("dtype", ("uint8", "int32", "float32", "float64", "complex64"))
def test_explains_bound_holds(dtype):
    image, window = paint((30, 40), dtype, small=True), paint((5, 5), "float64")
    (plan,) = ferroconv.explain(ferroconv.correlate, image, window, dtype=np.result_type(dtype, np.float32)).plans
    coefficient = float(plan.bound.split()[1])
    got = ferroconv.correlate(image, window, dtype=np.result_type(dtype, np.float32))
    error = np.abs(got - exact(ferroconv.correlate, image.astype(complex), window, "reflect"))
    magnitude = exact(ferroconv.correlate, np.abs(image).astype(float), np.abs(window), "reflect")
    rounding = np.finfo(got.dtype).eps / 2 * np.abs(got)
    assert (error <= coefficient * magnitude * (1 + 1e-9) + rounding).all()


def test_info():
    facts = ferroconv.info()
    assert facts["version"] == ferroconv.__version__
    assert facts["profile"] == "release"
    assert facts["isa_detected"][-1] == "scalar"
    assert set(facts["isa_detected"]) <= set(facts["isa_built"])
    assert facts["isa_used"] in facts["isa_detected"]
    assert facts["cores"] >= 1
    assert facts["threads"] == ferroconv.get_num_threads()
    measured = ferroconv.info(measure=True)
    assert measured["fma_peak"] > 1e8
    assert measured["copy_speed"] > 1e7


def test_thread_settings_nest_and_belong_to_their_thread():
    import threading

    before = ferroconv.get_num_threads()
    with ferroconv.threads(3):
        assert ferroconv.get_num_threads() == 3
        with ferroconv.threads(-1):
            assert ferroconv.get_num_threads() == ferroconv.info()["cores"]
        assert ferroconv.get_num_threads() == 3
        seen = []
        other = threading.Thread(target=lambda: seen.append(ferroconv.get_num_threads()))
        other.start()
        other.join()
        assert seen == [before]
    assert ferroconv.get_num_threads() == before
    try:
        ferroconv.set_num_threads(5)
        assert ferroconv.get_num_threads() == 5
        (plan,) = ferroconv.explain(ferroconv.correlate, np.ones((4, 4)), [[1]]).plans
        assert plan.threads == 5
        (plan,) = ferroconv.explain(ferroconv.correlate, np.ones((4, 4)), [[1]], workers=2).plans
        assert plan.threads == 2
    finally:
        ferroconv.set_num_threads(before)
    with pytest.raises(ZeroDivisionError), ferroconv.threads(2):
        1 / 0  # noqa: B018
    assert ferroconv.get_num_threads() == before
