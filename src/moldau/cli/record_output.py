"""Records as ``moldau consume`` prints them: text, kcat formats, JSON lines, a table. Pure."""

import re
from collections.abc import Callable
from datetime import datetime

from moldau.cli.format_string import FormatString, Record
from moldau.cli.record_json import to_json

Printer = Callable[[Record], bytes]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KEY_WIDTH = 20
_TIME_WIDTH = 23


def text_printer(delimiter: bytes, key_separator: bytes | None, null: bytes) -> Printer:
    """The value, before it the key where there is a separator, after it the delimiter."""

    def render(record: Record) -> bytes:
        value = record.value()
        line = null if value is None else value
        if key_separator is not None:
            key = record.key()
            line = (null if key is None else key) + key_separator + line
        return line + delimiter

    return render


def format_printer(text: str, null: bytes) -> Printer:
    """A kcat format; ValueError for an unknown token."""
    return FormatString(text, null).render


def json_printer(record: Record) -> bytes:
    """A JSON line."""
    return to_json(record).encode("utf-8", "surrogatepass") + b"\n"


class TablePrinter:
    """Rows of a table that has no last row: fixed columns, the heading before the first.

    With a `width` rows are cut to it; without, nothing is cut. Control characters are shown, not sent to the terminal.
    """

    __slots__ = ("_headed", "_topic_width", "_width")

    def __init__(self, topics: list[str], width: int | None) -> None:
        self._topic_width = max(5, *map(len, topics)) if len(topics) > 1 else 0
        self._width = width
        self._headed = False

    def heading(self) -> bytes:
        """The first line."""
        return self._line("TOPIC", "PARTITION", "OFFSET", "TIME", "KEY", "VALUE")

    def __call__(self, record: Record) -> bytes:
        timestamp_type, timestamp = record.timestamp()
        line = self._line(
            record.topic() or "",
            str(record.partition()),
            str(record.offset()),
            _time(timestamp) if timestamp_type else "-",
            _shown(record.key()),
            _shown(record.value()),
        )
        if self._headed:
            return line
        self._headed = True
        return self.heading() + line

    def _line(self, topic: str, partition: str, offset: str, time: str, key: str, value: str) -> bytes:
        if self._width is not None and len(key) > _KEY_WIDTH:
            key = key[: _KEY_WIDTH - 1] + "…"
        line = f"{partition:>9}  {offset:>10}  {time:<{_TIME_WIDTH}}  {key:<{_KEY_WIDTH}}  {value}"
        if self._topic_width:
            line = f"{topic:<{self._topic_width}}  {line}"
        if self._width is not None and len(line) > self._width:
            line = line[: self._width - 1] + "…"
        return line.rstrip().encode("utf-8", "surrogatepass") + b"\n"


def _time(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(timestamp_ms)


def _shown(raw: bytes | None) -> str:
    if raw is None:
        return "(null)"
    text = raw.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or f"\\x{ord(character):02x}"
