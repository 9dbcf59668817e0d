"""Keeping views in step with what other brokers write, where stores are shared.

`refresh` answers with a view that has seen everything that was committed before the call (rule 1: a refusal is never decided on a
stale view). Calls of one turn of the loop share one query; those whose partition has not moved cost nothing more. `poll` asks for all
views in memory, as the safety net under what brokers tell each other (rule 8).

A view may be caught up while a commit of this broker's own is on its way: then it may have that commit's extents already when the answer comes,
or the commit loses its race (`moldau.log.shared_appender`). Views never run ahead of what is committed where stores are shared.
"""

from __future__ import annotations

import asyncio
import logging

from moldau.metadata.ports import LogStore
from moldau.metadata.rows import Extent, PartitionRow, PartitionSeen

from .view import PartitionView
from .views import Views

log = logging.getLogger(__name__)

_ASK_MAX = 1000
"""Partitions in one query at most."""
_EXTENTS_MAX = 1000
"""Extents that a view catches up by in one go; one further behind is dropped, and built from its snapshot when it is wanted."""


class Refresher:
    """See the module's text. Without a shared store (`store` is None) every view is always fresh."""

    def __init__(self, store: LogStore | None, views: Views) -> None:
        self._store = store
        self._views = views
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self.caught_up = 0
        self.went_back = 0

    @property
    def shared(self) -> bool:
        """Whether other brokers write the same partitions."""
        return self._store is not None

    async def refresh(self, partition_id: int) -> PartitionView | None:
        """The view, with all that was committed before this call; None when the partition is gone. Raises StoreError."""
        view = await self._views.load(partition_id)
        if self._store is None or view is None:
            return view
        # shielded: the future is everybody's, and one who gives up must not take it from the others
        await asyncio.shield(self._ask(partition_id))
        if self._views.get(partition_id) is view:
            return view
        return await self._views.load(partition_id)  # dropped meanwhile: one built since has seen it all

    async def poll(self) -> None:
        """Look at every view in memory. Raises StoreError."""
        views = self._views.all()
        for start in range(0, len(views), _ASK_MAX):
            await self._look(views[start : start + _ASK_MAX])

    def hint(self, partition_id: int, end_offset: int) -> None:
        """Somebody says that the partition ends there now. Only what is in memory matters; the store is asked."""
        view = self._views.get(partition_id)
        if self._store is not None and view is not None and view.high_watermark < end_offset:
            self._ask(partition_id).add_done_callback(_look_at)

    # -- ask together -------------------------------------------------------------------------------------------------

    def _ask(self, partition_id: int) -> asyncio.Future[None]:
        """Done after a query that began later than this call."""
        future = self._asked.get(partition_id)
        if future is None:
            future = self._asked[partition_id] = asyncio.get_running_loop().create_future()
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._ask_all(), name="moldau-refresh")
        return future

    async def _ask_all(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                views = [view for view in map(self._views.get, asked) if view is not None]
                error: Exception | None = None
                try:
                    for start in range(0, len(views), _ASK_MAX):
                        await self._look(views[start : start + _ASK_MAX])
                except Exception as failure:  # whatever it is, those who asked must hear of it
                    error = failure
                for future in asked.values():
                    if not future.done():
                        if error is None:
                            future.set_result(None)
                        else:
                            future.set_exception(error)
        finally:
            self._asking = None

    # -- catch up -----------------------------------------------------------------------------------------------------

    async def _look(self, views: list[PartitionView]) -> None:
        assert self._store is not None
        known = {view.partition_id: (view, view.high_watermark) for view in views}
        for change in await self._store.changed([_seen(view) for view in views]):
            view, end = known[change.partition_id]
            if self._views.get(view.partition_id) is not view:
                continue
            if change.alive and change.end_offset < end:
                self.went_back_to(change.end_offset, view, end)
                continue
            extents: list[Extent] = []
            if change.alive and change.end_offset > view.high_watermark:
                extents = await self._store.extents_from(view.partition_id, view.high_watermark, _EXTENTS_MAX)
            self.take_over(change, extents)

    def take_over(self, row: PartitionRow, extents: list[Extent]) -> PartitionView | None:
        """Bring the view in memory up to `row`, given the first extents from an end on that it had. None: it is not in memory, or not any more:
        it was too far behind, or rows were merged across its end.
        """
        view = self._views.get(row.partition_id)
        if view is None:
            return None
        known = view.high_watermark
        if row.alive and row.end_offset > known:
            extents = [extent for extent in extents if extent.last_offset >= known]
            whole = bool(extents) and extents[0].base_offset == known and extents[-1].last_offset + 1 >= row.end_offset
        else:
            extents, whole = [], row.alive
        if not whole:
            self._views.drop(row.partition_id)
            return None
        view.leader_epoch = max(view.leader_epoch, row.leader_epoch)
        if extents:
            view.catch_up(extents)
            self.caught_up += len(extents)
        view.raise_log_start(row.log_start_offset)
        return view

    def went_back_to(self, end_offset: int, view: PartitionView, known: int) -> None:
        """The store says that the partition ends below what it had said before."""
        self.went_back += 1
        log.error(
            "event=store_went_back partition_id=%d end=%d known=%d advice='it lost commits: see docs/operations.md'",
            view.partition_id,
            end_offset,
            known,
        )
        self._views.drop(view.partition_id)


def _seen(view: PartitionView) -> PartitionSeen:
    return PartitionSeen(view.partition_id, view.high_watermark, view.log_start_offset, view.leader_epoch)


def _look_at(future: asyncio.Future[None]) -> None:
    """Who only hinted does not wait for the answer; an error is told by the next one who asks."""
    if not future.cancelled():
        future.exception()
