"""What the coordinators need of the metadata store. Every implementation passes `tests/contract/group_store.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from moldau.metadata.commit_notes import CommitNote
from moldau.metadata.errors import StoreError
from moldau.metadata.rows import Guard
from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow


class GroupStore(Protocol):
    """Records of groups and committed offsets.

    Writes take effect in the order of the calls, even when several are awaited at once (the store may commit many of
    them together). A method either did all it says or raised `StoreError` and did nothing. Cancelling a caller does not
    undo a write.
    """

    async def load_groups(self, wanted: Callable[[str], bool] | None = None) -> list[GroupRecord]:
        """The coordinator records of groups that are `wanted`, or all, in the order of (kind, group, key). Of groups that are not wanted nothing but
        their ids is read.
        """
        ...

    async def write(
        self,
        records: list[GroupRecord],
        offsets: list[OffsetRow],
        deleted_offsets: list[OffsetKey],
        guard: Guard | None = None,
    ) -> None:
        """One durable transaction: put or delete records, then delete offsets, then put offsets.

        Deleting what is not there is fine. An offset that is deleted will not come of a transaction either that has not ended. Under a `guard` it raises LeaseLost when that lease is not of that epoch any more.
        """
        ...

    async def fetch_offsets(self, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        """The committed offsets of `keys`, (topic_id, partition) each; None means all.

        Missing ones are left out; sorted by key.
        """
        ...

    async def fetch_offsets_and_pending(
        self, group: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey]]:
        """As `fetch_offsets`, and which of `keys` have an offset in a transaction that has not ended, sorted: both of one moment, so that
        no commit can pass between the two.
        """
        ...

    async def list_expirable(
        self, now: int, committed_before: int, after: OffsetKey | None, limit: int
    ) -> list[OffsetRow]:
        """Offsets of all groups that may be too old, sorted by key, those behind `after`, at most `limit`.

        A row belongs to it when it has an expire timestamp and that is `<= now`, or when it has none (-1) and its
        commit timestamp is `<= committed_before`.
        """
        ...

    async def groups_with_offsets(self, groups: list[str]) -> set[str]:
        """Those of `groups` that have at least one committed offset."""
        ...

    async def offsets_of_topics(self, topic_ids: list[bytes], limit: int) -> list[OffsetKey]:
        """At most `limit` committed offsets of these topics, of whatever group."""
        ...


class OffsetWriter(Protocol):
    """What a `GroupStore` may have beside its methods, for commits that need no task."""

    def write_offsets(self, offsets: list[OffsetRow], done: Callable[[StoreError | None], None]) -> None:
        """As `write` of nothing but these; `done` is called once, on the loop's thread, perhaps before this returns."""
        ...

    def write_again(self, note: CommitNote, done: Callable[[StoreError | None], None]) -> None:
        """As `write_offsets` of the note's rows."""
        ...
