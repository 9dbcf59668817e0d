"""`TopicStore` in memory."""

from __future__ import annotations

from ..errors import StoreCorrupt, TopicExists, TopicMissing
from ..rows import PartitionRow, TopicRow
from .state import MemoryState, MemoryTopic, copy_partition


class MemoryTopicStore:
    """See `moldau.metadata.ports.TopicStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def load_topics(self) -> list[TopicRow]:
        return [self._row(topic) for topic in self._state.topics.values() if topic.alive]

    async def create_topic(
        self, topic_id: bytes, name: str, partitions: int, configs: dict[str, str], now: int
    ) -> TopicRow:
        if any(topic.alive and topic.name == name for topic in self._state.topics.values()):
            raise TopicExists(f"topic {name!r} exists")
        if topic_id in self._state.topics:
            raise StoreCorrupt(f"the id {topic_id.hex()} is taken")
        topic = self._state.topics[topic_id] = MemoryTopic(topic_id, name, dict(configs), now)
        self._grow(topic, partitions)
        return self._row(topic)

    async def delete_topic(self, topic_id: bytes, now: int) -> None:
        topic = self._alive(topic_id)
        topic.alive = False
        for partition_id in topic.partition_ids:
            self._state.partitions[partition_id].alive = False

    async def add_partitions(self, topic_id: bytes, total: int) -> TopicRow:
        topic = self._alive(topic_id)
        self._grow(topic, total)
        return self._row(topic)

    async def set_topic_configs(self, topic_id: bytes, configs: dict[str, str]) -> None:
        self._alive(topic_id).configs = dict(configs)

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
        partitions = [copy_partition(self._state.partitions[partition_id]) for partition_id in topic.partition_ids]
        return TopicRow(topic.topic_id, topic.name, dict(topic.configs), topic.created_ms, partitions)
