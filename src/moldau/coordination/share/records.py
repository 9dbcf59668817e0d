"""The packed records of share groups (`moldau.coordination.packing`).

SHARE_GROUP (kind 10, key ""), version 0:

    version             uint8
    group epoch         int32
    assignment epoch    int32
    metadata hash       bytes     of the topics subscribed to, see `modern.subscribed`

SHARE_MEMBER (kind 11, key: the member id), version 0:

    version             uint8
    common part                   see `modern.member.put_member`
    topics              uint32 count, then a string for each
    assigned, target              uint32 count, then for each topic: topic id (16 bytes), uint32 count, then partition int32

How far the group is in its partitions lies in rows of their own (`moldau.metadata.rows_share`).
"""

from __future__ import annotations

from struct import Struct, pack
from typing import NamedTuple

from moldau.coordination.modern.member import put_member, read_member
from moldau.coordination.packing import LENGTH, Reader, decode, put_bytes, put_text
from moldau.metadata.rows_groups import GroupRecord

from .events import Partitions
from .group import ShareMember

SHARE_GROUP = 10
SHARE_MEMBER = 11

_VERSION = 0
_GROUP = Struct(">Bii")
_EPOCHS = Struct(">ii")
_TOPIC = Struct(">16sI")


class GroupValue(NamedTuple):
    """The decoded value of a SHARE_GROUP record."""

    group_epoch: int
    assignment_epoch: int
    metadata_hash: bytes


def group_record(group_id: str, value: GroupValue | None) -> GroupRecord:
    packed = None
    if value is not None:
        out = bytearray(_GROUP.pack(_VERSION, value.group_epoch, value.assignment_epoch))
        put_bytes(out, value.metadata_hash)
        packed = bytes(out)
    return GroupRecord(SHARE_GROUP, group_id, "", packed)


def read_group(value: bytes) -> GroupValue:
    """Raises RecordFormatError."""

    def read(reader: Reader) -> GroupValue:
        group_epoch, assignment_epoch = reader.unpack(_EPOCHS)
        return GroupValue(group_epoch, assignment_epoch, reader.bytes())

    return decode("share group record", value, _VERSION, read)


def member_record(group_id: str, member: ShareMember) -> GroupRecord:
    out = bytearray((_VERSION,))
    put_member(out, member)
    out += LENGTH.pack(len(member.topics))
    for topic in member.topics:
        put_text(out, topic)
    for partitions in (member.assigned, member.target):
        out += LENGTH.pack(len(partitions))
        for topic_id, indexes in partitions.items():
            out += _TOPIC.pack(topic_id, len(indexes)) + pack(f">{len(indexes)}i", *indexes)
    return GroupRecord(SHARE_MEMBER, group_id, member.member_id, bytes(out))


def gone_record(group_id: str, member_id: str) -> GroupRecord:
    return GroupRecord(SHARE_MEMBER, group_id, member_id, None)


def read_share_member(value: bytes) -> ShareMember:
    """Raises RecordFormatError."""
    return decode("share member record", value, _VERSION, _read_member)


def _read_member(reader: Reader) -> ShareMember:
    common = read_member(reader)
    return ShareMember(
        common.pop("member_id"),
        **common,
        topics=tuple([reader.string() for _ in range(reader.length())]),
        assigned=_partitions(reader),
        target=_partitions(reader),
    )


def _partitions(reader: Reader) -> Partitions:
    found: Partitions = {}
    for _ in range(reader.length()):
        topic_id, count = reader.unpack(_TOPIC)
        found[topic_id] = reader.unpack(Struct(f">{count}i"))  # type: ignore[index]
    return found
