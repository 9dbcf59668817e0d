"""DescribeLogDirs 1-5 (KIP-113, KIP-827): the data directory, what each partition takes in it, and the room on its disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DescribeLogDirsResponse:
    message: DescribeLogDirsRequest = request.message
    wanted = None if message.topics is None else {topic.topic: set(topic.partitions) for topic in message.topics}
    try:
        rows = await broker.topic_store.load_topics()
        total, free = _space(broker)
    except (StoreError, OSError):
        return DescribeLogDirsResponse(
            results=[DescribeLogDirsResult(error_code=error_codes.KAFKA_STORAGE_ERROR, log_dir=broker.data_dir)]
        )
    topics = []
    for row in rows:
        partitions = [
            DescribeLogDirsPartition(
                partition_index=partition.partition_index, partition_size=partition.bytes_total, offset_lag=0
            )
            for partition in row.partitions
            if (wanted is None or partition.partition_index in wanted.get(row.name, ()))
            and broker.members.partition_leader(partition.partition_id) == broker.node_id
        ]
        if partitions:
            topics.append(DescribeLogDirsTopic(name=row.name, partitions=partitions))
    return DescribeLogDirsResponse(
        results=[DescribeLogDirsResult(log_dir=broker.data_dir, topics=topics, total_bytes=total, usable_bytes=free)]
    )


def _space(broker: Broker) -> tuple[int, int]:
    """(bytes in all, bytes free); (-1, -1), as Kafka says it, for a store that brokers share, which has no end. Raises OSError."""
    if broker.peers is not None:
        return -1, -1
    disk = shutil.disk_usage(broker.data_dir)
    return disk.total, disk.free
