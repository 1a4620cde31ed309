"""Helpers of the tests: painted data, awkward layouts, and the two ways to agree."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
NUMBERS = INTEGERS + FLOATS + COMPLEX

# numpy.pad's name of each border mode.
PAD = {
    "constant": "constant", "grid-constant": "constant", "fill": "constant", "pad": "constant",
    "nearest": "edge", "mirror": "reflect",
    "reflect": "symmetric", "grid-mirror": "symmetric", "symm": "symmetric", "symmetric": "symmetric",
    "wrap": "wrap", "grid-wrap": "wrap", "circular": "wrap",
}  # fmt: skip


def paint(shape, dtype, seed=0, small=False):
    """Random values over the dtype's whole range, so that sums wrap; or small ones."""
    rng = np.random.default_rng([seed, *np.atleast_1d(shape).tolist()])
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if not small else (-4 * (dtype.kind == "i"), 5)
        return rng.integers(low, high, shape, dtype, endpoint=True)
    real = rng.standard_normal(shape)
    if dtype.kind == "c":
        real = real + 1j * rng.standard_normal(shape)
    return real.astype(dtype)


def extended(image, before, after, mode, cval=0):
    """The image with samples added by a border mode, of any name, on each axis."""
    how = PAD[mode]
    widths = list(zip(before, after, strict=True))
    if how == "constant":  # numpy.pad would send an object array's values through C's integers
        frame = np.full([b + n + a for (b, a), n in zip(widths, image.shape, strict=True)], cval, image.dtype)
        frame[tuple(slice(b, b + n) for (b, _), n in zip(widths, image.shape, strict=True))] = image
        return frame
    if how == "reflect":  # of one sample: numpy.pad repeats it only in "edge"
        for axis, width in enumerate(widths):
            each = [(0, 0)] * image.ndim
            each[axis] = width
            image = np.pad(image, each, mode=how if image.shape[axis] > 1 else "edge")
        return image
    return np.pad(image, widths, mode=how)


def dense(image, weights):
    """The definition: valid correlation of two 2-D arrays, in the dtype of their product."""
    kh, kw = weights.shape
    windows = np.lib.stride_tricks.sliding_window_view(image, (kh, kw))
    return np.einsum("yxij,ij->yx", windows, weights)


def layouts(array):
    """The same numbers in every layout that NumPy can hand over."""
    yield "contiguous", np.ascontiguousarray(array)
    yield "fortran", np.asfortranarray(array)
    yield "transposed", np.ascontiguousarray(array.T).T
    yield "negative-stride", np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    wide = np.zeros((array.shape[0] * 3, array.shape[1] * 2), array.dtype)
    wide[::3, ::2] = array
    yield "strided", wide[::3, ::2]
    frozen = array.copy()
    frozen.setflags(write=False)
    yield "read-only", frozen
    raw = np.zeros(array.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    yield "unaligned", unaligned
    yield "byte-swapped", array.astype(array.dtype.newbyteorder("S"))


def same(got, want):
    """The same dtype and the same numbers."""
    assert got.dtype == want.dtype, f"{got.dtype} is not {want.dtype}"
    assert got.shape == want.shape, f"{got.shape} is not {want.shape}"
    np.testing.assert_array_equal(got, want)


def within(got, want, terms, magnitude, c=2.0):
    """Each element within ``c n eps sum|w x|``; `magnitude` is that sum, in float64."""
    assert got.dtype == want.dtype, f"{got.dtype} is not {want.dtype}"
    assert got.shape == want.shape, f"{got.shape} is not {want.shape}"
    limit = c * terms * np.finfo(got.dtype).eps * magnitude
    wide = np.result_type(got.dtype, np.float64)
    error = np.abs(got.astype(wide) - want.astype(wide))
    worst = np.unravel_index(np.argmax(error - limit), error.shape) if error.size else ()
    assert (error <= limit).all(), f"at {worst}: {got[worst]} is not {want[worst]}, limit {limit[worst]:.3g}"


def agree(got, want, terms, magnitude):
    """Integers exactly, floats within the bound."""
    if want.dtype.kind in "fc":
        within(got, want, terms, magnitude)
    else:
        same(got, want)


def python(code, **environment):
    """Runs code in a fresh interpreter; gives back what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
