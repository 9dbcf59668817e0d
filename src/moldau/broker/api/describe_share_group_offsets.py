"""DescribeShareGroupOffsets 0-1: how far share groups are in partitions (KIP-932), and from 1 how many records are before them (KIP-1226).

The offset is that of the first record which is not done with; -1 where the group has not begun. The lag counts what is from there on and not
done with; it is that of committed records for groups that read those. A group or topic that there is not has begun nowhere, as in Kafka.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.at_once import gather
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup,
    DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request
    from moldau.metadata.rows_share import ShareRow

_UNKNOWN = -1


async def handle(broker: Broker, request: Request) -> DescribeShareGroupOffsetsResponse:
    message: DescribeShareGroupOffsetsRequest = request.message
    return DescribeShareGroupOffsetsResponse(groups=await gather(_group(broker, asked) for asked in message.groups))


async def _group(
    broker: Broker, asked: DescribeShareGroupOffsetsRequestGroup
) -> DescribeShareGroupOffsetsResponseGroup:
    code, why, _ = broker.groups.details("share", asked.group_id)
    if code not in (error_codes.NONE, error_codes.GROUP_ID_NOT_FOUND):
        return DescribeShareGroupOffsetsResponseGroup(group_id=asked.group_id, error_code=code, error_message=why)
    try:
        stored = {(row.topic_id, row.partition): row for row in await broker.shares.store.of_group(asked.group_id)}
        if asked.topics is not None:
            await broker.catalog.look_for((topic.topic_name, -1) for topic in asked.topics)
    except StoreError as error:
        return DescribeShareGroupOffsetsResponseGroup(
            group_id=asked.group_id, error_code=error_codes.COORDINATOR_NOT_AVAILABLE, error_message=str(error)
        )
    wanted: dict[str, list[int]] = {}
    if asked.topics is None:
        for topic_id, partition in sorted(stored):
            name = broker.catalog.name_of(topic_id)
            if name is not None:
                wanted.setdefault(name, []).append(partition)
    else:
        for topic in asked.topics:
            wanted.setdefault(topic.topic_name, []).extend(topic.partitions)
    topics = []
    for name, partitions in wanted.items():
        known = broker.catalog.by_name.get(name)
        if known is None:
            nowhere = [
                DescribeShareGroupOffsetsResponsePartition(partition_index=each, start_offset=_UNKNOWN)
                for each in partitions
            ]
            topics.append(DescribeShareGroupOffsetsResponseTopic(topic_name=name, partitions=nowhere))
            continue
        answers = await gather(
            _partition(
                broker,
                asked.group_id,
                known.partition_ids,
                each,
                stored.get((known.topic_id, each)),
            )
            for each in partitions
        )
        topics.append(
            DescribeShareGroupOffsetsResponseTopic(topic_name=name, topic_id=known.topic_id, partitions=answers)
        )
    return DescribeShareGroupOffsetsResponseGroup(group_id=asked.group_id, topics=topics)


async def _partition(
    broker: Broker, group: str, partition_ids: list[int], index: int, row: ShareRow | None
) -> DescribeShareGroupOffsetsResponsePartition:
    if not 0 <= index < len(partition_ids):
        return DescribeShareGroupOffsetsResponsePartition(
            partition_index=index,
            start_offset=_UNKNOWN,
            error_code=error_codes.UNKNOWN_TOPIC_OR_PARTITION,
            error_message=error_codes.name(error_codes.UNKNOWN_TOPIC_OR_PARTITION),
        )
    if row is None:
        return DescribeShareGroupOffsetsResponsePartition(partition_index=index, start_offset=_UNKNOWN)
    start, lag = row.start_offset, _UNKNOWN
    try:
        view = await broker.refresher.refresh(partition_ids[index])
    except StoreError:
        view = None
    if view is not None:
        committed = broker.configs.of_group(group)["share.isolation.level"] == "read_committed"
        end = view.last_stable_offset if committed else view.high_watermark
        if view.log_start_offset > start:
            start, lag = view.log_start_offset, max(end - view.log_start_offset, 0)
        else:
            lag = max(end - start - row.final_count, 0)
    return DescribeShareGroupOffsetsResponsePartition(
        partition_index=index, start_offset=start, leader_epoch=row.leader_epoch, lag=lag
    )
