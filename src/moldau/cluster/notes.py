"""What brokers tell each other: ends of partitions, and that something else changed. Nothing here has to arrive.

    note = int8 version (0) | int8 flags | int64 metadata version | int32 count | count times: int32 partition id, int64 end offset

Flags: 1, the members changed: look at their rows now; 2, leases were given back: look for them now; 4, to a broker that leaves: its row says so here
too, and clients that ask here are told of others. A note travels as the body of a request
with the key `PEER_API`, which clients never see, on the listener that brokers use among themselves; its client id is the sender's
`node id:incarnation`. The reply has no body: it says that the peer lives. Whatever a note says is only a reason to ask the metadata
store, so a false one costs a query.
"""

from __future__ import annotations

from struct import Struct, error

PEER_API = 0x4D4F
"""Of no Kafka API; "MO"."""
MEMBERS_CHANGED, LEASES_FREED, LEAVING_KNOWN = 1, 2, 4
ENDS_MAX = 4096
"""Partitions in one note at most; the rest goes into the next."""

_HEADER = Struct(">hhih")
_LENGTH = Struct(">i")
_NOTE = Struct(">bbqi")
_END = Struct(">iq")


class Note:
    """One note, decoded."""

    __slots__ = ("ends", "flags", "metadata_version")

    def __init__(self, flags: int = 0, metadata_version: int = 0, ends: dict[int, int] | None = None) -> None:
        self.flags = flags
        self.metadata_version = metadata_version
        self.ends = ends if ends is not None else {}


def pack(note: Note) -> bytes:
    """The body of the request."""
    return _NOTE.pack(0, note.flags, note.metadata_version, len(note.ends)) + b"".join(
        _END.pack(partition_id, end) for partition_id, end in note.ends.items()
    )


def unpack(body: bytes | bytearray | memoryview) -> Note:
    """Raises ValueError. Flags and bytes that a later release added are left alone."""
    try:
        _, flags, metadata_version, count = _NOTE.unpack_from(body, 0)
        if not 0 <= count <= ENDS_MAX:
            raise ValueError(f"a note with {count} partitions")
        at = _NOTE.size
        return Note(
            flags, metadata_version, dict(_END.unpack_from(body, at + index * _END.size) for index in range(count))
        )
    except error as problem:
        raise ValueError(f"a note of {len(body)} bytes: {problem}") from problem


def frame(note: Note, sender: str, correlation_id: int) -> bytes:
    """The whole request, length included."""
    name = sender.encode()
    body = _HEADER.pack(PEER_API, 0, correlation_id, len(name)) + name + pack(note)
    return _LENGTH.pack(len(body)) + body
