"""Bad input: the right exception, a message that says what was received, `out=` untouched, no panic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import ferroconv

FUNCTIONS = (ferroconv.correlate, ferroconv.convolve)
IMAGE = np.ones((6, 7))
WINDOW = np.ones((3, 3))
HUGE = 2**62

# What is wrong: arguments, the exception, what its message says.
WRONG = {
    "image of one axis": ({"image": np.ones(5)}, ValueError, "Received"),
    "image of no axis": ({"image": 3.0}, ValueError, "Received"),
    "window of one axis": ({"weights": np.ones(3)}, ValueError, "two axes.*Received"),
    "window of three axes": ({"weights": np.ones((2, 2, 2))}, ValueError, "two axes.*Received"),
    "object image": ({"image": IMAGE.astype(object)}, TypeError, "float64.*Received: object"),
    "string image": ({"image": np.full((4, 4), "a")}, TypeError, "Received: str"),
    "datetime image": ({"image": np.zeros((4, 4), "M8[s]")}, TypeError, "Received: datetime64"),
    "structured image": ({"image": np.zeros((4, 4), "i4,i4")}, TypeError, "Received: void"),
    "long double image": ({"image": IMAGE.astype(np.longdouble)}, TypeError, "Received: "),
    "ragged image": ({"image": [[1, 2], [3]]}, ValueError, ""),
    "object window": ({"weights": WINDOW.astype(object)}, TypeError, "Received: object"),
    "string window": ({"weights": np.full((2, 2), "a")}, TypeError, "Received: str"),
    "window without rows": ({"weights": np.ones((0, 3))}, ValueError, "one tap.*Received"),
    "window without columns": ({"weights": np.ones((3, 0))}, ValueError, "one tap.*Received"),
    "unknown border": ({"border": "nope"}, ValueError, "constant.*nearest.*reflect.*mirror.*wrap.*Received: .nope"),
    "SciPy's border": ({"border": "symm"}, ValueError, "reflect.*Received: .symm"),
    "three borders": ({"border": ("wrap",) * 3}, ValueError, "two axes.*Received"),
    "a number as border": ({"border": 3}, TypeError, "Received: 3"),
    "unknown extent": ({"extent": "most"}, ValueError, "'full', 'same' or 'valid'.*Received: .most"),
    "no extent": ({"extent": None}, TypeError, ""),
    "unknown overflow": ({"overflow": "clip"}, ValueError, "'saturate' or 'wrap'.*Received: 'clip'"),
    "SciPy's overflow": ({"overflow": "ndimage"}, ValueError, "Received"),
    "stride of zero": ({"stride": 0}, ValueError, "stride must be at least 1.*Received: 0"),
    "negative stride": ({"stride": (1, -1)}, ValueError, "stride must be at least 1.*Received"),
    "fractional stride": ({"stride": 1.5}, ValueError, "stride must be an integer.*Received: 1.5"),
    "three strides": ({"stride": (1, 1, 1)}, ValueError, "stride.*Received"),
    "dilation of zero": ({"dilation": (0, 1)}, ValueError, "dilation must be at least 1.*Received: 0"),
    "negative dilation": ({"dilation": -3}, ValueError, "dilation must be at least 1.*Received"),
    "huge stride": ({"stride": HUGE}, ValueError, "stride must be at least 1 and at most.*Received"),
    "huge dilation": ({"dilation": HUGE}, ValueError, "dilation must be at least 1 and at most.*Received"),
    "stride beyond 64 bits": ({"stride": 2**70}, ValueError, "64 bits.*Received"),
    "dilation beyond 64 bits": ({"dilation": 2**70}, ValueError, "64 bits.*Received"),
    "large dilation": ({"dilation": 2**40}, NotImplementedError, "scratch"),
    "larger dilation": ({"dilation": 2**57, "border": "wrap"}, NotImplementedError, "scratch"),
    "large dilation, full": ({"dilation": 2**57, "extent": "full"}, (ValueError, MemoryError, NotImplementedError), ""),
    "origin outside": ({"origin": 2}, ValueError, "origin must lie within.*Received: -?2"),
    "origin outside below": ({"origin": (0, -2)}, ValueError, "origin must lie within.*Received: -?2"),
    "origin of valid": ({"origin": 1, "extent": "valid"}, ValueError, "origin.*Received: 1"),
    "huge origin": ({"origin": -HUGE}, ValueError, "origin.*Received"),
    "origin beyond 64 bits": ({"origin": 2**64}, ValueError, "Received"),
    "fractional origin": ({"origin": 0.5}, ValueError, "origin must be an integer.*Received: 0.5"),
    "one axis": ({"axes": (0,)}, ValueError, "axes.*Received"),
    "the same axis twice": ({"axes": (1, -1)}, ValueError, "two different axes.*Received"),
    "an axis that isn't there": ({"axes": (0, 2)}, ValueError, "axes.*Received"),
    "channels of a plane": ({"channel_axis": 0}, ValueError, "channel_axis.*Received"),
    "channels that aren't there": ({"image": np.ones((3, 3, 3)), "channel_axis": 3}, ValueError, "Received"),
    "unknown dtype": ({"dtype": "nope"}, TypeError, "nope"),
    "object dtype": ({"dtype": object}, TypeError, "Received: object"),
    "real dtype of a complex sum": ({"weights": WINDOW * 1j, "dtype": float}, TypeError, "complex.*Received"),
    "complex cval": ({"cval": 1j, "border": "constant"}, TypeError, "cval.*Received"),
    "text cval": ({"cval": "a"}, TypeError, ""),
    "cval beyond float": ({"cval": 10**400}, ValueError, "Received"),
    "no worker": ({"workers": 0}, ValueError, "workers must be.*Received: 0"),
    "fewer workers": ({"workers": -2}, ValueError, "workers must be.*Received: -2"),
    "many workers": ({"workers": 10**9}, ValueError, "workers must be.*Received: 1000000000"),
    "more workers": ({"workers": 10**30}, ValueError, "Received"),
    "half a worker": ({"workers": 1.5}, TypeError, ""),
    "a worker's name": ({"workers": "two"}, TypeError, ""),
    "unknown nan": ({"nan": "drop"}, ValueError, "'propagate' or 'ignore'.*Received: 'drop'"),
    "no class of precision": ({"precision": "low"}, ValueError, "'highest', 'high', 'medium'.*Received: 'low'"),
    "image larger than memory": (
        {"image": np.broadcast_to(np.uint8(1), (2**31, 2**31))},
        (ValueError, MemoryError),
        "",
    ),
    "image larger than its address": (
        {"image": as_strided(IMAGE, (2**29, 2**30), (0, 0)), "extent": "full"},
        (ValueError, MemoryError),
        "",
    ),
    "many images": ({"image": np.broadcast_to(np.uint8(1), (2**50, 4, 4))}, (ValueError, MemoryError), ""),
    "window larger than memory": (
        {"weights": np.broadcast_to(np.uint8(1), (2**31, 2**31))},
        ValueError,
        "taps.*Received",
    ),
    "window larger than sense": ({"weights": np.broadcast_to(1.0, (2**21, 2**21))}, ValueError, "taps.*Received"),
    "a long window": ({"weights": np.broadcast_to(1.0, (1, 2**40))}, ValueError, "taps.*Received"),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(function, case):
    changed, kind, message = WRONG[case]
    arguments = {"image": IMAGE, "weights": WINDOW, **changed}
    out = np.full(IMAGE.shape, 7.0)
    with pytest.raises(kind, match="(?s)" + message) as caught:
        function(arguments.pop("image"), arguments.pop("weights"), out=out, **arguments)
    assert "internal" not in str(caught.value)
    assert (out == 7).all(), "out= was touched"
    with pytest.raises(kind):
        arguments = {"image": IMAGE, "weights": WINDOW, **changed}
        function(arguments.pop("image"), arguments.pop("weights"), **arguments)


SEPARABLE = {
    "gaussian": lambda image, **options: ferroconv.gaussian(image, 1.0, radius=1, **options),
    "sobel": ferroconv.sobel,
    "magnitude": lambda image, **options: ferroconv.sobel(image, None, **options),
    "laplace": ferroconv.laplace,
}


@pytest.mark.parametrize("function", SEPARABLE)
@pytest.mark.parametrize("case", [case for case, (changed, *_) in WRONG.items() if "weights" not in changed])
def test_wrong_arguments_of_separable_filters(function, case):
    changed, kind, message = WRONG[case]
    image = changed.get("image", IMAGE)
    options = {name: value for name, value in changed.items() if name != "image"}
    out = np.full(IMAGE.shape, 7.0)
    for target in (out, None):
        with pytest.raises(kind, match="(?s)" + message if target is not None else None) as caught:
            SEPARABLE[function](image, out=target, **options)
        assert "internal" not in str(caught.value)
    assert (out == 7).all(), "out= was touched"


@pytest.mark.parametrize("function", SEPARABLE)
def test_wrong_out_of_separable_filters(function):
    for _, out, kind, message in outs():
        with pytest.raises(kind, match=message):
            SEPARABLE[function](IMAGE, out=out)
        assert (np.asarray(out) == 7).all(), "out= was touched"
    whole = np.full((20, 20), 7.0)
    for out in (whole[:6, :7], whole[5:11, 6:13], whole[::-1][14:, 7:0:-1]):
        with pytest.raises(ValueError, match="share memory.*Received"):
            SEPARABLE[function](whole[:6, :7], out=out)
    assert (whole == 7).all()
    ferroconv.explain(SEPARABLE[function], IMAGE, out=whole[:6, :7])
    assert (whole == 7).all(), "explain touched out="


def outs():
    good = np.full((6, 7), 7.0)
    frozen = good.copy()
    frozen.setflags(write=False)
    yield "shape", np.full((7, 6), 7.0), ValueError, r"result's shape.*\[6, 7\].*Received"
    yield "rank", np.full((1, 6, 7), 7.0), ValueError, "result's shape.*Received"
    yield "dtype", good.astype(np.float32), ValueError, "result's dtype.*Received: float32"
    yield "object", good.astype(object), TypeError, "Received: object"
    yield "byte order", good.astype(good.dtype.newbyteorder("S")), ValueError, "byte order.*Received"
    yield "read-only", frozen, ValueError, "writable.*Received"
    yield "list", [[7.0] * 7] * 6, TypeError, "NumPy array.*Received: list"
    yield "overlapping itself", as_strided(np.full(100, 7.0), (6, 7), (8, 8)), ValueError, "share memory.*Received"
    yield "repeating itself", as_strided(np.full(100, 7.0), (6, 7), (0, 8)), ValueError, "share memory.*Received"


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("case", [name for name, *_ in outs()])
def test_wrong_out(function, case):
    out, kind, message = next(rest for name, *rest in outs() if name == case)
    with pytest.raises(kind, match=message):
        function(IMAGE, WINDOW, out=out)
    assert (np.asarray(out) == 7).all(), "out= was touched"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_that_overlaps_an_input(function):
    whole = np.full((20, 20), 7.0)
    for out in (whole[:6, :7], whole[5:11, 6:13], whole[::-1][14:, 7:0:-1], whole.T[:6, :7]):
        with pytest.raises(ValueError, match="share memory.*Received"):
            function(whole[:6, :7], WINDOW, out=out)
    window = np.full((6, 7), 7.0)
    with pytest.raises(ValueError, match="share memory"):
        function(IMAGE, window, out=window)
    assert (whole == 7).all() and (window == 7).all()
    # Interleaved and apart: fine.
    function(whole[::2, :7][:6], WINDOW, out=whole[1::2, :7][:6])
    assert (whole[::2] == 7).all()


def test_thread_numbers():
    before = ferroconv.get_num_threads()
    for count in (0, -2, 10**9, 10**30):
        with pytest.raises(ValueError, match="Received"):
            ferroconv.set_num_threads(count)
        with pytest.raises(ValueError, match="Received"), ferroconv.threads(count):
            pass
    for count in (1.5, "two", [2]):
        with pytest.raises(TypeError):
            ferroconv.set_num_threads(count)
    assert ferroconv.get_num_threads() == before


def test_absurd_views_that_can_be_computed_are():
    wide = np.broadcast_to(np.float32(1), (4, 2**50))
    np.testing.assert_array_equal(ferroconv.correlate(wide, np.ones((1, 3)), stride=(1, 2**48)), np.full((4, 4), 3))
    assert ferroconv.correlate(np.broadcast_to(np.uint8(1), (2**40, 0, 4)), [[1]]).shape == (2**40, 0, 4)
    far = ferroconv.correlate(IMAGE, [[1.0], [1.0], [1.0]], dilation=(2**40, 1), border="wrap")
    np.testing.assert_array_equal(far, np.full(IMAGE.shape, 3.0))


NASTY = [None, 0, 1, -1, 2, 7, 2**31, 2**62, 2**63, -(2**63), 2**70, 0.5, np.nan, np.inf, 1j, "", "same", "full", "valid", "reflect",
         "wrap", "constant", (), (1,), (1, 2), (-1, -2), (0, 0), (2**62, 1), (1, 2, 3), ("wrap", "mirror"), object(), b"x", True]  # fmt: skip
SHAPES = [(), (0,), (3,), (0, 0), (0, 3), (1, 1), (2, 3), (5, 4), (3, 2, 4), (2, 0, 3), (2, 1, 2, 3)]
DTYPES = [
    "?",
    "b",
    "B",
    "h",
    "H",
    "i",
    "I",
    "q",
    "Q",
    "e",
    "f",
    "d",
    "F",
    "D",
    "g",
    "O",
    "U1",
    "M8[s]",
    ">f4",
    ">i2",
    "i4,i4",
]
KEYWORDS = {
    "correlate": ["extent", "border", "cval", "origin", "stride", "dilation", "axes", "channel_axis", "dtype", "overflow", "nan",
                  "precision", "out", "workers"],
    "mirror2": ["output", "mode", "cval", "origin", "axes", "workers"],
    "mirror1": ["axis", "output", "mode", "cval", "origin", "workers"],
    "signal": ["mode", "boundary", "fillvalue", "workers"],
}  # fmt: skip
TARGETS = [
    *((f, "correlate") for f in FUNCTIONS),
    (ferroconv.ndimage.correlate, "mirror2"), (ferroconv.ndimage.convolve, "mirror2"),
    (ferroconv.ndimage.correlate1d, "mirror1"), (ferroconv.ndimage.convolve1d, "mirror1"),
    (ferroconv.signal.convolve2d, "signal"), (ferroconv.signal.correlate2d, "signal"),
]  # fmt: skip


@st.composite
def arrays(draw):
    if draw(st.integers(0, 15)) == 0:
        return draw(st.sampled_from([None, 1, 2.5, "text", [[1, 2], [3]], [[1.0, 2.0]], object(), b"abc"]))
    shape, dtype = draw(st.sampled_from(SHAPES)), np.dtype(draw(st.sampled_from(DTYPES)))
    array = np.zeros(shape, dtype)
    return array[::-1] if shape and draw(st.booleans()) else array


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.data())
@pytest.mark.filterwarnings("ignore")
def test_nothing_panics(data):
    """Any arguments: a result, or one of three exceptions (MemoryError and OverflowError are NumPy's own)."""
    function, kind = data.draw(st.sampled_from(TARGETS))
    keywords = data.draw(st.lists(st.sampled_from(KEYWORDS[kind]), max_size=3, unique=True))
    values = {
        k: data.draw(arrays() if k in ("out", "output") and data.draw(st.booleans()) else st.sampled_from(NASTY))
        for k in keywords
    }
    try:
        function(data.draw(arrays()), data.draw(arrays()), **values)
    except (ValueError, TypeError, NotImplementedError) as error:
        assert "internal error" not in str(error)
    except RuntimeError as error:
        raise AssertionError(f"not a ValueError: {error!r}") from error


@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
def test_signals_errors(name):
    function = getattr(ferroconv.signal, name)
    for args, message in [
        ((np.ones(3), WINDOW), "2-D.*Received"),
        ((IMAGE, np.ones((1, 1, 1))), "2-D.*Received"),
        ((IMAGE, WINDOW, "most"), "'valid', 'same', or 'full'.*Received: 'most'"),
        ((IMAGE, WINDOW, None), "Received: None"),
        ((IMAGE, WINDOW, "full", "reflect"), "fill.*symm.*wrap.*Received"),
        ((IMAGE, WINDOW, "full", "fill", [1, 2]), "one element.*Received"),
        ((IMAGE, WINDOW, "full", "fill", []), "one element.*Received"),
        ((IMAGE, WINDOW, "full", "fill", "a"), "Received: 'a'"),
        ((IMAGE, np.ones((0, 1))), "one tap.*Received"),
        ((np.ones((2, 9)), np.ones((3, 3)), "valid"), "at least as large.*Received"),
        ((IMAGE.astype(object), WINDOW), "Received: object"),
        ((np.full((2, 2), "a"), WINDOW), "Received"),
        ((np.zeros((2, 2), "M8[s]"), WINDOW), "Received: datetime64"),
    ]:
        with pytest.raises(ValueError, match=message):
            function(*args)
    for workers, kind in itertools.product([0, -2, 10**9, 10**30], [ValueError]):
        with pytest.raises(kind, match="Received"):
            function(IMAGE, WINDOW, workers=workers)
