"""Laws that hold whatever the numbers are (Hypothesis chooses them)."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support import paint, same, within

import ferroconv

BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap")
EXACT = ("uint8", "int16", "int32", "int64", "uint64")

sides = st.integers(1, 20)
taps = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
borders = st.sampled_from(BORDERS)
dtypes = st.sampled_from(EXACT)
functions = st.sampled_from([ferroconv.correlate, ferroconv.convolve])
suite = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def problems(draw, dtype=dtypes):
    """An image and a window of small whole numbers, exact in every dtype."""
    dtype, seed = draw(dtype), draw(seeds)
    image = paint((draw(sides), draw(sides)), dtype, seed)
    window = np.random.default_rng(seed).integers(-9, 10, (draw(taps), draw(taps)))
    return image, window


def wrapped(function, *args, **kwargs):
    return function(*args, overflow="wrap", **kwargs)


@suite
@given(problems(), borders, functions, st.integers(-5, 5))
def test_linear(problem, border, function, factor):
    image, window = problem
    other = paint(image.shape, image.dtype, 7)
    scale = np.array(factor).astype(image.dtype)
    with np.errstate(over="ignore"):
        left = wrapped(function, image + scale * other, window, border=border)
        right = wrapped(function, image, window, border=border) + scale * wrapped(
            function, other, window, border=border
        )
        same(left, right)
        twice = wrapped(function, image, window + 2 * window[::-1], border=border)
        same(
            twice,
            wrapped(function, image, window, border=border) + 2 * wrapped(function, image, window[::-1], border=border),
        )


@suite
@given(problems(), functions, st.integers(0, 5), st.integers(0, 5))
def test_shift_with_the_image_under_wrap(problem, function, down, right):
    image, window = problem
    moved = wrapped(function, np.roll(image, (down, right), (0, 1)), window, border="wrap")
    same(moved, np.roll(wrapped(function, image, window, border="wrap"), (down, right), (0, 1)))


@suite
@given(problems(), borders, functions)
def test_identity(problem, border, function):
    image, _ = problem
    same(function(image, [[1]], border=border), image)
    delta = np.zeros((3, 5), int)
    delta[1, 2] = 1
    same(function(image, delta, border=border), image)


@suite
@given(
    problems(),
    borders,
    st.lists(st.integers(-3, 3), min_size=1, max_size=5),
    st.lists(st.integers(-3, 3), min_size=1, max_size=5),
)
def test_separable_is_an_outer_product(problem, border, column, row):
    image = problem[0].astype(np.int64) % 1000
    whole = ferroconv.ndimage.correlate(image, np.multiply.outer(column, row), mode=border)
    passes = ferroconv.ndimage.correlate1d(
        ferroconv.ndimage.correlate1d(image, column, 0, mode=border), row, 1, mode=border
    )
    same(whole, passes)


@suite
@given(problems(), borders, st.sampled_from(["full", "same", "valid"]))
def test_convolution_turns_the_window(problem, border, extent):
    image, window = problem
    got = wrapped(ferroconv.convolve, image, window, border=border, extent=extent)
    kh, kw = window.shape
    origin = (-(1 - kh % 2), -(1 - kw % 2)) if extent == "same" else 0
    same(got, wrapped(ferroconv.correlate, image, window[::-1, ::-1], border=border, extent=extent, origin=origin))


@suite
@given(problems(), borders, functions, st.integers(1, 3))
def test_extents_nest(problem, border, function, dilation):
    image, window = problem
    full, part, valid = (
        wrapped(function, image, window, border=border, extent=e, dilation=dilation) for e in ("full", "same", "valid")
    )
    spans = [(k - 1) * dilation + 1 for k in window.shape]
    assert full.shape == tuple(n + s - 1 for n, s in zip(image.shape, spans, strict=True))
    assert valid.shape == tuple(max(n - s + 1, 0) for n, s in zip(image.shape, spans, strict=True))
    before = [k // 2 * dilation if function is ferroconv.correlate else (k - 1) // 2 * dilation for k in window.shape]
    y, x = (s - 1 - b for s, b in zip(spans, before, strict=True))
    same(part, full[y : y + image.shape[0], x : x + image.shape[1]])
    if valid.size:
        same(valid, full[spans[0] - 1 : image.shape[0], spans[1] - 1 : image.shape[1]])


@suite
@given(
    problems(),
    borders,
    functions,
    st.sampled_from(["full", "same", "valid"]),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_stride_picks_from_the_dense_result(problem, border, function, extent, down, right, dilation):
    image, window = problem
    options = {"border": border, "extent": extent, "dilation": dilation}
    dense = wrapped(function, image, window, **options)
    same(wrapped(function, image, window, stride=(down, right), **options), dense[::down, ::right])


@suite
@given(problems(), borders, functions, st.sampled_from(["full", "valid", "same"]), st.integers(1, 4), st.integers(1, 4))
def test_dilation_stuffs_the_window_with_zeros(problem, border, function, extent, down, right):
    image, window = problem
    kh, kw = window.shape
    stuffed = np.zeros(((kh - 1) * down + 1, (kw - 1) * right + 1), int)
    stuffed[::down, ::right] = window
    if extent == "same" and (kh % 2 == 0 or kw % 2 == 0):
        return  # the centre of an even window is one of its taps: test_extents_nest
    got = wrapped(function, image, window, border=border, extent=extent, dilation=(down, right))
    same(got, wrapped(function, image, stuffed, border=border, extent=extent))


@suite
@given(problems(), functions, borders, borders, st.integers(-200, 200))
def test_a_border_is_an_extended_image(problem, function, rows, cols, cval):
    from support import extended

    image, window = problem
    if cval < 0 and image.dtype.kind == "u":
        cval = -cval
    kh, kw = window.shape
    cval = min(cval, 100)
    padded = extended(extended(image, (kh - 1, 0), (kh - 1, 0), rows, cval), (0, kw - 1), (0, kw - 1), cols, cval)
    want = wrapped(function, padded, window, extent="valid")
    if "constant" in (rows, cols) and rows != cols:
        return  # a corner is the constant whichever axis leaves the image first: not two steps of padding
    same(wrapped(function, image, window, extent="full", border=(rows, cols), cval=cval), want)


@suite
@given(seeds, functions, st.permutations(range(4)), dtypes)
def test_axes_are_moveaxis(seed, function, order, dtype):
    image = paint((3, 4, 5, 6), dtype, seed)
    window = np.arange(6).reshape(2, 3)
    axes = tuple(order[:2])
    want = np.moveaxis(wrapped(function, np.moveaxis(image, axes, (-2, -1)), window), (-2, -1), axes)
    same(wrapped(function, image, window, axes=axes), want)
    same(wrapped(function, image, window, axes=tuple(a - 4 for a in axes)), want)
    for channel in range(4):
        spatial = tuple(a for a in range(4) if a != channel)[-2:]
        same(wrapped(function, image, window, channel_axis=channel), wrapped(function, image, window, axes=spatial))


@suite
@given(problems(), borders, functions, st.integers(1, 3))
def test_out_is_what_is_returned(problem, border, function, stride):
    image, window = problem
    want = wrapped(function, image, window, border=border, stride=stride)
    frame = np.full((want.shape[0] * 2 + 2, want.shape[1] * 3 + 2), 77, image.dtype)
    for out in (frame[1:-1:2, 1:-1:3], frame[1:-1:2, 1:-1:3][::-1, ::-1]):
        result = wrapped(function, image, window, border=border, stride=stride, out=out)
        assert result is out
        same(out, want)
    assert (frame[::2] == 77).all() and (frame[:, 2::3] == 77).all()


@suite
@given(seeds, sides, sides, taps, taps, borders, functions)
def test_complex_is_four_real(seed, h, w, kh, kw, border, function):
    image, window = paint((h, w), "complex128", seed), paint((kh, kw), "complex128", seed)
    got = function(image, window, border=border)
    parts = [function(a, b, border=border) for a in (image.real, image.imag) for b in (window.real, window.imag)]
    want = (parts[0] - parts[3]) + 1j * (parts[1] + parts[2])
    magnitude = ferroconv.correlate(np.abs(image), np.abs(window) * 0 + np.abs(window).sum(), border=border)
    within(got, want, 2 * window.size, magnitude)


@suite
@given(problems(st.sampled_from(["uint8", "int16"])), borders, functions)
def test_saturation_clips_the_exact_sum(problem, border, function):
    image, window = problem
    exact = function(image.astype(np.int64), window, border=border)
    limits = np.iinfo(image.dtype)
    same(function(image, window, border=border), exact.clip(limits.min, limits.max).astype(image.dtype))
    same(wrapped(function, image, window, border=border), exact.astype(image.dtype))


@suite
@given(problems(), borders)
def test_borders_reach_far(problem, border):
    """A window larger than the image many times over."""
    image = problem[0][:3, :2]
    window = np.zeros((41, 37), int)
    for i, j in [(0, 0), (0, 36), (40, 0), (40, 36), (3, 17)]:
        window[:] = 0
        window[i, j] = 1
        from support import dense, extended

        want = dense(
            extended(image.astype(np.int64) if image.dtype.kind == "i" else image, (20, 18), (20, 18), border),
            window.astype(image.dtype),
        )
        same(wrapped(ferroconv.correlate, image, window, border=border), want.astype(image.dtype))
