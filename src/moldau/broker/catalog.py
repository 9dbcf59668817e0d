"""The topics this broker knows: a cache of the store's rows, by name and by id."""

from __future__ import annotations

import asyncio

from moldau.metadata.ports import TopicStore
from moldau.metadata.rows import TopicRow

from . import topic_configs


class Topic:
    """One topic that is alive. `partition_ids[i]` is the id of partition i."""

    __slots__ = ("configs", "created_ms", "name", "partition_ids", "retention", "rules", "topic_id")

    def __init__(self, row: TopicRow) -> None:
        self.topic_id = row.topic_id
        self.name = row.name
        self.created_ms = row.created_ms
        self.partition_ids = [partition.partition_id for partition in row.partitions]
        self.set_configs(row.configs)

    def set_configs(self, configs: dict[str, str]) -> None:
        """Take overrides, which were validated."""
        self.configs = configs
        self.rules = topic_configs.rules_of(configs)
        self.retention = topic_configs.retention_of(configs)


class Catalog:
    """Changes go through the store first, then into the cache."""

    def __init__(self, store: TopicStore) -> None:
        self._store = store
        self.by_name: dict[str, Topic] = {}
        self.by_id: dict[bytes, Topic] = {}
        self.changing = asyncio.Lock()

    def name_of(self, topic_id: bytes) -> str | None:
        """The name of a topic that is alive."""
        topic = self.by_id.get(topic_id)
        return topic.name if topic is not None else None

    async def load(self) -> None:
        """Take everything from the store."""
        for row in await self._store.load_topics():
            self.put(row)

    def put(self, row: TopicRow) -> Topic:
        """A topic was created or has grown."""
        topic = Topic(row)
        self.by_name[row.name] = self.by_id[row.topic_id] = topic
        return topic

    def remove(self, topic: Topic) -> None:
        """A topic was deleted."""
        if self.by_name.get(topic.name) is topic:
            del self.by_name[topic.name]
        self.by_id.pop(topic.topic_id, None)
