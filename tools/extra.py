"""Print the requirements of one extra of pyproject.toml, a line each."""

import re
import sys
from pathlib import Path

# Python 3.10 has no TOML reader, and the table is one line an extra.
TEXT = (Path(__file__).parents[1] / "pyproject.toml").read_text()


def main() -> None:
    """Print the extra named on the command line."""
    found = re.search(rf"^{re.escape(sys.argv[1])} = \[([^\]]*)\]", TEXT, re.MULTILINE)
    if found is None:
        sys.exit(f"pyproject.toml has no extra {sys.argv[1]!r}")
    print("\n".join(re.findall(r'"([^"]+)"', found[1])))


if __name__ == "__main__":
    main()
