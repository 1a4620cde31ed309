"""The laws of the house: which file may depend on what. Prints each breach and exits with 1."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LONGEST = 600
"""Lines of a file: one that is longer has more than one reason to change."""

UNSAFE = ("simd/", "view.rs", "view/", "parallel", "alloc.rs", "alloc/", "convert.rs", "convert/", "ffi/")
"""Where `unsafe` may stand (`convert` in the Python crate, `ffi/` in TensorFlow's, the others in the kernels)."""


def lines(root: Path, pattern: str) -> Iterator[tuple[str, int, str]]:
    """Give path, number and text of each line of the files that match, comments aside."""
    for path in sorted(root.glob(pattern)):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield path.relative_to(root).as_posix(), number, re.sub(r"//.*", "", line)


def breaches(root: Path) -> Iterator[str]:
    """Give each breach of a law that can be seen in the text."""
    for path, number, line in lines(root, "rust/**/*.rs"):
        place, name = f"{path}:{number}", path.partition("/src/")[2]
        if re.search(r"\b(core|std)::arch\b|is_x86_feature_detected", line) and not name.startswith("simd/"):
            yield f"{place}: intrinsics and their detection stand in simd/ only"
        if re.search(r"\bthread::(Builder|spawn|scope)\b", line) and name and not name.startswith("parallel"):
            yield f"{place}: threads are started by parallel/ only"
        if re.search(r"\bunsafe\s*(\{|fn|impl|extern|trait)", line) and name and not name.startswith(UNSAFE):
            yield f"{place}: unsafe stands in {', '.join(UNSAFE)} only"
        if path.endswith("kernels/src/reference.rs") and re.search(r"\b(crate|super)::", line):
            yield f"{place}: the reference shares nothing with what it checks"
        if path.startswith("rust/kernels/") and re.search(r"\b(pyo3|numpy::|libloading)\b", line):
            yield f"{place}: the kernels know no Python and no framework"
        if path.startswith("rust/tensorflow/") and re.search(r"\b(pyo3|numpy::)", line):
            yield f"{place}: the TensorFlow ops know no Python"
        if "libloading" in line and path.endswith(".rs") and not name.startswith("ffi/"):
            yield f"{place}: other libraries are looked into by ffi/ only"
        if re.search(r"\b(TODO|FIXME)\b", line):
            yield f"{place}: say it in an issue"
    for path, number, line in lines(root, "python/ferroconv/*.py"):
        if re.match(r"\s*(import|from)\s+(scipy|tensorflow|keras|cv2|torch|dask)\b", line):
            yield f"{path}:{number}: no framework is imported by the package itself"
    for folder in ("rust", "python", "tests", "tools"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".rs", ".py", ".pyi") and len(path.read_text().splitlines()) > LONGEST:
                yield f"{path.relative_to(root)}: more than {LONGEST} lines; split it along a seam"


def dependencies(root: Path) -> Iterator[str]:
    """Give each crate that the kernels may not depend on and do."""
    command = ["cargo", "tree", "-p", "ferroconv-kernels", "-e", "normal", "--prefix", "none"]
    tree = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in sorted(set(re.findall(r"^(pyo3\S*|numpy|libloading)\b", tree, re.MULTILINE))):
        yield f"rust/kernels/Cargo.toml: the kernels must not depend on {name}"


def main() -> None:
    """Check the repository that this file belongs to."""
    root = Path(__file__).parents[1]
    found = [*breaches(root), *dependencies(root)]
    for breach in found:
        print(breach)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
