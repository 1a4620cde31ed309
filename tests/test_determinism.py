"""The same bits however many threads, and threads that keep out of each other's way."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import paint, python, same, within

import ferroconv

DTYPES = ("bool", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64")

# Every public function that computes, on an image of any size.
CALLS = {
    "correlate": lambda image, weights, **k: ferroconv.correlate(image, weights, **k),
    "convolve": lambda image, weights, **k: ferroconv.convolve(image, weights, **k),
    "ndimage.correlate": lambda image, weights, **k: ferroconv.ndimage.correlate(image, weights, **k),
    "ndimage.convolve": lambda image, weights, **k: ferroconv.ndimage.convolve(image, weights, **k),
    "ndimage.correlate1d": lambda image, weights, **k: ferroconv.ndimage.correlate1d(image, weights.ravel(), **k),
    "ndimage.convolve1d": lambda image, weights, **k: ferroconv.ndimage.convolve1d(image, weights.ravel(), **k),
    "signal.convolve2d": lambda image, weights, **k: ferroconv.signal.convolve2d(image, weights, "same", "symm", **k),
    "signal.correlate2d": lambda image, weights, **k: ferroconv.signal.correlate2d(image, weights, "same", "symm", **k),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_workers_gives_the_same_bits(name, dtype):
    if not name.startswith("c") and dtype in ("bool", "float16"):
        pytest.skip("SciPy's mirrors have no such dtype everywhere")
    image, window = paint((211, 333), dtype), paint((5, 4), "float64")
    if name.startswith("signal"):
        window = window.astype(dtype)
    want = CALLS[name](image, window, workers=1)
    for workers in (2, 3, 7, -1):
        got = CALLS[name](image, window, workers=workers)
        assert got.tobytes() == want.tobytes(), f"{workers} workers"
    with ferroconv.threads(3):
        assert CALLS[name](image, window).tobytes() == want.tobytes()


def test_alignment_and_position_change_no_bit():
    big, window = paint((150, 400), "float32"), paint((5, 5), "float32", 1)
    whole = ferroconv.correlate(big, window, extent="valid")
    for y, x in [(0, 0), (1, 1), (3, 7), (17, 64), (40, 129)]:
        part = ferroconv.correlate(big[y:, x:], window, extent="valid")
        same(part, whole[y:, x:])


@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize("window", [(3, 3), (1, 5), (9, 1)])
def test_results_larger_than_the_caches_have_the_same_bits(offset, window):
    big, weights = paint((2100, 2111), "float32"), paint(window, "float32", 1)
    out = np.full((2100, 2111 + offset), np.nan, np.float32)[:, offset:]
    whole = ferroconv.correlate(big, weights, out=out)
    for rows in (slice(0, 300), slice(1500, 2100)):
        reach = window[0]
        first, last = max(rows.start - reach, 0), min(rows.stop + reach, 2100)
        part = ferroconv.correlate(big[first:last], weights)
        same(part[rows.start - first : rows.stop - first], whole[rows])


SCRIPT = """
import json, sys
import numpy as np
import ferroconv
sys.path.insert(0, {tests!r})
from support import paint
results = dict(isa=ferroconv.info()["isa_used"])
for dtype in ("bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64", "complex64"):
    image = paint((67, 131), dtype)
    for kind in ("int8", "float64"):
        window = paint((5, 4), kind, 1)
        for overflow in ("saturate", "wrap"):
            results[f"{{dtype}} {{kind}} {{overflow}}"] = ferroconv.correlate(image, window, overflow=overflow).tobytes().hex()
        results[f"{{dtype}} {{kind}} ndimage"] = ferroconv.ndimage.convolve(image, window).tobytes().hex()
        results[f"{{dtype}} {{kind}} ndimage1d"] = ferroconv.ndimage.correlate1d(image, window[0]).tobytes().hex()
    if dtype != "bool":
        results[f"{{dtype}} signal"] = ferroconv.signal.convolve2d(image, image[:3, :4], boundary="wrap").tobytes().hex()
print(json.dumps(results))
"""


def results_on(isa):
    return json.loads(python(SCRIPT.format(tests=os.path.dirname(__file__)), FERROCONV_ISA=isa))  # noqa: PTH120


@pytest.fixture(scope="module")
def scalar():
    return results_on("scalar")


def test_instruction_sets_agree(isa, scalar):
    """Integers bit for bit; floats within the bound; ndimage's integers by their fixed order of sums."""
    got = results_on(isa)
    assert got.pop("isa") == isa
    for name, raw in got.items():
        dtype = np.dtype(name.split()[0])
        mine, reference = (np.frombuffer(bytes.fromhex(r), dtype) for r in (raw, scalar[name]))
        if dtype.kind in "fc":
            # Every sum has 20 terms at most, each below 128 * 5.
            within(mine, reference, 20, np.full(mine.shape, 20 * 640.0))
        elif "float64" in name and "ndimage" not in name:
            # Float taps on integers are summed within 1/64 of a level, so a rounding may fall either way.
            assert (
                np.abs(mine.astype(object) - reference.astype(object))
                <= max(1, 2.0**-40 * np.iinfo(dtype).max if dtype.kind != "b" else 1)
            ).all(), name
        else:
            np.testing.assert_array_equal(mine, reference, err_msg=name)


def test_an_unknown_instruction_set_is_refused():
    code = "import ferroconv, numpy as np\ntry: ferroconv.correlate(np.ones((2, 2)), [[1]])\nexcept ValueError as e: print(e)"
    assert "FERROCONV_ISA must be one of" in python(code, FERROCONV_ISA="pentium")


def test_the_environment_sets_the_number_of_threads():
    assert python("import ferroconv; print(ferroconv.get_num_threads())", FERROCONV_NUM_THREADS="5").strip() == "5"


def _child(image, window, queue):
    queue.put(ferroconv.correlate(image, window, workers=2).tobytes())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_survives_a_fork():
    image, window = paint((300, 300), "float32"), paint((5, 5), "float32")
    want = ferroconv.correlate(image, window, workers=2).tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(image, window, queue)) for _ in range(3)]
    for child in children:
        child.start()
    results = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert results == [want] * 3
    assert ferroconv.correlate(image, window, workers=2).tobytes() == want


def test_many_threads_at_once():
    images = [paint((90 + i, 120), "float32", i) for i in range(16)]
    window = paint((5, 5), "float32")
    wanted = [ferroconv.correlate(image, window, workers=1).tobytes() for image in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            got = pool.map(lambda image: ferroconv.correlate(image, window, workers=3).tobytes(), images)
            assert list(got) == wanted


def slow_call(name, seconds):
    """A call of that function that takes about so many seconds on one thread."""
    window = np.ones((1, 41)) / 41
    rows = 256
    while True:
        image = np.ones((rows, 1024))
        start = time.perf_counter()
        CALLS[name](image, window, workers=1)
        took = time.perf_counter() - start
        if took > 0.02:
            break
        rows *= 4
    image = np.broadcast_to(image, (1, *image.shape))[0]
    image = np.broadcast_to(np.ones(1024), (int(rows * seconds / took) + 1, 1024))
    return lambda: CALLS[name](image, window, workers=1)


@pytest.mark.parametrize("name", CALLS)
def test_the_gil_is_released(name):
    """Another thread goes on counting while a call runs."""
    call = slow_call(name, 0.3)
    ticks, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    other = threading.Thread(target=count)
    other.start()
    try:
        start = time.perf_counter()
        call()
        end = time.perf_counter()
    finally:
        stop.set()
        other.join()
    # The middle half of the call: a thread that waits for the GIL would tick before and after only.
    middle = [t for t in ticks if start + (end - start) / 4 < t < end - (end - start) / 4]
    assert len(middle) >= 3, f"{len(middle)} ticks in a call of {end - start:.2f} s"


@pytest.mark.skipif(sys.platform == "win32", reason="needs setitimer")
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_interrupts(name):
    call = slow_call(name, 4)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            call()
            pytest.fail(f"it ran to its end in {time.perf_counter() - start:.2f} s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    same(ferroconv.correlate(np.ones((2, 2)), [[3.0]]), np.full((2, 2), 3.0))


def test_another_exception_of_a_signal_handler_comes_through():
    call = slow_call("correlate", 4)

    def give_up(*_):
        raise TimeoutError("enough")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(TimeoutError, match="enough"):
            call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
