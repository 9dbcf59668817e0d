"""The bytes of one fetch's answer: of each partition in its turn, as far as the limits go, at once or as they come.

The first batch is whole even when it is larger than the limits (KIP-74). What the tail cache has is given without a copy; a MiB of old
records costs the loop a millisecond (to copy, to check, to send), so after each `STEP_BYTES` of them others have their turn.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moldau.blobs.ports import BlobError
from moldau.log import isolation
from moldau.log.aborted_rows import older_in
from moldau.log.damage import DamagedLog
from moldau.log.reader import NO_END
from moldau.log.transactions import AbortedRange
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.protocol import error_codes

from .fetch_places import FetchPlaces, Views
from .fetch_sessions import Key, SessionPartition

if TYPE_CHECKING:
    from moldau.log.reader import Buffer
    from moldau.log.view import PartitionView

STEP_BYTES = 512 << 10
"""So much is copied out of the stores in one turn of the loop; what the tail cache has is given without a copy, and does not count."""
STEP_PAUSE_SECONDS = 0.002
"""Between two such steps where stores are shared: what others asked for takes more than one turn of the loop there."""


class FetchReading:
    """`data` is what was read, of the partitions that have some; `aborted` what of it was aborted, for readers of committed records."""

    __slots__ = ("_early", "_places", "aborted", "data", "taken_bytes")

    def __init__(self, places: FetchPlaces) -> None:
        self._places = places
        self.data: dict[Key, list[Buffer]] = {}
        self.aborted: dict[Key, list[AbortedRange]] = {}
        self.taken_bytes = 0
        """By `read_now`."""
        self._early: dict[Key, tuple[PartitionView, list[Buffer], int]] = {}
        """What `read_now` had before it became too much for one turn."""

    def room(self) -> int:
        """How many bytes the answer may have."""
        broker = self._places.broker
        return broker.outbox.room(min(self._places.message.max_bytes, broker.options.fetch_max_bytes))

    def read_now(self, views: Views) -> bool:
        """False: some must be waited for, or there are many (`read`)."""
        places = self._places
        reader = places.broker.reader
        until = reader.copied_bytes + STEP_BYTES
        whole = room = self.room()
        first = True
        for partition, view in zip(places.partitions, views, strict=True):
            if isinstance(view, int) or partition.fetch_offset >= places.end(view) or (room <= 0 and not first):
                continue
            if places.committed and partition.fetch_offset < view.producers.transactions.complete_from:
                return False
            if reader.copied_bytes >= until:
                return False
            limit = min(room, partition.max_bytes)
            try:
                found = reader.read_now(view, partition.fetch_offset, limit, first, self._cut(view))
            except DamagedLog:
                return False
            if found is None:
                return False
            if found[1]:
                told = self.data[partition.key] = self._told(partition, view, found[0])
                self._early[partition.key] = view, told, found[1]
                room -= found[1]
                first = False
        self.taken_bytes = whole - room
        return True

    async def read(self, views: Views, room: int) -> None:
        """The same, however long it takes. What cannot be read becomes an error in `views`."""
        places = self._places
        broker, reader = places.broker, places.broker.reader
        self.data.clear()
        first = True
        pause = STEP_PAUSE_SECONDS if broker.refresher.shared else 0
        until = reader.copied_bytes + STEP_BYTES
        for index, (partition, view) in enumerate(zip(places.partitions, views, strict=True)):
            if isinstance(view, int) or partition.fetch_offset >= places.end(view) or (room <= 0 and not first):
                continue
            early = self._early.pop(partition.key, None)
            if early is not None and early[0] is view:
                self.data[partition.key] = early[1]
                room -= early[2]
                first = False
                continue
            if reader.copied_bytes >= until:
                await sleep(pause)
                until = reader.copied_bytes + STEP_BYTES
            limit, end = min(room, partition.max_bytes), self._cut(view)
            try:
                found = reader.read_now(view, partition.fetch_offset, limit, first, end)
                if found is None:
                    found = await reader.read(view, partition.fetch_offset, limit, first, end)
                older = await older_in(broker.log_store, view, found[0]) if places.committed else []
            except (BlobError, StoreUnavailable) as error:
                broker.report_unavailable(view, partition.fetch_offset, error)
                views[index] = error_codes.KAFKA_STORAGE_ERROR
                continue
            except (DamagedLog, StoreError) as error:
                broker.report_damage(view, partition.fetch_offset, error)
                views[index] = error_codes.KAFKA_STORAGE_ERROR
                continue
            if found[1]:
                self.data[partition.key] = self._told(partition, view, found[0], older)
                room -= found[1]
                first = False

    def _cut(self, view: PartitionView) -> int:
        """Where batches end that may be given; others may come while bytes are waited for."""
        return view.last_stable_offset if self._places.committed else NO_END

    def _told(
        self,
        partition: SessionPartition,
        view: PartitionView,
        buffers: list[Buffer],
        older: Sequence[AbortedRange] = (),
    ) -> list[Buffer]:
        """What is given of these; remembers what of it was aborted."""
        if self._places.committed:
            buffers, self.aborted[partition.key] = isolation.told(view, buffers, older)
        return buffers
