"""Ends of transactions, and their markers in the views of this broker.

The store writes the markers (`moldau.metadata.ports_txn.TxnStore.change`). Here is what has to be so around it:

- *embedded*: nothing. The change puts the markers into the journal in their place, and shows them (`moldau.log.journaled_txns`).
- *shared*: the store fixes the order; the markers are shown to the views that end where they begin, and told to the peers. What is in flight loses its
  race, and sees them.

A crash before the change: nothing happened. After it: the views are gone, too, and are built from rows that have the markers. When the reply is
lost (StoreUnavailable), the caller asks again, and `change` finds out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from moldau.metadata.fold_entry import FLAG_COMMIT
from moldau.metadata.rows import Extent
from moldau.metadata.rows_txn import Changed
from moldau.records.control import end_txn_marker

from . import fold
from .refresher import Refresher
from .tail_cache import TailCache
from .view import PartitionView
from .views import Views

Change = Callable[[], Awaitable[Changed]]


class MarkerWriter(Protocol):
    """Runs a change that may end a transaction, and shows its markers."""

    async def end(self, change: Change) -> Changed:
        """What `change` gives, once readers here see its markers. Raises what `change` raises."""
        ...


class JournaledMarkers:
    """See the module's text."""

    async def end(self, change: Change) -> Changed:
        return await change()


class SharedMarkers:
    """See the module's text. `published` is told of each partition id and its new end."""

    def __init__(
        self, refresher: Refresher, views: Views, cache: TailCache, published: Callable[[int, int], None] | None = None
    ) -> None:
        self._refresher = refresher
        self._views = views
        self._cache = cache
        self._published = published

    async def end(self, change: Change) -> Changed:
        changed = await change()
        for marker in changed.markers:
            end = marker.last_offset + 1
            view = self._views.get(marker.partition_id)
            if view is not None and view.high_watermark == marker.base_offset:
                show(view, self._cache, marker)
            else:
                self._refresher.hint(marker.partition_id, end)
            if self._published is not None:
                self._published(marker.partition_id, end)
        return changed


def show(view: PartitionView, cache: TailCache, marker: Extent) -> None:
    """Readers of a view that ends where the marker begins see it, and have it in memory."""
    cache.add(view, marker.base_offset, batch_of(marker))
    view.leader_epoch = max(view.leader_epoch, marker.leader_epoch)
    view.mark(marker)


def batch_of(marker: Extent) -> bytearray:
    """The batch of a marker's extent, which is all in its row."""
    ((producer_id, epoch, _, _, _, _, timestamp, flags),) = fold.unpack(marker.fold)
    return end_txn_marker(
        producer_id=producer_id,
        producer_epoch=epoch,
        commit=bool(flags & FLAG_COMMIT),
        coordinator_epoch=0,
        now=timestamp,
        base_offset=marker.base_offset,
        leader_epoch=marker.leader_epoch,
    )
