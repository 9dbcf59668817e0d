"""Writes view snapshots, so that a view is built from a bounded number of rows however long the log is.

A snapshot is the fold of all extents below the partition's end, made of the snapshot before it and of the extents since: from the store
alone, because a view runs ahead of what is committed. It is written before extents are merged or removed, after `EXTENTS_MAX` extents,
and when the broker stops. Expired producers are left out here and nowhere else, so the fold stays the same whoever makes it.
"""

from __future__ import annotations

import asyncio

from moldau import faults
from moldau.clock import Clock
from moldau.metadata.fold_entry import ENTRY_BYTES
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import Extent

from . import fold, snapshot
from .producer_state import ProducerStates
from .view import PartitionView
from .views import Views

EXTENTS_MAX = 500
"""Extents after which a snapshot is due; loading a view folds about this many at most."""
STOP_EXTENTS_MIN = 8
"""Fewer than this are not worth a snapshot when the broker stops."""
STOP_VIEWS_MAX = 1000
"""Snapshots at a stop at most: it must not take long."""
_AT_ONCE = 200
_FOLD_SLICE = 250
"""Extents, or entries of them, between two turns of the loop."""


def fold_into(states: ProducerStates, extents: list[Extent], from_offset: int) -> None:
    """Fold those batches of `extents` that begin at or after `from_offset`."""
    for extent in extents:
        if extent.fold:
            for entry in fold.unpack(extent.fold):
                if extent.base_offset + entry[4] >= from_offset:
                    states.apply(entry, extent.base_offset, extent.appended_at)


class Snapshots:
    """`take` for one partition; `due` says whose time has come. `rows` is the store without what is in a journal only: a snapshot may be of any end there was."""

    def __init__(self, rows: LogStore, store: MaintenanceStore, views: Views, clock: Clock, expiration_ms: int) -> None:
        self._rows = rows
        self._store = store
        self._views = views
        self._clock = clock
        self._expiration_ms = expiration_ms

    async def take(self, partition_id: int) -> int:
        """Snapshot at the end of the log as the store has it; returns that end, or -1 when the partition is gone."""
        state = await self._rows.load_partition(partition_id)
        if state is None:
            return -1
        end = state.row.end_offset
        if end > state.snapshot_offset:
            states = snapshot.unpack(state.snapshot)
            folded = 0
            for extent in state.extents:
                fold_into(states, [extent], state.snapshot_offset)
                folded += 1 + len(extent.fold) // ENTRY_BYTES
                if folded >= _FOLD_SLICE:
                    folded = 0
                    await asyncio.sleep(0)
            gone = state.row.log_start_offset
            if states.transactions.aborted:  # a whole run of the cleaner leaves nothing of what was aborted
                gone = max(gone, await self._store.cleaned_to(partition_id))
            states.transactions.prune(gone)
            await self._write(partition_id, end, states)
        view = self._views.get(partition_id)
        if view is not None:
            view.snapshot_offset = max(view.snapshot_offset, end)
        return end

    async def _write(self, partition_id: int, offset: int, states: ProducerStates) -> None:
        before = max(0, self._clock() - self._expiration_ms)
        states.expire(before)
        faults.hit("log.snapshot.write")
        await self._store.write_snapshot(partition_id, offset, snapshot.pack(states, before))

    def due(self) -> list[PartitionView]:
        """Views whose partitions have `EXTENTS_MAX` extents since their snapshots."""
        return [
            view for view in self._views.all() if len(view.extents) >= EXTENTS_MAX and view.unsnapshotted >= EXTENTS_MAX
        ]

    async def take_all(self) -> int:
        """At a clean stop: the views that would have to fold most; returns how many."""
        counted = [(view.unsnapshotted, view.partition_id) for view in self._views.all()]
        worth = sorted((each for each in counted if each[0] >= STOP_EXTENTS_MIN), reverse=True)[:STOP_VIEWS_MAX]
        for at in range(0, len(worth), _AT_ONCE):
            await asyncio.gather(*[self.take(partition_id) for _, partition_id in worth[at : at + _AT_ONCE]])
        return len(worth)
