"""`CatalogStore` on any SQL engine."""

from __future__ import annotations

from ..rows import Changes, TopicRow
from .cluster_rows import load_entities
from .log_rows import partition_of
from .topic_rows import load_topics, partitions_by_topic, topic_of
from .tx import Engine, Tx

PAGE = 200
"""Topics that one query brings; as it stands in the query."""


class SqlCatalogStore:
    """See `moldau.metadata.ports.CatalogStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def version(self) -> int:
        async def body(tx: Tx) -> int:
            return int((await tx.run("metadata_version"))[0][0])

        return await self._engine.read(body)

    async def changes(self, since: int) -> Changes:
        async def body(tx: Tx) -> Changes:
            numbers = dict(await tx.run("metadata_versions"))
            version = numbers["metadata_version"]
            if since < numbers["metadata_floor"]:
                return Changes(version, True, await load_topics(tx), [], await load_entities(tx))
            entities = await load_entities(tx) if since < numbers["entity_version"] else None
            topics, deleted = await _topics_since(tx, since) if since < version else ([], [])
            return Changes(version, False, topics, deleted, entities)

        return await self._engine.read(body)


async def _topics_since(tx: Tx, since: int) -> tuple[list[TopicRow], list[bytes]]:
    topics: list[TopicRow] = []
    deleted: list[bytes] = []
    while True:
        rows = await tx.run("topics_changed", since=since)
        alive = [row[:-1] for row in rows if row[-1] is None]
        deleted += [row[0] for row in rows if row[-1] is not None]
        if alive:
            partitions = partitions_by_topic(map(partition_of, await tx.run("partitions_of_changed", since=since)))
            topics += [topic_of(row, partitions.get(row[0], [])) for row in alive]
        if len(rows) < PAGE:
            return topics, deleted
        since = rows[-1][5]
