"""Keeping views in step with what other brokers write, where stores are shared.

`refresh` answers with a view that has seen everything that was committed before the call (rule 1: a refusal is never decided on a
stale view). Calls of one turn of the loop share one query; those whose partition has not moved cost nothing more. `poll` asks for all
views in memory, as the safety net under what brokers tell each other (rule 8).

A view with flushes of this broker in flight is not caught up: the commit itself says whether its end was the true one, and the view is
dropped when it was not.
"""

from __future__ import annotations

import asyncio
import logging

from moldau.metadata.ports import LogStore
from moldau.metadata.rows import PartitionRow, PartitionSeen

from .view import PartitionView
from .views import Views

log = logging.getLogger(__name__)

_ASK_MAX = 1000
"""Partitions in one query at most."""
_EXTENTS_MAX = 1000
"""Extents that a view catches up by in one go; one further behind is dropped, and built from its snapshot when it is wanted."""
_ATTEMPTS = 20


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
        for _ in range(_ATTEMPTS):
            await self._settled(view)
            if not view.dropped:
                # shielded: the future is everybody's, and one who gives up must not take it from the others
                await asyncio.shield(self._ask(partition_id))
            current = self._views.get(partition_id)
            if current is view and not view.dropped:
                return view
            # dropped meanwhile: a view built now has seen it all
            view = await self._views.load(partition_id)
            if view is None or view.next_offset == view.high_watermark:
                return view
        return view

    async def poll(self) -> None:
        """Look at every view in memory. Raises StoreError."""
        views = [view for view in self._views.all() if view.next_offset == view.high_watermark]
        for start in range(0, len(views), _ASK_MAX):
            await self._look(views[start : start + _ASK_MAX])

    def hint(self, partition_id: int, end_offset: int) -> None:
        """Somebody says that the partition ends there now. Only what is in memory matters; the store is asked."""
        view = self._views.get(partition_id)
        if self._store is not None and view is not None and view.next_offset < end_offset:
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
        known = {view.partition_id: view for view in views}
        for change in await self._store.changed([_seen(view) for view in views]):
            view = known[change.partition_id]
            if view.dropped or self._views.get(view.partition_id) is not view:
                continue
            if change.alive:
                await self._catch_up(view, change)
            else:
                self._views.drop(view.partition_id)

    async def _catch_up(self, view: PartitionView, change: PartitionRow) -> None:
        assert self._store is not None
        if change.end_offset < view.high_watermark:
            # an answer older than what we committed since we asked is no news; an end below what was known when we asked is
            if view.next_offset == view.high_watermark and not await self._is_ahead(view):
                self.went_back += 1
                log.error(
                    "event=store_went_back partition_id=%d end=%d known=%d advice='it lost commits: see docs/operations.md'",
                    view.partition_id,
                    change.end_offset,
                    view.high_watermark,
                )
                self._views.drop(view.partition_id)
            return
        view.leader_epoch = max(view.leader_epoch, change.leader_epoch)
        if change.end_offset > view.high_watermark:
            known = view.high_watermark
            extents = await self._store.extents_from(view.partition_id, known, _EXTENTS_MAX)
            if view.dropped or self._views.get(view.partition_id) is not view or view.high_watermark != known:
                return
            whole = bool(extents) and extents[0].base_offset == known
            if not whole or len(extents) == _EXTENTS_MAX or view.next_offset != known:
                self._views.drop(
                    view.partition_id
                )  # merged across our end, too far behind, or a flush of ours lost the race
                return
            view.catch_up(extents)
            self.caught_up += len(extents)
        view.raise_log_start(change.log_start_offset)

    async def _is_ahead(self, view: PartitionView) -> bool:
        """Whether the store, asked again, knows our end after all."""
        assert self._store is not None
        again = await self._store.changed([_seen(view)])
        return not any(change.end_offset < view.high_watermark for change in again)

    async def _settled(self, view: PartitionView) -> None:
        """No flush of ours is in flight, or the view is dropped."""
        while view.next_offset != view.high_watermark and not view.dropped:
            moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def wake(_: PartitionView, moved: asyncio.Future[None] = moved) -> None:
                if not moved.done():
                    moved.set_result(None)

            view.waiters.add(wake)
            try:
                await moved
            finally:
                view.waiters.discard(wake)


def _seen(view: PartitionView) -> PartitionSeen:
    return PartitionSeen(view.partition_id, view.high_watermark, view.log_start_offset, view.leader_epoch)


def _look_at(future: asyncio.Future[None]) -> None:
    """Who only hinted does not wait for the answer; an error is told by the next one who asks."""
    if not future.cancelled():
        future.exception()
