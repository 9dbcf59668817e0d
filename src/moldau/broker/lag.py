"""How far groups are behind: worked out when somebody asks, kept for some seconds, bounded in what one look costs.

In offsets it is the high watermark less what is committed. In seconds it is the age of the oldest record that is not consumed, by the
time its batch was appended; where small extents were merged that is the time of the merged one, so it may be too small by what one
extent spans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError

if TYPE_CHECKING:
    from moldau.log.view import PartitionView

    from .broker import Broker

FRESH_MS = 10_000
"""A look younger than this is not repeated."""
GROUPS_MAX = 1_000
LOOKUPS_MAX = 200
"""Views loaded and extents looked up in the store in one look; what comes after it is left out."""


class Lag:
    """One group's lag in one partition. `age_ms` is 0 where there is none, and -1 where it was not found out."""

    __slots__ = ("age_ms", "committed", "group", "offsets", "partition", "topic")

    def __init__(self, group: str, topic: str, partition: int, committed: int, offsets: int, age_ms: int) -> None:
        self.group = group
        self.topic = topic
        self.partition = partition
        self.committed = committed
        self.offsets = offsets
        self.age_ms = age_ms


class GroupLag:
    """See the module's text."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._rows: list[Lag] = []
        self._at = -FRESH_MS
        self._lookups = 0

    async def rows(self) -> list[Lag]:
        """All groups of this broker with committed offsets; the last look where the store does not answer."""
        now = self._broker.steady_clock()
        if now - self._at >= FRESH_MS:
            self._at = now  # whoever asks meanwhile gets the last look
            self._lookups = 0
            try:
                self._rows = await self._look()
            except StoreError:
                pass  # told by other means
        return self._rows

    async def _look(self) -> list[Lag]:
        broker = self._broker
        now = broker.clock()
        found: list[Lag] = []
        for listed in broker.groups.list_groups()[:GROUPS_MAX]:
            for row in await broker.groups.fetch_offsets(listed.group_id, None):
                topic = broker.catalog.by_id.get(row.topic_id)
                if topic is None or row.partition >= len(topic.partition_ids):
                    continue
                view = await self._view(topic.partition_ids[row.partition])
                if view is not None:
                    offsets = max(0, view.high_watermark - max(row.offset, view.log_start_offset))
                    age = await self._age_ms(view, row.offset, now) if offsets else 0
                    found.append(Lag(listed.group_id, topic.name, row.partition, row.offset, offsets, age))
        return found

    async def _view(self, partition_id: int) -> PartitionView | None:
        view = self._broker.views.get(partition_id)
        if view is None and self._may_look():
            view = await self._broker.views.load(partition_id)
        return view

    async def _age_ms(self, view: PartitionView, offset: int, now: int) -> int:
        offset = max(offset, view.log_start_offset)
        if offset >= view.tail_start:
            at = view.find(offset)
            if at < len(view.extents):
                return max(0, now - view.extents[at].appended_at)
        if not self._may_look():
            return -1
        extents = await self._broker.log_store.extents_from(view.partition_id, offset, 1)
        return max(0, now - extents[0].appended_at) if extents else -1

    def _may_look(self) -> bool:
        self._lookups += 1
        return self._lookups <= LOOKUPS_MAX
