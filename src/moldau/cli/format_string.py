r"""kcat's format strings: one record in, the bytes to print out.

===== ===========================================  ===== ===========================================
%s    value                                        %S    its length, -1 for null
%R    the value's length, 4 bytes big-endian       %k    key
%K    its length, -1 for null                      %T    timestamp, milliseconds since 1970
%h    headers as name=value,name=value             %t    topic
%p    partition                                    %o    offset
%%    a percent sign                               \n    newline; also \t \r \0 \\ and \xNN
===== ===========================================  ===== ===========================================

Pure.
"""

import re
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

_ESCAPES: Final = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}
_TOKEN = re.compile(r"%(?P<token>.?)|\\x(?P<hex>[0-9A-Fa-f]{2})|\\(?P<escape>.?)", re.DOTALL)
_ESCAPE = re.compile(r"\\x(?P<hex>[0-9A-Fa-f]{2})|\\(?P<escape>.?)", re.DOTALL)


class Record(Protocol):
    """What a format reads of a record: the methods of the Kafka client's message."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Any: ...  # list[tuple[str, bytes | None]] | None; the client's stubs say more than it gives


Part = Callable[[Record], bytes]


def unescape(text: str) -> bytes:
    r"""The bytes of `text` with ``\n \t \r \0 \\`` and ``\xNN`` replaced; ValueError for any other escape."""
    out: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(text):
        out.append(text[end : match.start()].encode())
        end = match.end()
        out.append(_escape(match, text))
    out.append(text[end:].encode())
    return b"".join(out)


class FormatString:
    """A compiled format: `render(record)` gives the bytes. ValueError for an unknown token or escape."""

    __slots__ = ("_parts",)

    def __init__(self, text: str, null: bytes = b"") -> None:
        """`null` is printed where a key, a value or a header's value is null."""
        tokens = _tokens(null)
        self._parts: list[bytes | Part] = []
        end = 0
        for match in _TOKEN.finditer(text):
            self._literal(text[end : match.start()].encode())
            end = match.end()
            letter = match["token"]
            if letter is None:
                self._literal(_escape(match, text))
            elif letter == "%":
                self._literal(b"%")
            elif letter in tokens:
                self._parts.append(tokens[letter])
            else:
                raise ValueError(f"unknown token '%{letter}' in format {text!r}: there are %{' %'.join(tokens)} %%")
        self._literal(text[end:].encode())

    def _literal(self, raw: bytes) -> None:
        if self._parts and isinstance(self._parts[-1], bytes):
            self._parts[-1] += raw
        elif raw:
            self._parts.append(raw)

    def render(self, record: Record) -> bytes:
        """The bytes for one record."""
        return b"".join([part if isinstance(part, bytes) else part(record) for part in self._parts])


def _escape(match: re.Match[str], text: str) -> bytes:
    if match["hex"] is not None:
        return bytes([int(match["hex"], 16)])
    letter = match["escape"]
    if letter not in _ESCAPES:
        raise ValueError(f"unknown escape '\\{letter}' in {text!r}: there are \\n \\t \\r \\0 \\\\ \\xNN")
    return _ESCAPES[letter]


def _tokens(null: bytes) -> dict[str, Part]:
    def blob(raw: bytes | None) -> bytes:
        return null if raw is None else raw

    def length(raw: bytes | None) -> int:
        return -1 if raw is None else len(raw)

    def headers(record: Record) -> bytes:
        return b",".join([name.encode() + b"=" + blob(value) for name, value in record.headers() or ()])

    return {
        "s": lambda record: blob(record.value()),
        "S": lambda record: b"%d" % length(record.value()),
        "R": lambda record: struct.pack(">i", length(record.value())),
        "k": lambda record: blob(record.key()),
        "K": lambda record: b"%d" % length(record.key()),
        "T": lambda record: b"%d" % record.timestamp()[1],
        "h": headers,
        "t": lambda record: (record.topic() or "").encode(),
        "p": lambda record: b"%d" % (record.partition() or 0),
        "o": lambda record: b"%d" % (record.offset() or 0),
    }
