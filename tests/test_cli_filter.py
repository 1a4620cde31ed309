"""`ferroconv filter`: what is written, what is refused, and what a script can rely on."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
from support import paint

import ferroconv

for module in ("click", "rich", "PIL", "matplotlib", "sklearn"):
    pytest.importorskip(module, reason="the [cli] extra is not installed")
iio = pytest.importorskip("imageio.v3", reason="the [cli] extra is not installed")
CliRunner = importlib.import_module("click.testing").CliRunner
filters, pictures = (importlib.import_module(f"ferroconv._cli.{name}") for name in ("filters", "pictures"))
command = importlib.import_module("ferroconv._cli.commands").command

IDENTITY = ("-f", "times:1")


def run(*arguments):
    done = CliRunner().invoke(command, ["filter", *map(str, arguments)], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def well(*arguments):
    status, out, err = run(*arguments)
    assert (status, err) == (0, ""), err
    return out


def optional(module):
    return pytest.importorskip(module, reason="the [images] extra is not installed")


CASES = [
    ("png", "uint8", ()), ("png", "uint8", (2,)), ("png", "uint8", (3,)), ("png", "uint8", (4,)), ("png", "bool", ()),
    ("png", "uint16", ()), ("png", "uint16", (3,)), ("png", "uint16", (4,)),
    ("bmp", "uint8", ()), ("bmp", "uint8", (3,)),
    *((suffix, dtype, channels) for suffix in ("tif", "npy", "zarr")
      for dtype in ("uint8", "uint16", "int16", "float32", "float64") for channels in ((), (2,), (3,), (4,))),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "dtype", "channels"), CASES)
def test_round_trip(suffix, dtype, channels, tmp_path):
    """Of every format, depth and number of channels, through the command; PNG and TIFF read by another library too."""
    if suffix in ("tif", "zarr"):
        optional({"tif": "tifffile"}.get(suffix, suffix))
    if suffix == "png" and dtype == "uint16":
        optional("cv2")
    image = paint((24, 17, *channels), dtype)
    np.save(tmp_path / "in.npy", image)
    well(tmp_path / "in.npy", tmp_path / f"a.{suffix}", *IDENTITY)
    well(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}", *IDENTITY)
    got = pictures.read(tmp_path / f"b.{suffix}")
    assert (got.dtype, got.shape) == (image.dtype, image.shape)
    np.testing.assert_array_equal(got, image)
    if suffix == "png" and not (dtype == "uint16" and channels):
        np.testing.assert_array_equal(iio.imread(tmp_path / "b.png"), image)
    if suffix == "png" and dtype == "uint16" and channels:
        cv2 = optional("cv2")
        flags = cv2.IMREAD_UNCHANGED
        np.testing.assert_array_equal(
            cv2.imread(str(tmp_path / "b.png"), flags)[..., [2, 1, 0, *range(3, channels[0])]], image
        )
    if suffix == "tif":
        np.testing.assert_array_equal(optional("tifffile").imread(tmp_path / "b.tif"), image)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_jpeg_is_read_turned_upright(tmp_path):
    from PIL import Image

    picture = Image.fromarray(np.tile(np.arange(0, 240, 10, np.uint8), (8, 1)))
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "in.jpg", exif=exif)
    well(tmp_path / "in.jpg", tmp_path / "out.png", *IDENTITY)
    assert iio.imread(tmp_path / "out.png").shape == (24, 8)


def test_palettes_and_printers_inks_become_red_green_and_blue(tmp_path):
    from PIL import Image

    picture = Image.fromarray(np.full((8, 9, 3), (200, 40, 90), np.uint8))
    picture.quantize(4).save(tmp_path / "palette.png")
    picture.convert("CMYK").save(tmp_path / "inks.jpg")
    for name in ("palette.png", "inks.jpg"):
        well(tmp_path / name, tmp_path / f"{name}.out.png", *IDENTITY)
        got = iio.imread(tmp_path / f"{name}.out.png")
        assert got.shape == (8, 9, 3)
        assert np.abs(got - np.array([200.0, 40, 90])).max() <= 8


# Each filter beside what SciPy or the definition gives, on floating-point images, where nothing is rounded.
X = paint((30, 23), "float64")
DEFINITIONS = {
    "gaussian:1.5": lambda: scipy.ndimage.gaussian_filter(X, 1.5),
    "gaussian:2,0.5": lambda: scipy.ndimage.gaussian_filter(X, (2, 0.5)),
    "box:4": lambda: scipy.ndimage.uniform_filter(X, 4),
    "min:3,5": lambda: scipy.ndimage.minimum_filter(X, (3, 5)),
    "max:3": lambda: scipy.ndimage.maximum_filter(X, 3),
    "open:3": lambda: scipy.ndimage.grey_opening(X, 3),
    "close:3": lambda: scipy.ndimage.grey_closing(X, 3),
    "sobel": lambda: np.hypot(scipy.ndimage.sobel(X, 0), scipy.ndimage.sobel(X, 1)),
    "sobel:x": lambda: scipy.ndimage.sobel(X, 1),
    "sobel:y": lambda: scipy.ndimage.sobel(X, 0),
    "laplace": lambda: scipy.ndimage.laplace(X),
    "edges": lambda: 9 * (X - scipy.ndimage.uniform_filter(X, 3)),
    "sharpen": lambda: X - scipy.ndimage.laplace(X),
    "sharpen:0.5": lambda: X - 0.5 * scipy.ndimage.laplace(X),
    "unsharp:2,0.75": lambda: X + 0.75 * (X - scipy.ndimage.gaussian_filter(X, 2)),
    "emboss": lambda: scipy.ndimage.correlate(X, [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    "abs": lambda: np.abs(X),
    "add:-3": lambda: X - 3,
    "times:2.5": lambda: X * 2.5,
    "convolve:k.txt": lambda: scipy.ndimage.convolve(X, [[1, 2, 3], [0, 0.5, 0]]),
    "correlate:k.npy": lambda: scipy.ndimage.correlate(X, [[1, 2, 3], [0, 0.5, 0]]),
    "k.csv": lambda: scipy.ndimage.convolve(X, [[1, 2, 3], [0, 0.5, 0]]),
}


def test_every_filter_has_a_definition():
    assert {text.partition(":")[0] for text in DEFINITIONS} - {"k.csv"} == set(filters.BY_NAME)
    assert len(filters.BY_NAME) == len(filters.FILTERS)


@pytest.mark.parametrize("text", DEFINITIONS)
def test_filters(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", X)
    np.save("k.npy", [[1, 2, 3], [0, 0.5, 0]])
    (tmp_path / "k.txt").write_text("# rows\n1 2 3\n\n0 0.5 0\n")
    (tmp_path / "k.csv").write_text("1, 2, 3\n0, .5, 0")
    well("in.npy", "out.npy", "-f", text)
    np.testing.assert_allclose(np.load("out.npy"), DEFINITIONS[text](), atol=1e-12)


def test_a_chain_is_rounded_once(tmp_path):
    image = paint((40, 31), "uint8")
    np.save(tmp_path / "in.npy", image)
    well(tmp_path / "in.npy", tmp_path / "out.npy", "-f", "gaussian:2", "-f", "times:20", "-f", "add:-2000")
    exact = scipy.ndimage.gaussian_filter(image.astype(float), 2) * 20 - 2000
    got = np.load(tmp_path / "out.npy")
    assert got.dtype == np.uint8
    assert np.abs(got - np.clip(exact, 0, 255)).max() <= 0.51, "it was rounded between the filters"
    well(tmp_path / "in.npy", tmp_path / "f.npy", "-f", "laplace", "-f", "abs", "--dtype", "uint16")
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), np.abs(scipy.ndimage.laplace(image.astype(int))))


@pytest.mark.parametrize("text", ["box:3", "max:3", "open:3", "gaussian:1", "sobel", "sharpen", "unsharp:2"])
def test_integers_are_rounded_and_saturated(text, tmp_path):
    image = paint((20, 21), "uint8")
    np.save(tmp_path / "in.npy", image)
    np.save(tmp_path / "float.npy", image.astype(np.float64))
    well(tmp_path / "in.npy", tmp_path / "out.npy", "-f", text)
    well(tmp_path / "float.npy", tmp_path / "exact.npy", "-f", text)
    got, exact = np.load(tmp_path / "out.npy"), np.load(tmp_path / "exact.npy")
    assert got.dtype == np.uint8
    assert np.abs(got - np.clip(exact, 0, 255)).max() <= 0.52


def test_border_cval_and_threads(tmp_path):
    np.save(tmp_path / "in.npy", X)
    well(
        tmp_path / "in.npy",
        tmp_path / "out.npy",
        "-f",
        "gaussian:2",
        "--border",
        "constant",
        "--cval",
        "7",
        "--threads",
        "1",
    )
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), scipy.ndimage.gaussian_filter(X, 2, mode="constant", cval=7), atol=1e-12
    )


def test_alpha_is_left_alone_or_weights_the_colours(tmp_path):
    image = np.zeros((9, 9, 4), np.uint8)
    image[:, :5] = 200, 100, 0, 255  # opaque; beside it, green that nobody sees
    image[:, 5:] = 0, 255, 0, 0
    np.save(tmp_path / "in.npy", image)
    well(tmp_path / "in.npy", tmp_path / "keep.npy", "-f", "box:3")
    well(tmp_path / "in.npy", tmp_path / "pre.npy", "-f", "box:3", "--alpha", "premultiply")
    kept, weighted = np.load(tmp_path / "keep.npy"), np.load(tmp_path / "pre.npy")
    np.testing.assert_array_equal(kept[..., 3], image[..., 3])
    for channel in range(3):
        exact = scipy.ndimage.uniform_filter(image[..., channel].astype(float), 3)
        assert np.abs(kept[..., channel] - exact).max() <= 0.51
    assert weighted[4, 4:7].tolist() == [[200, 100, 0, 170], [200, 100, 0, 85], [0, 0, 0, 0]]


def test_stacks_and_channels(tmp_path):
    stack = paint((5, 12, 3), "float64")
    np.save(tmp_path / "in.npy", stack)
    well(tmp_path / "in.npy", tmp_path / "colour.npy", "-f", "gaussian:1")
    well(tmp_path / "in.npy", tmp_path / "planes.npy", "-f", "gaussian:1", "--channels", "none")
    np.testing.assert_allclose(
        np.load(tmp_path / "colour.npy"), scipy.ndimage.gaussian_filter(stack, (1, 1, 0)), atol=1e-12
    )
    np.testing.assert_allclose(
        np.load(tmp_path / "planes.npy"), scipy.ndimage.gaussian_filter(stack, (0, 1, 1)), atol=1e-12
    )


def test_what_exists_is_not_overwritten(tmp_path):
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    iio.imwrite(source, paint((8, 9), "uint8"))
    target.write_bytes(b"precious")
    status, out, err = run(source, target, *IDENTITY)
    assert (status, out) == (1, "")
    assert err == f"ferroconv: {source}: {target} exists; --force overwrites it.\n"
    assert target.read_bytes() == b"precious"
    assert well(source, target, *IDENTITY, "--force") == f"{source} -> {target}\n"
    np.testing.assert_array_equal(iio.imread(target), iio.imread(source))
    assert well(source, source, "-f", "times:0", "--force", "--quiet") == ""  # in place
    assert not iio.imread(source).any()


def test_a_folder_of_zarr_is_replaced_whole(tmp_path):
    optional("zarr")
    np.save(tmp_path / "a.npy", X)
    well(tmp_path / "a.npy", tmp_path / "z.zarr", *IDENTITY)
    assert run(tmp_path / "a.npy", tmp_path / "z.zarr", *IDENTITY)[0] == 1
    np.save(tmp_path / "a.npy", X[:4])
    well(tmp_path / "a.npy", tmp_path / "z.zarr", *IDENTITY, "--force")
    assert pictures.read(tmp_path / "z.zarr").shape == (4, 23)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "z.zarr"]


def test_folders_patterns_and_several_files(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.bmp"):
        iio.imwrite(folder / name, paint((8, 9), "uint8"))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("nor this")
    well(folder, tmp_path / "all", *IDENTITY)
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["a.png", "b.png", "c.bmp"]
    well(folder / "*.png", tmp_path / "some", *IDENTITY, "--suffix", ".npy")
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["a.npy", "b.npy"]
    well(folder / "a.png", folder / "c.bmp", tmp_path / "two", *IDENTITY)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["a.png", "c.bmp"]
    well(folder / "a.png", tmp_path / "one", *IDENTITY)
    assert (tmp_path / "one" / "a.png").is_file()


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    iio.imwrite(folder / "a.png", paint((8, 9), "uint8"))
    (folder / "broken.png").write_text("no picture")
    np.save(folder / "objects.npy", np.array([[{}]], object), allow_pickle=True)
    status, out, err = run(folder, tmp_path / "out", *IDENTITY)
    assert status == 1
    assert out.count("\n") == 1
    assert [re.sub(r".*/", "", line).partition(":")[0] for line in err.splitlines()] == ["broken.png", "objects.npy"]
    assert "can't be read" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png"]


def test_preview_is_written_beside_the_output(tmp_path):
    iio.imwrite(tmp_path / "in.png", paint((20, 30, 3), "uint8"))
    well(tmp_path / "in.png", tmp_path / "out.png", "-f", "times:0", "--preview")
    shown = iio.imread(tmp_path / "out.preview.png")
    np.testing.assert_array_equal(shown[:, :30], iio.imread(tmp_path / "in.png"))
    assert not shown[:, 38:].any()
    np.save(tmp_path / "big.npy", paint((2, 3000, 40), "float32"))
    well(tmp_path / "big.npy", tmp_path / "big2.npy", *IDENTITY, "--preview")
    assert iio.imread(tmp_path / "big2.preview.png").shape == (1000, 14 * 2 + 8)
    assert run(tmp_path / "in.png", tmp_path / "out2.png", *IDENTITY)[0] == 0
    (tmp_path / "out3.preview.png").write_text("mine")
    assert run(tmp_path / "in.png", tmp_path / "out3.png", *IDENTITY, "--preview")[0] == 1
    assert not (tmp_path / "out3.png").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gausian:3", "Did you mean gaussian? Known: abs, add, box"),
        ("nothing", "Known: abs, add, box"),
        ("gaussian", "gaussian:SIGMA"),
        ("gaussian:-1", "zero or more"),
        ("gaussian:x", "could not convert"),
        ("box:2.5", "whole number"),
        ("min:1,2,3", "1 or 2 number"),
        ("laplace:2", "no parameters"),
        ("sobel:z", "x or y"),
        ("missing.txt", "No such file"),
    ],
)
def test_bad_filters_are_usage_errors(text, said, tmp_path):
    np.save(tmp_path / "in.npy", X)
    status, out, err = run(tmp_path / "in.npy", tmp_path / "out.npy", "-f", text)
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())
    assert not (tmp_path / "out.npy").exists()


def test_bad_files_of_weights_are_usage_errors(tmp_path):
    (tmp_path / "ragged.txt").write_text("1 2\n3\n")
    (tmp_path / "empty.txt").write_text("")
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    for name in ("ragged.txt", "empty.txt", "cube.npy"):
        assert run(tmp_path / "cube.npy", tmp_path / "out.npy", "-f", f"convolve:{tmp_path / name}")[0] == 2


def test_other_usage_errors(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        iio.imwrite(tmp_path / name / "x.png", paint((8, 9), "uint8"))
    a, b = tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"
    assert run(tmp_path / "none.png", tmp_path / "out.png", *IDENTITY)[0] == 2
    assert run(tmp_path / "*.jpg", tmp_path / "out", *IDENTITY)[0] == 2
    assert run(a, b, tmp_path / "out.png", *IDENTITY)[0] == 2  # several images, one file
    assert run(a, b, tmp_path / "out", *IDENTITY)[0] == 2  # of the same name
    assert run(a, tmp_path / "out.png")[0] == 2  # no filter
    assert run(a, tmp_path / "out.png", *IDENTITY, "--border", "symmetric")[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_formats_refuse_what_they_do_not_hold(tmp_path):
    np.save(tmp_path / "f.npy", X)
    np.save(tmp_path / "rgba.npy", paint((8, 9, 4), "uint8"))
    np.save(tmp_path / "stack.npy", paint((5, 8, 9), "uint8"))
    for source, target, said in (
        ("f", "o.png", "pass --dtype"), ("rgba", "o.jpg", "1 or 3 channel"), ("stack", "o.png", "5x8x9"),
        ("f", "o.gif", "Known: .png"),
    ):  # fmt: skip
        status, _, err = run(tmp_path / f"{source}.npy", tmp_path / target, *IDENTITY)
        assert status == 1
        assert said in err
        assert not (tmp_path / target).exists()
    well(tmp_path / "f.npy", tmp_path / "o.png", *IDENTITY, "--dtype", "uint8")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    np.save(tmp_path / "in.npy", X)
    (tmp_path / "out.npy").write_bytes(b"old")

    def full(path, image, **options):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full)
    status, _, err = run(tmp_path / "in.npy", tmp_path / "out.npy", *IDENTITY, "--force")
    assert status == 1
    assert "No space left" in err
    assert (tmp_path / "out.npy").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.npy"]


def test_an_interruption_is_status_130(tmp_path, monkeypatch):
    np.save(tmp_path / "in.npy", X)

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ferroconv, "correlate", interrupted)
    assert run(tmp_path / "in.npy", tmp_path / "out.npy", *IDENTITY)[0] == 130
    assert not (tmp_path / "out.npy").exists()


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    np.save(tmp_path / "in.npy", X)
    status, _, err = run(tmp_path / "in.npy", tmp_path / "out.tif", *IDENTITY)
    assert status == 1
    assert 'pip install "ferroconv[images]"' in err


def test_help_and_list_name_every_filter():
    listed, described = run("--list")[1], run("--help")[1]
    for each in filters.FILTERS:
        assert each.usage in listed
        assert each.help in listed
        assert each.usage in described
    assert "Exit status: 0" in described


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    done = CliRunner().invoke(command, ["completion", shell])
    assert done.exit_code == 0
    assert "_FERROCONV_COMPLETE" in done.output
    environment = {
        "_FERROCONV_COMPLETE": f"{shell}_complete", "COMP_WORDS": "ferroconv filter -f ga", "COMP_CWORD": "3",
    }  # fmt: skip
    if shell == "fish":
        environment["COMP_CWORD"] = "ga"
    done = CliRunner(env=environment).invoke(command, [], prog_name="ferroconv")
    assert "gaussian:" in done.output.replace("\\", "")


def test_as_a_program(tmp_path):
    """No bar and no colour where nobody looks; statuses are the process's."""
    iio.imwrite(tmp_path / "in.png", paint((64, 48, 3), "uint8"))
    start = [sys.executable, "-m", "ferroconv", "filter"]
    for arguments, status in (
        (["in.png", "out.png", "-f", "gaussian:2"], 0), (["in.png", "out.png", "-f", "gaussian:2"], 1), (["in.png"], 2),
    ):  # fmt: skip
        done = subprocess.run([*start, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == status, done.stderr
        assert "\r" not in done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        if status == 0:
            assert (done.stdout, done.stderr) == ("in.png -> out.png\n", "")
