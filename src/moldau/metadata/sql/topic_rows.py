"""`TopicStore` on any SQL engine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..errors import TopicExists, TopicMissing
from ..ports import ConfigChange
from ..rows import Altered, Assigned, PartitionRow, TopicRow
from .log_rows import partition_of
from .tx import Engine, Tx


class SqlTopicStore:
    """See `moldau.metadata.ports.TopicStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def load_topics(self) -> list[TopicRow]:
        return await self._engine.read(load_topics)

    async def create_topic(
        self,
        topic_id: bytes,
        name: str,
        partitions: int,
        configs: dict[str, str],
        now: int,
        replication_factor: int = 1,
        assigned: Assigned | None = None,
    ) -> TopicRow:
        async def body(tx: Tx) -> TopicRow:
            version = await raise_version(tx)
            columns = {"topic_id": topic_id, "name": name, "configs": json.dumps(configs), "now": now}
            columns |= {"replication_factor": replication_factor, "assigned": json.dumps(assigned or {})}
            if not await tx.run("topic_insert", version=version, **columns):
                raise TopicExists(f"topic {name!r} exists")
            rows = await _insert_partitions(tx, topic_id, 0, partitions)
            return TopicRow(topic_id, name, dict(configs), now, rows, replication_factor, version, assigned)

        return await self._engine.write(body)

    async def delete_topic(self, topic_id: bytes, now: int) -> int:
        async def body(tx: Tx) -> int:
            version = await raise_version(tx)
            if not await tx.run("topic_delete", topic_id=topic_id, now=now, version=version):
                raise _missing(topic_id)
            await tx.run("partitions_of_topic_lock", topic_id=topic_id)
            await tx.run("partitions_kill", topic_id=topic_id)
            return version

        return await self._engine.write(body)

    async def add_partitions(self, topic_id: bytes, total: int, assigned: Assigned | None = None) -> TopicRow:
        async def body(tx: Tx) -> TopicRow:
            topics = await tx.run("topic_get", topic_id=topic_id)
            if not topics:
                raise _missing(topic_id)
            partitions = await _partitions(tx, topic_id)
            if total > len(partitions):
                topics = await tx.run("topic_touch", topic_id=topic_id, version=await raise_version(tx))
                if not topics:
                    raise _missing(topic_id)
                partitions = await _partitions(tx, topic_id)  # as they are now that nobody else changes them
                added = {index: to for index, to in (assigned or {}).items() if index >= len(partitions)}
                partitions += await _insert_partitions(tx, topic_id, len(partitions), total)
                return await _assign(tx, topic_of(topics[0], partitions), added)
            return topic_of(topics[0], partitions)

        return await self._engine.write(body)

    async def assign_partitions(self, topic_id: bytes, assigned: Assigned) -> TopicRow:
        async def body(tx: Tx) -> TopicRow:
            topics = await tx.run("topic_touch", topic_id=topic_id, version=await raise_version(tx))
            if not topics:
                raise _missing(topic_id)
            return await _assign(tx, topic_of(topics[0], await _partitions(tx, topic_id)), assigned)

        return await self._engine.write(body)

    async def alter_topic_configs(self, topic_id: bytes, change: ConfigChange) -> Altered:
        async def body(tx: Tx) -> Altered:
            version = await raise_version(tx)
            rows = await tx.run("topic_get", topic_id=topic_id)
            if not rows:
                raise _missing(topic_id)
            configs = change(json.loads(rows[0][2]))
            await tx.run("topic_set_configs", topic_id=topic_id, configs=json.dumps(configs), version=version)
            return Altered(configs, version)

        return await self._engine.write(body)


async def raise_version(tx: Tx) -> int:
    """First in each transaction that changes topics, partitions, configs or entities: until its end nobody else changes any."""
    return int((await tx.run("metadata_version_raise"))[0][0])


def topic_of(row: tuple[Any, ...], partitions: list[PartitionRow]) -> TopicRow:
    """A row of `topics_alive`, and its partitions."""
    topic_id, name, configs, created_ms, replication_factor, version, packed = row
    assigned = {int(index): to for index, to in json.loads(packed).items()}
    return TopicRow(topic_id, name, json.loads(configs), created_ms, partitions, replication_factor, version, assigned)


def partitions_by_topic(rows: Iterable[PartitionRow]) -> dict[bytes, list[PartitionRow]]:
    """In the order they come."""
    partitions: dict[bytes, list[PartitionRow]] = {}
    for row in rows:
        partitions.setdefault(row.topic_id, []).append(row)
    return partitions


async def load_topics(tx: Tx) -> list[TopicRow]:
    """All that are alive."""
    partitions = partitions_by_topic(map(partition_of, await tx.run("partitions_alive")))
    return [topic_of(row, partitions.get(row[0], [])) for row in await tx.run("topics_alive")]


async def _partitions(tx: Tx, topic_id: bytes) -> list[PartitionRow]:
    return [partition_of(row) for row in await tx.run("partitions_of_topic", topic_id=topic_id)]


async def _assign(tx: Tx, row: TopicRow, assigned: Assigned) -> TopicRow:
    """Add to what is assigned of the topic, which has been touched."""
    known = {index: to for index, to in assigned.items() if index < len(row.partitions)}
    if known:
        row.assigned |= known
        await tx.run("topic_set_assigned", topic_id=row.topic_id, assigned=json.dumps(row.assigned))
    return row


def _missing(topic_id: bytes) -> TopicMissing:
    return TopicMissing(f"no topic has the id {topic_id.hex()}")


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
