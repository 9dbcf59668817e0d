"""All views of this broker: built on first touch, dropped when in doubt, bounded in number."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable

from moldau.metadata.errors import StoreCorrupt, StoreError, StoreUnavailable
from moldau.metadata.ports import LogStore
from moldau.metadata.rows import Extent

from .tail_cache import TailCache
from .view import PartitionView

Then = Callable[[PartitionView | None, Exception | None], None]


class Views:
    """Partition id to view, the least recently loaded first. Views with waiters or flushes in flight are never evicted, nor those that somebody keeps."""

    def __init__(self, store: LogStore, cache: TailCache, entries_max: int) -> None:
        self.store = store
        self.cache = cache
        self.entries_max = entries_max
        self._views: OrderedDict[int, PartitionView] = OrderedDict()
        self._loading: dict[int, asyncio.Task[PartitionView | None]] = {}
        self._waiting: dict[int, list[Then]] = {}
        self._kept: Counter[int] = Counter()

    def get(self, partition_id: int) -> PartitionView | None:
        """The view if it is in memory."""
        return self._views.get(partition_id)

    def __len__(self) -> int:
        return len(self._views)

    def all(self) -> list[PartitionView]:
        """Every view in memory."""
        return list(self._views.values())

    async def load(self, partition_id: int) -> PartitionView | None:
        """The view, built from the store if need be; None when the partition is gone. Raises StoreError."""
        view = self._views.get(partition_id)
        if view is not None:
            return view
        return await asyncio.shield(self._load(partition_id))

    async def loaded(self, partition_id: int) -> PartitionView | None:
        """The view if it is in memory, or is being built; None otherwise. Raises StoreError."""
        return await self.load(partition_id) if partition_id in self._loading else self._views.get(partition_id)

    def load_then(self, partition_id: int, then: Then) -> None:
        """`load` for callers without a task: `then` gets the view, or None, or the error.

        Those that wait for one view are called in the order of their calls, in the very step that makes the view visible: nobody
        who finds it with `get` can come before them.
        """
        view = self._views.get(partition_id)
        if view is not None:
            then(view, None)
            return
        self._load(partition_id)
        self._waiting.setdefault(partition_id, []).append(then)

    def _load(self, partition_id: int) -> asyncio.Task[PartitionView | None]:
        task = self._loading.get(partition_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._build(partition_id))
            self._loading[partition_id] = task
            task.add_done_callback(lambda done: self._built(partition_id, done))
        return task

    async def _build(self, partition_id: int) -> PartitionView | None:
        state = await self.store.load_partition(partition_id)
        if state is None:
            return None
        try:
            return PartitionView(state)
        except ValueError as error:
            raise StoreCorrupt(f"rows of partition {partition_id} say what cannot be: {error}") from error

    def _built(self, partition_id: int, task: asyncio.Task[PartitionView | None]) -> None:
        del self._loading[partition_id]
        view: PartitionView | None = None
        error: Exception | None = None
        if task.cancelled():
            error = StoreUnavailable("the broker stops")
        elif (failed := task.exception()) is not None:
            error = failed if isinstance(failed, StoreError) else StoreUnavailable(str(failed))
        else:
            view = task.result()
        if view is not None:
            self._views[partition_id] = view
            if len(self._views) > self.entries_max:
                self._evict()
        for then in self._waiting.pop(partition_id, ()):
            then(view, error)

    def gathered(self, extents: list[Extent]) -> None:
        """Each stands for several that were published, and holds the same batches."""
        for extent in extents:
            view = self._views.get(extent.partition_id)
            if view is not None:
                view.replace_tail(extent)

    def keep(self, partition_ids: list[int]) -> None:
        """Somebody needs these in memory, whether they are already or will be, until they are released."""
        self._kept.update(partition_ids)

    def release(self, partition_ids: list[int]) -> None:
        """They may be evicted again."""
        self._kept -= Counter(partition_ids)

    def _evict(self) -> None:
        for partition_id, view in self._views.items():
            if not view.waiters and view.next_offset == view.high_watermark and partition_id not in self._kept:
                self.drop(partition_id)
                return

    def drop(self, partition_id: int) -> None:
        """Forget the view; its waiters are woken and will ask for the new one."""
        view = self._views.pop(partition_id, None)
        if view is not None:
            self.cache.forget(view)
            for waiter in tuple(view.waiters):
                waiter(view)
