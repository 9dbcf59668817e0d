"""Printing: tables for people, JSON for programs.

Tables have plain columns without lines, coloured headings on a terminal only, and are never cut when they go into a
pipe or a file. JSON is one document for a command, with the same keys in every release; see docs/cli.md.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from moldau.cli.errors import missing_extra, wants_color

# Wide enough that no row is ever folded where there is no terminal to fit into.
_UNBOUNDED_WIDTH = 100_000


class Column:
    """One column of a table: the row's key, the heading (by default the key), and how a value becomes text."""

    __slots__ = ("heading", "key", "right", "text")

    def __init__(
        self,
        key: str,
        heading: str | None = None,
        *,
        right: bool = False,
        text: Callable[[Any], str] | None = None,
    ) -> None:
        self.key = key
        self.heading = key.replace("_", " ").upper() if heading is None else heading
        self.right = right
        self.text = text or plain


def plain(value: Any) -> str:
    """A value as a table shows it: ``-`` for nothing, lists with commas, yes and no."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(str(each) for each in value) or "-"
    return str(value)


def print_json(document: Any) -> None:
    """One JSON document, indented for people where stdout is a terminal."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], output: str, *, empty: str | None = None
) -> None:
    """Rows as a table or as a JSON array; `empty` is said (on stderr) instead of a table without rows."""
    if output == "json":
        print_json(list(rows))
    elif not rows and empty is not None:
        click.echo(empty, err=True)
    else:
        print_table(rows, columns)


def print_fields(fields: Mapping[str, Any], output: str) -> None:
    """One thing: a JSON object, or a line per field."""
    if output == "json":
        print_json(dict(fields))
        return
    width = max(len(name) for name in fields) + 2
    color = wants_color(sys.stdout)
    for name, value in fields.items():
        label = (name.replace("_", " ") + ":").ljust(width)
        click.echo((f"\x1b[1m{label}\x1b[0m" if color else label) + plain(value), color=color)


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    """Rows as a table on stdout."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise missing_extra() from None
    heading = "bold" if wants_color(sys.stdout) else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=heading)
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=column.right,
            min_width=len(column.heading),  # in a narrow terminal the lines wrap, not the letters of a heading
        )
    for row in rows:
        table.add_row(*[Text(column.text(row.get(column.key))) for column in columns])
    if sys.stdout.isatty():
        Console(file=sys.stdout, highlight=False, soft_wrap=False).print(table, crop=False)
        return
    console = Console(file=sys.stdout, width=_UNBOUNDED_WIDTH, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def count(number: int, noun: str) -> str:
    """``1 record``, ``2 records``, ``1,234 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(number: float) -> str:
    """A number of bytes for people: ``512 B``, ``1.5 kB``, ``20.0 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
