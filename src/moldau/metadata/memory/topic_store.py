"""`TopicStore` in memory."""

from __future__ import annotations

from ..errors import StoreCorrupt, TopicExists, TopicMissing
from ..ports import ConfigChange
from ..rows import Altered, Assigned, PartitionRow, TopicRow
from .state import MemoryState, MemoryTopic, copy_partition


class MemoryTopicStore:
    """See `moldau.metadata.ports.TopicStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def load_topics(self) -> list[TopicRow]:
        return [self._row(topic) for topic in self._state.topics.values() if topic.alive]

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
        if any(topic.alive and topic.name == name for topic in self._state.topics.values()):
            raise TopicExists(f"topic {name!r} exists")
        if topic_id in self._state.topics:
            raise StoreCorrupt(f"the id {topic_id.hex()} is taken")
        version = self._state.raise_version()
        topic = MemoryTopic(topic_id, name, dict(configs), now, replication_factor, version)
        topic.assigned = dict(assigned or {})
        self._state.topics[topic_id] = topic
        self._grow(topic, partitions)
        return self._row(topic)

    async def delete_topic(self, topic_id: bytes, now: int) -> int:
        topic = self._alive(topic_id)
        topic.alive = False
        for partition_id in topic.partition_ids:
            self._state.partitions[partition_id].alive = False
        topic.version = self._state.raise_version()
        return topic.version

    async def add_partitions(self, topic_id: bytes, total: int, assigned: Assigned | None = None) -> TopicRow:
        topic = self._alive(topic_id)
        have = len(topic.partition_ids)
        if total > have:
            topic.version = self._state.raise_version()
            topic.assigned |= {index: to for index, to in (assigned or {}).items() if index >= have}
            self._grow(topic, total)
        return self._row(topic)

    async def assign_partitions(self, topic_id: bytes, assigned: Assigned) -> TopicRow:
        topic = self._alive(topic_id)
        topic.version = self._state.raise_version()
        topic.assigned |= {index: to for index, to in assigned.items() if index < len(topic.partition_ids)}
        return self._row(topic)

    async def alter_topic_configs(self, topic_id: bytes, change: ConfigChange) -> Altered:
        topic = self._alive(topic_id)
        topic.configs = dict(change(dict(topic.configs)))
        topic.version = self._state.raise_version()
        return Altered(dict(topic.configs), topic.version)

    def _alive(self, topic_id: bytes) -> MemoryTopic:
        topic = self._state.topics.get(topic_id)
        if topic is None or not topic.alive:
            raise TopicMissing(f"no topic has the id {topic_id.hex()}")
        return topic

    def _grow(self, topic: MemoryTopic, total: int) -> None:
        for index in range(len(topic.partition_ids), total):
            partition_id = self._state.next_partition_id
            self._state.next_partition_id += 1
            self._state.partitions[partition_id] = PartitionRow(partition_id, topic.topic_id, index)
            topic.partition_ids.append(partition_id)

    def _row(self, topic: MemoryTopic) -> TopicRow:
        return row_of(self._state, topic)


def row_of(state: MemoryState, topic: MemoryTopic) -> TopicRow:
    """The topic as a value."""
    return TopicRow(
        topic.topic_id,
        topic.name,
        dict(topic.configs),
        topic.created_ms,
        [copy_partition(state.partitions[partition_id]) for partition_id in topic.partition_ids],
        topic.replication_factor,
        topic.version,
        topic.assigned,
    )
