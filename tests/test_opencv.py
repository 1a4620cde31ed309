"""docs/opencv.md: each row of its tables, evaluated on both sides."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import support_docs

pytest.importorskip("cv2", reason="OpenCV is the other side")

PAGE = (pathlib.Path(__file__).parents[1] / "docs" / "opencv.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(cv2\..*?)` \| `(.*?)` \| (.*?) ?\| (.*?) ?\|$", PAGE, re.MULTILINE)
CASES = [
    (theirs, ours, dtype, agree)
    for theirs, ours, *columns in ROWS
    for dtype, agree in zip((np.uint8, np.float32), columns, strict=True)
    if agree
]


def apart(agree, theirs):
    """How far the results may be from each other, in the page's words."""
    largest = float(np.abs(theirs.astype(np.float64)).max())
    return {"equal": 0, "1 level": 1, "2 levels": 2, "rounding": 2e-6 * largest}[agree]


@pytest.fixture(scope="module")
def names():
    found = {}
    exec(next(support_docs.examples(PAGE)).code.text, found)
    return found


def test_every_row_is_read():
    tables = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(ROWS) == len(tables) > 40
    assert all(any(columns) for _, _, *columns in ROWS)


@pytest.mark.parametrize(
    "theirs, ours, dtype, agree", CASES, ids=[f"{theirs}-{dtype.__name__}" for theirs, _, dtype, _ in CASES]
)
def test_both_sides_agree(theirs, ours, dtype, agree, names):
    image = names["image"] if dtype is np.uint8 else (names["image"] / np.float32(255)).astype(np.float32)
    scope = {**names, "image": image}
    a, b = eval(theirs, scope), eval(ours, scope)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    assert difference.max() <= apart(agree, a)
    if agree == "1 level" and "correlate" in ours:
        assert (difference > 0).mean() < 1 / 32, "more than what is within 1/64 of a half"


def test_a_row_that_is_wrong_would_fail(names):
    """Another border, another centre, another order of sizes: each is seen by every word of the tables."""
    import cv2

    import ferroconv

    image, k = names["image"], names["k"]
    theirs = cv2.filter2D(image, -1, k).astype(int)
    for wrong in ({"border": "reflect"}, {"border": "mirror", "origin": (0, 1)}):
        assert np.abs(theirs - ferroconv.correlate(image, k, **wrong)).max() > 2
    assert np.abs(cv2.blur(image, (5, 3)).astype(int) - ferroconv.box(image, (5, 3), border="mirror")).max() > 2
