"""What the package shows: signatures, names, docs, and what importing it costs."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from support import python

import ferroconv
import ferroconv.dask
import ferroconv.large
import ferroconv.xarray

ROOT = pathlib.Path(__file__).parent.parent
MIRRORS = [(ferroconv.signal, scipy.signal), (ferroconv.ndimage, scipy.ndimage)]


@pytest.mark.parametrize(("ours", "theirs"), MIRRORS)
def test_signatures_are_scipys_and_workers(ours, theirs):
    assert ours.__all__
    for name in ours.__all__:
        mine = dict(inspect.signature(getattr(ours, name)).parameters)
        added = mine.pop("workers")
        assert (added.name, added.default, added.kind) == ("workers", None, added.KEYWORD_ONLY)
        if name == "sepfir2d":  # a C function, whose signature stands in its documentation only
            assert list(mine) == ["input", "hrow", "hcol"]
            continue
        original = list(inspect.signature(getattr(theirs, name)).parameters.values())
        assert [(p.name, p.kind, p.default) for p in mine.values()] == [
            (p.name, p.kind, p.default) for p in original
        ], name


def test_native_signatures():
    parameters = inspect.signature(ferroconv.correlate).parameters
    assert {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY} == {
        "extent": "same", "border": "reflect", "cval": 0.0, "origin": 0, "stride": 1, "dilation": 1, "axes": (-2, -1),
        "channel_axis": None, "dtype": None, "overflow": "saturate", "nan": "propagate", "mask": None, "precision": "highest",
        "out": None, "workers": None,
    }  # fmt: skip
    assert [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == ["image", "weights"]
    assert inspect.signature(ferroconv.convolve) == inspect.signature(ferroconv.correlate)
    for name in ("box", "minimum", "maximum"):
        window = dict(inspect.signature(getattr(ferroconv, name)).parameters)
        assert [n for n, p in window.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == ["image", "size"]
        shared = {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n != "precision"}
        assert {n: p.default for n, p in window.items() if p.kind is p.KEYWORD_ONLY} == shared


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("gaussian", {"image", "sigma", "order", "truncate", "radius"}),
        ("sobel", {"image", "axis"}),
        ("laplace", {"image"}),
    ],
)
def test_native_filters_share_their_options(name, own):
    parameters = inspect.signature(getattr(ferroconv, name)).parameters
    options = {n: p for n, p in inspect.signature(ferroconv.correlate).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert {n: p for n, p in parameters.items() if n not in own} == options
    assert own <= set(parameters)


@pytest.mark.parametrize(
    "module",
    [
        ferroconv,
        ferroconv.signal,
        ferroconv.ndimage,
        ferroconv.nn,
        ferroconv.large,
        ferroconv.dask,
        ferroconv.xarray,
        ferroconv.patch,
    ],
)
def test_all_is_complete(module):
    public = {
        name for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__ and callable(value)
    }  # fmt: skip
    assert public <= set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert value is not None
        if callable(value):
            assert value.__doc__, name
            assert "%(" not in value.__doc__, f"{name}: a paragraph was not filled in"
            hints = inspect.get_annotations(value)
            assert inspect.isclass(value) or "return" in hints, f"{name} has no annotations"


@pytest.mark.parametrize(
    "module",
    [f"ferroconv{name}" for name in ("", ".signal", ".ndimage", ".nn", ".large", ".dask", ".xarray", ".patch")],
)
def test_every_docstring_runs(module):
    module = sys.modules[module]
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    tried = 0
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value) and value.__module__.startswith("ferroconv"):
            for test in finder.find(value, name, globs={}):
                runner.run(test)
                tried += len(test.examples)
    assert runner.summarize(verbose=False).failed == 0
    assert tried > 0


def test_importing_imports_numpy_and_nothing_else():
    code = """
import json, sys
import numpy
before = set(sys.modules)
import ferroconv
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    added = {name.partition(".")[0] for name in json.loads(python(code))}
    for name in ("scipy", "tensorflow", "keras", "cv2", "torch", "PIL", "dask", "matplotlib", "pandas", "skimage"):
        assert name not in added
    foreign = {n for n in added if n not in sys.stdlib_module_names and n not in ("ferroconv", "numpy")}
    assert foreign <= {"_core"}, foreign


def test_types_are_shipped():
    assert (pathlib.Path(ferroconv.__file__).parent / "py.typed").is_file()


def test_the_release_profile_is_built():
    assert ferroconv.info()["profile"] == "release"


def test_every_test_that_the_table_of_differences_names_exists():
    """docs/scipy-differences.md has one table; its last column names tests."""
    text = (ROOT / "docs" / "scipy-differences.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line][
        1:
    ]
    assert len(rows) > 15
    for _, _, verdict, tests in rows:
        assert verdict in ("matched", "difference"), verdict
        names = re.findall(r"`(test_\w+)\.py::(test_\w+)`", tests)
        assert names, f"no test in {tests!r}"
        for file, name in names:
            assert f"\ndef {name}(" in (ROOT / "tests" / f"{file}.py").read_text(), f"{file}.py has no {name}"


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("maturin") and shutil.which("cargo")),
    reason="maturin and cargo build the package; one of them is missing",
)
def test_a_fresh_environment_builds_a_release(tmp_path):
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=True)
    interpreter = tmp_path / "env" / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX")}
    environment |= {"VIRTUAL_ENV": str(tmp_path / "env"), "PATH": f"{tmp_path}/env/bin:{os.environ['PATH']}"}
    # Of a copy: an editable build puts its library beside the sources.
    keep = shutil.ignore_patterns("target", "*.so", ".git", "__pycache__", ".hypothesis", ".pytest_cache")
    shutil.copytree(ROOT, tmp_path / "source", ignore=keep)
    environment["CARGO_TARGET_DIR"] = str(ROOT / "target")
    # What is tested is the set-up, not the speed; the kernels take a quarter of the time to compile so.
    environment["CARGO_PROFILE_RELEASE_OPT_LEVEL"] = "0"
    subprocess.run(
        ["maturin", "develop"], cwd=tmp_path / "source", env=environment, check=True, capture_output=True, timeout=1500
    )
    code = "import ferroconv; print(ferroconv.info()['profile'], ferroconv.correlate([[1, 2]], [[2]]).tolist())"
    done = subprocess.run(
        [interpreter, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["release", "[[2,", "4]]"]


def test_numpy_scalars_and_lists_are_taken():
    assert importlib.util.find_spec("ferroconv._core") is not None
    assert ferroconv.correlate(
        [[1.0, 2.0]], [[2]], stride=np.int64(1), origin=np.array([0, 0]), workers=np.int32(1)
    ).tolist() == [[2, 4]]
