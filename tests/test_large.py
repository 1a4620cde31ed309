"""Images filtered tile by tile have the bits of the image filtered in memory by the plain function."""

from __future__ import annotations

import functools
import itertools
import sys

import numpy as np
import pytest
import scipy.ndimage
from support import paint
from support_parts import BORDERS, CASES, NATIVE, WINDOW, equal, image, names

import ferroconv
import ferroconv.large
import ferroconv.ndimage as nd
from ferroconv._halo import Halo, filters
from ferroconv.large import DifferentBitsWarning, filter_tiled, op

TILES = ((5, 11), (16, 45), (37, 13))


def tiled(source, chain, tile=None, **options):
    """The result of tiles; what it is stored in has another dtype's bits all over at first."""
    dtype = ferroconv.large.op(ferroconv.laplace)(source[:1, :1]).dtype if chain == [] else None
    if dtype is None:
        from ferroconv._stages import Chain
        from ferroconv.large._op import read_op

        dtype = Chain(read_op(chain).filters, source.shape, source.dtype).dtype
    result = np.full(source.shape, 77, dtype)
    filter_tiled(source, result, chain, tile=tile, progress=False, **options)
    return result


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("case", CASES, ids=names)
@pytest.mark.filterwarnings("ignore:overflow|invalid:RuntimeWarning")
def test_every_filter_and_border_has_the_bits_of_memory(case, border):
    function, args, options, keyword = case
    options = {**options, keyword: border, "cval": 3}
    for dtype, tile in itertools.product(("float32", "uint8"), TILES):
        source = image(dtype)
        want = function(source, *args, **options)
        equal(tiled(source, op(function, *args, **options), tile), want, f"{dtype}, {tile}")


def test_every_filter_is_tried():
    assert {case[0] for case in CASES} == filters()


@pytest.mark.parametrize("dtype", ["bool", "int16", "uint16", "int64", "float16", "float64", "complex64"])
@pytest.mark.parametrize(
    "case",
    [
        (ferroconv.correlate, (WINDOW,), {}),
        (ferroconv.gaussian, (2,), {}),
        (ferroconv.box, (9,), {}),
        (ferroconv.maximum, (6,), {}),
        (nd.gaussian_filter, (1,), {}),
    ],
    ids=lambda case: case[0].__name__,
)
def test_other_dtypes(case, dtype):
    function, args, options = case
    source = paint((40, 33), dtype)
    if (dtype == "complex64" and function is ferroconv.maximum) or (
        dtype == "float16" and function is nd.gaussian_filter
    ):
        with pytest.raises(TypeError):
            op(function, *args)(source)
        return
    equal(tiled(source, op(function, *args, **options), (7, 12)), function(source, *args, **options), dtype)


@pytest.mark.parametrize("borders", [("wrap", "reflect"), ("mirror", "wrap"), ("constant", "nearest")])
@pytest.mark.parametrize(
    "case", [NATIVE[0], NATIVE[4], NATIVE[7], NATIVE[9], NATIVE[12]], ids=lambda case: case[0].__name__
)
def test_a_border_for_each_axis(case, borders):
    function, args, options = case
    options = {**options, "border": borders, "cval": 2}
    source = image("float32")
    equal(tiled(source, op(function, *args, **options), (6, 7)), function(source, *args, **options), borders)


@pytest.mark.parametrize("function", [nd.gaussian_laplace, nd.gaussian_gradient_magnitude])
def test_terms_with_borders_of_their_own(function):
    source = image("float64")
    for mode in itertools.product(("wrap", "reflect", "constant"), repeat=2):
        equal(tiled(source, op(function, 2, mode=mode), (6, 7)), function(source, 2, mode=mode), mode)


def test_chains_have_every_border_at_the_edge_of_the_image():
    links = [
        (ferroconv.gaussian, (1.5,), {"border": "wrap"}),
        (ferroconv.sobel, (None,), {"border": "mirror"}),
        (nd.grey_closing, ((3, 5),), {"mode": "wrap"}),
        (nd.uniform_filter, (7,), {"mode": "constant", "cval": 9}),
        (ferroconv.maximum, (4,), {"border": ("reflect", "wrap")}),
    ]
    for order in (links, links[::-1]):
        for dtype in ("uint8", "float32"):
            source = image(dtype)
            want = source
            for function, args, options in order:
                want = function(want, *args, **options)
            chain = [op(function, *args, **options) for function, args, options in order]
            for tile in TILES:
                equal(tiled(source, chain, tile), want, f"{dtype}, {tile}")


def test_integers_are_scipys():
    """The same numbers by another program altogether."""
    source = image("uint8", (60, 50))
    for mode in ("reflect", "constant", "nearest", "mirror", "wrap"):
        want = scipy.ndimage.grey_opening(scipy.ndimage.gaussian_filter(source, 2, mode=mode), (5, 3), mode=mode)
        chain = [op(nd.gaussian_filter, 2, mode=mode), op(nd.grey_opening, (5, 3), mode=mode)]
        equal(tiled(source, chain, (9, 16)), want, mode)


def test_windows_larger_than_the_image():
    source = image("float32", (9, 14))
    for border in BORDERS:
        want = ferroconv.gaussian(source, 9, border=border)
        equal(tiled(source, op(ferroconv.gaussian, 9, border=border), (4, 5)), want, border)


@pytest.mark.parametrize("border", ["reflect", "wrap"])
def test_gaps_are_made_up_for(border):
    source = image("float32")
    source[3:9, 2:20] = np.nan
    source[30, 40] = np.nan
    mask = paint(source.shape, "bool", 5)
    for function, args in ((ferroconv.gaussian, (1.5,)), (ferroconv.box, (7,)), (ferroconv.correlate, (WINDOW,))):
        for options in ({"nan": "ignore"}, {"mask": mask, "nan": "ignore"}, {"mask": mask[:1], "nan": "ignore"}):
            options["border"] = border
            want = function(source, *args, **options)
            for tile in TILES:
                equal(tiled(source, op(function, *args, **options), tile), want, f"{function.__name__}, {tile}")


def test_stacks_and_colours():
    source = image("float32", (3, 20, 31, 4))
    for function, args, options in (
        (ferroconv.gaussian, (2,), {"channel_axis": -1}),
        (ferroconv.box, (9,), {"axes": (1, 2)}),
        (ferroconv.box, (7,), {"axes": (2, 0)}),
        (ferroconv.correlate, (WINDOW,), {"axes": (2, 1)}),
        (nd.gaussian_filter, (1,), {}),
        (nd.uniform_filter, ((2, 6, 7, 3),), {"mode": "wrap"}),
        (nd.maximum_filter, (5,), {"axes": (2, 1)}),
    ):
        want = function(source, *args, **options)
        equal(tiled(source, op(function, *args, **options), (2, 7, 9, 3)), want, function.__name__)


def test_a_large_window_that_would_be_transformed_is_summed_directly_and_says_so():
    source, window = image("float32", (500, 400)), paint((41, 41), "float64")
    assert "fft" in ferroconv.explain(ferroconv.correlate, source, window).plans[0].chosen
    with pytest.warns(DifferentBitsWarning, match="Fourier"):
        got = tiled(source, op(ferroconv.correlate, window), (128, 200))
    with pytest.warns(DifferentBitsWarning):
        equal(got, op(ferroconv.correlate, window)(source), "in memory")
    plain = ferroconv.correlate(source, window)
    assert np.abs(got - plain).max() <= 1e-3 * np.abs(plain).max()
    assert not np.array_equal(got, plain)  # else there is nothing to warn of
    # Whole numbers are exact either way: nothing to say.
    whole = image("uint8", (500, 400))
    window = paint((41, 41), "int8", 3) // 16
    want = ferroconv.correlate(whole, window, dtype=np.int32)
    equal(tiled(whole, op(ferroconv.correlate, window, dtype=np.int32), (128, 200)), want, "integers")


def test_tiles_too_small_for_the_chosen_implementation_read_more():
    """A window that is looked through for outer products in a large image, and not in a small one."""
    source = image("float32", (300, 310))
    window = np.multiply.outer(np.linspace(1, 2, 21), np.linspace(3, 1, 15)) / 200
    (plan,) = ferroconv.explain(ferroconv.correlate, source, window).plans
    (small,) = ferroconv.explain(ferroconv.correlate, source[:25, :20], window).plans
    assert plan.chosen != small.chosen
    part = ferroconv.correlate(source, window)
    equal(tiled(source, op(ferroconv.correlate, window), (4, 5)), part, "small tiles")


def test_any_number_of_workers_gives_the_same_bits():
    source = image("float32", (120, 130))
    want = ferroconv.gaussian(source, 2)
    for workers in (1, 2, 5, -1, None):
        equal(tiled(source, op(ferroconv.gaussian, 2), (16, 32), workers=workers), want, workers)


def test_an_op_is_a_filter_a_partial_or_a_list():
    source = image("uint8")
    want = ferroconv.sobel(ferroconv.gaussian(source, 2, border="wrap"))
    blur = functools.partial(ferroconv.gaussian, sigma=2, border="wrap")
    equal(tiled(source, [blur, ferroconv.sobel]), want, "list")
    equal(tiled(source, (op(blur), [op(ferroconv.sobel)])), want, "nested")
    equal(tiled(source, [], (9, 9)), source, "copy")
    assert op(ferroconv.gaussian, 2)(source).tobytes() == ferroconv.gaussian(source, 2).tobytes()


def test_what_is_no_filter_is_refused():
    source = image("uint8")
    for wrong, error, match in (
        (np.sqrt, TypeError, "filter of ferroconv"),
        (ferroconv.signal.convolve2d, TypeError, "filter of ferroconv"),
        ("gaussian", TypeError, "op must be"),
        (functools.partial(ferroconv.gaussian, 3), TypeError, "by name"),
    ):
        with pytest.raises(error, match=match):
            filter_tiled(source, source.copy(), wrong)
    for options in ({"extent": "valid"}, {"stride": 2}, {"stride": (1, 2)}):
        with pytest.raises(NotImplementedError, match="image's size"):
            op(ferroconv.correlate, WINDOW, **options)
    with pytest.raises(TypeError, match="out="):
        op(ferroconv.gaussian, 1, out=source)
    with pytest.raises(TypeError, match="output="):
        op(nd.sobel, output=source)
    with pytest.raises(TypeError, match="sigma"):
        op(ferroconv.gaussian)
    with pytest.raises(TypeError, match="filter of ferroconv"):
        filter_tiled(source, source.copy(), op(nd.generic_laplace, lambda *a: None))
    with pytest.raises(ValueError, match="sigma"):
        filter_tiled(source, source.copy(), op(ferroconv.gaussian, -1))


def test_bad_arguments_are_refused_before_anything_is_written():
    source = image("uint8")
    result = np.full_like(source, 7)
    for options, match in (
        ({"tile": 0}, "tile"),
        ({"tile": (3, 3, 3)}, "tile"),
        ({"max_memory": "much"}, "max_memory"),
        ({"max_memory": 100}, "max_memory"),
        ({"tile": (37, 45), "max_memory": "2KiB"}, "smaller tiles"),
        ({"workers": 0}, "threads"),
    ):
        with pytest.raises(ValueError, match=match):
            filter_tiled(source, result, ferroconv.laplace, progress=False, **options)
    with pytest.raises(ValueError, match="shape"):
        filter_tiled(source, np.empty((3, 3), np.uint8), ferroconv.laplace)
    with pytest.raises(ValueError, match="must not be src"):
        filter_tiled(source, source[:], ferroconv.laplace)
    with pytest.raises(TypeError, match="dst must be"):
        filter_tiled(source, None, ferroconv.laplace)
    assert (result == 7).all()


def test_halos_know_the_edges():
    halo = Halo(3)
    assert halo.span((10, 20), 40).pieces == ((7, 23),)
    assert halo.span((0, 2), 40).pieces == ((0, 5),)
    assert halo.span((38, 40), 40).pieces == ((35, 40),)
    assert Halo(9).span((0, 2), 40).pieces == ((0, 11),)  # what a reflection brings in is there
    assert Halo(9).span((38, 40), 40).pieces == ((29, 40),)
    assert Halo(3, "wrap").span((0, 2), 40).pieces == ((37, 40), (0, 5))
    assert Halo(3, "wrap").span((38, 40), 40).pieces == ((35, 40), (0, 3))
    assert Halo(30, "wrap").span((0, 2), 40).pieces == ((0, 40),)
    assert Halo(3, grid=7).span((16, 20), 40).pieces == ((7, 23),)
    assert Halo(3, "both").span((0, 2), 40).pieces == ((0, 40),)


def test_a_terminal_sees_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    source = image("uint8")
    filter_tiled(source, np.empty_like(source), ferroconv.laplace, tile=(10, 45))
    assert "4/4" in capsys.readouterr().err
    filter_tiled(source, np.empty_like(source), ferroconv.laplace, tile=(10, 45), progress=False)
    assert capsys.readouterr().err == ""
