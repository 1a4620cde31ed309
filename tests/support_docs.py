"""What a document holds: fenced blocks, and how those of Python are run as a reader would run them.

A block ``text`` that follows a block ``python`` with nothing but blank lines between is what that block prints.
"""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import pathlib
import re
import sys
from dataclasses import dataclass

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of the document on which the text begins."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Example:
    """A block of Python and what it prints, None where the document does not say."""

    code: Block
    prints: str | None


def blocks(text):
    """Every fenced block, in order."""
    return [Block(one[1], one[2], text.count("\n", 0, one.start()) + 2) for one in FENCE.finditer(text)]


def examples(text):
    """Every block of Python with the output that follows it."""
    found = blocks(text)
    lines = text.splitlines()
    for block, after in itertools.zip_longest(found, found[1:]):
        if block.language == "python":
            end = block.line + block.text.count("\n")
            between = lines[end : after.line - 2] if after else ["nothing follows"]
            follows = after is not None and after.language == "text" and not any(map(str.strip, between))
            yield Example(block, after.text if follows else None)


def imports(text):
    """The top-level modules that the blocks of Python import, and what those need beyond the package's own needs."""
    names = set()
    for one in examples(text):
        for node in ast.walk(ast.parse(one.code.text)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    needed = {name.partition(".")[0] for name in names}
    if any(name.startswith(("ferroconv.keras", "ferroconv.tensorflow")) for name in names):
        needed |= {"tensorflow", "keras"}
    return needed


def run(path):
    """Run a document's blocks in one namespace, in order, and compare what they print."""
    path = pathlib.Path(path)
    namespace = {"__name__": "__main__"}
    for one in examples(path.read_text(encoding="utf-8")):
        # Blank lines before it: a traceback then names the document's own line.
        code = compile("\n" * (one.code.line - 1) + one.code.text, str(path), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if one.prints is not None and printed.getvalue() != one.prints:
            raise AssertionError(
                f"{path}:{one.code.line}: the block prints\n{printed.getvalue()}\nand the document says\n{one.prints}"
            )


if __name__ == "__main__":
    run(sys.argv[1])
