"""What share-partitions need of the metadata store. Every implementation passes `tests/contract/share_store.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from moldau.metadata.rows_share import ShareKey, ShareRow


class ShareStore(Protocol):
    """Rows of share-partitions. A method either did all it says or raised `StoreError`; then a write may have happened, and rows are to be
    claimed anew.
    """

    async def load(self, keys: Sequence[ShareKey]) -> list[ShareRow]:
        """Those of `keys` that there are, in their order."""
        ...

    async def of_group(self, group: str) -> list[ShareRow]:
        """All of a group, by topic id and partition."""
        ...

    async def claim(
        self, key: ShareKey, kind: int, start_offset: int, leader_epoch: int, state: bytes
    ) -> ShareRow | None:
        """Take a share-partition over: its `owner_epoch` rises. One that there is not yet begins at `start_offset` with `state`.

        None when the group has no record of that `kind` with an empty key.
        """
        ...

    async def write(self, rows: Sequence[ShareRow]) -> list[bool]:
        """One durable transaction: start, count and state of each row, if its `owner_epoch` is still the store's; which of them were."""
        ...

    async def reset(self, rows: Sequence[ShareRow]) -> None:
        """Start, leader epoch and state as an administrator says; owner and state epoch rise, whatever `rows` say of them."""
        ...

    async def forget(self, group: str, topic_ids: Sequence[bytes] | None = None) -> None:
        """The group's share-partitions of these topics go, or all of them."""
        ...

    async def forget_topics(self, topic_ids: Sequence[bytes]) -> None:
        """These topics are gone."""
        ...

    async def drop_orphans(self, kind: int) -> None:
        """Rows of groups that have no record of that `kind` with an empty key go."""
        ...
