"""The partitions that one fetch asks for, and what this broker knows of each: its view, or the error that is answered instead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.primitives import ZERO_UUID

from .at_once import gather
from .fetch_sessions import Key, SessionPartition

if TYPE_CHECKING:
    from moldau.log.view import PartitionView
    from moldau.protocol.messages.fetch import FetchRequest

    from .broker import Broker

log = logging.getLogger(__name__)

Views = list["PartitionView | int"]
"""Of each partition its view, or an error code. 0: nothing is read of it here, and nothing is wrong (`FetchPlaces.near`)."""


class FetchPlaces:
    """See the module's text. `committed`: the fetch is for readers of committed records."""

    __slots__ = ("_blind", "broker", "committed", "message", "near", "partitions")

    def __init__(self, broker: Broker, message: FetchRequest, partitions: list[SessionPartition]) -> None:
        self.broker = broker
        self.message = message
        self.partitions = partitions
        self.committed: bool = message.isolation_level == 1
        self.near: dict[Key, tuple[int, PartitionView]] = {}
        """Consumers that are sent to a broker of their rack: its node id, and the view."""
        self._blind = False
        """The store did not say what it knows of partitions that are not known here."""

    # -- views and errors ---------------------------------------------------------------------------------------------

    def resolve(self, final: bool = False) -> Views | None:
        """None: something is to be looked up first (`look`), which `final` rules out."""
        views: Views = []
        self.near.clear()
        get = self.broker.views.get
        follower = self.is_follower()
        refreshes = self.broker.refresher.shared and not final
        steering = self.broker.steering
        looks = self.broker.catalog.shared and not final
        for partition in self.partitions:
            partition_id = self.partition_id(partition)
            if partition_id < 0:
                if looks:
                    return None
                if self._blind:
                    views.append(error_codes.KAFKA_STORAGE_ERROR)
                    continue
                unknown_id = partition.key[0] != ZERO_UUID and partition.key[0] not in self.broker.catalog.by_id
                views.append(error_codes.UNKNOWN_TOPIC_ID if unknown_id else error_codes.UNKNOWN_TOPIC_OR_PARTITION)
                continue
            elsewhere = steering.reader(partition_id, self.message.rack_id) if steering is not None else None
            if elsewhere is not None and elsewhere[0]:
                views.append(elsewhere[0])
                continue
            view = get(partition_id)
            if view is None:
                if not final:
                    return None
                views.append(error_codes.KAFKA_STORAGE_ERROR)
                continue
            if elsewhere is not None:
                self.near[partition.key] = (elsewhere[1], view)
                views.append(error_codes.NONE)
                continue
            if refreshes and self._may_be_stale(view, partition):
                return None
            views.append(error_codes.NOT_LEADER_OR_FOLLOWER if follower else self._check(view, partition) or view)
        return views

    def partition_id(self, partition: SessionPartition) -> int:
        """-1: no such topic or partition."""
        topic_id, name, index = partition.key
        catalog = self.broker.catalog
        topic = catalog.by_id.get(topic_id) if topic_id != ZERO_UUID else catalog.by_name.get(name)
        if topic is None or not 0 <= index < len(topic.partition_ids):
            return -1
        return topic.partition_ids[index]

    def is_follower(self) -> bool:
        """Replicas name themselves; nobody is one here (-1 is a consumer, -2 a tool that reads as one)."""
        message = self.message
        state = message.replica_state
        return message.replica_id >= 0 or (state is not None and state.replica_id >= 0)

    def _may_be_stale(self, view: PartitionView, partition: SessionPartition) -> bool:
        """Whether another broker may have written what the view lacks: then it is asked for before anything is refused (rule 1)."""
        return partition.fetch_offset > view.high_watermark or 0 <= partition.leader_epoch != view.leader_epoch

    def _check(self, view: PartitionView, partition: SessionPartition) -> int:
        epoch = partition.leader_epoch
        if epoch >= 0 and epoch != view.leader_epoch:
            if epoch < view.leader_epoch:
                return error_codes.FENCED_LEADER_EPOCH
            return error_codes.UNKNOWN_LEADER_EPOCH
        if not view.log_start_offset <= partition.fetch_offset <= view.high_watermark:
            return error_codes.OFFSET_OUT_OF_RANGE
        return error_codes.NONE

    # -- what must be asked for ---------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Have all views in memory, and fresh if they may be stale. What the store does not tell is an error of its partition, by `resolve`."""
        await self._look_for()
        if not all(await gather(self._look(partition) for partition in self.partitions)):
            await self._look_for(gone=True)

    async def _look_for(self, gone: bool = False) -> None:
        """What other brokers made is known, and what they deleted if something is gone; else `_blind` is set."""
        try:
            if gone:
                await self.broker.catalog.fresh()
                return
            await self.broker.catalog.look_for(
                (topic_id if topic_id != ZERO_UUID else name, index)
                for topic_id, name, index in (partition.key for partition in self.partitions)
            )
        except StoreError:
            self._blind = True

    async def _look(self, partition: SessionPartition) -> bool:
        """Have the partition's view in memory, and fresh if it may be stale. False: it is gone."""
        partition_id = self.partition_id(partition)
        if partition_id < 0:
            return True
        view = self.broker.views.get(partition_id)
        try:
            if view is None:
                view = await self.broker.views.load(partition_id)
            elif self._may_be_stale(view, partition):
                view = await self.broker.refresher.refresh(partition_id)
        except StoreError as error:
            log.warning("event=view_not_loaded partition_id=%d error='%s'", partition_id, error)
            return True
        return view is not None

    # -- how much there is --------------------------------------------------------------------------------------------

    def end(self, view: PartitionView) -> int:
        """Where records end that may be given."""
        return view.last_stable_offset if self.committed else view.high_watermark

    def enough(self, views: Views) -> bool:
        """Whether there is something to say now: an error, min_bytes, or no partitions to wait for."""
        min_bytes = self.message.min_bytes
        if not views or min_bytes <= 0:
            return True
        available = 0
        for partition, view in zip(self.partitions, views, strict=True):
            if isinstance(view, int):
                return True
            if partition.fetch_offset < self.end(view):
                if min_bytes == 1:
                    return True
                available += min(self._available(view, partition.fetch_offset, self.end(view)), partition.max_bytes)
                if available >= min_bytes:
                    return True
        return False

    def _available(self, view: PartitionView, offset: int, end: int) -> int:
        """About how many bytes lie from one offset to another; counted by extents from the end, as far as needed."""
        total = 0
        wanted = self.message.min_bytes
        for extent in reversed(view.extents):
            if extent.last_offset < offset:
                return total
            if extent.base_offset >= end:
                continue
            if extent.base_offset < offset or extent.last_offset >= end:
                whole = extent.last_offset - extent.base_offset + 1
                part = min(end, extent.last_offset + 1) - max(offset, extent.base_offset)
                total += extent.length * part // whole
            else:
                total += extent.length
            if total >= wanted or extent.base_offset <= offset:
                return total
        return total if view.tail_start <= offset else wanted
