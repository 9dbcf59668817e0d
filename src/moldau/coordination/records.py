"""The packed records of groups: what the `value` of a `GroupRecord` holds. Formats are ours, versioned, and small.

Every value begins with its version, one byte. A newer version than we know raises `RecordFormatError`: a release that
reads this data must not guess. Integers are big-endian; `string` and `bytes` are an unsigned int32 length and that
many bytes (UTF-8), `nullable string` has length 0xFFFFFFFF for None.

CLASSIC_GROUP (kind 1, key ""), version 0:

    version             uint8
    state               uint8     0 Empty, 1 Stable
    state timestamp     int64     ms since the epoch when the group entered that state
    generation          int32
    protocol type       nullable string
    protocol name       nullable string
    leader              nullable string
    members             uint32 count, then for each:
        member id           string
        instance id         nullable string
        client id           string
        client host         string
        session timeout     int32  ms
        rebalance timeout   int32  ms
        protocols           uint32 count, then name (string) and metadata (bytes) for each, in order of preference
        assignment          bytes
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from .classic.member import ClassicMember
from .classic.states import EMPTY, STABLE
from .packing import LENGTH, Reader, RecordFormatError, put_bytes, put_text

CLASSIC_GROUP = 1
"""The kind of record that holds a whole classic group."""

_VERSION = 0
_STATES = (EMPTY, STABLE)
_HEAD = Struct(">BBqi")
_TIMEOUTS = Struct(">ii")


class ClassicGroupValue:
    """The decoded value of a CLASSIC_GROUP record."""

    __slots__ = ("generation_id", "leader_id", "members", "protocol_name", "protocol_type", "state", "state_timestamp")

    def __init__(
        self,
        state: str,
        state_timestamp: int,
        generation_id: int,
        protocol_type: str | None,
        protocol_name: str | None,
        leader_id: str | None,
        members: list[ClassicMember],
    ) -> None:
        self.state = state
        self.state_timestamp = state_timestamp
        self.generation_id = generation_id
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name
        self.leader_id = leader_id
        self.members = members

    def encode(self) -> bytes:
        out = bytearray(_HEAD.pack(_VERSION, _STATES.index(self.state), self.state_timestamp, self.generation_id))
        for text in (self.protocol_type, self.protocol_name, self.leader_id):
            put_text(out, text)
        out += LENGTH.pack(len(self.members))
        for member in self.members:
            for text in (member.member_id, member.instance_id, member.client_id, member.client_host):
                put_text(out, text)
            out += _TIMEOUTS.pack(member.session_timeout_ms, member.rebalance_timeout_ms)
            out += LENGTH.pack(len(member.protocols))
            for name, metadata in member.protocols:
                put_text(out, name)
                put_bytes(out, metadata)
            put_bytes(out, member.assignment)
        return bytes(out)

    @classmethod
    def decode(cls, value: bytes) -> ClassicGroupValue:
        """Raises RecordFormatError."""
        if value[:1] != bytes((_VERSION,)):
            raise RecordFormatError(
                f"classic group record of version {value[:1].hex() or 'nothing'}, known is {_VERSION}"
            )
        try:
            return cls._decode(Reader(value))
        except (IndexError, ValueError, StructError) as error:
            raise RecordFormatError(f"classic group record of {len(value)} bytes is damaged: {error}") from error

    @classmethod
    def _decode(cls, reader: Reader) -> ClassicGroupValue:
        _, state, state_timestamp, generation_id = reader.unpack(_HEAD)
        protocol_type, protocol_name, leader_id = reader.text(), reader.text(), reader.text()
        members = []
        for _ in range(reader.length()):
            member_id, instance_id, client_id, client_host = reader.text(), reader.text(), reader.text(), reader.text()
            session_timeout_ms, rebalance_timeout_ms = reader.unpack(_TIMEOUTS)
            protocols = tuple((reader.text() or "", reader.bytes()) for _ in range(reader.length()))
            members.append(
                ClassicMember(
                    member_id or "",
                    instance_id,
                    client_id or "",
                    client_host or "",
                    session_timeout_ms,
                    rebalance_timeout_ms,
                    protocols,
                    reader.bytes(),
                )
            )
        reader.end()
        return cls(_STATES[state], state_timestamp, generation_id, protocol_type, protocol_name, leader_id, members)
