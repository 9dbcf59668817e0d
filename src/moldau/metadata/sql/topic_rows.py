"""`TopicStore` on any SQL engine."""

from __future__ import annotations

import json
from typing import Any

from ..errors import TopicExists, TopicMissing
from ..rows import PartitionRow, TopicRow
from .log_rows import partition_of
from .tx import Engine, Tx


class SqlTopicStore:
    """See `moldau.metadata.ports.TopicStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def load_topics(self) -> list[TopicRow]:
        return await self._engine.read(_load_topics)

    async def create_topic(
        self, topic_id: bytes, name: str, partitions: int, configs: dict[str, str], now: int
    ) -> TopicRow:
        async def body(tx: Tx) -> TopicRow:
            if not await tx.run("topic_insert", topic_id=topic_id, name=name, configs=json.dumps(configs), now=now):
                raise TopicExists(f"topic {name!r} exists")
            rows = await _insert_partitions(tx, topic_id, 0, partitions)
            return TopicRow(topic_id, name, dict(configs), now, rows)

        return await self._engine.write(body)

    async def delete_topic(self, topic_id: bytes, now: int) -> None:
        async def body(tx: Tx) -> None:
            if not await tx.run("topic_delete", topic_id=topic_id, now=now):
                raise TopicMissing(f"no topic has the id {topic_id.hex()}")
            await tx.run("partitions_of_topic_lock", topic_id=topic_id)
            await tx.run("partitions_kill", topic_id=topic_id)

        await self._engine.write(body)

    async def add_partitions(self, topic_id: bytes, total: int) -> TopicRow:
        async def body(tx: Tx) -> TopicRow:
            topics = await tx.run("topic_lock", topic_id=topic_id)
            if not topics:
                raise TopicMissing(f"no topic has the id {topic_id.hex()}")
            rows = await tx.run("partitions_of_topic", topic_id=topic_id)
            partitions = [partition_of(row) for row in rows]
            partitions += await _insert_partitions(tx, topic_id, len(partitions), total)
            return _topic_of(topics[0], partitions)

        return await self._engine.write(body)

    async def set_topic_configs(self, topic_id: bytes, configs: dict[str, str]) -> None:
        async def body(tx: Tx) -> None:
            if not await tx.run("topic_set_configs", topic_id=topic_id, configs=json.dumps(configs)):
                raise TopicMissing(f"no topic has the id {topic_id.hex()}")

        await self._engine.write(body)


def _topic_of(row: tuple[Any, ...], partitions: list[PartitionRow]) -> TopicRow:
    topic_id, name, configs, created_ms = row
    return TopicRow(topic_id, name, json.loads(configs), created_ms, partitions)


async def _load_topics(tx: Tx) -> list[TopicRow]:
    partitions: dict[bytes, list[PartitionRow]] = {}
    for row in await tx.run("partitions_alive"):
        partition = partition_of(row)
        partitions.setdefault(partition.topic_id, []).append(partition)
    return [_topic_of(row, partitions.get(row[0], [])) for row in await tx.run("topics_alive")]


async def _insert_partitions(tx: Tx, topic_id: bytes, start: int, end: int) -> list[PartitionRow]:
    count = end - start
    if count <= 0:
        return []
    next_id = (await tx.run("partition_ids_reserve", count=count))[0][0] - count
    rows = [PartitionRow(next_id + index - start, topic_id, index) for index in range(start, end)]
    await tx.run_many(
        "partition_insert",
        [
            {"partition_id": row.partition_id, "topic_id": topic_id, "partition_index": row.partition_index}
            for row in rows
        ],
    )
    return rows
