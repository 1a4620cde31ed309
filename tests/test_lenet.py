"""`ferroconv lenet`: its data, and the command as a user runs it."""

from __future__ import annotations

import gzip
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

for module in ("click", "rich", "PIL", "matplotlib", "sklearn"):
    pytest.importorskip(module, reason="the [cli] extra is not installed")
for module in ("tensorflow", "keras"):
    pytest.importorskip(module, reason="the [tensorflow] extra is not installed")

from click.testing import CliRunner  # noqa: E402

from ferroconv._cli import digits  # noqa: E402
from ferroconv._cli.commands import command  # noqa: E402

MNIST_10K = pathlib.Path(__file__).parents[2] / "shared" / "data" / "mnist10k.npz"


# Keras 3.15 reads variables for a file in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def process(*arguments, code=None):
    """Run the command in a process of its own."""
    start = ["-c", code] if code else ["-m", "ferroconv"]
    return subprocess.run(
        [sys.executable, *start, "lenet", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def lenet(*arguments):
    """Run the command in this process, which has TensorFlow already."""
    done = CliRunner().invoke(command, ["lenet", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def idx(samples):
    return bytes((0, 0, 8, samples.ndim)) + np.array(samples.shape, ">i4").tobytes() + samples.tobytes()


@pytest.fixture(scope="module")
def pixels():
    """Forty images of ten classes that are easy to tell apart, and their labels, as bytes."""
    rng = np.random.default_rng(0)
    labels = np.arange(40, dtype=np.uint8) % 10
    return rng.integers(0, 256, (10, 28, 28), np.uint8)[labels], labels


def folder(path, pixels, *, dots=False, packed=False):
    path.mkdir()
    for part in ("train", "t10k"):
        for samples, kind in zip(pixels, ("images-idx3", "labels-idx1"), strict=True):
            name = f"{part}-{kind.replace('-idx', '.idx') if dots else kind}-ubyte"
            if packed:
                (path / f"{name}.gz").write_bytes(gzip.compress(idx(samples)))
            else:
                (path / name).write_bytes(idx(samples))
    return path


def test_the_digits_that_scikit_learn_brings():
    data = digits.load("digits")
    assert data.x_train.shape == (1437, 28, 28, 1)
    assert data.x_test.shape == (360, 28, 28, 1)
    assert data.x_train.dtype == np.float32
    assert data.x_train.min() == 0
    assert 0.9 < data.x_train.max() <= 1
    assert np.bincount(data.y_test).min() > 20
    again = digits.load("digits")
    assert np.array_equal(again.x_test, data.x_test), "the split is not fixed"
    sized = data.sized(32)
    assert sized.x_test.shape == (360, 32, 32, 1)
    assert np.array_equal(sized.x_test[:, 2:-2, 2:-2], data.x_test)


@pytest.mark.parametrize("dots", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_folders(tmp_path, pixels, dots, packed):
    data = digits.load(str(folder(tmp_path / "idx", pixels, dots=dots, packed=packed)))
    assert np.array_equal(data.x_train[..., 0], (pixels[0] / 255).astype(np.float32))
    assert np.array_equal(data.y_test, pixels[1])


def test_npz_files(tmp_path, pixels):
    x, y = pixels
    np.savez(tmp_path / "four.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    np.savez(tmp_path / "two.npz", x=x, y=y)
    assert len(digits.load(str(tmp_path / "four.npz")).y_test) == 10
    two = digits.load(str(tmp_path / "two.npz"))
    assert np.array_equal(two.y_test, y[32:]), "the last fifth tests"


def test_data_that_cannot_be_meant(tmp_path, pixels):
    x, y = pixels
    np.savez(tmp_path / "names.npz", images=x)
    np.savez(tmp_path / "colours.npz", x=np.zeros((40, 8, 8, 3)), y=y)
    np.savez(tmp_path / "bright.npz", x=x * 2.0, y=y)
    np.savez(tmp_path / "labels.npz", x=x, y=y / 2)
    (tmp_path / "no.npz").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    short = folder(tmp_path / "short", pixels)
    (short / "train-images-idx3-ubyte").write_bytes(idx(x)[:-1])
    wrong = folder(tmp_path / "wrong", pixels)
    (wrong / "t10k-labels-idx1-ubyte").write_bytes(idx(x))
    cut = folder(tmp_path / "cut", pixels, packed=True)
    (cut / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y))[:-9])
    for name in (
        "names.npz",
        "colours.npz",
        "bright.npz",
        "labels.npz",
        "no.npz",
        "missing.npz",
        "empty",
        "short",
        "wrong",
        "cut",
    ):
        with pytest.raises(digits.DataError):
            digits.load(str(tmp_path / name))
    with pytest.raises(digits.DataError, match="Received: 'letters'"):
        digits.load("letters")


def test_pictures_are_made_like_mnist(tmp_path):
    from PIL import Image

    paper = np.full((60, 40), 250, np.uint8)
    paper[20:40, 18:22] = 5
    Image.fromarray(paper).save(tmp_path / "ink.png")
    image, inverted = digits.picture(tmp_path / "ink.png", 32)
    assert inverted
    assert image.shape == (1, 32, 32, 1)
    assert image[0, 16, 16, 0] > 0.6
    assert image[0, 0].max() == 0
    Image.fromarray(255 - paper).convert("RGB").save(tmp_path / "chalk.png")
    other, inverted = digits.picture(tmp_path / "chalk.png", 32)
    assert not inverted
    np.testing.assert_allclose(other, image, atol=0.05)


def test_train_evaluate_predict(tmp_path):
    out = tmp_path / "out"
    done = process("train", "--epochs", 2, "--limit", 200, "--model", "lenet5", "--output", out)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout, "a progress bar, though the output is no terminal"
    assert "digits: 200 images train, 200 test" in done.stdout
    assert "epoch 2/2" in done.stdout
    names = ["model.keras", "training.png", "feature_maps.png", "confusion.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert all(f"wrote {out / name}" in done.stdout for name in names)
    accuracy = float(re.search(r"^accuracy ([\d.]+)%", done.stdout, re.MULTILINE)[1])
    assert accuracy > 30

    tested = lenet("evaluate", out / "model.keras", "digits")
    assert tested.exit_code == 0, tested.stderr
    assert "of 360 test images of digits" in tested.stdout

    from PIL import Image

    small = (255 - digits.load("digits").x_test[3, ..., 0] * 255).astype(np.uint8)
    Image.fromarray(small).resize((90, 90)).save(tmp_path / "digit.png")
    answer = lenet("predict", out / "model.keras", tmp_path / "digit.png")
    assert answer.exit_code == 0, answer.stderr
    line = next(one for one in answer.stdout.splitlines() if "digit.png" in one)
    probabilities = [float(one) for one in re.findall(r"\b[01]\.\d{3}\b", line)]
    assert len(probabilities) == 10
    assert sum(probabilities) == pytest.approx(1, abs=0.006)
    assert "inverted" in line

    broken = lenet("predict", out / "model.keras", out / "model.keras")
    assert broken.exit_code == 1
    assert "can't be read as an image" in broken.stderr
    assert "Traceback" not in broken.stderr


def test_compare_puts_both_side_by_side(tmp_path):
    done = lenet("train", "--epochs", 1, "--limit", 160, "--batch-size", 16, "--compare", "--output", tmp_path)
    assert done.exit_code == 0, done.stderr
    rows = [line.split("  ") for line in done.stdout.splitlines() if line.startswith(("ferroconv  ", "stock Keras  "))]
    accuracies = [float(re.search(r"([\d.]+)%", " ".join(row))[1]) for row in rows]
    assert len(accuracies) == 2
    assert abs(accuracies[0] - accuracies[1]) < 2
    apart = float(re.search(r"at most ([\d.e+-]+) apart", " ".join(done.stdout.split()))[1])
    assert apart < 1e-4


def test_stock_layers_write_a_file_that_needs_no_ferroconv(tmp_path):
    done = lenet("train", "--epochs", 1, "--limit", 32, "--stock", "--output", tmp_path)
    assert done.exit_code == 0, done.stderr
    code = "import sys, keras; keras.models.load_model(sys.argv[1]); assert 'ferroconv' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.keras")], check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (("train", "letters"), 1, "Received: 'letters'"),
        (("train", "--epochs", "0"), 2, "--epochs"),
        (("evaluate", __file__), 1, "can't be loaded as a Keras model"),
        (("predict", "nowhere.keras", "x.png"), 2, "nowhere.keras"),
    ],
)
def test_mistakes_are_one_line(arguments, status, words):
    done = lenet(*arguments)
    assert done.exit_code == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_tensorflow_is_named():
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from ferroconv.cli import main\n"
        "sys.argv = ['ferroconv', 'lenet', 'train']\n"
        "main()"
    )
    done = process(code=code)
    assert done.returncode == 2
    assert 'pip install "ferroconv[tensorflow]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_help_does_without_tensorflow():
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from ferroconv.cli import main\n"
        "sys.argv = ['ferroconv', 'lenet', 'train', '--help']\n"
        "main()"
    )
    done = process(code=code)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not MNIST_10K.is_file(), reason="mnist10k.npz is not beside the repository")
def test_five_epochs_of_ten_thousand_digits(tmp_path):
    done = lenet("train", MNIST_10K, "--epochs", 5, "--output", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert float(re.search(r"^accuracy ([\d.]+)%", done.stdout, re.MULTILINE)[1]) >= 95
