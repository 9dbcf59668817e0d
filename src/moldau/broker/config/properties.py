"""Java's .properties files: what `server.properties` is written in (java.util.Properties.load)."""

from __future__ import annotations

from collections.abc import Iterator

_BLANK = " \t\f"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class PropertiesError(Exception):
    """A line that cannot be read; the text names it."""


def parse(text: str) -> list[tuple[str, str, int]]:
    r"""Keys and values with the number (from 1) of the line that each begins on, in the order of the file.

    `#` and `!` begin comments; `=`, `:` or white space ends a key; a backslash at the end of a line continues it; `\t \n
    \r \f \uXXXX` are escapes, and a backslash before any other character drops out. Raises PropertiesError.
    """
    return [(*_split(line, number), number) for line, number in _logical_lines(text)]


def _logical_lines(text: str) -> Iterator[tuple[str, int]]:
    parts: list[str] = []
    begun = 0
    for number, raw_line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line = raw_line.lstrip(_BLANK)
        if not parts:
            if not line or line[0] in "#!":
                continue
            begun = number
        if (len(line) - len(line.rstrip("\\"))) % 2:
            parts.append(line[:-1])
            continue
        parts.append(line)
        yield "".join(parts), begun
        parts = []
    if parts:
        yield "".join(parts), begun


def _split(line: str, number: int) -> tuple[str, str]:
    at = 0
    while at < len(line) and line[at] not in "=:" and line[at] not in _BLANK:
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(_BLANK)
    if rest and rest[0] in "=:":
        rest = rest[1:].lstrip(_BLANK)
    return _unescape(key, number), _unescape(rest, number)


def _unescape(text: str, number: int) -> str:
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\" or at + 1 == len(text):
            out.append(text[at])
            at += 1
        elif text[at + 1] == "u":
            digits = text[at + 2 : at + 6]
            try:
                out.append(chr(int(digits, 16)))
            except ValueError:
                digits = ""
            if len(digits) != 4:
                raise PropertiesError(
                    f"line {number}: {text[at : at + 6]!r} came, expected \\u and four hexadecimal digits"
                )
            at += 6
        else:
            out.append(_ESCAPES.get(text[at + 1], text[at + 1]))
            at += 2
    joined = "".join(out)
    # A character beyond the basic plane is written as two \u escapes.
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
