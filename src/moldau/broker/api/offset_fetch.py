"""OffsetFetch 1-10: what groups have committed (several groups from 8, KIP-709; member ids from 9, KIP-848; topic ids in 10, KIP-516).

Null topics (from 2) means all. What is not committed is offset -1 with empty metadata, also for unknown groups and topic names; an
unknown topic id is UNKNOWN_TOPIC_ID. Who says to be a member of a consumer group must be one: UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH. With `require_stable` (7, KIP-447) what an open transaction may change is UNSTABLE_OFFSET_COMMIT: ask again.
The error of a store that does not answer is COORDINATOR_NOT_AVAILABLE, for the group where the version can say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.metadata.rows_groups import OffsetRow
from moldau.protocol import error_codes
from moldau.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> OffsetFetchResponse:
    message: OffsetFetchRequest = request.message
    if request.version < 8:
        return await _one_group(broker, message, request.version)
    by_id = request.version >= 10
    stable = message.require_stable
    return OffsetFetchResponse(groups=[await _group(broker, asked, by_id, stable) for asked in message.groups])


async def _group(broker: Broker, asked: OffsetFetchRequestGroup, by_id: bool, stable: bool) -> OffsetFetchResponseGroup:
    code = broker.groups.error_of(asked.group_id) if stable else error_codes.NONE
    code = code or broker.groups.validate_fetch(asked.group_id, asked.member_id, asked.member_epoch)
    if code:
        return OffsetFetchResponseGroup(group_id=asked.group_id, error_code=code)
    try:
        topics = await _topics(broker, asked.group_id, asked.topics, by_id, stable)
    except StoreError:
        return OffsetFetchResponseGroup(group_id=asked.group_id, error_code=error_codes.COORDINATOR_NOT_AVAILABLE)
    return OffsetFetchResponseGroup(group_id=asked.group_id, topics=topics)


async def _one_group(broker: Broker, message: OffsetFetchRequest, version: int) -> OffsetFetchResponse:
    """Below version 8: the same in other classes."""
    stable = version >= 7 and message.require_stable
    error_code = broker.groups.error_of(message.group_id) if stable else error_codes.NONE
    if error_code:
        return OffsetFetchResponse(error_code=error_code, topics=[])
    try:
        found = await _topics(broker, message.group_id, message.topics, by_id=False, stable=stable)
    except StoreError:
        error_code = error_codes.COORDINATOR_NOT_AVAILABLE
        found = [_without_offsets(topic, error_code) for topic in message.topics or ()] if version < 2 else []
    return OffsetFetchResponse(
        error_code=error_code,
        topics=[
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=each.partition_index,
                        committed_offset=each.committed_offset,
                        committed_leader_epoch=each.committed_leader_epoch,
                        metadata=each.metadata,
                        error_code=each.error_code,
                    )
                    for each in topic.partitions
                ],
            )
            for topic in found
        ],
    )


async def _topics(
    broker: Broker,
    group_id: str,
    asked: Sequence[OffsetFetchRequestTopic | OffsetFetchRequestTopics] | None,
    by_id: bool,
    stable: bool,
) -> list[OffsetFetchResponseTopics]:
    """The topics asked for, or all. Raises StoreError."""
    if asked is None:
        rows, unstable = await _rows(broker, group_id, None, stable)
        await broker.catalog.look_for((row.topic_id, -1) for row in rows)
        return _all(broker, rows, unstable)
    await broker.catalog.look_for((_name_or_id(topic, by_id), -1) for topic in asked)
    ids = [_topic_id(broker, topic, by_id) for topic in asked]
    keys = [
        (topic_id, index)
        for topic_id, topic in zip(ids, asked, strict=True)
        if topic_id is not None
        for index in topic.partition_indexes
    ]
    rows, unstable = await _rows(broker, group_id, keys, stable) if keys else ([], set())
    found = {(row.topic_id, row.partition): row for row in rows}
    answers = []
    for topic_id, topic in zip(ids, asked, strict=True):
        if topic_id is None:
            answers.append(_without_offsets(topic, error_codes.UNKNOWN_TOPIC_ID if by_id else error_codes.NONE))
            continue
        partitions = []
        for index in topic.partition_indexes:
            row = found.get((topic_id, index))
            if unstable is None or (topic_id, index) in unstable:
                partitions.append(_no_offset(index, error_codes.UNSTABLE_OFFSET_COMMIT))
            else:
                partitions.append(_partition(row) if row is not None else _no_offset(index, error_codes.NONE))
        answers.append(OffsetFetchResponseTopics(name=topic.name, topic_id=topic_id, partitions=partitions))
    return answers


async def _rows(
    broker: Broker, group_id: str, keys: list[tuple[bytes, int]] | None, stable: bool
) -> tuple[list[OffsetRow], set[tuple[bytes, int]] | None]:
    """What is committed, and (topic id, partition) of what may change; None: of all that there is. Raises StoreError."""
    if not stable:
        return await broker.groups.fetch_offsets(group_id, keys), set()
    rows, pending = await broker.groups.fetch_stable(group_id, keys)
    if pending is None:
        return (await broker.groups.fetch_offsets(group_id, None) if keys is None else []), None
    return rows, {(key.topic_id, key.partition) for key in pending}


def _topic_id(broker: Broker, asked: OffsetFetchRequestTopic | OffsetFetchRequestTopics, by_id: bool) -> bytes | None:
    """The id of a topic that is alive."""
    key = _name_or_id(asked, by_id)
    topic = broker.catalog.by_name.get(key) if isinstance(key, str) else broker.catalog.by_id.get(key)
    return topic.topic_id if topic is not None else None


def _name_or_id(asked: OffsetFetchRequestTopic | OffsetFetchRequestTopics, by_id: bool) -> str | bytes:
    return asked.topic_id if by_id and isinstance(asked, OffsetFetchRequestTopics) else asked.name


def _all(
    broker: Broker, rows: list[OffsetRow], unstable: set[tuple[bytes, int]] | None
) -> list[OffsetFetchResponseTopics]:
    """Rows come sorted by topic; those of topics that are gone are left out. What has only a pending offset has none yet."""
    answers: list[OffsetFetchResponseTopics] = []
    for row in rows:
        name = broker.catalog.name_of(row.topic_id)
        if name is None:
            continue
        if not answers or answers[-1].topic_id != row.topic_id:
            answers.append(OffsetFetchResponseTopics(name=name, topic_id=row.topic_id, partitions=[]))
        if unstable is None or (row.topic_id, row.partition) in unstable:
            answers[-1].partitions.append(_no_offset(row.partition, error_codes.UNSTABLE_OFFSET_COMMIT))
        else:
            answers[-1].partitions.append(_partition(row))
    return answers


def _without_offsets(
    asked: OffsetFetchRequestTopic | OffsetFetchRequestTopics, error_code: int
) -> OffsetFetchResponseTopics:
    answer = OffsetFetchResponseTopics(
        name=asked.name, partitions=[_no_offset(index, error_code) for index in asked.partition_indexes]
    )
    if isinstance(asked, OffsetFetchRequestTopics):
        answer.topic_id = asked.topic_id
    return answer


def _partition(row: OffsetRow) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=row.partition,
        committed_offset=row.offset,
        committed_leader_epoch=row.leader_epoch,
        metadata=row.metadata,
    )


def _no_offset(index: int, error_code: int) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(partition_index=index, committed_offset=-1, error_code=error_code)
