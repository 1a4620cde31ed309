"""The walk over an image in tiles: read, filtered and written side by side."""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferroconv import _core
from ferroconv._halo import Box
from ferroconv._stages import Chain
from ferroconv.large import _files
from ferroconv.large._journal import Journal
from ferroconv.large._op import Op, read_op
from ferroconv.large._sizes import choose_tile, read_bytes


def filter_tiled(
    src: Any,
    dst: Any,
    op: Any,
    *,
    tile: int | Sequence[int] | None = None,
    workers: int | None = None,
    max_memory: int | str = "1GiB",
    progress: bool = True,
) -> None:
    """Filter an image that may be larger than memory, tile by tile: ``dst[...] = op(src[...])``.

    Parameters
    ----------
    src : array or path
        Anything with ``shape``, ``dtype`` and slices: ``numpy.memmap``, a zarr array, an HDF5 data set; or the path
        of a TIFF or ``.npy`` file. It is read by several threads, one at a time unless it is a NumPy array.
    dst : array or path
        An array of the image's shape that slices are assigned to, converted to its dtype as the array does
        it; or the path of a file, of the result's dtype: ``.npy``, or ``.tif`` for an uncompressed BigTIFF of
        tiles.
    op : callable, Op, or sequence of them
        A filter, a ``functools.partial`` of one with its options by name, or what `ferroconv.large.op` gives; several
        are run one after the other without an image in between, and none at all copies.
    tile : int or sequence of int, optional
        Samples of a tile along each axis. By default what fits into `max_memory`, in whole chunks of `dst`, or of
        `src`, where they have ``chunks``.
    workers : int, optional
        Threads that filter, a tile each: a number, -1 for every core, or None for the setting of
        `ferroconv.set_num_threads`. One more reads ahead.
    max_memory : int or str, optional
        Bytes, or a number with KiB, MiB, GiB or TiB: what tiles may take at a time, with their surroundings and with
        what the filters keep in between. The interpreter, libraries, and up to 256 MiB of results that are kept
        for the next ones (`ferroconv.clear_cache`) come on top.
    progress : bool, optional
        Show a progress bar where tqdm is installed and the error stream is a terminal.

    Raises
    ------
    ValueError
        For a `dst` of another shape, one that is `src`, a tile that does not fit into `max_memory`, and options that
        the filters refuse.
    TypeError
        For functions that are no filters.
    NotImplementedError
        For results of another size than the image's.
    OSError
        For a full disk, among others.

    Warns
    -----
    DifferentBitsWarning
        Where the plain function might transform the whole image (large windows over floating-point images): by
        parts it is summed directly, as ``ferroconv.large.op(...)(image)`` is.

    Notes
    -----
    The result has the bits of the same call in memory, whatever the tiles, on one instruction set. A border
    belongs to the image: tiles inside read their surroundings, of a chain of filters as much as all windows together;
    under border 'wrap' those at an edge read the other side.

    A file is written as ``name.partial``, and gets its name when it is whole. Beside it, ``name.partial.journal``
    has the numbers of the tiles that are done: the same call after an interruption goes on with the others. Another
    source, `op`, tile or instruction set, or a restart of the machine, begins anew. A source is the same if
    it is a file (a path, ``numpy.memmap``, an HDF5 data set) of the same size and time of change; of an array in
    memory the numbers are looked at; of other arrays nothing is known, and they are always begun anew.

    An array as `dst` is the caller's: it has no other name, and no journal. After an interruption some of its tiles
    are old; the same call writes all of them.

    Examples
    --------
    >>> import numpy as np
    >>> import ferroconv.large
    >>> image = np.arange(30, dtype=np.uint8).reshape(5, 6)
    >>> result = np.empty_like(image)
    >>> chain = [ferroconv.large.op(ferroconv.gaussian, 1), ferroconv.large.op(ferroconv.sobel, None)]
    >>> ferroconv.large.filter_tiled(image, result, chain, tile=(2, 3), progress=False)
    >>> bool((result == ferroconv.sobel(ferroconv.gaussian(image, 1), None)).all())
    True
    """
    for name, array in (("src", src), ("dst", dst)):
        if not _is_path(array) and not (hasattr(array, "shape") and hasattr(array, "dtype")):
            raise TypeError(
                f"{name} must be a path, or have shape, dtype and slices. Received: {type(array).__name__}."
            )
    chosen, threads, budget = read_op(op), _threads(workers), read_bytes(max_memory)
    with _files.source(src) as source:
        chain = Chain(chosen.filters, source.shape, source.dtype)
        if _is_path(dst):
            _into_file(source, _identity(src), Path(dst), chosen, chain, tile, threads, budget, progress)
            return
        _apart(source, dst)
        sides = choose_tile(chain, tile, _chunks(dst) or _chunks(source), threads + 1, budget)
        tiles = list(enumerate(_boxes(chain.shape, sides)))
        with _bar(len(tiles), 0, progress) as tick:
            _run(chain, tiles, _reader(source), lambda _, box, part: _assign(dst, box, part), threads, tick)


def _into_file(
    source: Any,
    same: str | None,
    whole: Path,
    op: Op,
    chain: Chain,
    tile: Any,
    threads: int,
    budget: int,
    progress: bool,
) -> None:
    """Write tiles to an unfinished file, or go on with one."""
    given: Any = (tile,) * len(chain.shape) if isinstance(tile, (int, np.integer)) else tile
    target = _files.new_target(whole, chain.shape, chain.dtype, given)
    sides = choose_tile(chain, tile, target.chunks or _chunks(source), threads + 1, budget)
    tiles = list(enumerate(_boxes(chain.shape, sides)))
    journal = Journal(target.path, None if same is None else _fingerprint(op, chain, same, sides))
    finished = False

    def write(number: int, box: Box, part: npt.NDArray[Any]) -> None:
        target.write(box, part)
        journal.add(number)

    try:
        target.open(anew=not journal.done)
        left = [(number, box) for number, box in tiles if number not in journal.done]
        with _bar(len(tiles), len(tiles) - len(left), progress) as tick:
            _run(chain, left, _reader(source), write, threads, tick)
        finished = True
    finally:
        target.close(whole=whole if finished else None)
        journal.close(finished=finished)


def _run(
    chain: Chain, tiles: Sequence[tuple[int, Box]], read: Callable[[Box], npt.NDArray[Any]],
    write: Callable[[int, Box, npt.NDArray[Any]], None], threads: int, tick: Callable[[], None],
) -> None:  # fmt: skip
    """Read and filter tiles in threads, and write them in this one, in order."""

    def compute(box: Box) -> npt.NDArray[Any]:
        return np.ascontiguousarray(chain.compute(box, read))

    pending: deque[tuple[int, Box, Future[npt.NDArray[Any]]]] = deque()

    def finish() -> None:
        number, box, future = pending.popleft()
        write(number, box, future.result())
        tick()

    with ThreadPoolExecutor(threads + 1, "ferroconv-tile") as pool:
        try:
            for number, box in tiles:
                # One tile is written while the threads are at work on others.
                if len(pending) > threads + 1:
                    finish()
                pending.append((number, box, pool.submit(compute, box)))
            while pending:
                finish()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _boxes(shape: Sequence[int], tile: Sequence[int]) -> Iterator[Box]:
    """The tiles of an image, the last axis first."""
    sides = zip(shape, tile, strict=True)
    return itertools.product(*([(i, min(i + side, size)) for i in range(0, size, side)] for size, side in sides))


def _is_path(given: Any) -> bool:
    return isinstance(given, (str, os.PathLike))


def _chunks(array: Any) -> Sequence[int] | None:
    """What an array is stored in."""
    stored = getattr(array, "shards", None) or getattr(array, "chunks", None)
    return stored if stored and all(isinstance(side, (int, np.integer)) for side in stored) else None


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(*interval) for interval in box)


def _reader(source: Any) -> Callable[[Box], npt.NDArray[Any]]:
    """What reads a box of the source: NumPy arrays by several threads at a time."""
    lock = threading.Lock()
    ahead = _Rows(source) if isinstance(source, np.memmap) and source.ndim > 1 and source.flags.c_contiguous else None

    def read(box: Box) -> npt.NDArray[Any]:
        if isinstance(source, np.ndarray):
            if ahead is not None:
                with lock:
                    ahead.reach(box[0])
            return np.asarray(source[_slices(box)])
        with lock:
            return np.asarray(source[_slices(box)])

    return read


class _Rows:
    """The rows of a memory map, brought in one after the other before tiles read pieces of them.

    A tile's rows lie apart, and each fetches a page: 2.7 s for a GiB in tiles of 512 x 2048 bytes of rows of
    65536, 0.3 s in the order of the file.
    """

    MOST = 256 << 20
    """Bytes of rows at a time: beyond, tiles are few pieces of a row of tiles."""

    def __init__(self, source: npt.NDArray[Any]) -> None:
        flat = np.asarray(source)
        self._bytes = flat.view(np.uint8).reshape(len(flat), -1) if flat.size else flat
        self._until = 0

    def reach(self, rows: tuple[int, int]) -> None:
        """Bring in what is new of these rows, if they are the next ones."""
        start, stop = max(rows[0], self._until), rows[1]
        if rows[0] > self._until or start >= stop:
            return
        new = self._bytes[start:stop]
        if new.nbytes <= self.MOST:
            new.reshape(-1)[:: mmap.PAGESIZE].max()
        self._until = stop


def _assign(dst: Any, box: Box, part: npt.NDArray[Any]) -> None:
    dst[_slices(box)] = part


def _apart(source: Any, dst: Any) -> None:
    """Refuse a place that is still read when it is written, and one of another shape."""
    if tuple(dst.shape) != tuple(source.shape):
        raise ValueError(f"dst must have the image's shape. Received: {tuple(dst.shape)} for {tuple(source.shape)}.")
    files = [getattr(array, "filename", None) for array in (source, dst)]
    shared = isinstance(source, np.ndarray) and isinstance(dst, np.ndarray) and np.may_share_memory(source, dst)
    if source is dst or shared or (files[0] is not None and files[0] == files[1]):
        raise ValueError(
            "dst must not be src, which is still read when tiles beside it are written. Received: the same array or "
            "file; write to another one."
        )


def _threads(workers: int | None) -> int:
    """How many threads filter, as `workers` is read everywhere."""
    if workers is None:
        return _core.get_num_threads()
    before = _core.override_num_threads(workers)
    count = _core.get_num_threads()
    _core.override_num_threads(before)
    return count


def _identity(source: Any) -> str | None:
    """What tells a source from a changed one; None where nothing does."""
    file = getattr(source, "filename", None) or getattr(getattr(source, "file", None), "filename", None)
    path = source if _is_path(source) else file
    if path is not None:
        facts = os.stat(path)  # noqa: PTH116 - h5py's names are bytes now and then
        inside = (getattr(source, "name", ""), getattr(source, "offset", 0), str(getattr(source, "shape", "")))
        return f"{os.fsdecode(os.path.realpath(path))} {facts.st_size} {facts.st_mtime_ns} {inside}"
    if isinstance(source, np.ndarray):
        hashed = hashlib.sha256()
        for part in source if source.ndim else [source]:
            hashed.update(np.ascontiguousarray(part).data)
        return hashed.hexdigest()
    return None


def _fingerprint(op: Op, chain: Chain, source: str, tile: Sequence[int]) -> str:
    """What the result depends on."""
    info = _core.info()
    facts = (
        op.digest(),
        source,
        chain.shape,
        str(chain.source),
        str(chain.dtype),
        tile,
        info["version"],
        info["isa_used"],
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


@contextmanager
def _bar(total: int, done: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal, with the time that is left."""
    if not wanted or not sys.stderr.isatty():
        yield lambda: None
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda: None
        return
    with tqdm(total=total, initial=done, unit="tile", smoothing=0.1) as bar:
        yield lambda: bar.update() and None
