"""docs/borders.md: each cell of its table is what that library does, drawn with the library itself."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import ferroconv

TEXT = (pathlib.Path(__file__).parents[1] / "docs" / "borders.md").read_text(encoding="utf-8")
CONSTANT = 9
"""What `k` stands for; the image is 1 2 3 4."""


def continued(picture):
    """The samples that a picture of letters draws."""
    return [CONSTANT if letter == "k" else "abcd".index(letter) + 1 for letter in re.findall(r"\w", picture)]


def table():
    """The first table's rows: for each a list of samples, and the names of each column."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in TEXT.splitlines() if line.startswith("| ")]
    head = [cell.strip() for cell in rows[0]]
    for row in rows[1:6]:
        cells = dict(zip(head, (cell.strip() for cell in row), strict=True))
        yield (
            continued(cells.pop("picture")),
            {column: [one for one in cell.split(", ") if one] for column, cell in cells.items()},
        )


ROWS = list(table())
IMAGE = np.array([[1.0, 2.0, 3.0, 4.0]])


def single(reach):
    """A window that copies; its far ends show what lies outside."""
    weights = np.zeros((1, 2 * reach + 1))
    weights[0, reach] = 1
    return weights


def native(name, reach):
    return ferroconv.correlate(IMAGE, single(reach), extent="full", border=name, cval=CONSTANT)


def shifted(function):
    """The continuation by a function that keeps the image's size: what the window's first and last tap see."""

    def drawn(name, reach):
        first, last = np.zeros((2, 1, 2 * reach + 1))
        first[0, 0] = last[0, -1] = 1
        left, right = function(IMAGE, first, name), function(IMAGE, last, name)
        return np.concatenate([left[:, :reach], IMAGE, right[:, -reach:]], axis=1)

    return drawn


def of_numpy(name, reach):
    options = {"constant_values": CONSTANT} if name == "constant" else {}
    return np.pad(IMAGE, ((0, 0), (reach, reach)), mode=name, **options)


def of_opencv(name, reach):
    cv2 = pytest.importorskip("cv2", reason="the [bench] extra is not installed")
    return cv2.copyMakeBorder(IMAGE, 0, 0, reach, reach, getattr(cv2, name), value=CONSTANT)


def of_torch(name, reach):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    options = {"value": CONSTANT} if name == "constant" else {}
    return torch.nn.functional.pad(torch.tensor(IMAGE), (reach, reach), mode=name, **options).numpy()


def of_tensorflow(name, reach):
    tf = pytest.importorskip("tensorflow", reason="the [tensorflow] extra is not installed")
    return tf.pad(IMAGE, [[0, 0], [reach, reach]], mode=name, constant_values=CONSTANT).numpy()


COLUMNS = {
    "ferroconv": native,
    "scipy.ndimage": shifted(lambda x, w, name: scipy.ndimage.correlate(x, w, mode=name, cval=CONSTANT)),
    "scipy.signal": shifted(
        lambda x, w, name: scipy.signal.correlate2d(x, w, "same", boundary=name, fillvalue=CONSTANT)
    ),
    "numpy.pad": of_numpy,
    "OpenCV": of_opencv,
    "torch F.pad": of_torch,
    "tf.pad": of_tensorflow,
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_is_what_its_library_does(column):
    tried = 0
    for samples, names in ROWS:
        reach = (len(samples) - 4) // 2
        for name in names[column]:
            drawn = COLUMNS[column](name, reach)
            assert drawn.ravel().tolist() == samples, f"{column} {name}"
            tried += 1
    assert tried >= 3


def test_the_table_is_the_vocabulary():
    """Our names and the spellings that the mirrors take, all of them and in order."""
    columns = ("ferroconv", "scipy.ndimage", "scipy.signal", "numpy.pad")
    for (samples, names), mode in zip(ROWS, ferroconv._core.border_modes(), strict=True):
        name, picture, *spellings, pad = mode
        assert samples == continued(picture)
        assert [names[column] for column in columns] == [[name], *spellings, [pad]]
