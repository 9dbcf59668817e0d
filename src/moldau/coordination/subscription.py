"""The topics inside a consumer's subscription, the metadata that members of protocol type "consumer" join with.

Layout (ConsumerProtocolSubscription version 0, which every later version begins with; big-endian):

    version       int16
    topics        int32 count, then for each: int16 length, UTF-8 name
    ...           user data, owned partitions, generation, rack: not looked at
"""

from __future__ import annotations

from struct import Struct

PROTOCOL_TYPE = "consumer"

_HEAD = Struct(">hi")
_LENGTH = Struct(">h")


def subscribed_topics(metadata: bytes) -> list[str]:
    """Topic names of one subscription.

    Raises ValueError when the bytes are something else (an assignor of one's own making).
    """
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
    return topics
