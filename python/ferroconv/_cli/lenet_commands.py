"""The words of `ferroconv lenet` and their help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ferroconv._cli.console import console
from ferroconv._cli.digits import DataError

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
MODELS = ("lenet", "lenet5")


@click.group(short_help="Train LeNet on digits, on ferroconv's TensorFlow ops.")
def lenet() -> None:
    """Train LeNet on digits with Keras on ferroconv's TensorFlow ops, look at it, use it.

    \b
    ferroconv lenet train
    ferroconv lenet train mnist --epochs 2
    ferroconv lenet train /usr/share/datasets/fashion-mnist --compare
    ferroconv lenet evaluate out/lenet/model.keras digits
    ferroconv lenet predict out/lenet/model.keras seven.png
    """


@lenet.command(short_help="Train, test, and write the model and three pictures.")
@click.argument("data", default="digits")
@click.option("--model", type=click.Choice(MODELS), default="lenet", show_default=True,
              help="The lesson's, with relu and maximum pooling; or that of 1998, with tanh and averages.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, help="Times that each image is seen.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Images a step.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Of the first weights and of the order of the images.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Use the first images only, of training and of test.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("out/lenet"),
              show_default=True, help="Folder of the model and the pictures.")  # fmt: skip
@click.option("--stock", is_flag=True, help="On Keras' own layers instead.")
@click.option("--compare", is_flag=True, help="On both from the same seed: accuracy, time and losses side by side.")
def train(data: str, **options: Any) -> None:
    """Train a LeNet and say how many of the test images it gets right.

    DATA is 'digits' (the default: 1,797 digits that scikit-learn brings, enlarged to 28x28; a fifth of
    them tests), 'mnist' (Keras downloads it), an .npz file with x_train, y_train, x_test and y_test (or x
    and y: the last fifth tests), or a folder of IDX files as MNIST and Fashion-MNIST come, .gz or not.
    """
    from ferroconv._cli.lenet import train as run

    _exit(run, data, console(), **options)


@lenet.command(short_help="Say how good a saved model is on test images.")
@click.argument("model", type=FILE)
@click.argument("data", default="digits")
def evaluate(model: Path, data: str) -> None:
    """Say how many of DATA's test images MODEL gets right, class by class.

    DATA is what `ferroconv lenet train` takes.
    """
    from ferroconv._cli.lenet import evaluate as run

    _exit(run, model, data, console())


@lenet.command(short_help="Print the ten probabilities for image files.")
@click.argument("model", type=FILE)
@click.argument("images", type=FILE, nargs=-1, required=True)
def predict(model: Path, images: tuple[Path, ...]) -> None:
    """Print what MODEL makes of IMAGES: the probability of each digit.

    Images are made grey, square and small; dark digits on light paper are inverted, as the model knows
    light ones on dark.
    """
    from ferroconv._cli.lenet import predict as run

    _exit(run, model, images, console())


def _exit(run: Any, *arguments: Any, **options: Any) -> None:
    """Run, and leave with its status; what is wrong with the data or with Keras is one line."""
    try:
        sys.exit(run(*arguments, **options))
    except ModuleNotFoundError:
        raise
    except (DataError, ImportError) as error:
        raise click.ClickException(str(error)) from error
