"""Groups and transactions keep their contracts behind a journal, too, and each time they are opened again it is replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from group_store import *  # noqa: F403
from share_store import ShareStoreContract
from support.aio import opened
from support.journaled import embedded, journaled_opener
from support.stores import Stores, topic_id
from support.transactions import begin, commit, do, markers_of, offset, on
from txn_store import TxnStoreContract

from moldau.log.journaled_groups import JournaledGroupStore
from moldau.metadata.rows import KIND_SEGMENT, KIND_WAL, BlobRow, Extent, Guard
from moldau.records.control import MARKER_BYTES


@pytest.fixture
def opener(tmp_path: Path) -> Any:
    return journaled_opener(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[JournaledGroupStore]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[JournaledGroupStore]:
        async with embedded(tmp_path) as log:
            yield log.groups

    return opened


class TestShareStore(ShareStoreContract):
    """Its rows go their own way, but it asks for records of groups, which do not."""


class TestTxnStore(TxnStoreContract):
    marker_kind = KIND_WAL
    has_leases = False

    @opened
    async def test_markers_are_extents_as_any_other(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        await begin(it, "t", [a, b])
        (one, two) = (await commit(it, "t")).markers
        assert [len(await markers_of(it, p)) for p in (a, b)] == [1, 1]
        segment = Extent(a, 0, 0, 500, 0, MARKER_BYTES, 1, 1, 1, 0, KIND_SEGMENT, 1, one.fold)
        await it.maintenance.replace_extents(a, [one], [segment], BlobRow(500, KIND_SEGMENT, MARKER_BYTES, 1))
        assert await it.maintenance.live_counts() == []
        await it.maintenance.delete_extents(b, [two])
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_offsets_under_the_lease_of_their_group(self, it: Stores) -> None:
        """Nobody else is there: a lease is somebody's mistake."""
        guard = Guard("groups/1", 1)
        with pytest.raises(ValueError, match="no leases beside a journal"):
            await it.txns.change("t", do(on("t"), offsets=[offset(1)], guard=guard))
        with pytest.raises(ValueError, match="no leases beside a journal"):
            await it.groups.write([], [offset(1)], [], guard)
        assert await it.txns.load("t") is None
        assert await it.groups.fetch_offsets("g", [(topic_id("t"), 0)]) == []

    # nobody writes rows behind the broker's back: see tests/unit/log/test_journaled_txns.py
    test_an_end_beside_busy_appenders = None  # type: ignore[assignment]
