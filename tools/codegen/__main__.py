"""`python -m tools.codegen [--check] [--only NAME]`: writes the generated modules, or says which are stale."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path

from tools.codegen import jar, modules

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.codegen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is there, write nothing")
    parser.add_argument("--only", metavar="NAME", help="only the module of this name, such as produce or error_codes")
    options = parser.parse_args()
    try:
        path = jar.find()
    except jar.JarMissing as problem:
        required = not options.check or os.environ.get("CI") == "true"
        print(f"{'error' if required else 'warning: not checked'}: {problem}", file=sys.stderr)
        return 1 if required else 0
    texts = modules.generate(path)
    if options.only:
        texts = {name: text for name, text in texts.items() if Path(name).stem == options.only}
        if not texts:
            parser.error(f"no generated module is called {options.only}")
    return _check(texts, whole=not options.only) if options.check else _write(texts, whole=not options.only)


def _stale(texts: dict[str, str]) -> list[str]:
    """Message modules on disk that no definition stands for."""
    found = (p.relative_to(ROOT).as_posix() for p in (ROOT / modules.MESSAGES).glob("*.py") if p.name != "__init__.py")
    return sorted(set(found) - set(texts))


def _write(texts: dict[str, str], whole: bool) -> int:
    changed = 0
    for name, text in texts.items():
        target = ROOT / name
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            changed += 1
    for name in _stale(texts) if whole else []:
        (ROOT / name).unlink()
        print(f"removed {name}")
    print(f"{changed} of {len(texts)} modules changed")
    return 0


def _check(texts: dict[str, str], whole: bool) -> int:
    wrong = 0
    for name, text in texts.items():
        target = ROOT / name
        old = target.read_text() if target.exists() else ""
        if old != text:
            wrong += 1
            diff = list(difflib.unified_diff(old.splitlines(), text.splitlines(), name, "generated", lineterm="", n=1))
            print("\n".join(diff[:20]))
    for name in _stale(texts) if whole else []:
        wrong += 1
        print(f"{name}: generated from nothing")
    if wrong:
        print(f"{wrong} generated modules are stale: run `python -m tools.codegen`", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
