"""The packed records of streams groups. See `moldau.coordination.packing` for strings, bytes and lists; all integers are big-endian.

STREAMS_GROUP (kind 20, key ""), version 0:

    version             uint8
    group epoch         int32
    assignment epoch    int32     of which group epoch the targets are
    assigned at         int64     ms since the epoch; 0 never
    metadata hash       uint64    of the topics that the topology needs
    validated           int32     the epoch of the topology whose topics were all there; -1 none
    settings            list of (string, string): what tasks were dealt by

STREAMS_TOPOLOGY (kind 21, key ""), version 0:

    version             uint8
    epoch               int32
    subtopologies       list of:
        id                  string
        source topics       list of string
        repartition sinks   list of string
        repartition sources list of topics
        changelogs          list of topics
        copartition groups  list of lists of string

    where a topic is
        name                string
        partitions          int32
        replication factor  int16
        configs             list of (string, string)

STREAMS_MEMBER (kind 22, key: the member id), version 0:

    version             uint8
    state               uint8     0 Stable, 1 UnrevokedTasks, 2 UnreleasedTasks
    member epoch        int32
    previous epoch      int32
    rebalance timeout   int32     ms
    topology epoch      int32
    instance id         nullable string
    rack id             nullable string
    client id           string
    client host         string
    process id          string
    endpoint            nullable string (host), and then an uint16 (port)
    client tags         list of (string, string)
    assigned            held tasks
    revoking            held tasks
    target              three lists of tasks: active, standby, warm-up

    where a task is its subtopology (string) and partition (int32), and held tasks are a list of active tasks, each with the epoch in which the
    member got it (int32), and lists of standby and of warm-up tasks.

STREAMS_DESCRIPTION (kind 23, key ""), version 0:

    version             uint8
    epoch               int32     of the topology that is described
    description         bytes     a StreamsGroupTopologyDescriptionUpdateRequest, version 0, without names of group and member
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct

from moldau.coordination.packing import LENGTH, Reader, put_bytes, put_text
from moldau.coordination.packing import decode as decode_value

from .endpoints import Endpoint
from .group_header import GroupHeader
from .member import StreamsMember
from .reconcile import STATES
from .tasks import Assignment, Held, TaskId, Tasks
from .topology import InternalTopic, Subtopology, Topology

STREAMS_GROUP = 20
STREAMS_TOPOLOGY = 21
STREAMS_MEMBER = 22
STREAMS_DESCRIPTION = 23

_VERSION = 0
_V = bytes((_VERSION,))
_HEADER = Struct(">iiqQi")
_MEMBER = Struct(">Biiii")
_INT = Struct(">i")
_PORT = Struct(">H")
_TOPIC = Struct(">ih")


# -- the group


def encode_header(header: GroupHeader) -> bytes:
    out = bytearray(_V)
    out += _HEADER.pack(
        header.group_epoch, header.assignment_epoch, header.assigned_at, header.metadata_hash, header.validated_epoch
    )
    _put_pairs(out, header.settings)
    return bytes(out)


def decode_header(value: bytes) -> GroupHeader:
    """Raises RecordFormatError."""

    def read(reader: Reader) -> GroupHeader:
        group_epoch, assignment_epoch, assigned_at, metadata_hash, validated = reader.unpack(_HEADER)
        return GroupHeader(group_epoch, assignment_epoch, assigned_at, metadata_hash, validated, _pairs(reader))

    return decode_value("streams group record", value, _VERSION, read)


# -- the topology


def encode_topology(topology: Topology) -> bytes:
    out = bytearray(_V)
    out += _INT.pack(topology.epoch)
    out += LENGTH.pack(len(topology.subtopologies))
    for part in topology.subtopologies.values():
        put_text(out, part.subtopology_id)
        _put_strings(out, part.source_topics)
        _put_strings(out, part.repartition_sink_topics)
        _put_topics(out, part.repartition_source_topics)
        _put_topics(out, part.state_changelog_topics)
        out += LENGTH.pack(len(part.copartition_groups))
        for group in part.copartition_groups:
            _put_strings(out, sorted(group))
    return bytes(out)


def decode_topology(value: bytes) -> Topology:
    """Raises RecordFormatError."""
    return decode_value("streams topology record", value, _VERSION, _topology)


def _topology(reader: Reader) -> Topology:
    epoch = reader.unpack(_INT)[0]
    parts = {}
    for _ in range(reader.length()):
        name = reader.string()
        sources, sinks = _strings(reader), _strings(reader)
        repartitions, changelogs = _topics(reader), _topics(reader)
        groups = tuple(frozenset(_strings(reader)) for _ in range(reader.length()))
        parts[name] = Subtopology(
            name,
            sources,
            repartition_sink_topics=sinks,
            repartition_source_topics=repartitions,
            state_changelog_topics=changelogs,
            copartition_groups=groups,
        )
    return Topology(epoch, parts)


def _put_topics(out: bytearray, topics: tuple[InternalTopic, ...]) -> None:
    out += LENGTH.pack(len(topics))
    for topic in topics:
        put_text(out, topic.name)
        out += _TOPIC.pack(topic.partitions, topic.replication_factor)
        _put_pairs(out, topic.configs)


def _topics(reader: Reader) -> tuple[InternalTopic, ...]:
    found = []
    for _ in range(reader.length()):
        name = reader.string()
        partitions, replication_factor = reader.unpack(_TOPIC)
        found.append(InternalTopic(name, partitions, replication_factor, _pairs(reader)))
    return tuple(found)


# -- the description


def encode_description(epoch: int, description: bytes) -> bytes:
    out = bytearray(_V)
    out += _INT.pack(epoch)
    put_bytes(out, description)
    return bytes(out)


def decode_description(value: bytes) -> tuple[int, bytes]:
    """(epoch of the topology, what was sent). Raises RecordFormatError."""
    return decode_value(
        "streams description record", value, _VERSION, lambda reader: (reader.unpack(_INT)[0], reader.bytes())
    )


# -- members


def encode_member(member: StreamsMember) -> bytes:
    out = bytearray(_V)
    out += _MEMBER.pack(
        STATES.index(member.state),
        member.member_epoch,
        member.previous_epoch,
        member.rebalance_timeout_ms,
        member.topology_epoch,
    )
    for text in (member.instance_id, member.rack_id, member.client_id, member.client_host, member.process_id):
        put_text(out, text)
    put_text(out, member.endpoint.host if member.endpoint else None)
    out += _PORT.pack(member.endpoint.port if member.endpoint else 0)
    _put_pairs(out, member.client_tags.items())
    for held in (member.assigned, member.revoking):
        out += LENGTH.pack(len(held.active))
        for task, epoch in sorted(held.active.items()):
            _put_task(out, task)
            out += _INT.pack(epoch)
        _put_tasks(out, held.standby)
        _put_tasks(out, held.warmup)
    for tasks in (member.target.active, member.target.standby, member.target.warmup):
        _put_tasks(out, tasks)
    return bytes(out)


def decode_member(member_id: str, value: bytes) -> StreamsMember:
    """Raises RecordFormatError."""
    return decode_value("streams member record", value, _VERSION, lambda reader: _member(member_id, reader))


def _member(member_id: str, reader: Reader) -> StreamsMember:
    member = StreamsMember(member_id)
    state, member.member_epoch, member.previous_epoch, member.rebalance_timeout_ms, member.topology_epoch = (
        reader.unpack(_MEMBER)
    )
    member.state = STATES[state]
    member.instance_id, member.rack_id = reader.text(), reader.text()
    member.client_id, member.client_host, member.process_id = reader.string(), reader.string(), reader.string()
    host, port = reader.text(), reader.unpack(_PORT)[0]
    member.endpoint = None if host is None else Endpoint(host, port)
    member.client_tags = dict(_pairs(reader))
    member.assigned, member.revoking = _held(reader), _held(reader)
    member.target = Assignment(_tasks(reader), _tasks(reader), _tasks(reader))
    return member


def _held(reader: Reader) -> Held:
    active: dict[TaskId, int] = {}
    for _ in range(reader.length()):
        task = _task(reader)
        active[task] = reader.unpack(_INT)[0]
    return Held(active, _tasks(reader), _tasks(reader))


def _put_task(out: bytearray, task: TaskId) -> None:
    put_text(out, task[0])
    out += _INT.pack(task[1])


def _task(reader: Reader) -> TaskId:
    return reader.string(), reader.unpack(_INT)[0]


def _put_tasks(out: bytearray, tasks: Tasks) -> None:
    out += LENGTH.pack(len(tasks))
    for task in sorted(tasks):
        _put_task(out, task)


def _tasks(reader: Reader) -> Tasks:
    return frozenset(_task(reader) for _ in range(reader.length()))


# -- lists


def _put_strings(out: bytearray, strings: Iterable[str]) -> None:
    strings = list(strings)
    out += LENGTH.pack(len(strings))
    for text in strings:
        put_text(out, text)


def _strings(reader: Reader) -> tuple[str, ...]:
    return tuple(reader.string() for _ in range(reader.length()))


def _put_pairs(out: bytearray, pairs: Iterable[tuple[str, str]] | Mapping[str, str]) -> None:
    pairs = sorted(pairs.items() if isinstance(pairs, Mapping) else pairs)
    out += LENGTH.pack(len(pairs))
    for name, value in pairs:
        put_text(out, name)
        put_text(out, value)


def _pairs(reader: Reader) -> tuple[tuple[str, str], ...]:
    return tuple((reader.string(), reader.string()) for _ in range(reader.length()))
