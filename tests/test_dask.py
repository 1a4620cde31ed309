"""Filters of dask arrays have the bits of the image in memory; xarray's labels stay."""

from __future__ import annotations

import pickle

import dask
import dask.array
import numpy as np
import pytest
import xarray
from support import paint, python
from support_parts import BORDERS, CASES, NATIVE, WINDOW, equal, image, names

import ferroconv
import ferroconv.dask
import ferroconv.large
import ferroconv.ndimage as nd
import ferroconv.xarray
from ferroconv.dask import DifferentBitsWarning

CHUNKS = ((20, 20), (3, 45), ((5, 1, 11, 20), (30, 1, 14)), (37, 45))


@pytest.fixture(autouse=True)
def _in_this_process():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("case", CASES, ids=names)
@pytest.mark.filterwarnings("ignore:overflow|invalid:RuntimeWarning")
def test_plain_functions_take_dask_arrays(case, border):
    function, args, options, keyword = case
    options = {**options, keyword: border, "cval": 3}
    source = image("float32" if len(border) % 2 else "uint8")
    want = function(source, *args, **options)
    for chunks in CHUNKS:
        result = function(dask.array.from_array(source, chunks), *args, **options)
        assert isinstance(result, dask.array.Array)
        assert (result.shape, result.dtype) == (want.shape, want.dtype)
        equal(result.compute(), want, chunks)


@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case[0].__name__)
@pytest.mark.filterwarnings("ignore:overflow|invalid:RuntimeWarning")
def test_the_module_has_the_native_forms(case):
    function, args, options = case
    lazy = getattr(ferroconv.dask, function.__name__)
    for dtype in ("float64", "uint16"):
        source = image(dtype)
        got = lazy(dask.array.from_array(source, (10, 17)), *args, **options)
        equal(got.compute(), function(source, *args, **options), dtype)


def test_nothing_is_computed_before_it_is_asked_for():
    def fail(block):
        raise AssertionError("computed")

    source = dask.array.ones((100, 100), chunks=30).map_blocks(fail, dtype="f4", meta=np.empty((0, 0), "f4"))
    result = ferroconv.sobel(nd.grey_opening(ferroconv.gaussian(image=source, sigma=2), size=3))
    assert (result.dtype, type(result._meta), result._meta.shape) == (np.float32, np.ndarray, (0, 0))
    with pytest.raises(AssertionError, match="computed"):
        result.compute()


def test_chunks_stay_where_they_are_large_enough():
    source = dask.array.ones((100, 90), chunks=((40, 30, 30), (50, 40)))
    assert ferroconv.gaussian(source, 2).chunks == source.chunks
    assert ferroconv.box(source, (20, 3)).chunks == ((40, 20, 40), (50, 40))  # the grid of a sliding mean
    assert ferroconv.maximum(source, 50).chunks == ((40, 30, 30), (50, 40))
    assert ferroconv.gaussian(source, 9).chunks == ((40, 60), (50, 40))
    assert ferroconv.gaussian(source, 20).chunks == ((100,), (90,))


def test_gaps_and_masks():
    source, mask = image("float32"), paint((37, 45), "bool", 5)
    source[4:9, 5:30] = np.nan
    for given in (mask, dask.array.from_array(mask, (9, 45)), mask[:1]):
        got = ferroconv.gaussian(dask.array.from_array(source, (12, 20)), 1.5, nan="ignore", mask=given)
        equal(got.compute(), ferroconv.gaussian(source, 1.5, nan="ignore", mask=np.asarray(given)), "mask")


def test_chunks_too_small_for_the_chosen_implementation_are_joined():
    source = image("float32", (300, 310))
    window = np.multiply.outer(np.linspace(1, 2, 21), np.linspace(3, 1, 15)) / 200
    got = ferroconv.correlate(dask.array.from_array(source, (12, 10)), window)
    equal(got.compute(), ferroconv.correlate(source, window), "small chunks")


def test_a_window_that_would_be_transformed_says_so():
    source, window = image("float32", (500, 400)), paint((41, 41), "float64")
    with pytest.warns(DifferentBitsWarning):
        got = ferroconv.correlate(dask.array.from_array(source, (200, 130)), window)
    with pytest.warns(DifferentBitsWarning):
        want = ferroconv.large.op(ferroconv.correlate, window)(source)
    equal(got.compute(), want, "transforms")


def test_refusals():
    source = dask.array.ones((40, 40), chunks=20)
    with pytest.raises(NotImplementedError, match="image's size"):
        ferroconv.gaussian(source, 1, extent="valid")
    with pytest.raises(ValueError, match="sigma"):
        nd.gaussian_filter(source, -1)
    with pytest.raises(TypeError, match="output="):
        nd.sobel(source, output=np.ones((40, 40)))
    with pytest.raises(TypeError, match="filter of ferroconv"):
        ferroconv.dask.filtered(np.median, source)
    with pytest.raises(ValueError, match="must be known"):
        ferroconv.laplace(source[source[:, 0] > 0])
    assert ferroconv.laplace(dask.array.ones((0, 5))).compute().shape == (0, 5)


def test_other_arrays_become_dask_arrays():
    source = image("uint8")
    equal(ferroconv.dask.gaussian(source, 2).compute(), ferroconv.gaussian(source, 2), "from NumPy")


def test_the_name_does_not_hide_dask():
    code = """
import sys, ferroconv, numpy as np
ferroconv.gaussian([[1.0, 2.0]], 1), ferroconv.ndimage.sobel([[1, 2]])
print("dask" in sys.modules)
import ferroconv.dask, dask
print(dask.__name__, ferroconv.dask.__name__)
sys.modules["dask"] = sys.modules["dask.array"] = None
try:
    ferroconv.dask.gaussian(np.ones((3, 3)), 1)
except ModuleNotFoundError as error:
    print(error)
"""
    imported, found, error = python(code).splitlines()
    assert imported == "False"
    assert found == "dask ferroconv.dask"
    assert 'pip install "ferroconv[large]"' in error


def test_graphs_travel():
    source = image("float32")
    lazy = ferroconv.box(dask.array.from_array(source, (10, 20)), 9)
    equal(pickle.loads(pickle.dumps(lazy)).compute(), ferroconv.box(source, 9), "pickled")


def noise(block, block_info=None):
    """Numbers that depend on their place only."""
    (y, _), (x, _) = block_info[None]["array-location"]
    rows, cols = np.ogrid[y : y + block.shape[0], x : x + block.shape[1]]
    return (np.sin(rows * 0.37) * np.cos(cols * 0.73) * 100).astype("f4")


@pytest.mark.filterwarnings("ignore")
def test_an_image_larger_than_a_workers_memory():
    """Two processes of 360 MiB each, of which 150 are the interpreter's, and an image of 384."""
    distributed = pytest.importorskip("distributed")
    shape, limit = (12288, 8192), 360 << 20
    settings = {"distributed.worker.memory.terminate": 0.98, "distributed.admin.large-graph-warning-threshold": "100MB"}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=limit, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        source = dask.array.zeros(shape, chunks=(1024, 1024), dtype="f4").map_blocks(noise, dtype="f4")
        assert source.nbytes > limit
        workers = client.nthreads()
        result = ferroconv.sobel(ferroconv.gaussian(source, 2, border="wrap"), None)
        sums = client.compute(result.sum(axis=1, dtype="f8")).result(timeout=100)
        # A worker that was killed for its memory comes back under another address. (`scheduler_info`
        # may tell of no workers: its answer is lost where a periodic one, without them, comes next.)
        assert client.nthreads() == workers and len(workers) == 2
        corner = client.compute(result[:200, -300:]).result(timeout=60)
    part = noise(np.empty((260, shape[1]), "f4"), {None: {"array-location": [(0, 0), (0, 0)]}})
    other = noise(np.empty((60, shape[1]), "f4"), {None: {"array-location": [(shape[0] - 60, 0), (0, 0)]}})
    whole = ferroconv.sobel(ferroconv.gaussian(np.vstack([part, other]), 2, border="wrap"), None)
    equal(corner, np.ascontiguousarray(whole[:200, -300:]), "corner")
    np.testing.assert_allclose(sums[:200], whole[:200].sum(axis=1, dtype="f8"), rtol=1e-12)


@pytest.mark.parametrize("lazy", [False, True])
def test_labels_stay(lazy):
    source = image("float32", (3, 40, 50))
    labelled = xarray.DataArray(
        source, dims=("y", "time", "x"), coords={"x": np.arange(50) * 2}, attrs={"units": "K"}, name="t"
    )
    given = labelled.chunk(time=15, x=20) if lazy else labelled
    for result, want in (
        (given.ferroconv.gaussian(2, dims=("y", "x")), ferroconv.gaussian(source, 2, axes=(0, 2))),
        (given.ferroconv.correlate(WINDOW), ferroconv.correlate(source, WINDOW)),
        (
            given.ferroconv.apply(nd.uniform_filter, (3, 7), dims=("x", "time")),
            nd.uniform_filter(source.transpose(0, 2, 1), (3, 7), axes=(1, 2)).transpose(0, 2, 1),
        ),
        (given.ferroconv.apply(nd.gaussian_filter, 1), nd.gaussian_filter(source, 1)),
        (given.ferroconv.apply(nd.correlate1d, [1, 2, 1], dims=("time",)), nd.correlate1d(source, [1, 2, 1], axis=1)),
    ):
        assert isinstance(result.data, dask.array.Array) == lazy
        assert (result.dims, result.attrs, result.name) == (labelled.dims, {"units": "K"}, "t")
        assert result.x.equals(labelled.x)
        equal(np.ascontiguousarray(result.values), np.ascontiguousarray(want), result.dims)
    with pytest.raises(ValueError, match="dims must be"):
        given.ferroconv.box(3, dims=("y", "z"))
