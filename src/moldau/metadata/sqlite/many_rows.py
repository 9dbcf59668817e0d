"""Many rows in few statements: each step of a statement gives Python's lock away, and has to win it back from a busy loop."""

from __future__ import annotations

import sqlite3
from typing import Any

_MANY = 32
"""While a statement of so many rows runs the lock is free for as long as it took to gather the values of the next."""


class ManyRows:
    """Inserts rows of these columns, `_MANY` in a statement as far as they go. With a `key` (columns, as `columns`) a row that is there already is written over."""

    __slots__ = ("_many", "_one", "_width")

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
        self._width = len(names)

    @property
    def step(self) -> int:
        """So many values fill a statement: who puts them as they come gives the lock away between."""
        return self._width * _MANY

    def put(self, cursor: sqlite3.Cursor, values: list[Any]) -> None:
        """`values` of all rows, one row behind the other."""
        width, step = self._width, self.step
        whole = len(values) - len(values) % step
        for start in range(0, whole, step):
            cursor.execute(self._many, values[start : start + step])
        for start in range(whole, len(values), width):
            cursor.execute(self._one, values[start : start + width])
