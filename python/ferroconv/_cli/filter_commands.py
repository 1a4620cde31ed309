"""The words of `ferroconv filter` and `ferroconv completion`, and their help."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from ferroconv import _core
from ferroconv._cli import filters
from ferroconv._cli.pictures import BY_SUFFIX

DTYPES = ("uint8", "uint16", "int16", "int32", "float16", "float32", "float64")


class FilterType(click.ParamType[Any]):
    """A filter, by its name and parameters."""

    name = "filter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The filter; what is wrong with its text is a usage error."""
        try:
            return value if callable(value) else filters.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so; a colon where parameters must follow."""
        words = ((each.name + ":" * (":" in each.usage.partition("[")[0]), each.help) for each in filters.FILTERS)
        return [CompletionItem(word, help=text) for word, text in words if word.startswith(incomplete)]


def _listed(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(filters.listing())
        ctx.exit()


@click.command("filter", short_help="Filter image files.", epilog="\b\nFilters:\n" + filters.listing())
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path())
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-f", "--filter", "steps", multiple=True, required=True, type=FilterType(), metavar="NAME[:PARAMETERS]",
              help="A filter of the list below, or a file of weights (.npy, .txt, .csv). Several run in "
              "order.")  # fmt: skip
@click.option("--border", type=click.Choice([row[0] for row in _core.border_modes()]), default="reflect",
              show_default=True, help="How an image goes on past its edges.")  # fmt: skip
@click.option("--cval", type=float, default=0.0, show_default=True, help="The value outside, with --border constant.")
@click.option("--dtype", type=click.Choice(DTYPES), help="The outputs'. Default: the input's. Values are not rescaled.")
@click.option("--alpha", type=click.Choice(["keep", "premultiply"]), default="keep", show_default=True,
              help="Leave the alpha channel as it is and filter the colours alone; or blur it with them, the colours "
              "weighted by it.")  # fmt: skip
@click.option("--channels", type=click.Choice(["auto", "none"]), default="auto", show_default=True,
              help="auto: a last axis of 2 to 4 are channels, the second or fourth alpha. none: the last two axes "
              "are rows and columns.")  # fmt: skip
@click.option("--suffix", type=click.Choice(list(BY_SUFFIX)), help="Write another format into the folder OUTPUT.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: those of `ferroconv info`.")
@click.option("--preview", is_flag=True, help="Also write NAME.preview.png beside each output: before and after.")
@click.option("--force", is_flag=True, help="Overwrite outputs that exist.")
@click.option("--quiet", is_flag=True, help="Do not print the names of the files that were written.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_listed, help="Name the filters.")
def filter_images(
    inputs: tuple[str, ...], output: Path, steps: tuple[Any, ...], suffix: str | None, preview: bool, force: bool,
    quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Filter the image INPUT into the file OUTPUT; or several, a folder, or a quoted pattern, into the folder OUTPUT.

    \b
    ferroconv filter photo.jpg soft.png -f gaussian:3
    ferroconv filter scans/ out/ -f open:5 -f unsharp:2,0.8 --suffix .tif
    ferroconv filter 'raw/*.tif' out/ -f laplace -f abs --dtype float32 --border mirror

    Formats, by suffix: .png (8 and 16 bits), .jpg, .webp, .bmp; .tif, .npy and .zarr with any dtype and any
    leading axes, which are stacks of images. Pictures are turned upright as their metadata say; metadata are not kept.

    Filters are run in floating point; the result is rounded to the output's dtype once, and saturated: negative
    numbers of a uint8 image become 0 (see abs, add and --dtype). Weights of files are convolved.

    \b
    Exit status: 0 every output was written; 1 some were not, each with a line on standard error
    (an output that exists is one, without --force); 2 the command itself was wrong, and nothing
    was written; 130 interrupted. No output is ever half written.
    """
    from ferroconv._cli.filtering import Recipe, run, tasks

    recipe = Recipe(steps, **options)
    sys.exit(run(tasks(inputs, output, suffix), recipe, force=force, preview=preview, quiet=quiet))


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete ferroconv's commands, options and filters.

    \b
    bash:  ferroconv completion bash > ~/.local/share/bash-completion/completions/ferroconv
    zsh:   ferroconv completion zsh > a file _ferroconv in a folder of $fpath
    fish:  ferroconv completion fish > ~/.config/fish/completions/ferroconv.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"click has no completion for {shell}.")
    click.echo(made(ctx.find_root().command, {}, "ferroconv", "_FERROCONV_COMPLETE").source())
