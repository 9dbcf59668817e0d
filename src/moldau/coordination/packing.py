"""How packed records of groups are written and read: small, big-endian, and whatever does not fit is noticed.

`string` and `bytes` are an unsigned int32 length and that many bytes (UTF-8); a `nullable string` has length 0xFFFFFFFF for None; a list is
an unsigned int32 count and its elements. Every value begins with its version, one byte: a newer version than is known raises
`RecordFormatError`, since a release that reads this data must not guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct, pack, unpack_from
from struct import error as StructError
from typing import TypeVar

from moldau.metadata.errors import StoreCorrupt

T = TypeVar("T")
_TopicId = bytes

LENGTH = Struct(">I")
_TOPIC = Struct(">16sI")
_NONE = 0xFFFFFFFF


class RecordFormatError(StoreCorrupt):
    """A stored value is not what it should be: damaged, or written by a newer release."""


def decode(what: str, value: bytes, version: int, read: Callable[[Reader], T]) -> T:
    """What `read` makes of a value of that version, all of it. Raises RecordFormatError; `what` names it there."""
    if value[:1] != bytes((version,)):
        raise RecordFormatError(f"{what} of version {value[:1].hex() or 'nothing'}, known is {version}")
    reader = Reader(value)
    try:
        reader.skip(1)
        found = read(reader)
        reader.end()
    except (IndexError, ValueError, StructError) as error:
        raise RecordFormatError(f"{what} of {len(value)} bytes is damaged: {error}") from error
    return found


class Reader:
    """Walks over a value; whatever does not fit raises StructError, IndexError or ValueError."""

    __slots__ = ("_position", "_value")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._position = 0

    def skip(self, size: int) -> None:
        self._position += size

    def unpack(self, layout: Struct) -> tuple[int, ...]:
        found = layout.unpack_from(self._value, self._position)
        self._position += layout.size
        return found

    def length(self) -> int:
        length = self.unpack(LENGTH)[0]
        if length > len(self._value):
            raise ValueError(f"length {length} at {self._position - LENGTH.size}")
        return length

    def bytes(self) -> bytes:
        begin = self._position + LENGTH.size
        end = begin + self.length()
        if end > len(self._value):
            raise ValueError(f"{end - begin} bytes at {begin}")
        self._position = end
        return self._value[begin:end]

    def string(self) -> str:
        return self.bytes().decode("utf-8")

    def text(self) -> str | None:
        if LENGTH.unpack_from(self._value, self._position)[0] == _NONE:
            self._position += LENGTH.size
            return None
        return self.bytes().decode("utf-8")

    def strings(self) -> tuple[str, ...]:
        """As `put_strings` writes them."""
        count = self.length()
        sizes: tuple[int, ...] = unpack_from(f">{count}I", self._value, self._position)
        begin = self._position + 4 * count
        self._position = end = begin + sum(sizes)
        packed = self._value[begin:end]
        if len(packed) != end - begin:
            raise ValueError(f"{end - begin} bytes of strings at {begin}")
        text = packed.decode("utf-8")
        if len(text) != len(packed):  # not ASCII alone: letters and bytes are counted differently
            return tuple([packed[at : at + size].decode("utf-8") for at, size in _places(sizes)])
        return tuple([text[at : at + size] for at, size in _places(sizes)])

    def topic(self) -> tuple[_TopicId, int]:
        """A topic id and the count of what follows."""
        topic_id, count = _TOPIC.unpack_from(self._value, self._position)
        self._position += _TOPIC.size
        return topic_id, count

    def numbers(self, count: int) -> tuple[int, ...]:
        """That many int32."""
        if 4 * count > len(self._value) - self._position:
            raise ValueError(f"{count} numbers at {self._position}")
        found: tuple[int, ...] = unpack_from(f">{count}i", self._value, self._position)
        self._position += 4 * count
        return found

    def end(self) -> None:
        if self._position != len(self._value):
            raise ValueError(f"{len(self._value) - self._position} bytes too many")


def _places(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    at = 0
    for size in sizes:
        yield at, size
        at += size


def put_strings(out: bytearray, texts: Sequence[str]) -> None:
    """Many at once: uint32 count, as many uint32 lengths, then all the bytes."""
    packed = [text.encode("utf-8") for text in texts]
    out += pack(f">{1 + len(packed)}I", len(packed), *map(len, packed))
    out += b"".join(packed)


def put_bytes(out: bytearray, value: bytes) -> None:
    out += LENGTH.pack(len(value))
    out += value


def put_text(out: bytearray, text: str | None) -> None:
    if text is None:
        out += LENGTH.pack(_NONE)
    else:
        put_bytes(out, text.encode("utf-8"))
