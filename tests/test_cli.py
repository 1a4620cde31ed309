"""The command, run as a user runs it."""

import json
import subprocess
import sys

import pytest

for module in ("click", "rich", "PIL", "matplotlib", "sklearn"):
    pytest.importorskip(module, reason="the [cli] extra is not installed")


def ferroconv(*arguments, code=None):
    start = ["-c", code] if code else ["-m", "ferroconv"]
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [(), ("demo",), ("info",), ("explain",), ("bench",), ("filter",)])
def test_help(command):
    done = ferroconv(*command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert not done.stderr


def test_info_as_json():
    facts = json.loads(ferroconv("info", "--json").stdout)
    assert facts["profile"] == "release"
    assert facts["isa_used"] in facts["isa_detected"]
    assert facts["fma_peak"] > 1e8
    assert facts["copy_speed"] > 1e8


def test_explain_prints_the_choice_and_the_bound():
    done = ferroconv("explain", "correlate", "--dtype", "uint8", "--kernel", "5x5", "--weights", "whole")
    assert done.returncode == 0, done.stderr
    assert "runs    correlate/bytes/i16/" in done.stdout
    assert "error   exact" in done.stdout


def explained(*arguments):
    """In this process: what is imported once need not be for each operation."""
    from click.testing import CliRunner

    from ferroconv._cli.commands import command

    done = CliRunner().invoke(command, ["explain", *map(str, arguments)])
    assert done.exit_code in (0, 1, 2), done.exception
    return done


def test_explain_knows_every_function_that_plans():
    import ferroconv
    from ferroconv._cli.explaining import OPERATIONS
    from ferroconv._halo import NATIVE

    modules = [
        (ferroconv, NATIVE),
        *((one, one.__all__) for one in (ferroconv.ndimage, ferroconv.signal, ferroconv.nn)),
    ]
    public = {getattr(module, name) for module, names in modules for name in names}
    left = {function.__name__ for function in public - {function for _, function in OPERATIONS.values()}}
    # Of SciPy's loops, and of a function that is given.
    assert left == {"choose_conv_method", "generic_gradient_magnitude", "generic_laplace"}
    done = explained("--help")
    assert all(f" {name}" in done.output for name in OPERATIONS)
    for operation in OPERATIONS:
        done = explained(operation, "--image", "64x48")
        assert done.exit_code == 0, (operation, done.output)
        assert "  runs    " in done.output, operation


@pytest.mark.parametrize(
    "words, says",
    [
        ("gaussian --sigma 1.5x3 --dtype uint8 --border wrap", "13x25 window over 64x48"),
        ("minimum --kernel 7", "7x7"),
        ("ndimage.correlate1d --kernel 1x9 --border mirror", "9 window"),
        ("conv2d --image 2x16x16x4 --kernel 5x3 --channels 8 --stride 2 --padding same", "5x3 filters, 2 pictures of 16x16x4 to 8x8x8, strides 2x2"),
        ("conv2d --image 2x4x16x16 --channels 8 --groups 2 --dilation 3 --data-format channels_first", "2 pictures of 16x16x4 to 10x10x8, strides 1x1, dilation 3x3, 2 group(s)"),
        ("conv2d_transpose --image 2x8x8x6 --channels 4 --groups 2 --stride 2", "2 pictures of 17x17x4 to 8x8x6"),
        ("conv2d_grad_input --image 1x32x32x64 --padding same --precision high", "precision high"),
        ("conv2d_transpose_grad_filters --image 2x8x8x6 --channels 4 --groups 2 --stride 2", "2 pictures of 17x17x4 to 8x8x6"),
        ("depthwise_conv2d_grad_filters --image 1x8x8x3 --stride 2", "3 group(s)"),
        ("separable_conv2d --image 1x8x8x3 --channels 5", "1x1 filters, 1 pictures of 6x6x3 to 6x6x5"),
        ("max_pool2d_grad_input --image 1x3x9x9 --kernel 3 --stride 2 --data-format channels_first", "4x4"),
        ("adaptive_avg_pool2d --image 1x14x14x3 --output-size 2x7", "2x7"),
    ],
)  # fmt: skip
def test_explain_hands_on_what_it_is_given(words, says):
    image = () if "--image" in words else ("--image", "64x48")
    done = explained(*words.split(), *image)
    assert done.exit_code == 0, done.output
    assert says in done.output


@pytest.mark.parametrize(
    "words, says",
    [
        ("laplace --kernel 3", "laplace has no --kernel."),
        ("box --precision high", "box has no --precision."),
        ("signal.fftconvolve --border wrap", "signal.fftconvolve has no --border."),
        ("depthwise_conv2d --groups 2", "depthwise_conv2d has no --groups."),
        ("global_max_pool2d --output-size 3", "global_max_pool2d has no --output-size."),
        ("gaussian --sigma wide", "Received: 'wide'."),
        ("conv2d_transpose --channels 3 --groups 2", "--groups must divide the channels, here 3. Received: 2."),
        ("max_pool2d --dtype complex64", "Error: "),
    ],
)
def test_explain_refuses_what_the_function_has_not(words, says):
    done = explained(*words.split(), "--image", "64x48")
    assert done.exit_code == 1
    assert says in done.output


def test_a_wrong_argument_is_one_line():
    done = ferroconv("explain", "correlate", "--border", "sideways")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "Received" in done.stderr


def test_demo_checks_and_draws(tmp_path):
    done = ferroconv("demo", "--size", "256", "--quick", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "= 15" in done.stdout
    assert "Every result agrees" in done.stdout
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(pictures) == 2
    assert all(name in done.stdout.replace("\n", "") for name in pictures)
    assert "\r" not in done.stdout + done.stderr, "a progress bar, though the output is no terminal"


def test_demo_fails_where_a_result_is_wrong(tmp_path):
    code = (
        "import sys, ferroconv, numpy as np\n"
        "right = ferroconv.convolve\n"
        "ferroconv.convolve = lambda *a, **k: right(*a, **k) + np.asarray(1, np.asarray(a[0]).dtype)\n"
        "from ferroconv.cli import main\n"
        f"sys.argv = ['ferroconv', 'demo', '--size', '64', '--quick', '--output', {str(tmp_path)!r}]\n"
        "main()\n"
    )
    assert ferroconv(code=code).returncode == 1


def test_a_missing_extra_is_named():
    code = "import sys; sys.modules['click'] = None\nfrom ferroconv.cli import main\nmain()"
    done = ferroconv(code=code)
    assert done.returncode == 2
    assert 'pip install "ferroconv[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_bench_times_checks_and_writes(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench:begin -->\nstale\n<!-- bench:end -->\nafter\n")
    done = ferroconv(
        "bench",
        "/8x8/",
        "3x3",
        "--quick",
        "--threads",
        "1",
        "--output",
        str(tmp_path / "speed"),
        "--readme",
        str(readme),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr, "a progress bar, though the output is no terminal"
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["machine"]["versions"]["numpy"]
    dtypes = {outcome["case"]["dtype"] for outcome in found["outcomes"]}
    assert {"bool", "uint8", "int64", "float32", "complex128"} <= dtypes
    for outcome in found["outcomes"]:
        assert outcome["correct"], outcome["name"]
        assert outcome["threads"] == 1
        assert outcome["fresh"]["minimum"] <= outcome["fresh"]["median"]
        assert all(peer["agrees"] for peer in outcome["peers"].values()), outcome["name"]
    assert "| signal/float32/8x8/3x3 |" in (tmp_path / "speed.md").read_text()
    text = readme.read_text()
    assert text.startswith("before\n<!-- bench:begin -->\n")
    assert text.endswith("<!-- bench:end -->\nafter\n")
    assert "stale" not in text


def test_a_readme_has_a_table_of_layers_for_all_networks_or_none(tmp_path):
    from types import SimpleNamespace

    from ferroconv._cli import report
    from ferroconv._cli.networks import POOLINGS

    def outcome(network, times, direction="max", peers=("PyTorch",)):
        case = SimpleNamespace(kind="pool")
        fresh, peer = SimpleNamespace(median=1e-6), SimpleNamespace(ratio=times, lost=times < 1, rival=True)
        group = f"pool/{network}/{direction}/nhwc"
        return SimpleNamespace(case=case, group=group, peers=dict.fromkeys(peers, peer), fresh=fresh, times=1)

    machine = {"versions": {"torch": "9", "tensorflow": "7"}, "threads": 2}
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- pool:begin -->\nstale\n<!-- pool:end -->\nz\n")
    report.update_readme(readme, machine, [outcome("lenet", 2.0)])
    assert "stale" in readme.read_text()
    timed = [outcome(network, 2.0 if network == "lenet" else 0.5) for network in POOLINGS]
    report.update_readme(readme, machine, timed)
    text = readme.read_text()
    assert "| lenet | 2.0x |" in text
    assert "| vgg_19 | **0.50x** |" in text
    assert text.startswith("a\n<!-- pool:begin -->\n| network | max/nhwc |\n")
    assert text.endswith("<!-- pool:end -->\nz\n")
    timed += [
        outcome("lenet", 0.9, "max_grad", ["TensorFlow"]),
        outcome("vgg_19", 3.0, "avg", ["TensorFlow", "PyTorch"]),
    ]
    report.update_readme(readme, machine, timed)
    text = readme.read_text()
    assert "| network | max/nhwc | max_grad/nhwc | avg/nhwc |" in text
    assert "| lenet | 2.0x / - | - / **0.90x** |  |" in text
    assert "| vgg_19 | **0.50x** / - |  | 3.0x / 3.0x |" in text
    assert "against PyTorch 9 / TensorFlow 7, each in its better layout" in text


def test_bench_names_a_filter_that_leaves_nothing():
    done = ferroconv("bench", "no-such-case")
    assert done.returncode == 2
    assert "no-such-case" in done.stdout


def test_bench_lists_its_cases():
    done = ferroconv("bench", "--list")
    assert done.returncode == 0
    assert "2048" in done.stdout
