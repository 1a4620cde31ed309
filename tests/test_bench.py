"""What `ferroconv bench` measures: the lists, the definitions that results are held against, and that a wrong one is found."""

import dataclasses
import functools
import itertools
import json
import math
import re
import time
from collections import Counter

import numpy as np
import pytest

for module in ("click", "rich", "PIL", "matplotlib", "scipy"):
    pytest.importorskip(module, reason="the [cli] and [scipy] extras are not installed")

import scipy.ndimage  # noqa: E402
import scipy.signal  # noqa: E402
from click.testing import CliRunner  # noqa: E402

import ferroconv  # noqa: E402
from ferroconv import _core, nn  # noqa: E402
from ferroconv._cli import charts, layers, masked, measuring, peers, plans, report, suites, summary, targets, timing  # noqa: E402
from ferroconv._cli.cases import Case  # noqa: E402
from ferroconv._cli.commands import command  # noqa: E402
from ferroconv._cli.conv_problem import ConvProblem  # noqa: E402
from ferroconv._cli.filter_cases import FilterCase  # noqa: E402
from ferroconv._cli.layer_cases import CONV_DIRECTIONS, POOL_DIRECTIONS, LayerCase  # noqa: E402
from ferroconv._cli.networks import CONVOLUTIONS, POOLINGS, Convolution, Pooling  # noqa: E402
from ferroconv._cli.outcomes import Against, Outcome, Times  # noqa: E402
from ferroconv._cli.pool_problem import PoolProblem  # noqa: E402

STRIDED = Convolution("strided in groups", 4, 7, 6, 3, 2, 1, groups=2)
BARE = Convolution("no padding", 3, 5, 4, 2, 1, 0)
DEPTHWISE = Convolution("depthwise", 3, 6, 3, 3, 2, 1, groups=3)
POOLS = [
    Pooling("overlapping", "max", 3, 7, 3, 2),
    Pooling("odd sample", "max", 2, 6, 3, 2, "same"),
    Pooling("same", "max", 2, 5, 3, 1, "same"),
    Pooling("mean", "avg", 3, 6, 2, 2),
    Pooling("mean of what is inside", "avg", 2, 6, 3, 2, "same"),
]
LAYER_CASES = [
    *(LayerCase("none", layer, 2, direction) for layer in (STRIDED, BARE, DEPTHWISE) for direction in CONV_DIRECTIONS),
    *(LayerCase("none", pool, 2, direction) for pool in POOLS for direction in POOL_DIRECTIONS[pool.kind]),
]


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("tensorflow", reason="the [tensorflow] extra is not installed")
    return pytest.importorskip("keras", reason="the [tensorflow] extra is not installed")


def _networks(keras):
    from ferroconv.keras import models

    applications = keras.applications
    return {
        "lenet": models.lenet(stock=True),
        "alexnet": models.alexnet(stock=True),
        "googlenet_v1": models.googlenet(stock=True),
        "vgg_19": applications.VGG19(weights=None, include_top=False, input_shape=(224, 224, 3)),
        "resnet_50": applications.ResNet50(weights=None, include_top=False, input_shape=(224, 224, 3)),
        "mobilenet_dw": applications.MobileNet(weights=None, include_top=False, input_shape=(224, 224, 3)),
    }


def test_networks_have_the_layers_of_the_models_of_that_name(keras):
    for network, model in _networks(keras).items():
        convolutions, pools = Counter(), Counter()
        for layer in model.layers:
            if isinstance(layer, keras.layers.DepthwiseConv2D if network == "mobilenet_dw" else keras.layers.Conv2D):
                channels, made, results = layer.input.shape[-1], layer.output.shape[1], layer.output.shape[-1]
                groups = channels if network == "mobilenet_dw" else layer.groups
                convolutions[channels, made, results, layer.kernel_size[0], layer.strides[0], groups] += 1
            elif isinstance(layer, keras.layers.MaxPooling2D):
                pools[layer.input.shape[-1], layer.output.shape[1], layer.pool_size[0], layer.strides[0]] += 1
        listed = Counter()
        for one in CONVOLUTIONS[network]:
            listed[one.channels, one.result_size, one.results, one.window, one.stride, one.groups] += one.times
        assert listed == convolutions, network
        pooled = Counter()
        for one in POOLINGS.get(network, []):
            if one.kind == "max":
                pooled[one.channels, one.result_size, one.window, one.stride] += one.times
        assert pooled == pools, network


def _convolved(x, filters, layer):
    """By the definition, one result after the other."""
    pad, s, k, made = layer.pad, layer.stride, layer.window, layer.result_size
    x = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = np.zeros((len(x), made, made, layer.results))
    c, o = layer.channels // layer.groups, layer.results // layer.groups
    for n, p, q, z in np.ndindex(out.shape):
        seen = x[n, p * s : p * s + k, q * s : q * s + k, z // o * c : z // o * c + c]
        out[n, p, q, z] = (seen * filters[..., z]).sum()
    return out


def _by_units(shape, dot):
    """A gradient, element by element: what the layer makes of a unit in the gradient's place, times the result's gradient."""
    found = np.zeros(shape)
    for index in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[index] = 1
        found[index] = dot(unit)
    return found


@pytest.mark.parametrize("layer", [STRIDED, BARE, DEPTHWISE], ids=lambda layer: layer.name)
def test_sums_are_those_of_the_definition(layer):
    for direction in CONV_DIRECTIONS:
        problem = ConvProblem(layer, 2, direction, 0)
        x, filters, grad = problem.x, problem.filters, problem.grad
        right = {
            "forward": lambda: _convolved(x, filters, layer),
            "grad_input": lambda: _by_units(x.shape, lambda unit: (_convolved(unit, filters, layer) * grad).sum()),
            "grad_filters": lambda: _by_units(filters.shape, lambda unit: (_convolved(x, unit, layer) * grad).sum()),
        }[direction]()
        assert problem.error(right) < 1e-12, direction
        for index, _ in problem.exact:
            wrong = right.copy()
            wrong[index] += 2 * problem.bound
            assert problem.error(wrong) > problem.bound, direction


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.name)
def test_pools_are_those_of_the_definition(pool):
    first = PoolProblem(pool, 2, POOL_DIRECTIONS[pool.kind][0], 0)
    made, shape = np.zeros(first.grad.shape), first.x.shape
    places, means = np.zeros(first.grad.shape, np.int64), np.zeros((*first.grad.shape, *shape[1:3]))
    for n, p, q, c in np.ndindex(made.shape):
        rows, columns = (
            [at for at in range(i * pool.stride - pool.before, i * pool.stride - pool.before + pool.window) if 0 <= at < pool.size]
            for i in (p, q)
        )  # fmt: skip
        seen = first.x[n][np.ix_(rows, columns)][..., c].astype(float)
        y, x = np.unravel_index(seen.argmax(), seen.shape)
        places[n, p, q, c] = rows[y] * pool.size + columns[x]
        made[n, p, q, c] = seen.max() if pool.kind == "max" else seen.mean()
        means[(n, p, q, c, *np.ix_(rows, columns))] = 1 / seen.size
    for direction in POOL_DIRECTIONS[pool.kind]:
        problem = PoolProblem(pool, 2, direction, 0)
        if direction == "max_indices":
            right = np.stack([made, places])
        elif direction in ("max", "avg"):
            right = made
        elif direction == "avg_grad":
            right = np.einsum("npqcyx,npqc->nyxc", means, problem.grad.astype(float))
        else:
            right = np.zeros((2, pool.size**2, shape[3]))
            for n, p, q, c in np.ndindex(made.shape):
                right[n, places[n, p, q, c], c] += problem.grad[n, p, q, c]
            right = right.reshape(shape)
        assert problem.error(right) <= 1e-12 * problem.scale, direction


@pytest.mark.parametrize("case", LAYER_CASES, ids=lambda case: f"{case.layer.name}-{case.direction}")
def test_a_layer_is_timed_in_both_layouts_and_everyone_agrees(case):
    outcomes = layers.measure(case, quick=True)
    assert [one.name for one in outcomes] == [f"{case.name}/nhwc", f"{case.name}/nchw"]
    for one in outcomes:
        assert one.sound, one
        assert one.fresh.minimum > 0
        for peer, against in one.peers.items():
            assert against.way in (f"{peer} nhwc", f"{peer} nchw")
            assert against.ratio == pytest.approx(against.fresh.median / one.fresh.median)
    if peers.installed("torch") and case.direction != "max_grad":
        assert "PyTorch" in outcomes[0].peers
    if peers.installed("tensorflow") and case.direction != "max_grad_indices" and case.layer is not STRIDED:
        assert "TensorFlow" in outcomes[0].peers


FUNCTIONS = {
    "forward": "conv2d", "grad_input": "conv2d_grad_input", "grad_filters": "conv2d_grad_filters", "max": "max_pool2d",
    "max_grad": "max_pool2d_grad_input", "max_grad_indices": "max_pool2d_grad_input", "avg": "avg_pool2d",
    "avg_grad": "avg_pool2d_grad_input",
}  # fmt: skip


@pytest.mark.parametrize("wrong", ["a few roundings too far", "nan"])
@pytest.mark.parametrize("direction", FUNCTIONS)
def test_a_wrong_layer_is_found(direction, wrong, monkeypatch):
    case = next(case for case in LAYER_CASES if case.direction == direction)
    right, scale = getattr(nn, FUNCTIONS[direction]), case.problem().scale

    def slightly_off(*args, **kwargs):
        result = right(*args, **kwargs)
        result.flat[0] += np.nan if wrong == "nan" else 2e-5 * scale
        return result

    monkeypatch.setattr(nn, FUNCTIONS[direction], slightly_off)
    assert not any(one.correct for one in layers.measure(case, quick=True))


def test_a_peer_that_disagrees_is_found(monkeypatch):
    torch = pytest.importorskip("torch")
    right = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *args: right(*args) * (1 + 1e-3))
    for one in layers.measure(LayerCase("none", BARE, 1, "forward"), quick=True):
        assert one.correct
        assert not one.peers["PyTorch"].agrees
        assert not one.sound


def test_plans_time_every_implementation_that_accepts():
    (outcome,) = plans.measure(plans.PlanCase(Case("native", "float32", 64, 15)), quick=True)
    assert outcome.sound
    assert {outcome.implementation.split("/")[1], *outcome.peers} == {"direct", "fft"}
    assert _core.prefer(None) is None
    (other,) = outcome.peers
    assert not list(plans.misplanned([dataclasses.replace(outcome, fresh=outcome.peers[other].fresh)]))
    late = Times(*(3 * value for value in dataclasses.astuple(outcome.peers[other].fresh)))
    (line,) = plans.misplanned([dataclasses.replace(outcome, fresh=late)])
    assert line == (outcome.name, outcome.implementation.split("/")[1], other, pytest.approx(3))


def test_plans_force_what_they_say():
    problem = plans.PlanCase(Case("native", "float64", 64, 15)).problem()
    results = {}
    for name in ("direct", "fft"):
        with plans.preferring(name):
            results[name] = peers.ours(problem)[0].call()
    assert np.allclose(results["direct"], results["fft"], rtol=1e-9, atol=1e-9)
    assert not np.array_equal(results["direct"], results["fft"])


@pytest.mark.parametrize(("filter", "dtype"), [("gaussian", "float32"), ("minimum", "uint8"), ("maximum", "float32")])
def test_further_peers_of_filters_agree(filter, dtype):
    (outcome,) = measuring.named_filter(FilterCase(filter, dtype, 48, 3), quick=True)
    assert outcome.sound, outcome
    assert ("Pillow" in outcome.peers) == (dtype == "uint8")
    assert ("scikit-image" in outcome.peers) == (peers.installed("skimage") is not None)


def test_pytorch_filters_the_same_image():
    pytest.importorskip("torch")
    (outcome,) = measuring.windows(Case("native", "float32", 32, 5), quick=True)
    assert outcome.peers["PyTorch"].agrees
    assert outcome.sound
    (outcome,) = measuring.windows(Case("native", "float64", 32, 5), quick=True)
    assert "PyTorch" not in outcome.peers


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_scipys_truncated_integers_are_held_against_rounded_ones(dtype, monkeypatch):
    case = Case("native", dtype, 32, 5)
    (outcome,) = measuring.windows(case, quick=True)
    assert outcome.sound
    against = outcome.peers["scipy.ndimage"]
    assert against.error is None
    assert against.apart <= 1
    right = scipy.ndimage.convolve
    two = np.full(1, 2, dtype)
    monkeypatch.setattr(scipy.ndimage, "convolve", lambda *args, **kwargs: right(*args, **kwargs) + two)
    (outcome,) = measuring.windows(case, quick=True)
    assert outcome.correct
    assert not outcome.peers["scipy.ndimage"].agrees


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scipys_transforms_take_part_for_large_windows(dtype, monkeypatch):
    peers_of = {taps: measuring.windows(Case("native", dtype, 96, taps), quick=True)[0] for taps in (11, 13, 51)}
    assert all(outcome.sound for outcome in peers_of.values())
    assert "scipy.signal FFT" not in peers_of[11].peers
    assert peers_of[13].peers["scipy.signal FFT"].way in ("fftconvolve", "oaconvolve")
    assert {"scipy.signal", "scipy.ndimage"} < set(peers_of[13].peers)
    assert set(peers_of[51].peers) <= {"OpenCV", "scipy.signal FFT"}
    for name in ("fftconvolve", "oaconvolve"):
        right = getattr(scipy.signal, name)
        monkeypatch.setattr(scipy.signal, name, lambda *args, right=right: right(*args) * (1 + 1e-4))
    (outcome,) = measuring.windows(Case("native", dtype, 96, 13), quick=True)
    assert outcome.correct
    assert not outcome.peers["scipy.signal FFT"].agrees


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", ["prewitt", "gaussian_laplace", "gaussian_gradient_magnitude"])
def test_filters_of_scipys_spelling_alone_are_held_against_scipy(name, dtype, monkeypatch):
    case = FilterCase(name, dtype, 48, 2)
    (outcome,) = measuring.named_filter(case, quick=True)
    assert outcome.sound
    assert set(outcome.peers) == {"scipy.ndimage", "copy"}
    right = getattr(ferroconv.ndimage, name)
    monkeypatch.setattr(ferroconv.ndimage, name, lambda *args, **kwargs: right(*args, **kwargs) + np.ones(1, dtype))
    (outcome,) = measuring.named_filter(case, quick=True)
    assert not outcome.correct
    assert not outcome.peers["scipy.ndimage"].agrees


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", ["gaussian", "box", "maximum"])
def test_channels_are_filtered_each_by_itself(name, dtype):
    case = FilterCase(name, dtype, 40, 3, channels=3)
    assert case.name == f"filters/{name}/{dtype}/40x40x3/3"
    (outcome,) = measuring.named_filter(case, quick=True)
    assert outcome.sound
    assert set(outcome.peers) <= {"scipy.ndimage", "OpenCV", "copy"}


def test_charts_take_any_number_of_peers(tmp_path):
    peers = {f"peer {i}": 1.0 + i for i in range(11)}
    charts.bars(tmp_path / "bars.png", {"group": {"case": peers}}, "title", "note")
    assert (tmp_path / "bars.png").stat().st_size > 0


def test_a_filter_slower_than_a_copy_is_no_loss():
    (outcome,) = measuring.windows(Case("native", "float32", 64, 3), quick=True)
    copy = outcome.peers["copy"]
    assert copy.ratio == pytest.approx(copy.fresh.median / outcome.fresh.median)
    assert copy.ratio_reused == pytest.approx(copy.reused.median / outcome.reused.median)
    late = dataclasses.replace(copy, ratio=0.7)
    assert not late.lost
    assert dataclasses.replace(late, rival=True).lost
    outcome.peers = {"copy": late}
    (line,) = summary.lines([outcome])
    assert line.slower == 0
    assert not summary.chart([line])
    assert "slower" not in "".join(line.cells)
    assert report._lines([outcome])[0][-2:] == ["-", "0.70x"]


@pytest.mark.parametrize("way", masked.WAYS)
@pytest.mark.parametrize("function", masked.FUNCTIONS)
def test_filters_that_leave_pixels_out_are_timed_beside_those_of_every_pixel(function, way, monkeypatch):
    case = masked.MaskCase(function, way, "float32", 48, 5)
    (outcome,) = masked.measure(case, quick=True)
    assert outcome.sound
    (against,) = outcome.peers.values()
    assert not against.rival
    assert against.ratio == pytest.approx(against.fresh.median / outcome.fresh.median)
    right = getattr(ferroconv, function)
    monkeypatch.setattr(ferroconv, function, lambda *args, **kwargs: right(*args, **kwargs) + np.float32(0.1))
    with np.errstate(all="ignore"):  # an array that is only explained has not been written
        (outcome,) = masked.measure(case, quick=True)
    assert not outcome.correct
    assert not any(against.agrees for against in outcome.peers.values())


def test_contestants_take_turns_and_the_lead_is_not_timed():
    calls = []

    def call(name):
        calls.append(name)
        time.sleep(0.001)  # longer than a sample has to be: one call is one sample

    contestants = [timing.Contestant(name, functools.partial(call, name)) for name in "ab"]
    timings = timing.race(contestants, timing.Effort(1, 3, 3, lead=0.02))
    turns = [(name, len(list(turn))) for name, turn in itertools.groupby(calls)]
    assert [name for name, _ in turns] == ["a", "b"] * 4
    assert all(length > 1 for _, length in turns)
    assert all(len(one.samples) == 3 for one in timings.values())


def test_long_calls_have_no_lead(monkeypatch):
    monkeypatch.setattr(timing, "LONG", 0.005)
    calls = []

    def call():
        calls.append(None)
        time.sleep(0.006)

    timing.race([timing.Contestant("a", call)], timing.Effort(1, 3, 3, lead=0.05))
    assert len(calls) == 1 + 3


def _outcome(name, ours, times, **theirs):
    spent = Times(ours, ours, 1)
    found = {
        peer: Against(peer, Times(seconds, seconds, 1), None, None, 0.0, True, seconds / ours, None)
        for peer, seconds in theirs.items()
    }
    return Outcome(name, Case("native", "uint8", 8, 3), "", 1, spent, None, None, None, True, found, "a/b", times)


def test_sums_of_a_group():
    outcomes = [_outcome("one", 1.0, 3, peer=2.0, other=0.5), _outcome("two", 2.0, 1, peer=1.0)]
    lines = {line.peer: line for line in summary.lines(outcomes)}
    assert list(lines) == ["peer", "other"]
    assert dataclasses.astuple(lines["peer"])[2:] == pytest.approx((2, 1, 0.5, 1.0, 7 / 5, True))
    assert dataclasses.astuple(lines["other"])[2:] == pytest.approx((1, 1, 0.5, 0.5, 0.5, True))
    assert lines["other"].cells[-1] == "0.50x slower"
    assert math.isclose(summary.chart(list(lines.values()))["a"]["b"]["other"], 0.5)


def test_a_target_is_met_by_its_mean_and_by_every_case():
    times = {"a/1": {"peer": 2.0, "other": 9.0}, "a/2": {"peer": 8.0}, "b": {"peer": 0.1}}
    outcomes = [_outcome(name, 1.0, 1, **theirs) for name, theirs in times.items()]
    for mean, least, passed in ((4.0, 2.0, True), (4.1, 0.0, False), (0.0, 2.1, False)):
        line = targets.Target("claim", "a/.*", ("peer", "other"), mean, least).line(outcomes)
        assert line.passed is passed, line
        assert "mean 4.00x" in line.text and "least 2.00x (a/1)" in line.text
    assert targets.Target("claim", "a/.*", ("other",), least=9).line(outcomes).passed
    for missing in ({"names": "c"}, {"names": "a/.*", "peers": ("nobody",)}, {"names": "a/.*", "ratio": "ratio_alone"}):
        assert targets.Target("claim", least=1, **missing).line(outcomes).passed is None
    assert targets.Target("claim", "a/.*", least=1, isas=("none",)).line(outcomes).passed is None


def test_every_target_has_cases():
    layouts = {"conv": ("/nhwc", "/nchw"), "pool": ("/nhwc", "/nchw"), "steps": ("", "/convolution-and-pooling")}
    names = [
        case.name + part for suite in suites.SUITES for case in suite.cases for part in layouts.get(case.kind, ("",))
    ]
    for target in (*targets.FILTERS, *targets.LAYERS):
        assert any(re.fullmatch(target.names, name) for name in names), target
        assert target.mean or target.least
        assert target.ratio in Against.__dataclass_fields__


def _kinds(*words):
    return {case.kind for _, cases in suites.chosen(words, False) for case in cases}


def test_words_choose_cases():
    assert _kinds() == {"native", "ndimage", "signal", "filters"}
    assert _kinds("lenet") == {"conv", "pool"}
    assert {case.network for _, cases in suites.chosen(("lenet",), False) for case in cases} == {"lenet"}
    assert {case.dtype for _, cases in suites.chosen(("native", "int16"), False) for case in cases} == {"int16"}
    assert {case.size for _, cases in suites.chosen(("/8x8/",), False) for case in cases} == {8}
    assert _kinds("conv") == _kinds("conv/resnet_50") == {"conv"}
    assert _kinds("steps/lenet") == {"steps"}
    assert _kinds("predict") == {"predict"}
    assert _kinds("plan") == {"plan"}
    assert _kinds("masks") == {"masks"}
    assert _kinds("small", "sobel") == {"small"}
    assert _kinds("float32", "2048") == {"native", "filters"}
    assert not _kinds("nonsense")
    names = [case.name for suite in suites.SUITES for case in suite.cases]
    assert len(names) == len(set(names))


def test_bench_writes_a_report_of_layers(tmp_path):
    done = CliRunner().invoke(command, ["bench", "lenet/C3/batch1/", "--quick", "--output", str(tmp_path / "speed")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "speed.json").read_text())
    assert len(found["outcomes"]) == 6
    assert found["outcomes"][0]["case"]["layer"]["channels"] == 6
    text = (tmp_path / "speed.md").read_text()
    assert "geometric mean" in text
    assert text.count("| conv/lenet/C3/batch1/forward/nchw |") == max(1, len(found["outcomes"][0]["peers"]))
    assert all("**" in line for line in text.splitlines() if "slower |" in line and not line.startswith("| group"))
    assert (tmp_path / "speed.png").exists() == bool(found["outcomes"][0]["peers"])


def test_bench_fails_where_a_layer_is_wrong(monkeypatch):
    right = nn.conv2d
    monkeypatch.setattr(nn, "conv2d", lambda *args, **kwargs: right(*args, **kwargs) + np.float32(1e-3))
    done = CliRunner().invoke(command, ["bench", "lenet/C1/batch1/forward", "--quick"])
    assert done.exit_code == 1
    assert "WRONG  conv/lenet/C1/batch1/forward/nhwc" in done.output


def test_steps_are_timed_and_both_models_agree(keras):
    from ferroconv._cli import steps

    case = steps.StepCase("lenet", 28, 1, 2, "adam")
    whole, part = steps.measure(case, quick=True)
    assert whole.sound and part.sound
    assert part.name == f"{case.name}/convolution-and-pooling"
    # What is left of a step without its layers; of few runs on a busy machine it may be anything.
    assert whole.fresh.median > 0 and np.isfinite(part.fresh.median)
    stock = case.stock(keras)
    other = keras.models.clone_model(stock)
    other.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).random((2, 28, 28, 1), np.float32), np.array([1, 2])
    assert steps._apart(other, stock, x, y)[1] > 5 * steps.GRADIENTS_APART  # of other weights
    other.set_weights(stock.get_weights())
    assert max(steps._apart(other, stock, x, y)) < 1e-5


def test_predictions_are_timed_and_both_models_agree(keras):
    from ferroconv._cli import predictions

    [outcome] = predictions.measure(predictions.PredictCase("lenet", 28, 1, 2), quick=True)
    assert outcome.sound and outcome.fresh.median > 0
    stock = predictions.PredictCase("ResNet50", 32, 3, 1).stock(keras)
    means = [one.moving_mean for one in stock.layers if isinstance(one, keras.layers.BatchNormalization)]
    assert means and all(np.abs(np.asarray(one)).min() > 0 for one in means)
