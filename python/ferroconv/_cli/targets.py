"""What the project holds itself to: checked by `ferroconv bench --check`, on an idle machine, never by tests."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ferroconv
from ferroconv._cli.cases import HUGE, LARGE
from ferroconv._cli.layer_cases import CONV_DIRECTIONS
from ferroconv._cli.layer_peers import TENSORFLOW
from ferroconv._cli.masked import PLAIN
from ferroconv._cli.peers import COPY, NDIMAGE, OPENCV, SIGNAL, TORCH, TRANSFORMS
from ferroconv._cli.steps import STOCK

if TYPE_CHECKING:
    from ferroconv._cli.outcomes import Outcome

IMPORT_SHARE = 1 / 3
MEMORY_SLACK = 64 * 2**20
PEAK_SHARE = 0.6
SCALING = 1.85


@dataclass(frozen=True)
class Line:
    """One target, and whether it was met; None if nothing was measured for it."""

    passed: bool | None
    text: str

    @classmethod
    def of(cls, passed: bool | None, claim: str, measured: str) -> Line:
        """A line that begins with its verdict."""
        word = {True: "pass", False: "MISS", None: "----"}[passed]
        return cls(passed, f"{word}  {claim}: {measured}")


@dataclass(frozen=True)
class Target:
    """How many times as quick ferroconv has to be, over some cases, as the best of some peers."""

    claim: str
    names: str
    """A regular expression: the whole names of the cases."""
    peers: tuple[str, ...] = ()
    """Those that count; none: all."""
    mean: float = 0.0
    """At least, geometric."""
    least: float = 0.0
    """At least, in each case."""
    ratio: str = "ratio"
    """Which of `Against`: into fresh outputs, into reused ones, or into these on one thread each."""
    isas: tuple[str, ...] = ()
    """Instruction sets on which it is asked for; none: all."""

    def line(self, outcomes: Sequence[Outcome]) -> Line:
        """What was measured of it."""
        wanted = [f"mean at least {self.mean:g}x"] if self.mean else []
        wanted += [f"each at least {self.least:g}x"] if self.least else []
        claim = f"{self.claim}, {', '.join(wanted)}"
        if self.isas and ferroconv.info()["isa_used"] not in self.isas:
            return Line.of(None, claim, f"only on {' and '.join(self.isas)}")
        cells = list(self._cells(outcomes))
        if not cells:
            return Line.of(None, claim, "not measured")
        mean = statistics.geometric_mean(ratio for _, ratio in cells)
        below = sum(ratio < self.least for _, ratio in cells)
        worst, least = min(cells, key=lambda cell: cell[1])
        short = f"{below} of {len(cells)} below, " if self.least else ""
        measured = f"mean {mean:.2f}x, {short}least {least:.2f}x ({worst})"
        return Line.of(mean >= self.mean and not below, claim, measured)

    def _cells(self, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, float]]:
        for outcome in outcomes:
            if re.fullmatch(self.names, outcome.name) is None:
                continue
            against = [one for peer, one in outcome.peers.items() if not self.peers or peer in self.peers]
            ratios = [value for value in (getattr(one, self.ratio) for one in against) if value is not None]
            if ratios:
                yield outcome.name, min(ratios)


_AT = f"{LARGE}x{LARGE}"
_NAMED = "(gaussian|box|sobel|laplace|minimum|maximum)"
_FRAMEWORKS = (TORCH, TENSORFLOW)

FILTERS = (
    *(
        Target(f"{dtype}, 5x5 to 31x31, beside {peer}", rf"native/{dtype}/{_AT}/(?!3x|51x).*", (peer,), mean, mean / 2)
        for dtype, peer, mean in (
            ("float32", SIGNAL, 100),
            ("float32", NDIMAGE, 40),
            ("float64", SIGNAL, 50),
            ("float64", NDIMAGE, 15),
        )
    ),
    Target("float32, 5x5 to 11x11, beside OpenCV", f"native/float32/{_AT}/(5|7|9|11)x.*", (OPENCV,), least=2.5),
    *(
        Target(f"{dtype}, 3x3 to 51x51, beside OpenCV", f"native/{dtype}/{_AT}/.*", (OPENCV,), 3)
        for dtype in ("float32", "float64")
    ),
    Target("floats, 13x13 to 51x51, beside fftconvolve and oaconvolve", f"native/float.*/{_AT}/.*", (TRANSFORMS,), 6),
    Target("uint8, 3x3 to 31x31, beside OpenCV", f"native/uint8/{_AT}/.*", (OPENCV,), 6),
    Target(
        "uint8, 3x3 to 31x31, beside OpenCV, one thread each", f"native/uint8/{_AT}/.*", (OPENCV,), 5,
        ratio="ratio_alone",
    ),
    Target("uint8, 3x3 to 31x31, beside scipy.ndimage", f"native/uint8/{_AT}/.*", (NDIMAGE,), 100),
    Target("named filters beside OpenCV", f"filters/{_NAMED}/.*", (OPENCV,), 3),
    Target("named filters of ferroconv.ndimage beside SciPy", f"filters/{_NAMED}/.*", (NDIMAGE,), 25, 8),
    Target("filters beside OpenCV and SciPy", "(native|filters)/.*", (OPENCV, NDIMAGE, SIGNAL, TRANSFORMS), least=1),
    *(
        Target(
            f"3x3, box and Sobel over {HUGE}x{HUGE}, beside a copy into {outputs} outputs",
            f"(native|filters/(box|sobel))/.*/{HUGE}x{HUGE}/.*", (COPY,), least=0.8, ratio=ratio,
        )
        for outputs, ratio in (("fresh", "ratio"), ("reused", "ratio_reused"))
    ),
    Target("pixels left out, beside the same filter of every pixel", "masks/.*", (PLAIN,), least=0.5),
    Target("every dtype beside SciPy", "(ndimage|signal)/.*", least=1),
    Target("a call on an 8x8 image beside SciPy's", "(ndimage|signal)/.*/8x8/.*", least=1),
    Target("a filter of an 8x8 image beside SciPy's", "small/.*/8x8", least=1),
)  # fmt: skip

LAYERS = (
    *(
        Target(
            f"LeNet's convolutions, batch 64, {direction}, beside {peer}", f"conv/lenet/.*/batch64/{direction}/.*",
            (peer,), mean, 1.2,
        )
        for direction in CONV_DIRECTIONS
        for peer, mean in ((TORCH, 2.5), (TENSORFLOW, 5))
    ),
    *(
        Target(
            f"convolutions of the four large networks, {direction}, beside the best framework",
            f"conv/(alexnet|googlenet_v1|vgg_19|resnet_50)/.*/{direction}/.*", _FRAMEWORKS, 1.5, 1,
        )
        for direction in CONV_DIRECTIONS
    ),
    *(
        Target(
            "3x3 layers of VGG and ResNet beside the best framework",
            "conv/(vgg_19/.*|resnet_50/.*branch2b)/batch.*/forward/.*", _FRAMEWORKS, mean, isas=isas,
        )
        for mean, isas in ((1.8, ("amx",)), (1.3, ("x86-64-v4-vnni", "x86-64-v4")))
    ),
    Target("maximum pooling beside PyTorch", "pool/.*/max(_indices)?/.*", (TORCH,), 2, 1),
    Target("average pooling beside PyTorch", "pool/.*/avg(_grad)?/.*", (TORCH,), 1.2, 1),
    Target("maximum pooling's gradient beside the best framework", "pool/.*/max_grad.*", _FRAMEWORKS, 3),
    Target("training steps of LeNet beside Keras", "steps/lenet/batch[0-9]*", (STOCK,), least=2),
    Target("their convolution and pooling beside Keras", "steps/lenet/.*/convolution-and-pooling", (STOCK,), least=4),
    Target("predictions of VGG16 and ResNet50 beside Keras", "predict/(VGG16|ResNet50)/.*", (STOCK,), least=1.3),
)  # fmt: skip
"""A network's layers count in both of ferroconv's layouts, a framework in its better one."""


def lines(outcomes: Sequence[Outcome], quick: bool) -> Iterator[Line]:
    """Every target in turn."""
    for target in (*FILTERS, *LAYERS):
        yield target.line(outcomes)
    yield _peak(outcomes)
    yield _scaling(outcomes)
    yield _import()
    yield _memory(quick)


def _peak(outcomes: Sequence[Outcome]) -> Line:
    claim = f"float32, 7x7 and up, one thread, out= reused: {PEAK_SHARE:.0%} of the measured FMA peak"
    peak = ferroconv.info(measure=True)["fma_peak"]
    shares = [
        (outcome.name, 2 * outcome.case.size**2 * outcome.case.taps**2 / outcome.one_thread.median / peak)
        for outcome in outcomes
        if outcome.one_thread is not None and outcome.case.dtype == "float32" and outcome.case.taps >= 7
    ]
    if not shares:
        return Line.of(None, claim, "not measured")
    worst, least = min(shares, key=lambda share: share[1])
    return Line.of(least >= PEAK_SHARE, claim, f"least {least:.0%} ({worst})")


def _scaling(outcomes: Sequence[Outcome]) -> Line:
    claim = f"7x7 and up, out= reused: two threads at least {SCALING:g} times as quick as one"
    gains = [
        (outcome.name, outcome.one_thread.median / outcome.reused.median)
        for outcome in outcomes
        if outcome.one_thread is not None and outcome.reused is not None
        if outcome.threads == 2 and outcome.case.taps >= 7
    ]
    if not gains:
        return Line.of(None, claim, "not measured")
    worst, least = min(gains, key=lambda gain: gain[1])
    return Line.of(least >= SCALING, claim, f"least {least:.2f} ({worst})")


_IMPORTS = """
import json, time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import ferroconv
print(json.dumps([middle - start, time.perf_counter() - middle]))
"""


def _import() -> Line:
    runs = [json.loads(_python(_IMPORTS)) for _ in range(7)]
    numpy, ours = (statistics.median(run[part] for run in runs) for part in (0, 1))
    return Line.of(
        ours < numpy * IMPORT_SHARE,
        "import ferroconv takes less than a third of import numpy",
        f"{ours * 1e3:.1f} ms on top of {numpy * 1e3:.1f} ms",
    )


_PEAK_MEMORY = """
import resource, sys
import numpy as np
import ferroconv
unit = 1 if sys.platform == "darwin" else 1024
image, out = np.ones((16384, 16384), np.float32), np.zeros((16384, 16384), np.float32)
out.fill(1)
weights = np.ones((7, 7), np.float32)
ferroconv.convolve(image[:64, :64], weights)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ferroconv.convolve(image, weights, out=out)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


def _memory(quick: bool) -> Line:
    claim = "16384x16384 float32 with out=: no more than 64 MiB besides the arrays"
    if quick or sys.platform == "win32":
        return Line.of(None, claim, "not measured")
    extra = int(_python(_PEAK_MEMORY))
    return Line.of(extra <= MEMORY_SLACK, claim, f"{extra / 2**20:.1f} MiB")


def _python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout
