"""What members of protocol type "consumer" put into JoinGroup and get from SyncGroup: subscription and assignment.

Layout of a subscription (ConsumerProtocolSubscription; big-endian; a later version is read as far as it is known):

    version       int16
    topics        int32 count, then for each: int16 length, UTF-8 name
    user data     int32 length (-1 for none) and bytes
    owned         from 1: int32 count, then for each: topic as above, int32 count, int32 partitions
    generation    from 2: int32, not looked at
    rack          from 3: int16 length (-1 for none), UTF-8

Of an assignment (ConsumerProtocolAssignment): version, then topics with partitions as `owned`, then user data.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, pack, unpack_from
from struct import error as StructError
from typing import NamedTuple

PROTOCOL_TYPE = "consumer"

_HEAD = Struct(">hi")
_LENGTH = Struct(">h")
_INT32 = Struct(">i")

TopicPartitions = dict[str, tuple[int, ...]]
"""Topic name to partitions."""


class Subscription(NamedTuple):
    version: int
    topics: list[str]
    owned: TopicPartitions
    rack_id: str | None


class Assignment(NamedTuple):
    partitions: TopicPartitions
    user_data: bytes


def subscribed_topics(metadata: bytes) -> list[str]:
    """Topic names of one subscription.

    Raises ValueError when the bytes are something else (an assignor of one's own making).
    """
    return _topics(metadata)[1]


def _topics(metadata: bytes) -> tuple[int, list[str], int]:
    """The version, the names, and where they end."""
    if len(metadata) < _HEAD.size:
        raise ValueError(f"subscription of {len(metadata)} bytes; expected at least {_HEAD.size}")
    version, count = _HEAD.unpack_from(metadata)
    if version < 0 or count < 0 or count * _LENGTH.size > len(metadata) - _HEAD.size:
        raise ValueError(f"subscription version {version} with {count} topics in {len(metadata)} bytes")
    topics: list[str] = []
    position = _HEAD.size
    for _ in range(count):
        begin = position + _LENGTH.size
        if begin > len(metadata):
            raise ValueError(f"subscription ends at {len(metadata)}, inside the length of topic {len(topics)}")
        position = begin + _LENGTH.unpack_from(metadata, position)[0]
        if not begin <= position <= len(metadata):
            raise ValueError(f"subscription ends at {len(metadata)}, topic {len(topics)} would end at {position}")
        topics.append(metadata[begin:position].decode("utf-8"))
    return version, topics, position


def read_subscription(metadata: bytes) -> Subscription:
    """All of it. Raises ValueError."""
    version, topics, position = _topics(metadata)
    owned: TopicPartitions = {}
    rack_id = None
    try:
        _, position = _bytes(metadata, position)
        if version >= 1:
            owned, position = _partitions(metadata, position)
        if version >= 3:
            position += _INT32.size
            length = _LENGTH.unpack_from(metadata, position)[0]
            position += _LENGTH.size
            if length > len(metadata) - position:
                raise ValueError(f"rack of {length} bytes at {position} of {len(metadata)}")
            rack_id = metadata[position : position + length].decode("utf-8") if length >= 0 else None
    except StructError as error:
        raise ValueError(f"subscription of version {version} ends early: {error}") from error
    return Subscription(version, topics, owned, rack_id)


def read_assignment(value: bytes) -> Assignment:
    """No bytes are no partitions. Raises ValueError."""
    if not value:
        return Assignment({}, b"")
    try:
        if _LENGTH.unpack_from(value)[0] < 0:
            raise ValueError("assignment of a negative version")
        partitions, position = _partitions(value, _LENGTH.size)
        user_data, _ = _bytes(value, position)
    except StructError as error:
        raise ValueError(f"assignment of {len(value)} bytes ends early: {error}") from error
    return Assignment(partitions, user_data or b"")


def pack_assignment(version: int, partitions: Iterable[tuple[str, Iterable[int]]]) -> bytes:
    """An assignment of that version (0 to 3 look alike), without user data."""
    topics = list(partitions)
    out = bytearray(_HEAD.pack(max(0, min(version, 3)), len(topics)))
    for name, each in topics:
        encoded, indexes = name.encode(), sorted(each)
        out += _LENGTH.pack(len(encoded)) + encoded + pack(f">{1 + len(indexes)}i", len(indexes), *indexes)
    return bytes(out + _INT32.pack(-1))


def _partitions(value: bytes, position: int) -> tuple[TopicPartitions, int]:
    found: TopicPartitions = {}
    count = _INT32.unpack_from(value, position)[0]
    position += _INT32.size
    if count < 0 or count > len(value):
        raise ValueError(f"{count} topics at {position} of {len(value)} bytes")
    for _ in range(count):
        length = _LENGTH.unpack_from(value, position)[0]
        position += _LENGTH.size
        if not 0 <= length <= len(value) - position:
            raise ValueError(f"topic of {length} bytes at {position} of {len(value)}")
        name = value[position : position + length].decode("utf-8")
        position += length
        size = _INT32.unpack_from(value, position)[0]
        position += _INT32.size
        if not 0 <= 4 * size <= len(value) - position:
            raise ValueError(f"{size} partitions at {position} of {len(value)} bytes")
        found[name] = unpack_from(f">{size}i", value, position)
        position += 4 * size
    return found, position


def _bytes(value: bytes, position: int) -> tuple[bytes | None, int]:
    length = _INT32.unpack_from(value, position)[0]
    position += _INT32.size
    if length < 0:
        return None, position
    if length > len(value) - position:
        raise ValueError(f"{length} bytes at {position} of {len(value)}")
    return value[position : position + length], position + length
