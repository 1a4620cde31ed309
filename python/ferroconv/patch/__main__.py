"""``python -m ferroconv.patch script.py``: a script, with SciPy's filters run by ferroconv."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from ferroconv.patch import patch_scipy


def main() -> None:
    """Run the script or the module that the command line names, under the patch."""
    parser = argparse.ArgumentParser(
        prog="python -m ferroconv.patch",
        description="Run a Python script, with the filters of scipy.signal and scipy.ndimage run by ferroconv.",
        epilog="Processes that the script starts anew are not patched.",
    )
    parser.add_argument("--report", action="store_true", help="say at the end, on standard error, what was called")
    parser.add_argument("--measure", action="store_true", help="time SciPy once on each kind of call; with --report")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT is the name of a module")
    parser.add_argument("script", help="a file, or with -m a module")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the script's own arguments")
    options = parser.parse_args()
    sys.argv = [options.script, *options.args]
    try:
        patch = patch_scipy(measure=options.measure)
    except ModuleNotFoundError as error:
        parser.error(str(error))
    try:
        if options.module:
            sys.path[0] = str(Path.cwd())
            runpy.run_module(options.script, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(options.script).resolve().parent)
            runpy.run_path(options.script, run_name="__main__")
    finally:
        if options.report:
            print(patch.report(), file=sys.stderr)


if __name__ == "__main__":
    main()
