"""The packed records of consumer groups (`moldau.coordination.packing`).

CONSUMER_GROUP (kind 2, key ""), version 0:

    version             uint8
    group epoch         int32
    assignment epoch    int32
    assigned at         int64     ms since the epoch when the assignment epoch last rose, -1 for never
    metadata hash       bytes     of the topics subscribed to, see `modern.subscribed`

CONSUMER_MEMBER (kind 3, key: the member id), version 0:

    version             uint8
    common part                   see `modern.member.put_member`
    topics              uint32 count, as many uint32 lengths, then the bytes of all
    regex, assignor     nullable strings
    state               uint8     0 stable, 1 unrevoked, 2 unreleased
    assigned, revoking            uint32 count, then for each topic: topic id (16 bytes), uint32 count, then partition int32 and epoch int32
    target                        uint32 count, then for each topic: topic id (16 bytes), uint32 count, then partition int32
    classic             uint8     1 if it speaks the classic protocol, then session timeout int32 (ms), uint32 count, and name (string) and
                                  metadata (bytes) of each protocol
"""

from __future__ import annotations

from struct import Struct, pack
from typing import NamedTuple

from moldau.coordination.modern.member import put_member, read_member
from moldau.coordination.packing import LENGTH, Reader, decode, put_bytes, put_strings, put_text
from moldau.metadata.rows_groups import GroupRecord

from .events import Partitions
from .member import STABLE, UNRELEASED, UNREVOKED, Assigned, ClassicSide, ConsumerMember

CONSUMER_GROUP = 2
CONSUMER_MEMBER = 3

_VERSION = 0
_GROUP = Struct(">Biiq")
_EPOCHS = Struct(">iiq")
_STATES = (STABLE, UNREVOKED, UNRELEASED)
_TOPIC = Struct(">16sI")
_BYTE = Struct(">B")
_INT32 = Struct(">i")


class GroupValue(NamedTuple):
    """The decoded value of a CONSUMER_GROUP record."""

    group_epoch: int
    assignment_epoch: int
    assigned_at: int
    metadata_hash: bytes


def group_record(group_id: str, value: GroupValue | None) -> GroupRecord:
    packed = None
    if value is not None:
        out = bytearray(_GROUP.pack(_VERSION, value.group_epoch, value.assignment_epoch, value.assigned_at))
        put_bytes(out, value.metadata_hash)
        packed = bytes(out)
    return GroupRecord(CONSUMER_GROUP, group_id, "", packed)


def read_group(value: bytes) -> GroupValue:
    """Raises RecordFormatError."""
    return decode("consumer group record", value, _VERSION, _read_group)


def _read_group(reader: Reader) -> GroupValue:
    group_epoch, assignment_epoch, assigned_at = reader.unpack(_EPOCHS)
    return GroupValue(group_epoch, assignment_epoch, assigned_at, reader.bytes())


class MemberRecord(GroupRecord):
    """A record that was made here knows what it was made of; one that comes from the store has to be read."""

    member: ConsumerMember


def member_record(group_id: str, member: ConsumerMember) -> GroupRecord:
    out = bytearray((_VERSION,))
    put_member(out, member)
    put_strings(out, member.topics)
    put_text(out, member.regex)
    put_text(out, member.assignor)
    out.append(_STATES.index(member.state))
    for assigned in (member.assigned, member.revoking):
        out += LENGTH.pack(len(assigned))
        for topic_id, epochs in assigned.items():
            flat = [number for pair in epochs.items() for number in pair]
            out += _TOPIC.pack(topic_id, len(epochs)) + pack(f">{len(flat)}i", *flat)
    out += LENGTH.pack(len(member.target))
    for topic_id, partitions in member.target.items():
        out += _TOPIC.pack(topic_id, len(partitions)) + pack(f">{len(partitions)}i", *partitions)
    out.append(member.classic is not None)
    if member.classic is not None:
        out += _INT32.pack(member.classic.session_timeout_ms) + LENGTH.pack(len(member.classic.protocols))
        for name, metadata in member.classic.protocols:
            put_text(out, name)
            put_bytes(out, metadata)
    record = MemberRecord(CONSUMER_MEMBER, group_id, member.member_id, bytes(out))
    record.member = member
    return record


def gone_record(group_id: str, member_id: str) -> GroupRecord:
    return GroupRecord(CONSUMER_MEMBER, group_id, member_id, None)


def member_of(record: GroupRecord) -> ConsumerMember:
    """Raises RecordFormatError."""
    if isinstance(record, MemberRecord):
        return record.member
    assert record.value is not None
    return read_consumer(record.value)


def read_consumer(value: bytes) -> ConsumerMember:
    """Raises RecordFormatError."""
    return decode("consumer member record", value, _VERSION, _read)


def _read(reader: Reader) -> ConsumerMember:
    common = read_member(reader)
    return ConsumerMember(
        common.pop("member_id"),
        **common,
        topics=reader.strings(),
        regex=reader.text(),
        assignor=reader.text(),
        state=_STATES[reader.unpack(_BYTE)[0]],
        assigned=_assigned(reader),
        revoking=_assigned(reader),
        target=_target(reader),
        classic=_classic(reader),
    )


def _assigned(reader: Reader) -> Assigned:
    found: Assigned = {}
    for _ in range(reader.length()):
        topic_id, count = reader.topic()
        flat = reader.numbers(2 * count)
        found[topic_id] = dict(zip(flat[::2], flat[1::2], strict=True))
    return found


def _target(reader: Reader) -> Partitions:
    found: Partitions = {}
    for _ in range(reader.length()):
        topic_id, count = reader.topic()
        found[topic_id] = frozenset(reader.numbers(count))
    return found


def _classic(reader: Reader) -> ClassicSide | None:
    if not reader.unpack(_BYTE)[0]:
        return None
    session_timeout_ms = reader.unpack(_INT32)[0]
    return ClassicSide(session_timeout_ms, tuple([(reader.string(), reader.bytes()) for _ in range(reader.length())]))
