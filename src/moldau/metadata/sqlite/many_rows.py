"""Many rows in few statements: each step of a statement gives Python's lock away, and has to win it back from a busy loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

_MANY = 32
"""While a statement of so many rows runs the lock is free for as long as it took to gather the values of the next."""


class ManyRows:
    """Inserts rows of these columns, `_MANY` in a statement as far as they go. With a `key` (columns, as `columns`) a row that is there already is written over."""

    __slots__ = ("_many", "_one")

    def __init__(self, table: str, columns: str, key: str = "") -> None:
        names = columns.split(", ")
        values = f"({', '.join('?' * len(names))})"
        then = ""
        if key:
            others = [f"{name} = excluded.{name}" for name in names if name not in key.split(", ")]
            then = f" ON CONFLICT ({key}) " + (f"DO UPDATE SET {', '.join(others)}" if others else "DO NOTHING")
        text = f"INSERT INTO {table} ({columns}) VALUES "
        self._one = text + values + then
        self._many = text + ", ".join([values] * _MANY) + then

    def put(self, cursor: sqlite3.Cursor, rows: Iterable[Sequence[Any]]) -> None:
        """The rows are taken as they come: those of a statement when the one before has run."""
        rest = iter(rows)
        while some := list(islice(rest, _MANY)):
            if len(some) == _MANY:
                cursor.execute(self._many, [value for row in some for value in row])
            else:
                for row in some:
                    cursor.execute(self._one, row)
