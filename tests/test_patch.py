"""SciPy, patched: its answers, its errors, and its names back where they were."""

from __future__ import annotations

import importlib.util
import inspect
import pathlib
import pickle
import subprocess
import sys
import threading
import types
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.ndimage
import scipy.ndimage as ndi
import scipy.signal
from scipy.ndimage import gaussian_filter
from support import paint, python

import ferroconv
import ferroconv.patch
from ferroconv.patch._rules import FUNCTIONS, LEFT, RULES

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "edges.py"
MODULES = {"ndimage": scipy.ndimage, "signal": scipy.signal}


def theirs(name):
    module, _, function = name.partition(".")
    return getattr(MODULES[module], function)


ORIGINAL = {name: (theirs(name),) for name in FUNCTIONS}
"""In tuples: a name of this module would be patched too."""


@pytest.fixture(autouse=True)
def undone():
    yield
    ferroconv.patch.unpatch_scipy()
    assert all(theirs(name) is original for name, (original,) in ORIGINAL.items())


def answers(name, cases):
    """SciPy's answers or errors, those under the patch, and what the patch has counted."""

    def outcome(args, kwargs):
        try:
            return theirs(name)(*args, **kwargs)
        except Exception as error:
            return error

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        want = [outcome(*case) for case in cases]
        with ferroconv.patch_scipy() as patch:
            got = [outcome(*case) for case in cases]
    (row,) = patch.report().rows
    assert row.here + row.handed.total() == len(cases)
    return want, got, row


def alike(name, cases):
    """Holds patched calls against SciPy's: integers exactly, floats up to rounding, NaN in the same places."""
    wanted, gotten, row = answers(name, cases)
    for want, got in zip(wanted, gotten, strict=True):
        if isinstance(want, Exception):
            assert (type(got), str(got)) == (type(want), str(want))
            assert f"SciPy refused the arguments too ({type(want).__name__})" in row.handed
            continue
        assert not isinstance(got, Exception), got
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if want.dtype.kind == "b":  # the bytes of SciPy's are not 0 and 1
            assert np.array_equal(got.view(np.uint8) != 0, want.view(np.uint8) != 0)
        elif want.dtype.kind in "iu":
            np.testing.assert_array_equal(got, want)
        elif want.size:
            finite = np.abs(want[np.isfinite(want)])
            scale = max(1.0, float(finite.max()) if finite.size else 0.0)
            for part in (np.real, np.imag):
                np.testing.assert_allclose(part(got), part(want), rtol=0, atol=2e3 * np.finfo(want.dtype).eps * scale)
    return row


CALLS = {
    "ndimage.convolve": lambda x: (x, np.array([[1, 2, 0], [0, -3, 1]])),
    "ndimage.correlate": lambda x: (x, np.array([[0.25, 2, 0], [0, -0.5, 1]])),
    "ndimage.convolve1d": lambda x: (x, [1, -2, 0]),
    "ndimage.correlate1d": lambda x: (x, [0.5, 1.25], 0),
    "ndimage.gaussian_filter": lambda x: (x, 1.3),
    "ndimage.gaussian_filter1d": lambda x: (x, 1.3, 0, 1),
    "ndimage.gaussian_laplace": lambda x: (x, 1.1),
    "ndimage.gaussian_gradient_magnitude": lambda x: (x, 1.1),
    "ndimage.laplace": lambda x: (x,),
    "ndimage.prewitt": lambda x: (x, 0),
    "ndimage.sobel": lambda x: (x,),
    "ndimage.uniform_filter": lambda x: (x, 3),
    "ndimage.uniform_filter1d": lambda x: (x, 4, 0),
    "ndimage.minimum_filter": lambda x: (x, 3),
    "ndimage.maximum_filter": lambda x: (x, (2, 3)),
    "ndimage.minimum_filter1d": lambda x: (x, 3),
    "ndimage.maximum_filter1d": lambda x: (x, 4, 0),
    "ndimage.grey_erosion": lambda x: (x, 3),
    "ndimage.grey_dilation": lambda x: (x, (2, 3)),
    "ndimage.grey_opening": lambda x: (x, 3),
    "ndimage.grey_closing": lambda x: (x, 3),
    "signal.convolve": lambda x: (x, x[:3, :2]),
    "signal.correlate": lambda x: (x, x[:3, :2], "same"),
    "signal.convolve2d": lambda x: (x, x[:3, :2], "same", "symm"),
    "signal.correlate2d": lambda x: (x, x[:3, :2]),
    "signal.fftconvolve": lambda x: (x, x[:3, :2]),
    "signal.oaconvolve": lambda x: (x, x[:3, :2], "valid"),
    "signal.sepfir2d": lambda x: (x, np.ones(3, np.float32), np.ones(5, np.float32)),
}
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32",
          "float64", "complex64", "complex128")  # fmt: skip


def test_every_function_is_patched_or_said_to_be_left():
    assert set(CALLS) == set(FUNCTIONS)
    mirrored = {f"{m}.{name}" for m in MODULES for name in getattr(ferroconv, m).__all__}
    assert mirrored == set(FUNCTIONS) | set(LEFT)
    with ferroconv.patch_scipy():
        for name in FUNCTIONS:
            assert theirs(name) is not ORIGINAL[name][0]
            if name != "signal.sepfir2d":  # of C, without a signature
                assert inspect.signature(theirs(name)) == inspect.signature(ORIGINAL[name][0])
            assert pickle.loads(pickle.dumps(theirs(name))) is theirs(name)


@pytest.mark.parametrize("name", CALLS)
def test_answers_are_scipys_for_every_dtype(name):
    """Numbers over the whole range of the dtype, small ones, and ones that are not finite."""
    images = []
    for dtype in DTYPES:
        images += [paint((9, 11), dtype), paint((9, 11), dtype, 1, small=True), paint((8, 7, 5), dtype)[..., 2]]
        if images[-1].dtype.kind in "fc":
            for strange in (np.nan, np.inf):
                images.append(paint((9, 11), dtype))
                images[-1][4, 5] = strange
    row = alike(name, [(CALLS[name](image), {}) for image in images])
    assert row.here > len(images) / 2 - 5, "most calls are not ours"


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("ndimage.")])
def test_outputs_are_scipys(name):
    cases = []
    for dtype in ("uint8", "int64", "float32"):
        args = CALLS[name](paint((9, 11), dtype, small=True))
        cases += [(args, {"output": output}) for output in ("int16", "uint64", np.float64, float, bool)]
        cases += [(args, {"mode": "constant", "cval": cval}) for cval in (0.5, 300, np.nan)]
        if "cval" not in inspect.signature(ORIGINAL[name][0]).parameters:
            del cases[-3:]
    alike(name, cases)
    for dtype in ("uint8", "int64", "float32"):
        # In place, which is what SciPy makes of it.
        results = []
        for patched in (False, True):
            image = paint((9, 11), dtype, small=True)
            with ferroconv.patch_scipy() if patched else nullcontext():
                assert theirs(name)(*CALLS[name](image), output=image) is image
            results.append(image)
        np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5 if dtype == "float32" else 0)


RULED = {
    "an array without samples": ("ndimage.sobel", (np.ones((0, 3)),), {}),
    "64-bit integers": ("ndimage.correlate", (np.full((5, 5), 2**60 + 1), np.ones((3, 3))), {}),
    "derivatives in uint64": ("ndimage.sobel", (paint((6, 7), "uint64", small=True),), {}),
    "weights up to 2": ("ndimage.correlate", (np.where(np.eye(6) > 0, np.inf, 1.0), 1 - np.eye(3)), {}),
    "several terms": ("laplace", (), slice(None), slice(None)),
    "an output that overlaps": ("gaussian_filter1d", (1, 1), slice(None, -1), slice(1, None)),
    "means of floating": (
        "ndimage.uniform_filter", (np.random.default_rng(0).integers(0, 1000, (9, 40)) * 0.3, (1, 3)),
        {"output": np.uint8}),
    "a NaN, an infinity, or sums": ("ndimage.uniform_filter", (np.full((5, 5), 3e38, np.float32), 3), {}),
    "a NaN among": ("ndimage.maximum_filter", (np.array([1.0, 5, np.nan, 2, 1, 3]), 3), {}),
    "a NaN or an infinity, which SciPy's transforms spread": (
        "signal.fftconvolve", (np.array([1.0, np.nan, 2, 3, 4]), np.ones(2)), {}),
    "a NaN or an infinity, which SciPy's transforms spread where": (
        "signal.convolve", (np.array([1.0, np.nan, 2, 3, 4]), np.ones(2)), {"method": "fft"}),
    "a NaN or an infinity among complex": (
        "signal.sepfir2d", (np.full((5, 7), complex(np.inf, 1)), np.ones(3, np.float32), np.ones(3, np.float32)), {}),
    "integers beyond": ("signal.convolve", (np.full(50, 2**50), np.full(9, 2**9)), {"method": "fft"}),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_each_rule_is_needed_and_counted(rule):
    """The call goes to SciPy for the reason, and ferroconv's own function does answer otherwise."""
    case = RULED[max((start for start in RULED if rule.reason.startswith(start)), key=len)]
    if len(case) == 4:  # in place
        name, args, read, written = case
        own, want, got = (paint((500, 200), "float64") for _ in range(3))
        getattr(ferroconv.ndimage, name)(own[read], *args, output=own[written])
        getattr(ndi, name)(want[read], *args, output=want[written])
        assert not np.allclose(own, want)
        with ferroconv.patch_scipy() as patch:
            getattr(ndi, name)(got[read], *args, output=got[written])
        np.testing.assert_array_equal(got, want)
        assert list(patch.report().rows[0].handed) == [rule.reason]
        return
    name, args, kwargs = case
    assert name in rule.functions
    (want,), (got,), row = answers(name, [(args, kwargs)])
    assert list(row.handed) == [rule.reason]
    np.testing.assert_array_equal(got, want)
    if rule.reason.startswith("an array without"):
        return
    module, _, function = name.partition(".")
    with np.errstate(all="ignore"):
        own = getattr(getattr(ferroconv, module), function)(*args, **kwargs)
    assert not all(np.array_equal(part(own), part(want), equal_nan=True) for part in (np.real, np.imag))


def test_errors_are_scipys_alone():
    """The error is the one that SciPy raises, and nothing is said of another before it."""
    for name, args, kwargs in (
        ("ndimage.sobel", (np.ones((3, 3)), 5), {}),
        ("ndimage.gaussian_filter", (np.ones((3, 3)), (1, 2, 3)), {}),
        ("signal.convolve2d", (np.ones(3), np.ones(3)), {}),
        ("signal.fftconvolve", (np.ones(3), np.ones((3, 3))), {}),
        ("ndimage.sobel", (np.ones((3, 3)),), {"workers": 2}),
        ("ndimage.correlate", (np.ones((3, 3)), "no weights"), {}),
    ):
        alike(name, [(args, kwargs)])
    with ferroconv.patch_scipy():
        try:
            ndi.sobel(np.ones((3, 3)), 5)
        except ValueError as error:
            assert error.__context__ is None


def test_names_imported_before_are_patched_and_given_back():
    module = types.ModuleType("imported_before")
    module.smooth, module.ndi = gaussian_filter, ndi
    sys.modules["imported_before"] = module
    try:
        before = (gaussian_filter,)
        with ferroconv.patch_scipy() as patch:
            assert gaussian_filter is not before[0]
            assert module.smooth is gaussian_filter is ndi.gaussian_filter is module.ndi.gaussian_filter
            module.smooth(np.ones((5, 5)), 1)
            module.later = scipy.ndimage.gaussian_filter  # as by an import within
            module.smoother = "not ours by now"
        assert gaussian_filter is before[0] is module.smooth is module.later
        assert module.smoother == "not ours by now"
        assert [(row.function, row.here) for row in patch.report().rows] == [("ndimage.gaussian_filter", 1)]
    finally:
        del sys.modules["imported_before"]


def test_a_function_kept_elsewhere_is_scipys_after_the_patch():
    with ferroconv.patch_scipy() as patch:
        kept = [ndi.sobel]
    kept[0](np.ones((4, 4)))
    assert patch.report().rows == []


def test_patches_nest_and_are_undone_once_each():
    first, second = ferroconv.patch_scipy(), ferroconv.patch_scipy()
    standin = [ndi.sobel]
    first.undo()
    first.undo()
    assert ndi.sobel is standin[0]
    ndi.sobel(np.ones((4, 4)))
    second.undo()
    assert ndi.sobel is ORIGINAL["ndimage.sobel"][0]
    assert first.report().rows == []
    assert second.report().rows[0].here == 1
    with second, second:  # the same once more
        assert ndi.sobel is standin[0]


def test_an_exception_inside_undoes_the_patch():
    with pytest.raises(KeyError), ferroconv.patch_scipy():
        raise KeyError
    assert ndi.sobel is ORIGINAL["ndimage.sobel"][0]


def test_many_threads_patch_call_and_undo():
    image, failures = paint((40, 50), "float64"), []
    want = ndi.gaussian_filter(image, 2)

    def work():
        try:
            for _ in range(5):
                with ferroconv.patch_scipy() as patch:
                    np.testing.assert_allclose(ndi.gaussian_filter(image, 2), want, atol=1e-12)
                    assert patch.report().rows[0].here >= 1
        except Exception as error:
            failures.append(error)

    before = sum(row.here for row in ferroconv.patch.report().rows)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert sum(row.here for row in ferroconv.patch.report().rows) == before + 20


def test_inside_of_a_call_that_scipy_was_handed_all_is_scipys():
    """gaussian_filter of long double is SciPy's, and so are the passes that it calls."""
    with ferroconv.patch_scipy() as patch:
        ndi.uniform_filter(np.array([[1.0, np.nan, 2, 1, 1, 1, 1]]), (1, 3))
    assert [(row.function, row.handed.total()) for row in patch.report().rows] == [("ndimage.uniform_filter", 1)]


def test_scipys_own_callers_are_sped_up():
    signal = paint(100, "float64")
    want = scipy.signal.savgol_filter(signal, 7, 2)
    with ferroconv.patch_scipy() as patch:
        np.testing.assert_allclose(scipy.signal.savgol_filter(signal, 7, 2), want, atol=1e-12)
    assert [(row.function, row.here) for row in patch.report().rows] == [("ndimage.convolve1d", 1)]


def test_measured_savings():
    image = paint((256, 256), "float64")
    with ferroconv.patch_scipy(measure=True) as patch:
        for _ in range(5):
            scipy.signal.convolve2d(image, np.ones((9, 9)))
        result = np.zeros((2, 3))
        ndi.sobel(np.ones((2, 3)), output=result)
        ndi.sobel(np.broadcast_to(np.uint8(1), (3000, 3000)))  # too large to be measured
    by_name = {row.function: row for row in patch.report().rows}
    assert (by_name["signal.convolve2d"].measured, by_name["signal.convolve2d"].here) == (5, 5)
    assert by_name["signal.convolve2d"].saved > 0 < by_name["signal.convolve2d"].measuring
    assert (by_name["ndimage.sobel"].measured, by_name["ndimage.sobel"].here) == (1, 2)
    text = str(patch.report())
    assert "signal.convolve2d" in text
    assert "(1 calls)" in text
    assert "6 of the 7 calls" in text
    with ferroconv.patch_scipy() as patch:
        ndi.sobel(image)
        scipy.signal.convolve(np.ones((3, 3, 3)), np.ones((3, 3, 3)))
    text = str(patch.report())
    assert "Time saved: not measured" in text
    assert "signal.convolve: SciPy had 1: windows of more than one sample on one or two axes are supported" in text


def test_neither_scipy_nor_the_patch_is_imported_before_it_is_asked_for():
    code = """
import sys, ferroconv
print("scipy" in sys.modules, "ferroconv.patch" in sys.modules)
ferroconv.patch_scipy
print("scipy" in sys.modules, "ferroconv.patch" in sys.modules)
from ferroconv import patch
print(patch.report())
sys.modules["scipy"] = None
try:
    ferroconv.patch_scipy()
except ModuleNotFoundError as error:
    print(error)
"""
    lines = python(code).splitlines()
    assert lines[:2] == ["False False", "False True"]
    assert "no patched function was called" in lines[2]
    assert 'pip install "ferroconv[scipy]"' in lines[3]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ferroconv.patch", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_script_is_run_under_the_patch(tmp_path):
    script = tmp_path / "script.py"
    (tmp_path / "beside.py").write_text("from scipy.ndimage import sobel\n")
    script.write_text(
        "import sys\nimport beside\nimport numpy as np\n"
        "beside.sobel(np.ones((4, 4)))\nprint(__name__, sys.argv[1:])\nsys.exit(int(sys.argv[2]))\n"
    )
    done = run("--report", str(script), "--report", "7")
    assert done.returncode == 7, done.stderr
    assert done.stdout.split("\n")[0] == "__main__ ['--report', '7']"
    assert "ndimage.sobel" in done.stderr
    assert run(str(script), "x", "0").stderr == ""
    assert run("-m", "timeit", "-n1", "1").returncode == 0
    assert run().returncode == 2


def test_the_example_gives_scipys_answer():
    spec = importlib.util.spec_from_file_location("edges_example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    sys.modules["edges_example"] = example
    try:
        spec.loader.exec_module(example)
        picture = np.random.default_rng(0).random((300, 200), dtype=np.float32)
        want = example.edges(picture)
        with ferroconv.patch_scipy() as patch:
            got = example.edges(picture)
        assert {row.function: (row.here, row.handed.total()) for row in patch.report().rows} == {
            "signal.convolve2d": (1, 0), "ndimage.gaussian_filter": (1, 0), "ndimage.sobel": (2, 0),
        }  # fmt: skip
        np.testing.assert_allclose(got, want, atol=2e-5)
    finally:
        del sys.modules["edges_example"]


SUITES = {
    "ndimage/tests/test_filters.py": "not Vectorized and not generic and not rank and not percentile and not median",
    "ndimage/tests/test_morphology.py": "grey",
    "signal/tests/test_signaltools.py": "(onvolve or orrelate) and not large_array",
}


@pytest.mark.parametrize("suite", SUITES)
def test_scipys_own_tests_pass_under_the_patch(suite, tmp_path):
    root = pathlib.Path(scipy.ndimage.__file__).parents[1]
    if not (root / suite).exists():
        pytest.skip("this SciPy was installed without its tests")
    pytest.importorskip("hypothesis", reason="SciPy's tests import it")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "scipys_tests", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-c",
         "/dev/null", "--rootdir", str(root), str(root / suite), "-k", SUITES[suite]],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("answered "))
    assert int(line.split()[1].rstrip(",")) > 30
