"""Helpers of the generated messages: what is too long, or too rare, to be written out in each of them.

Wire rules (Kafka protocol guide, KIP-482): integers are big-endian. A flexible version writes the length of strings,
bytes and arrays plus one as an unsigned varint, 0 for null; other versions write int16 (strings) or int32, -1 for null.
Flexible structs end with tagged fields: a count, then tag, size and bytes of each.

The decoders read the first byte of a varint themselves and call here only if it is not a plain 1..127.
Positions only grow, so a cut input always ends in an IndexError or struct.error, or past the end, which `Message`
checks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, TypeVar

from moldau.protocol.errors import DecodeError, EncodeError

T = TypeVar("T")

Buffer = bytes | bytearray | memoryview
ZERO_UUID: Final = bytes(16)
STRING_MAX: Final = 0x7FFF
EMPTY: Final[list[Any]] = []  # default of list arguments; never stored, each object gets a list of its own

new: Callable[[type[T]], T] = object.__new__


# -- reading ---------------------------------------------------------------------------------------------------------


def uvarint(data: bytes | bytearray | memoryview, pos: int, first: int) -> tuple[int, int]:
    """Value and next position of an unsigned varint whose `first` byte was read; at most 31 bits."""
    if first < 128:
        return first, pos
    value = first & 0x7F
    shift = 7
    start = pos - 1
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            if value > 0x7FFFFFFF:
                raise DecodeError(f"unsigned varint {value} at byte {start}: expected at most {0x7FFFFFFF}")
            return value, pos
        shift += 7
        if shift > 28:
            raise DecodeError(f"unsigned varint at byte {start} goes on after {pos - start} bytes: expected at most 5")


def size(data: bytes | memoryview, pos: int, first: int, where: str) -> tuple[int, int]:
    """Length plus one of something compact that may not be null."""
    value, pos = uvarint(data, pos, first)
    if value == 0:
        raise DecodeError(f"{where}: null at byte {pos - 1}, expected a value")
    return value, pos


def string_size(data: bytes | memoryview, pos: int, first: int, where: str) -> tuple[int, int]:
    """Length plus one of a compact string that may not be null."""
    value, pos = size(data, pos, first, where)
    if value > STRING_MAX + 1:
        raise DecodeError(f"{where}: string of {value - 1} bytes at byte {pos}, expected at most {STRING_MAX}")
    return value, pos


def bad_length(length: int, pos: int, where: str) -> DecodeError:
    expected = "a value" if length == -1 else "0 or more"
    return DecodeError(f"{where}: length {length} before byte {pos}, expected {expected}")


def bad_count(count: int, least: int, data: bytes | memoryview, pos: int, where: str) -> DecodeError:
    """An array that claims more elements than the bytes that are left can hold, or fewer than none."""
    if count < 0:
        return bad_length(count, pos, where)
    return DecodeError(
        f"{where}: {count} elements of at least {least} bytes at byte {pos}, but only {len(data) - pos} bytes are left"
    )


def bad_tag(tag: int, end: int, pos: int, where: str) -> DecodeError:
    return DecodeError(f"{where}: tagged field {tag} ends at byte {pos}, expected byte {end}")


def skip_tags(data: bytes | memoryview, pos: int, count: int) -> int:
    """Position after tagged fields that this version does not know; `count` may be the first byte of a varint."""
    count, pos = uvarint(data, pos, count)
    for _ in range(count):
        _, length, pos = tag_head(data, pos)
        pos += length
    return pos


def tag_head(data: bytes | bytearray | memoryview, pos: int) -> tuple[int, int, int]:
    """Number and size of a tagged field, and where its bytes begin."""
    tag, pos = uvarint(data, pos + 1, data[pos])
    length, pos = uvarint(data, pos + 1, data[pos])
    return tag, length, pos


def unpack_array(letter: str, count: int, data: bytes | memoryview, pos: int) -> list[Any]:
    """`count` fixed-size values; the caller has compared the count with the bytes left."""
    return list(struct.unpack_from(f">{count}{letter}", data, pos))


def unpack_uuids(count: int, data: bytes | memoryview, pos: int) -> list[bytes]:
    return [bytes(data[at : at + 16]) for at in range(pos, pos + 16 * count, 16)]


# -- writing ---------------------------------------------------------------------------------------------------------


def put_uvarint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_string_size(out: bytearray, size_plus_one: int) -> None:
    if size_plus_one > STRING_MAX + 1:
        raise EncodeError(f"string of {size_plus_one - 1} bytes, expected at most {STRING_MAX}")
    put_uvarint(out, size_plus_one)


def put_tags(out: bytearray, tags: list[tuple[int, bytearray]]) -> None:
    """Tagged fields, given in ascending order of their tags."""
    put_uvarint(out, len(tags))
    for tag, body in tags:
        put_uvarint(out, tag)
        put_uvarint(out, len(body))
        out += body


def pack_array(letter: str, values: list[Any]) -> bytes:
    return struct.pack(f">{len(values)}{letter}", *values)


def pack_uuids(values: list[bytes]) -> bytes:
    for value in values:
        if len(value) != 16:
            raise EncodeError(f"uuid {value!r} of {len(value)} bytes, expected 16")
    return b"".join(values)


def not_carried(where: str, value: object, version: int) -> EncodeError:
    """A value that the version has no field for, in a field that may not be dropped silently."""
    return EncodeError(f"{where} is {value!r}, which version {version} cannot carry")
