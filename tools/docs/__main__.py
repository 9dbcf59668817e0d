"""`python -m tools.docs [--check]`: writes the generated pages, or says which are stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.docs.pages import PAGES

ROOT = Path(__file__).resolve().parents[2]


def stale(root: Path = ROOT) -> list[str]:
    """Pages whose file is missing or says something else."""
    found = []
    for name, page in PAGES.items():
        path = root / name
        if not path.exists() or path.read_text("utf-8") != page():
            found.append(name)
    return found


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    options = parser.parse_args()
    names = stale()
    if options.check:
        for name in names:
            print(f"{name} is stale: run python -m tools.docs", file=sys.stderr)
        return 1 if names else 0
    for name in names:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(PAGES[name](), "utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
