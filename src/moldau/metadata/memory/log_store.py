"""`LogStore` in memory: the reference that the others are compared with."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence

from ..errors import StoreCorrupt
from ..ports import LOCKED_EXTENTS_MAX, AppendDone, ApplyDone, Decide
from ..rows import (
    APPENDED,
    BLOB_GONE,
    GONE,
    KIND_INLINE,
    KIND_WAL,
    MOVED,
    TXN_OVER,
    AppendCommit,
    AppendEntry,
    AppendResult,
    BlobRow,
    Extent,
    LockedPartition,
    PartitionRow,
    PartitionSeen,
    PartitionState,
    applied_ends,
    purged_row,
)
from ..rows_txn import ONGOING, TxnGuard
from .state import MemoryState, copy_partition


class MemoryLogStore:
    """See `moldau.metadata.ports`: `LogStore`, `AppendStore` and `JournalStore`. `append` and `apply` answer before they return."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        try:
            results = self._commit(commit)
        except StoreCorrupt as error:
            done(None, error)
        else:
            done(results, None)

    async def append_locked(
        self, known: dict[int, int], blob_id: int, decide: Decide, guards: tuple[TxnGuard, ...] = ()
    ) -> list[AppendResult]:
        locked = []
        for partition_id, end in sorted(known.items()):
            row = self._state.partitions.get(partition_id)
            extents = await self.extents_from(partition_id, end, LOCKED_EXTENTS_MAX) if row is not None else []
            locked.append(
                LockedPartition(copy_partition(row) if row is not None else purged_row(partition_id), extents)
            )
        commit = decide(locked)
        return self._commit(commit) if commit.entries else []

    def _commit(self, commit: AppendCommit) -> list[AppendResult]:
        state = self._state
        if commit.inline is not None and commit.blob_id in state.inline:
            raise StoreCorrupt(f"inline blob {commit.blob_id:016x} exists")
        new = commit.new_blob_bytes >= 0 and commit.blob_id not in state.blobs
        blob = state.blobs.get(commit.blob_id)
        if commit.inline is None and not new and (blob is None or blob.doomed_ms >= 0):
            alive = [self._alive(entry.partition_id) is not None for entry in commit.entries]
            return [AppendResult(BLOB_GONE if each else GONE, -1) for each in alive]
        over = {guard.partition_id for guard in commit.guards if not self._holds(guard)}
        results = [self._append(commit, entry, over) for entry in commit.entries]
        if new and any(result.status == APPENDED for result in results):
            insert_blob(state, BlobRow(commit.blob_id, KIND_WAL, commit.new_blob_bytes, commit.now))
        if commit.inline is not None and any(result.status == APPENDED for result in results):
            state.inline[commit.blob_id] = (commit.now, bytes(commit.inline))
        return results

    def apply(self, commits: list[AppendCommit], done: ApplyDone, blob_ids: Sequence[int] = ()) -> None:
        if any(commit.notes for commit in commits):
            raise NotImplementedError("a journal in memory has no notes")
        ends: dict[int, int] = {}
        for entry in [entry for commit in commits for entry in commit.entries]:
            row = self._alive(entry.partition_id)
            if row is not None:
                end, after = ends.get(entry.partition_id, row.end_offset), entry.expected_end + entry.records
                if entry.expected_end > end or entry.expected_end < end < after:
                    done(
                        None,
                        StoreCorrupt(
                            f"partition {entry.partition_id} ends at {end}, the journal goes on at {entry.expected_end}"
                        ),
                    )
                    return
                ends[entry.partition_id] = max(end, after)
        for commit in commits:
            for entry in commit.entries:
                self._append(commit, entry)  # one that is there already has MOVED
        for blob_id, end in applied_ends(commits).items():
            self._state.journal[blob_id] = max(end, self._state.journal.get(blob_id, 0))
        done([], None)

    async def applied_to(self, blob_id: int) -> int:
        return self._state.journal.get(blob_id, 0)

    def _holds(self, guard: TxnGuard) -> bool:
        row = self._state.txns.get(guard.transactional_id)
        takes_part = guard.partition_id in self._state.txn_partitions.get(guard.transactional_id, ())
        return row is not None and row.state == ONGOING and row.seq == guard.seq and takes_part

    def _append(self, commit: AppendCommit, entry: AppendEntry, over: Collection[int] = ()) -> AppendResult:
        row = self._alive(entry.partition_id)
        if row is None:
            return AppendResult(GONE, -1)
        if entry.partition_id in over:
            return AppendResult(TXN_OVER, -1)
        if row.end_offset != entry.expected_end:
            return AppendResult(MOVED, row.end_offset)
        base = row.end_offset
        row.end_offset += entry.records
        row.bytes_total += entry.length
        row.max_timestamp = max(row.max_timestamp, entry.max_timestamp)
        extent = Extent(
            partition_id=entry.partition_id,
            base_offset=base,
            last_offset=row.end_offset - 1,
            blob_id=commit.blob_id,
            position=entry.position,
            length=entry.length,
            max_timestamp=entry.max_timestamp,
            running_max_timestamp=row.max_timestamp,
            records=entry.records,
            leader_epoch=row.leader_epoch,
            kind=KIND_WAL if commit.inline is None else KIND_INLINE,
            appended_at=commit.now,
            fold=entry.fold,
        )
        self._state.extents.setdefault(entry.partition_id, []).append(extent)
        self._state.count([extent], 1)
        return AppendResult(APPENDED, base, row.leader_epoch, row.max_timestamp)

    def _alive(self, partition_id: int) -> PartitionRow | None:
        row = self._state.partitions.get(partition_id)
        return row if row is not None and row.alive else None

    def _split(self, partition_id: int, offset: int) -> tuple[list[Extent], int]:
        """The partition's extents, and how many of them end below `offset`."""
        extents = self._state.extents.get(partition_id, [])
        return extents, bisect_left(extents, offset, key=lambda extent: extent.last_offset)

    async def load_partition(self, partition_id: int) -> PartitionState | None:
        row = self._alive(partition_id)
        if row is None:
            return None
        at_offset, packed = self._state.snapshots.get(partition_id, (0, b""))
        extents, start = self._split(partition_id, at_offset)
        return PartitionState(copy_partition(row), at_offset, packed, extents[start:])

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        extents, start = self._split(partition_id, offset)
        return extents[start : start + limit]

    async def extents_before(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        extents, end = self._split(partition_id, offset)
        return extents[max(0, end - limit) : end]

    async def extent_by_time(self, partition_id: int, timestamp: int) -> Extent | None:
        for extent in self._state.extents.get(partition_id, []):
            if extent.running_max_timestamp >= timestamp:
                return extent
        return None

    async def extent_after_epoch(self, partition_id: int, epoch: int) -> Extent | None:
        for extent in self._state.extents.get(partition_id, []):
            if extent.leader_epoch > epoch:
                return extent
        return None

    async def read_inline(self, blob_id: int) -> bytes | None:
        return self._state.inline.get(blob_id, (0, None))[1]

    async def raise_log_start(self, partition_id: int, offset: int) -> tuple[int, int] | None:
        row = self._alive(partition_id)
        if row is None:
            return None
        wanted = row.end_offset if offset == -1 else min(offset, row.end_offset)
        row.log_start_offset = max(row.log_start_offset, wanted)
        return row.log_start_offset, row.end_offset

    async def changed(self, seen: list[PartitionSeen]) -> list[PartitionRow]:
        rows: list[PartitionRow] = []
        for each in sorted(seen):
            row = self._state.partitions.get(each.partition_id)
            if row is None:
                rows.append(each.purged())
            elif each.is_news(row):
                rows.append(copy_partition(row))
        return rows

    async def register_blob(self, blob: BlobRow) -> None:
        insert_blob(self._state, blob)


def insert_blob(state: MemoryState, blob: BlobRow) -> None:
    """Raises StoreCorrupt when the id is taken."""
    if blob.blob_id in state.blobs:
        raise StoreCorrupt(f"blob {blob.blob_id:016x} exists")
    state.blobs[blob.blob_id] = BlobRow(blob.blob_id, blob.kind, blob.size, blob.created_ms)
