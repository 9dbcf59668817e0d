"""The topics this broker knows: a cache of the store's rows, by name and by id; and how it follows what other brokers change.

Theory of operation
-------------------
The metadata store keeps one version that rises with each change of topics, partitions, configs and entities, and each topic's row has the
version of its last change. `version` is how far this broker has followed. A heartbeat or a note that names another one is a `hint`; what
changed since is then read in one snapshot and applied, under `changing`, which local changes hold too. So what is read is never older than
what is here, but when the store itself went back: then everything is taken anew.

Rule: nothing is refused as unknown, or as taken, on a catalog that may be stale. `look_for` and `fresh` answer after a query that began later than the
call. All who ask meanwhile share one, and two of them begin `PAUSE_SECONDS` apart: a client that asks for nonsense in a loop waits, and costs 20 small
queries a second. What another broker says that it changed is read sooner, `NEWS_PAUSE_SECONDS` after the query before: a client that sets something at one
broker and goes on at another finds it in force. A broker that is alone with its stores (`shared` False) never asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from moldau.log.retention import KEEP_ALL, Retention
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.metadata.ports import CatalogStore
from moldau.metadata.rows import Changes, TopicRow

if TYPE_CHECKING:
    from .config.topic import TopicConfig, TopicConfigs
    from .configs import Configs

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05
"""Between the beginnings of two queries at least."""
NEWS_PAUSE_SECONDS = 0.005
"""The same when a version is told that is newer than what is here: 200 changes a second at others cost one query each, more of them share some."""


class Topic:
    """One topic that is alive. `partition_ids[i]` is the id of partition i; `version` is the metadata version of its last change."""

    __slots__ = (
        "compaction",
        "configs",
        "created_ms",
        "file_delete_delay_ms",
        "name",
        "partition_ids",
        "replication_factor",
        "retention",
        "rules",
        "segment_bytes",
        "segment_ms",
        "storage",
        "topic_id",
        "version",
    )

    def __init__(self, row: TopicRow, configs: TopicConfigs) -> None:
        self.topic_id = row.topic_id
        self.name = row.name
        self.created_ms = row.created_ms
        self.replication_factor = row.replication_factor
        self.take(row, configs)

    def take(self, row: TopicRow, configs: TopicConfigs) -> None:
        """As it is now."""
        self.version = row.version
        self.partition_ids = [partition.partition_id for partition in row.partitions]
        self.set_configs(row.configs, configs)

    def set_configs(self, overrides: dict[str, str], configs: TopicConfigs) -> None:
        """Take overrides, which were validated, over what the broker has."""
        self.configs = overrides
        config = configs.of(overrides)
        self.rules = config.rules()
        self.retention = Retention(config.retention_ms, config.retention_bytes) if config.deletes else KEEP_ALL
        self.compaction: TopicConfig | None = config if config.compacts else None
        """What says how it is compacted, if it is."""
        self.segment_bytes = config.segment_bytes
        self.segment_ms = config.segment_ms
        self.file_delete_delay_ms = config.file_delete_delay_ms
        self.storage = config.moldau_storage


class Catalog:
    """See the module's text. Changes go through the store first, then into the cache."""

    def __init__(self, store: CatalogStore, configs: Configs, *, shared: bool = False) -> None:
        """`shared`: other brokers change the same store."""
        self._configs = configs
        self._store = store
        self.shared = shared
        self.version = -1
        """The metadata version up to which everything is here."""
        self.topics_version = 0
        """Rises with each topic that comes, goes or grows here."""
        self.by_name: dict[str, Topic] = {}
        self.by_id: dict[bytes, Topic] = {}
        self.leader_epochs: dict[int, int] = {}
        """Of the partitions that are not at 0, as they were when their topic was last read."""
        self.assigned: dict[int, list[int]] = {}
        """Partitions that were assigned by hand, and to which brokers."""
        self.by_partition: dict[int, Topic] = {}
        self.changing = asyncio.Lock()
        self.gone: Callable[[int], None] = _nobody
        """Called with the id of each partition whose topic was deleted, by whomever."""
        self.tell: Callable[[int], None] = _nobody
        """Called with the metadata version of each change that this broker made."""
        self.entities_changed: Callable[[], Awaitable[None]] = _nothing
        """Awaited before changes of entities, among which are levels of features, are taken. Raises StoreError."""
        self.queries = 0
        """How often the store was asked for its version."""
        self.rows_read = 0
        """Topics, partitions and entities that were read to follow."""
        self._asked: asyncio.Future[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = -PAUSE_SECONDS
        self._news = asyncio.Event()

    def name_of(self, topic_id: bytes) -> str | None:
        """The name of a topic that is alive."""
        topic = self.by_id.get(topic_id)
        return topic.name if topic is not None else None

    async def load(self) -> None:
        """Take everything from the store. Raises StoreError."""
        self._apply(await self._store.changes(-1))

    # -- what others changed ------------------------------------------------------------------------------------------

    def hint(self, version: int) -> None:
        """Somebody says that this is the metadata version: if that is news, follow it beside everything else."""
        if self.shared and version != self.version:
            if version > self.version:
                self._news.set()
            self._ask()

    def suspect(self) -> None:
        """Something here is not as the store has it: a partition was gone, say. Follow beside everything else."""
        if self.shared:
            self._ask()

    async def follow(self, version: int) -> None:
        """As `hint`, and wait for it. Raises StoreError."""
        if self.shared and version != self.version:
            await asyncio.shield(self._ask())

    async def fresh(self) -> None:
        """With everything that was committed before the call. Raises StoreError."""
        if self.shared:
            await asyncio.shield(self._ask())

    async def look_for(self, asked: Iterable[tuple[str | bytes, int]]) -> None:
        """Fresh, if any of this is not known: (name or id, highest index of a partition or -1). Raises StoreError."""
        if self.shared and not all(self.knows(topic, index) for topic, index in asked):
            await asyncio.shield(self._ask())

    def knows(self, name_or_id: str | bytes, index: int = -1) -> bool:
        """Whether the topic is here, with that many partitions."""
        topic = self.by_name.get(name_or_id) if isinstance(name_or_id, str) else self.by_id.get(name_or_id)
        return topic is not None and index < len(topic.partition_ids)

    def _ask(self) -> asyncio.Future[None]:
        """Done after a query that began later than this call. To be awaited under a shield: it is everybody's."""
        if self._asked is None:
            loop = asyncio.get_running_loop()
            self._asked = loop.create_future()
            self._asked.add_done_callback(_look_at)
            if self._asking is None:
                self._asking = loop.create_task(self._ask_all(), name="moldau-catalog")
        return self._asked

    async def _ask_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._asked is not None:
                await self._pause()
                async with self.changing:
                    asked, self._asked = self._asked, None
                    self._news.clear()
                    self._asked_at = loop.time()
                    try:
                        await self.look()
                    except StoreError as error:
                        asked.set_exception(error)
                    except Exception as error:  # our fault; but those who asked must hear of it
                        log.exception("event=catalog_failed")
                        asked.set_exception(StoreUnavailable(f"the catalog cannot be read: {error!r}"))
                    except BaseException:
                        asked.set_exception(StoreUnavailable("the broker stops"))
                        raise
                    else:
                        asked.set_result(None)
        finally:
            self._asking = None

    async def _pause(self) -> None:
        """Until the next query may begin."""
        loop = asyncio.get_running_loop()
        if (left := self._asked_at + PAUSE_SECONDS - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
        await asyncio.sleep(max(0.0, self._asked_at + min(NEWS_PAUSE_SECONDS, PAUSE_SECONDS) - loop.time()))

    async def close(self) -> None:
        """Ask no more; who waits is refused."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        if self._asked is not None:
            asked, self._asked = self._asked, None
            asked.set_exception(StoreUnavailable("the broker stops"))

    async def look(self) -> None:
        """Catch up now. The caller holds `changing`. Raises StoreError."""
        self.queries += 1
        if await self._store.version() == self.version:
            return
        changes = await self._store.changes(self.version)
        if changes.version < self.version:
            log.error(
                "event=store_went_back metadata_version=%d known=%d advice='it lost commits: see docs/operations.md'",
                changes.version,
                self.version,
            )
            changes = await self._store.changes(-1)
        if changes.entities is not None:
            await self.entities_changed()
        self._apply(changes)

    async def looked(self) -> bool:
        """After a change whose answer was lost: whether it could be found out what became of it. The caller holds `changing`."""
        if not self.shared:
            return False
        try:
            await self.look()
        except StoreError as error:
            log.warning("event=catalog_not_read error='%s'", error)
            return False
        return True

    def _apply(self, changes: Changes) -> None:
        if changes.entities is not None:
            self._configs.take(changes.entities)
            self.rows_read += len(changes.entities)
        gone = [topic_id for topic_id in changes.deleted if topic_id in self.by_id]
        if changes.whole:
            gone += self.by_id.keys() - {row.topic_id for row in changes.topics}
        for topic_id in gone:
            self.remove(self.by_id[topic_id])
        for row in changes.topics:
            self.put(row)
            self.rows_read += 1 + len(row.partitions)
        self.rows_read += len(changes.deleted)
        self.version = changes.version

    # -- what is here -------------------------------------------------------------------------------------------------

    def made(self, version: int) -> None:
        """A change of this broker's, which is in the cache by now, has that metadata version."""
        if version == self.version + 1:
            self.version = version  # else somebody else's came between, which is read with the next hint
        self.tell(version)

    def put(self, row: TopicRow) -> Topic:
        """A topic as it is now: new, grown, or with other configs."""
        topic = self.by_id.get(row.topic_id)
        if topic is None or len(topic.partition_ids) != len(row.partitions):
            self.topics_version += 1
        if topic is None:
            topic = self.by_id[row.topic_id] = Topic(row, self._configs.topics)
        else:
            topic.take(row, self._configs.topics)
        self.by_name[row.name] = topic
        self.by_partition.update(dict.fromkeys(topic.partition_ids, topic))
        for partition in row.partitions:
            if partition.leader_epoch:
                self.leader_epochs[partition.partition_id] = partition.leader_epoch
            if partition.partition_index in row.assigned:
                self.assigned[partition.partition_id] = row.assigned[partition.partition_index]
        return topic

    def remove(self, topic: Topic) -> None:
        """A topic was deleted."""
        self.topics_version += 1
        if self.by_name.get(topic.name) is topic:
            del self.by_name[topic.name]
        self.by_id.pop(topic.topic_id, None)
        for partition_id in topic.partition_ids:
            self.by_partition.pop(partition_id, None)
            self.leader_epochs.pop(partition_id, None)
            self.assigned.pop(partition_id, None)
            self.gone(partition_id)


def _nobody(_: int) -> None:
    pass


async def _nothing() -> None:
    pass


def _look_at(future: asyncio.Future[None]) -> None:
    """Who only hinted does not wait for the answer; an error is told by the next one who asks."""
    if not future.cancelled() and future.exception() is not None:
        log.warning("event=catalog_not_followed error='%s'", future.exception())
