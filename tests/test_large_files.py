"""Files and stores of images, interruptions, full disks, and memory."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import psutil
import pytest
import tifffile
import zarr
from support import paint, python
from support_parts import equal, image

import ferroconv
import ferroconv.large
from ferroconv.large import filter_tiled, op
from ferroconv.large._files import Target

CHAIN = [op(ferroconv.gaussian, 2, border="wrap"), op(ferroconv.sobel, None)]


def expected(source):
    return ferroconv.sobel(ferroconv.gaussian(source, 2, border="wrap"), None)


def read(path):
    return np.load(path) if path.suffix == ".npy" else tifffile.imread(path)


SHAPE = (300, 410)


@pytest.mark.parametrize("dtype", ["uint8", "float32", ">u2"])
@pytest.mark.parametrize("name", ["a.npy", "plain.tif", "tiled.tif", "packed.tif"])
@pytest.mark.parametrize("target", ["b.npy", "b.tif"])
def test_files(tmp_path, name, target, dtype):
    source = image(np.dtype(dtype).newbyteorder("="), SHAPE)
    if name.endswith("npy"):
        np.save(tmp_path / name, source.astype(dtype))
    else:
        how = {"plain": {}, "tiled": {"tile": (64, 64)}, "packed": {"tile": (64, 64), "compression": "zlib"}}
        order = ">" if dtype.startswith(">") else "<"
        tifffile.imwrite(tmp_path / name, source, byteorder=order, **how[name.partition(".")[0]])
    for tile in (None, (64, 144)):
        filter_tiled(str(tmp_path / name), tmp_path / target, CHAIN, tile=tile)
        equal(read(tmp_path / target), expected(source), f"{name} to {target}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, target])


def test_a_tiff_file_is_a_tiled_bigtiff(tmp_path):
    source = image("uint8", (700, 900))
    filter_tiled(source, tmp_path / "b.tif", [], tile=(256, 512))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.is_bigtiff
        assert file.pages[0].is_tiled
        assert file.pages[0].tile == (256, 512)
        equal(file.asarray(), source, "copy")


@pytest.mark.parametrize("shape", [(3, 70, 90), (70, 90, 3), (70, 90, 4)])
def test_pages_and_colours(tmp_path, shape):
    source = image("uint16", shape)
    axes = (1, 2) if shape[0] == 3 else (0, 1)
    for target in ("b.tif", "b.npy"):
        filter_tiled(source, tmp_path / target, op(ferroconv.gaussian, 1, axes=axes), tile=(16, 32, 32))
        equal(read(tmp_path / target), ferroconv.gaussian(source, 1, axes=axes), target)


def test_tiff_refusals(tmp_path):
    source = image("uint8")
    for path, options, match in (("b.tif", {"tile": 10}, "multiples of 16"), ("b.png", {}, "path must end")):
        with pytest.raises(ValueError, match=match):
            filter_tiled(source, tmp_path / path, CHAIN, **options)
    with pytest.raises(ValueError, match="two or three axes"):
        filter_tiled(source[None, None], tmp_path / "b.tif", [])
    assert not list(tmp_path.iterdir())


def test_memmap_zarr_and_hdf5(tmp_path):
    source = image("float32", SHAPE)
    want = expected(source)
    mapped = np.memmap(tmp_path / "a", source.dtype, "w+", shape=SHAPE)
    mapped[...] = source
    packed = zarr.create_array(tmp_path / "a.zarr", shape=SHAPE, dtype="f4", chunks=(70, 64))
    packed[...] = source
    with h5py.File(tmp_path / "a.h5", "w") as file:
        hdf = file.create_dataset("image", data=source, chunks=(50, 50))
        targets = [
            np.memmap(tmp_path / "b", source.dtype, "w+", shape=SHAPE),
            zarr.create_array(tmp_path / "b.zarr", shape=SHAPE, dtype="f4", chunks=(64, 80)),
            file.create_dataset("result", SHAPE, "f4", chunks=(32, 64)),
            np.empty(SHAPE, np.float32),
        ]
        for origin in (mapped, packed, hdf, source):
            for target in targets:
                filter_tiled(origin, target, CHAIN, max_memory="4MiB")
                equal(np.asarray(target[...]), want, f"{type(origin).__name__} to {type(target).__name__}")
                target[...] = 0
        with pytest.raises(ValueError, match="must not be src"):
            filter_tiled(mapped, np.memmap(tmp_path / "a", source.dtype, "r+", shape=SHAPE), CHAIN)


class Interrupted(np.memmap):
    """A source that gives up after some boxes."""

    left = 0

    def __getitem__(self, place):
        if Interrupted.left == 0:
            raise KeyboardInterrupt
        Interrupted.left -= 1
        return np.asarray(super().__getitem__(place))


def interrupt(path, target, chain, after, **options):
    """Begin, and be interrupted."""
    Interrupted.left = after
    with pytest.raises(KeyboardInterrupt):
        filter_tiled(Interrupted(path, np.uint8, "r", shape=SHAPE), target, chain, tile=(32, 128), workers=1, **options)


@pytest.fixture
def stored(tmp_path):
    source = image("uint8", SHAPE)
    np.memmap(tmp_path / "a", np.uint8, "w+", shape=SHAPE)[...] = source
    return tmp_path / "a", source


def counted(monkeypatch):
    """The boxes that are written."""
    boxes, write = [], Target.write
    monkeypatch.setattr(Target, "write", lambda self, box, part: (boxes.append(box), write(self, box, part))[1])
    return boxes


@pytest.mark.parametrize("target", ["b.npy", "b.tif"])
def test_what_is_interrupted_looks_unfinished_and_is_taken_up(stored, tmp_path, monkeypatch, target):
    path, source = stored
    interrupt(path, tmp_path / target, op(ferroconv.laplace), 20)
    assert {p.name for p in tmp_path.iterdir()} == {"a", f"{target}.partial", f"{target}.partial.journal"}
    boxes = counted(monkeypatch)
    Interrupted.left = 10**9
    opened = Interrupted(path, np.uint8, "r", shape=SHAPE)
    filter_tiled(opened, tmp_path / target, op(ferroconv.laplace), tile=(32, 128), workers=1)
    assert 20 <= len(boxes) < 40  # of 40
    equal(read(tmp_path / target), ferroconv.laplace(source), target)
    assert {p.name for p in tmp_path.iterdir()} == {"a", target}


def test_another_filter_source_or_tile_begins_anew(stored, tmp_path, monkeypatch):
    path, source = stored
    target = tmp_path / "b.npy"
    boxes = counted(monkeypatch)

    def again(chain=None, tile=(32, 128)):
        boxes.clear()
        opened = np.memmap(path, np.uint8, "r", shape=SHAPE)
        filter_tiled(opened, target, chain or op(ferroconv.gaussian, 1), tile=tile)
        return len(boxes)

    interrupt(path, target, op(ferroconv.gaussian, 1), 20)
    assert again() < 40
    interrupt(path, target, op(ferroconv.gaussian, 1), 20)
    assert again(op(ferroconv.gaussian, 1, border="mirror")) == 40
    equal(read(target), ferroconv.gaussian(source, 1, border="mirror"), "another border")
    interrupt(path, target, op(ferroconv.correlate, np.ones((3, 3))), 20)
    assert again(op(ferroconv.correlate, np.eye(3))) == 40
    equal(read(target), ferroconv.correlate(source, np.eye(3)), "other weights")
    interrupt(path, target, op(ferroconv.gaussian, 1), 20)
    assert again(tile=(64, 128)) == 20
    interrupt(path, target, op(ferroconv.gaussian, 1), 20)
    changed = np.memmap(path, np.uint8, "r+", shape=SHAPE)
    changed[0, 0] ^= 255
    changed.flush()
    os.utime(path, ns=(1, 1))
    assert again() == 40
    equal(read(target), ferroconv.gaussian(np.asarray(changed), 1), "another source")


def test_an_array_in_memory_is_known_by_its_numbers(tmp_path, monkeypatch):
    source = image("uint8", SHAPE)
    boxes = counted(monkeypatch)

    def stop(self, tile):
        if tile == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        add = ferroconv.large._journal.Journal.add
        patch.setattr(ferroconv.large._journal.Journal, "add", lambda self, tile: (stop(self, tile), add(self, tile)))
        with pytest.raises(KeyboardInterrupt):
            filter_tiled(source, tmp_path / "b.npy", [], tile=(32, 128))
    boxes.clear()
    filter_tiled(source.copy(), tmp_path / "b.npy", [], tile=(32, 128))
    assert len(boxes) == 30
    equal(read(tmp_path / "b.npy"), source, "copy")


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_is_whole(stored, tmp_path):
    path, source = stored
    target = tmp_path / "b.npy"
    interrupt(path, target, op(ferroconv.gaussian, 1), 20)
    journal = tmp_path / "b.npy.partial.journal"
    journal.write_text(journal.read_text() + "3")  # 37, cut off
    filter_tiled(np.memmap(path, np.uint8, "r", shape=SHAPE), target, op(ferroconv.gaussian, 1), tile=(32, 128))
    equal(read(target), ferroconv.gaussian(source, 1), "resumed")


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_full_disk_leaves_no_file_that_looks_whole(tmp_path, monkeypatch, when):
    source = image("uint8", SHAPE)
    (tmp_path / "b.npy").write_bytes(b"what was there before")
    full = OSError(errno.ENOSPC, "No space left on device")
    if when == "at once":
        monkeypatch.setattr(os, "posix_fallocate", lambda *args: (_ for _ in ()).throw(full))
    else:
        calls, write = [], os.write

        def limited(file, data):
            calls.append(file)
            if len(calls) > 200:
                raise full
            return write(file, data)

        monkeypatch.setattr("ferroconv.large._files.os.write", limited)
    with pytest.raises(OSError, match="No space"):
        filter_tiled(source, tmp_path / "b.npy", CHAIN, tile=(32, 128))
    assert (tmp_path / "b.npy").read_bytes() == b"what was there before"
    monkeypatch.undo()
    filter_tiled(source, tmp_path / "b.npy", CHAIN, tile=(32, 128))
    equal(read(tmp_path / "b.npy"), expected(source), "afterwards")
    assert [p.name for p in tmp_path.iterdir()] == ["b.npy"]


def test_an_error_while_filtering_comes_through(tmp_path):
    class Broken:
        shape, dtype = SHAPE, np.dtype(np.uint8)

        def __getitem__(self, place):
            raise OSError("a bad sector")

    with pytest.raises(OSError, match="bad sector"):
        filter_tiled(Broken(), tmp_path / "b.npy", CHAIN)
    assert not (tmp_path / "b.npy").exists()


SCRIPT = """
import numpy as np, ferroconv, ferroconv.large as large
source = np.memmap({path!r}, np.uint8, "r", shape=(24000, 24000))
print("begun", flush=True)
large.filter_tiled(source, {target!r}, large.op(ferroconv.gaussian, 9), tile=(128, 128), progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_ends_a_run_soon(tmp_path):
    path, target = tmp_path / "a", tmp_path / "b.npy"
    with path.open("wb") as file:
        file.truncate(24000 * 24000)
    code = SCRIPT.format(path=str(path), target=str(target))
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "begun\n"
    journal = tmp_path / "b.npy.partial.journal"
    end = time.monotonic() + 60
    while not (journal.exists() and journal.read_text().count("\n") > 5) and time.monotonic() < end:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert not target.exists()
    assert 5 < journal.read_text().count("\n") < 188 * 188


def test_the_module_needs_nothing_until_a_file_asks_for_it():
    code = """
import os, sys, numpy as np, ferroconv, ferroconv.large as large
before = set(sys.modules)
image = np.zeros((20, 20), np.uint8)
large.filter_tiled(image, np.empty_like(image), ferroconv.laplace)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"tifffile", "zarr", "dask", "tqdm", "xarray", "h5py"}))
sys.modules["tifffile"] = None
try:
    large.filter_tiled(image, "b.tif", ferroconv.laplace)
except ModuleNotFoundError as error:
    print(error)
print([name for name in os.listdir() if "partial" in name])
"""
    found, error, left = python(code).splitlines()
    assert left == "[]"
    assert found == "[]"
    assert 'pip install "ferroconv[large]"' in error


class Watch:
    """The most anonymous memory, in MiB, of this process within a block."""

    def __enter__(self):
        self.most, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        process = psutil.Process()
        while not self._stop.wait(0.01):
            facts = process.memory_info()
            self.most = max(self.most, (facts.rss - getattr(facts, "shared", 0)) / 2**20)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def sparse(path, side):
    """A square image of bytes that takes no disk, with spots of noise at edges and inside."""
    with path.open("wb") as file:
        file.truncate(side * side)
    source = np.memmap(path, np.uint8, "r+", shape=(side, side))
    for y, x in ((0, 0), (side // 2 - 50, side // 3), (side - 100, side - 120), (side // 4 - 3, side - 120)):
        source[y : y + 100, x : x + 120] = paint((100, 120), "uint8", y)
    source.flush()
    return np.memmap(path, np.uint8, "r", shape=(side, side))


def check_spots(source, result, chain, margin):
    """What is around the spots, filtered in memory."""
    side = len(source)
    for y, x in ((0, 0), (side // 2 - 50, side // 3), (side - 100, side - 120), (side // 4 - 3, side - 120)):
        rows, cols = (slice(max(i - 2 * margin, 0), min(i + n + 2 * margin, side)) for i, n in ((y, 100), (x, 120)))
        part = np.asarray(source[rows, cols])
        for link in chain:
            part = link(part)
        inner = [
            slice(margin * (s.start > 0), n - margin * (s.stop < side))
            for s, n in zip((rows, cols), part.shape, strict=True)
        ]
        got = result[rows, cols][tuple(inner)]
        equal(np.ascontiguousarray(got), np.ascontiguousarray(part[tuple(inner)]), f"spot at {y}, {x}")


def test_memory_stays_below_its_bound(tmp_path):
    source = sparse(tmp_path / "a", 6000)
    chain = [op(ferroconv.gaussian, 2), op(ferroconv.sobel, None)]
    before = psutil.Process().memory_info()
    before = (before.rss - getattr(before, "shared", 0)) / 2**20
    ferroconv.clear_cache()
    with Watch() as watch:
        filter_tiled(source, tmp_path / "b.npy", chain, max_memory="24MiB", progress=False)
    assert watch.most - before < 24 + 16  # threads' scratch, and results that are kept
    check_spots(source, np.load(tmp_path / "b.npy", mmap_mode="r"), chain, 20)


@pytest.mark.slow
@pytest.mark.parametrize("side", [16384, 65536])
def test_four_gibibytes_in_half_of_one(tmp_path, side):
    """Blurred and edge-filtered within the bound of memory; with ``-s``, beside copying the file in the same way."""
    if shutil.disk_usage(tmp_path).free < 3 * side * side:
        pytest.skip(f"needs {3 * side * side / 2**30:.0f} GiB of disk")
    source = sparse(tmp_path / "a", side)
    chain = [op(ferroconv.gaussian, 1), op(ferroconv.sobel)]
    ferroconv.clear_cache()
    before = psutil.Process().memory_info()
    before = (before.rss - getattr(before, "shared", 0)) / 2**20
    for name, links in (("copy", []), ("filter", chain)):
        with Watch() as watch:
            start = time.perf_counter()
            filter_tiled(source, tmp_path / f"{name}.tif", links, max_memory="512MiB", progress=False)
            seconds = time.perf_counter() - start
        assert watch.most - before < 768
        if name == "copy":
            (tmp_path / "copy.tif").unlink()
        print(f"{name}: {seconds:.1f} s, {watch.most:.0f} MiB")
    with tifffile.TiffFile(tmp_path / "filter.tif") as file:
        store = file.series[0].aszarr()
        check_spots(source, zarr.open(store, mode="r"), chain, 20)
        store.close()
