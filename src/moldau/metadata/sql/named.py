"""Named queries: SQL lives in `.sql` files, one statement under each `-- name:` line, with `:parameter` placeholders.

The first comment line below the name says in a sentence what the statement is for. `{FOR UPDATE}` in braces is for engines whose writers run
side by side and lock rows; where there is one writer it is left out.
"""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).parent
_LOCK = re.compile(r"\s*\{(FOR [A-Z ]+[a-z]?)\}")


def load_queries(*, row_locks: bool = False) -> dict[str, str]:
    """All statements of `queries/*.sql` by name."""
    queries: dict[str, str] = {}
    for file in sorted((_HERE / "queries").glob("*.sql")):
        for name, sql in parse_queries(file.read_text("utf-8")):
            if name in queries:
                raise ValueError(f"query {name!r} stands twice, the second time in {file.name}")
            queries[name] = _LOCK.sub(r" \1" if row_locks else "", sql)
    return queries


def parse_queries(text: str) -> list[tuple[str, str]]:
    """The (name, statement) pairs of one file; comments are left out of the statements."""
    pairs: list[tuple[str, str]] = []
    name = ""
    lines: list[str] = []

    def finish() -> None:
        if name:
            pairs.append((name, " ".join(lines).rstrip("; ")))

    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("-- name:"):
            finish()
            name, lines = stripped[len("-- name:") :].strip(), []
        elif stripped and not stripped.startswith("--"):
            lines.append(stripped)
    finish()
    return pairs


def load_migrations() -> list[tuple[int, str]]:
    """(number, script) of `migrations/NNNN_title.sql`, in order."""
    return [
        (int(file.name.split("_")[0]), file.read_text("utf-8")) for file in sorted((_HERE / "migrations").glob("*.sql"))
    ]
