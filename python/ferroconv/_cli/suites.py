"""What `ferroconv bench` can run: one list of suites, each with its cases and how they are measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ferroconv._cli import layers, masked, measuring, plans, predictions, small, steps
from ferroconv._cli.cases import SMALL_SIZES, WINDOW_CASES
from ferroconv._cli.filter_cases import FILTER_CASES
from ferroconv._cli.layer_cases import LAYER_CASES
from ferroconv._cli.masked import LEFT_OUT, MASK_CASES
from ferroconv._cli.outcomes import Outcome
from ferroconv._cli.peers import BORDER, TRANSFORMS_FROM
from ferroconv._cli.plans import PLAN_CASES
from ferroconv._cli.predictions import PREDICT_CASES
from ferroconv._cli.small import SMALL_CASES
from ferroconv._cli.steps import STEP_CASES

IMAGES = (
    f"Border {BORDER}. SciPy runs on one thread, OpenCV on the better of one and two, PyTorch and SciPy's FFT "
    f"(the better of fftconvolve and oaconvolve, from {TRANSFORMS_FROM}x{TRANSFORMS_FROM} on) on as many as ferroconv, "
    "their images continued before.\n"
    "Ratio: the peer's time over ferroconv's, both into fresh outputs. Error: the largest against higher "
    "precision, over the largest sum |w x|; of named filters, in levels. Of these, scipy.ndimage is compared with "
    "ferroconv.ndimage. Integers under windows it truncates and wraps: within a level where ferroconv does not "
    "saturate.\n"
    "Copy: the image as NumPy copies it, on one thread, into the same kind of output. A filter at 0.80x has 80 % of "
    "the copy's speed; that is no loss."
)
MASKS = (
    f"Masks: filters that leave {LEFT_OUT:.0%} of the pixels out, beside the same filter of every pixel. "
    "Ratio: its time over that with pixels left out; 0.50x is twice the cost. Error: the largest against float64, in "
    "levels."
)
SMALL = (
    "Small: calls on tiny images, the same of ferroconv and SciPy; border reflect. "
    "Ratio: SciPy's time over ferroconv's."
)
LAYERS = (
    "Layers in float32; everyone has the same number of threads, takes tensors made before and makes its results "
    "anew; a framework's layout is its better one, named beside it.\n"
    "Ratio: the peer's time over ferroconv's. Error: the largest against float64, over n rms(a) rms(b) for sums of n "
    "products; at most 8 eps, twice that between two results. Maxima and places are equal."
)
STEPS = (
    "Training steps: one batch, forward, backward and update, as fit() runs them. Before, both models' outputs agree "
    f"within {steps.OUTPUTS_APART:g} of the largest and their gradients within {steps.GRADIENTS_APART:g} of the norm, "
    "in which near ties of relus and maxima are. Convolution and pooling: the step less that of the "
    "model without those layers."
)
PREDICTIONS = (
    "Predictions: predict_on_batch of Keras' model and of its copy by accelerate(inference=True), random weights and "
    f"statistics. Before, their outputs agree within {steps.OUTPUTS_APART:g} of the largest."
)
PLANS = (
    "Plans: every implementation that takes a problem. Ratio: the other implementation's time over "
    "that of the one that is chosen."
)


@dataclass(frozen=True)
class Suite:
    """Cases of one kind."""

    cases: Sequence[Any]
    """Each has a name, whose first part is its kind, a group and a size."""
    measure: Callable[[Any, bool], list[Outcome]]
    """``(case, quick)``."""
    note: str
    """What a reader of its numbers must know."""
    modules: tuple[str, ...]
    """Of its peers; imported in this order before anything is timed."""
    asked: bool = True
    """Whether it runs only if there are words."""
    named: bool = False
    """Whether it runs only if one of the words begins with its cases' kind."""


SUITES = (
    Suite(WINDOW_CASES, measuring.windows, IMAGES, ("scipy", "cv2", "torch"), asked=False),
    Suite(FILTER_CASES, measuring.named_filter, IMAGES, ("scipy", "cv2", "skimage", "PIL"), asked=False),
    Suite(MASK_CASES, masked.measure, MASKS, ("scipy",), named=True),
    Suite(SMALL_CASES, small.measure, SMALL, ("scipy",), named=True),
    Suite(LAYER_CASES, layers.measure, LAYERS, ("torch", "tensorflow")),
    Suite(STEP_CASES, steps.measure, STEPS, ("tensorflow", "keras"), named=True),
    Suite(PREDICT_CASES, predictions.measure, PREDICTIONS, ("tensorflow", "keras"), named=True),
    Suite(PLAN_CASES, plans.measure, PLANS, ("scipy",), named=True),
)


def holds(name: str, word: str) -> bool:
    """Whether a case's name has a word, not as the end of another: GoogLeNet's layers are none of LeNet's."""
    return re.search(("(?<![A-Za-z0-9])" if word[:1].isalnum() else "") + re.escape(word), name) is not None


def chosen(words: tuple[str, ...], quick: bool) -> list[tuple[Suite, list[Any]]]:
    """The suites with cases whose names hold every word; quickly, none with images above 1024x1024."""
    kinds = {word.partition("/")[0] for word in words}
    found = []
    for suite in SUITES:
        if (suite.asked and not words) or (suite.named and suite.cases[0].kind not in kinds):
            continue
        cases = [
            case
            for case in suite.cases
            if all(holds(case.name, word) for word in words) and not (quick and case.size > SMALL_SIZES[-1])
        ]
        if cases:
            found.append((suite, cases))
    return found
