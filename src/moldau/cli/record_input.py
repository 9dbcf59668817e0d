"""Cutting input into records: delimiters, key separators and the text that stands for null. Pure."""

from collections.abc import Iterable, Iterator

from moldau.cli.record_json import NewRecord


def split(chunks: Iterable[bytes], delimiter: bytes) -> Iterator[bytes]:
    """The pieces between delimiters, however the input is cut into chunks; a last delimiter ends the last piece."""
    rest = bytearray()
    for chunk in chunks:
        # The delimiter may lie across two chunks, but not wholly in what was searched before.
        unsearched = max(0, len(rest) - len(delimiter) + 1)
        rest += chunk
        if rest.find(delimiter, unsearched) < 0:
            continue
        pieces = bytes(rest).split(delimiter)
        rest = bytearray(pieces.pop())
        yield from pieces
    if rest:
        yield bytes(rest)


def parse_text(line: bytes, key: bytes | None, key_separator: bytes | None, null: bytes | None) -> NewRecord:
    """A line of text as a record.

    With a `key_separator`, what stands before its first occurrence is the key; ValueError where it does not occur.
    Otherwise every record has the one `key`. A key or value that equals `null` is null.
    """
    value = line
    if key_separator is not None:
        head, found, tail = line.partition(key_separator)
        if not found:
            raise ValueError(f"there is no key separator {key_separator.decode(errors='replace')!r}")
        key, value = head, tail
    return NewRecord(None if key == null else key, None if value == null else value)
