"""The command `ferroconv`: where it starts, and what it says when its extras are not installed."""

from __future__ import annotations

import sys

EXTRAS = {
    "cli": ("click", "rich", "PIL", "imageio", "matplotlib", "sklearn"),
    "bench": ("scipy", "cv2"),
    "tensorflow": ("tensorflow", "keras"),
}
"""Modules that the command needs, by the extra of the package that installs them."""


def main() -> None:
    """Run the command; without its extras, name the one to install and exit with status 2."""
    try:
        from ferroconv._cli.commands import command

        command(prog_name="ferroconv")
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        for extra, modules in EXTRAS.items():
            if module in modules:
                print(
                    f"ferroconv: this needs {module}, which is not installed. "
                    f'Install it with: pip install "ferroconv[{extra}]"',
                    file=sys.stderr,
                )
                sys.exit(2)
        raise


if __name__ == "__main__":
    main()
