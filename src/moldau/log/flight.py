"""A commit of shared stores that is under way, and what readers see when it has succeeded."""

from __future__ import annotations

from moldau.metadata.rows import KIND_INLINE, KIND_WAL, AppendCommit, AppendResult, Extent
from moldau.metadata.rows_txn import TxnGuard
from moldau.records.batch import set_base_offset

from .commit_lanes import Upload
from .draft import Draft
from .tail_cache import TailCache
from .view import PartitionView


class Flight:
    """`upload` is None for express batches; `kind` is what the bytes are to the extents."""

    __slots__ = ("blob_id", "drafts", "kind", "now", "upload")

    def __init__(self, upload: Upload | None, blob_id: int, drafts: list[Draft], now: int) -> None:
        self.upload = upload
        self.blob_id = blob_id
        self.kind = KIND_WAL if upload is not None else KIND_INLINE
        self.drafts = drafts
        self.now = now

    def commit(self, drafts: list[Draft]) -> AppendCommit:
        """Of those drafts that have taken something."""
        upload = self.upload
        buffers: list[bytearray | memoryview] = []
        position = 0
        if upload is None:
            for draft in drafts:
                draft.position = position
                position += draft.length
                buffers += [queued.append.batch for queued in draft.taken]
        return AppendCommit(
            self.blob_id,
            [draft.entry() for draft in drafts],
            b"".join(buffers) if upload is None else None,
            any(queued.append.durable for draft in drafts for queued in draft.taken),
            self.now,
            -1 if upload is None else upload.size,
            tuple([guard for draft in drafts for guard in draft.guards]),
        )

    def guards(self) -> tuple[TxnGuard, ...]:
        """All that a commit may name, whatever is decided."""
        appends = [queued.append for draft in self.drafts for queued in draft.head]
        return tuple([append.guard for append in appends if append.guard is not None])

    def show(self, view: PartitionView, cache: TailCache, draft: Draft, result: AppendResult) -> None:
        """Publish what was committed in a view that ends where it begins; the batches in memory get their true offsets."""
        offset, epoch = draft.base, result.leader_epoch
        patched = self.upload is None and epoch == draft.leader_epoch
        for queued in draft.taken:
            batch, header = queued.append.batch, queued.append.header
            if not patched:
                set_base_offset(batch, 0, offset, epoch)
            cache.add(view, offset, batch)
            following = offset + queued.offsets
            if header.producer_id >= 0:
                view.producers.add_batch(header, offset, self.now)
            offset = following
        view.next_offset = draft.end
        if epoch > view.leader_epoch:
            view.leader_epoch = epoch
        view.publish(
            Extent(
                view.partition_id,
                draft.base,
                draft.end - 1,
                self.blob_id,
                draft.position,
                draft.length,
                draft.max_timestamp,
                result.running_max_timestamp,
                draft.end - draft.base,
                epoch,
                self.kind,
                self.now,
            )
        )
