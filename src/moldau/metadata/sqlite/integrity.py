"""What can be told of a metadata file that SQLite opens: its pages, its schema, and rows that must belong to others.

SQLite's pages have no checksums: a flipped bit inside a value is a value. This finds what breaks structure, and references that lead nowhere.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from ..sql.named import load_migrations
from .connection import in_sqlite

_MOST = 20
_REFERENCES = {
    "partitions of no topic": "SELECT count(*) FROM partition p WHERE alive = 1"
    " AND NOT EXISTS (SELECT 1 FROM topic t WHERE t.topic_id = p.topic_id AND t.deleted_ms IS NULL)",
    "topics without partitions": "SELECT count(*) FROM topic t WHERE deleted_ms IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM partition p WHERE p.topic_id = t.topic_id AND p.alive = 1)",
    "partitions whose number is beyond their topic's": "SELECT count(*) FROM partition p WHERE alive = 1 AND partition_index"
    " NOT BETWEEN 0 AND (SELECT count(*) - 1 FROM partition q WHERE q.topic_id = p.topic_id AND q.alive = 1)",
    "extents of no partition": "SELECT count(*) FROM (SELECT DISTINCT partition_id FROM extent) e"
    " WHERE NOT EXISTS (SELECT 1 FROM partition p WHERE p.partition_id = e.partition_id)",
}


def problems(connection: sqlite3.Connection, *, deep: bool) -> Iterator[str]:
    """Sentences; `deep`: indexes are compared with their tables. Raises sqlite3.Error, ValueError."""
    rows = connection.execute(f"PRAGMA {'integrity_check' if deep else 'quick_check'}({_MOST})").fetchall()
    if rows != [("ok",)]:
        yield from (" ".join(str(row[0]).split()) for row in rows)
        return
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        for _, script in load_migrations():
            fresh.executescript(in_sqlite(script))
        expected = _schema(fresh)
    found = _schema(connection)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"the schema of {name} is not what this release makes"
    if found == expected:
        for what, statement in _REFERENCES.items():
            count = connection.execute(statement).fetchone()[0]
            if count:
                yield f"{count} {what}"


def _schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {str(name): str(sql) for name, sql in rows}
