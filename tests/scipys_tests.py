"""A plugin of pytest: SciPy's own tests, collected first and then run under `patch_scipy`.

``python -m pytest -p scipys_tests --rootdir <SciPy's folder> -c /dev/null <its test file>``
"""

from collections import defaultdict

import scipy.ndimage
import scipy.signal

import ferroconv
import ferroconv.patch

MOST = 8
"""Parameters of one test that are run: SciPy has thousands for some."""

EXPECTED = {
    "test_gauss03": "the sum of 10,000 float32 pixels: SciPy's passes sum in float64, ours in float32",
    "test_multiple_modes_sequentially": "two one-dimensional filters and one of two axes are equal up to rounding",
}
"""Tests that hold SciPy to its last bits."""


def pytest_collection_modifyitems(config, items):
    """Of the parameters of one test, some from all over; and none of the tests that hold SciPy to its last bits."""
    named = defaultdict(list)
    for item in items:
        named[getattr(item, "originalname", item.name)].append(item)
    kept = [
        item for name, some in named.items() if name not in EXPECTED for item in some[:: 1 + (len(some) - 1) // MOST]
    ]
    items[:] = kept


def pytest_collection_finish(session):
    """Patch after the collection: SciPy's tests look their functions up in tables while they are made."""
    names = {
        id(getattr(module, name)): f"{kind}.{name}"
        for kind, module in (("signal", scipy.signal), ("ndimage", scipy.ndimage))
        for name in getattr(ferroconv, kind).__all__
    }
    session.patch = ferroconv.patch_scipy()
    for item in session.items:  # a list of functions holds SciPy's own
        params = getattr(item, "callspec", None) and item.callspec.params
        for key, value in (params or {}).items():
            if id(value) in names:
                kind, _, name = names[id(value)].partition(".")
                params[key] = getattr(getattr(scipy, kind), name)


def pytest_sessionfinish(session):
    """Say how many calls were answered here."""
    rows = session.patch.report().rows
    print(f"\nanswered {sum(row.here for row in rows)}, handed {sum(row.handed.total() for row in rows)}")
    print(session.patch.report())
