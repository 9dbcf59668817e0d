"""The topics this broker knows: a cache of the store's rows, by name and by id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from moldau.log.retention import KEEP_ALL, Retention
from moldau.metadata.ports import TopicStore
from moldau.metadata.rows import TopicRow

if TYPE_CHECKING:
    from .config.topic import TopicConfigs
    from .configs import Configs


class Topic:
    """One topic that is alive. `partition_ids[i]` is the id of partition i."""

    __slots__ = (
        "configs",
        "created_ms",
        "file_delete_delay_ms",
        "name",
        "partition_ids",
        "retention",
        "rules",
        "segment_bytes",
        "segment_ms",
        "topic_id",
    )

    def __init__(self, row: TopicRow, configs: TopicConfigs) -> None:
        self.topic_id = row.topic_id
        self.name = row.name
        self.created_ms = row.created_ms
        self.partition_ids = [partition.partition_id for partition in row.partitions]
        self.set_configs(row.configs, configs)

    def set_configs(self, overrides: dict[str, str], configs: TopicConfigs) -> None:
        """Take overrides, which were validated, over what the broker has."""
        self.configs = overrides
        config = configs.of(overrides)
        self.rules = config.rules()
        self.retention = Retention(config.retention_ms, config.retention_bytes) if config.deletes else KEEP_ALL
        self.segment_bytes = config.segment_bytes
        self.segment_ms = config.segment_ms
        self.file_delete_delay_ms = config.file_delete_delay_ms


class Catalog:
    """Changes go through the store first, then into the cache."""

    def __init__(self, store: TopicStore, configs: Configs) -> None:
        self._configs = configs
        self._store = store
        self.by_name: dict[str, Topic] = {}
        self.by_id: dict[bytes, Topic] = {}
        self.leader_epochs: dict[int, int] = {}
        """Of the partitions that are not at 0, as they were at the start."""
        self.by_partition: dict[int, Topic] = {}
        self.changing = asyncio.Lock()

    def name_of(self, topic_id: bytes) -> str | None:
        """The name of a topic that is alive."""
        topic = self.by_id.get(topic_id)
        return topic.name if topic is not None else None

    async def load(self) -> None:
        """Take everything from the store."""
        for row in await self._store.load_topics():
            self.put(row)
            for partition in row.partitions:
                if partition.leader_epoch:
                    self.leader_epochs[partition.partition_id] = partition.leader_epoch

    def put(self, row: TopicRow) -> Topic:
        """A topic was created or has grown."""
        topic = Topic(row, self._configs.topics)
        self.by_name[row.name] = self.by_id[row.topic_id] = topic
        self.grown(topic, topic.partition_ids)
        return topic

    def grown(self, topic: Topic, partition_ids: list[int]) -> None:
        """A topic has these partitions now."""
        topic.partition_ids = partition_ids
        self.by_partition.update(dict.fromkeys(partition_ids, topic))

    def remove(self, topic: Topic) -> None:
        """A topic was deleted."""
        if self.by_name.get(topic.name) is topic:
            del self.by_name[topic.name]
        self.by_id.pop(topic.topic_id, None)
        for partition_id in topic.partition_ids:
            self.by_partition.pop(partition_id, None)
