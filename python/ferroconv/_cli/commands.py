"""The command line: its words, their help, and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

import ferroconv
from ferroconv import _core
from ferroconv._cli import explaining
from ferroconv._cli.console import console
from ferroconv._cli.filter_commands import completion, filter_images
from ferroconv._cli.lenet_commands import lenet
from ferroconv._cli.photograph import PICTURES

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT, epilog="Each command has its own --help.")
@click.version_option(ferroconv.__version__, prog_name="ferroconv")
def command() -> None:
    """2-D convolution, correlation and pooling in Rust, with SciPy's exact semantics."""


@command.command(short_help="Filter a large photograph beside SciPy and OpenCV.")
@click.option("--size", type=click.IntRange(16, 32768), default=4096, show_default=True, help="Side of the photograph.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    help="Folder of the two PNG files.",
)
@click.option("--picture", type=click.Choice(PICTURES), default="china", show_default=True, help="Which photograph.")
@click.option("--quick", is_flag=True, help="Fewer repetitions: rougher times, the same checks.")
def demo(size: int, output: Path, picture: Any, quick: bool) -> None:
    """Filter and pool a large photograph; show that the numbers are SciPy's, and how much sooner.

    Begins with an example small enough to check by hand. Exits with status 1 if a result disagrees.
    """
    from ferroconv._cli.demo import run

    sys.exit(run(size, output, picture, quick))


@command.command(short_help="Say what is installed and what this machine can do.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def info(as_json: bool) -> None:
    """Say what is installed, what this machine has, and measure what one thread of it can do.

    A report of a slow or wrong result should hold these lines.
    """
    facts = ferroconv.info(measure=True) | {"numpy": np.__version__}
    if as_json:
        click.echo(json.dumps(facts))
        return
    lines = {
        "ferroconv": f"{facts['version']}, {facts['profile']} build",
        "NumPy": facts["numpy"],
        "instruction sets": f"built {', '.join(facts['isa_built'])}; detected {', '.join(facts['isa_detected'])}; "
        f"used {facts['isa_used']}",
        "threads": f"{facts['threads']} of {facts['cores']} core(s)",
        "float32 FMA peak": f"{facts['fma_peak'] / 1e9:.1f} GFLOP/s a thread",
        "copy speed": f"{facts['copy_speed'] / 1e9:.1f} GB/s a thread",
    }
    for name, value in lines.items():
        click.echo(f"{name:<17} {value}")


@command.command(short_help="Say what a call would run, and why.", epilog="Operations:\n\n" + explaining.listing())
@click.argument("operation", type=click.Choice(list(explaining.OPERATIONS)), metavar="OPERATION")
@click.option("--image", help="HxW; of layers also NxHxWxC, as --data-format has it.  [default: 2048x2048]")
@click.option("--dtype", help="The image's dtype.  [default: float32]")
@click.option("--kernel", help="The window, HxW (one number: a row of weights, or a square).  [default: 5x5; of "
              "layers 3x3; of poolings 2x2]")  # fmt: skip
@click.option("--weights", type=click.Choice(list(explaining.WEIGHTS)),
              help="The window's values: any fractions, whole numbers, or an outer product of fractions.  "
              "[default: fractions]")  # fmt: skip
@click.option("--sigma", help="Of Gaussians, one number or one for each axis, joined by x.  [default: 1]")
@click.option("--border", help="In the operation's own spelling.  [default: the operation's]")
@click.option("--extent", type=click.Choice(["full", "same", "valid"]), help="Of native forms and ferroconv.signal.")
@click.option("--stride", type=click.IntRange(1), help="Of native forms, layers and poolings.")
@click.option("--dilation", type=click.IntRange(1), help="Likewise.")
@click.option("--padding", type=click.Choice(["valid", "same"]), help="Of layers and poolings.")
@click.option("--channels", type=click.IntRange(1), help="Of a layer's result.  [default: as many as the image's]")
@click.option("--groups", type=click.IntRange(1), help="Of a layer's channels.")
@click.option("--output-size", help="Of adaptive poolings, HxW.  [default: 7x7]")
@click.option("--data-format", type=click.Choice(["channels_last", "channels_first"]), help="Of layers and poolings.")
@click.option("--precision", type=click.Choice(_core.precisions()),
              help="Of native forms and layers: the class of exactness that is asked for.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: those of `ferroconv info`.")
def explain(operation: str, threads: int | None, **options: Any) -> None:
    """Say what a call of OPERATION would run, its error bound, and why not something else.

    Nothing is computed. A call that makes several plans prints them all.

    \b
    ferroconv explain correlate --image 2048x2048 --dtype uint8 --kernel 5x5 --border reflect
    ferroconv explain gaussian --sigma 3 --dtype uint8
    ferroconv explain conv2d --image 8x56x56x64 --kernel 3 --padding same --precision high
    ferroconv explain max_pool2d --image 8x112x112x64 --kernel 3 --stride 2
    """
    try:
        click.echo(str(explaining.explain(operation, threads=threads, **options)))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise click.ClickException(str(error)) from error


@command.command(short_help="Time ferroconv against SciPy, OpenCV, PyTorch, TensorFlow and Keras.")
@click.argument("filters", nargs=-1)
@click.option("--quick", is_flag=True, help="A few samples each, no images above 1024x1024.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Of ferroconv and the frameworks. Default: those of `ferroconv info`.",
)
@click.option("--list", "listed", is_flag=True, help="Name the cases and stop.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Write FILE.json, FILE.md and a chart, FILE.png (a name without a suffix).",
)
@click.option(
    "--readme",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Renew the tables of this file, each between markers of its name.",
)
@click.option("--check", is_flag=True, help="Also hold the results against the project's targets, line by line.")
def bench(filters: tuple[str, ...], **options: Any) -> None:
    """Time ferroconv against its peers, and check all of them against sums in higher precision.

    FILTERS are words that a case's name must have, all of them. Without any, images are filtered beside
    SciPy, OpenCV, PyTorch, scikit-image and Pillow; peers that are not installed are left out.

    \b
    ferroconv bench native float32 2048   dense windows
    ferroconv bench filters uint8         Gaussians, means, derivatives, minima, maxima, beside a copy too
    ferroconv bench masks                 filters that leave pixels out, beside the same of every pixel
    ferroconv bench small                 every filter on tiny images, beside SciPy
    ferroconv bench conv                  layers of AlexNet, GoogLeNet, VGG, ResNet, LeNet and MobileNet,
                                          forward and both gradients, beside PyTorch and TensorFlow
    ferroconv bench conv/resnet_50        those of one network
    ferroconv bench pool                  their pooling layers
    ferroconv bench lenet                 LeNet's layers, at batches of 1 to 256
    ferroconv bench steps                 training steps of Keras models, stock and accelerated
    ferroconv bench predict               predictions of Keras models, stock and accelerated for inference
    ferroconv bench plan                  whether the implementation that is chosen is the quickest

    Exits with status 1 if a result is wrong, or with --check if a target is missed.
    """
    from ferroconv._cli.bench import run

    sys.exit(run(filters, console(), **options))


for words in (filter_images, completion, lenet):
    command.add_command(words)
