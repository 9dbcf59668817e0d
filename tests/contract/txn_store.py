"""The contract of `TxnStore`, and of the offsets that groups get by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.aio import Opener, opened, reopened
from support.stores import Stores, entry, topic_id
from support.transactions import abort, begin, commit, do, joined, markers_of, new, nothing, offset, on

from moldau.log.fold import unpack
from moldau.metadata.errors import LeaseLost
from moldau.metadata.fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL
from moldau.metadata.rows import APPENDED, KIND_INLINE, KIND_SEGMENT, MOVED, BlobRow, Extent, Guard
from moldau.metadata.rows_groups import OffsetKey
from moldau.metadata.rows_txn import (
    ABORTED,
    COMMITTED,
    EMPTY,
    ONGOING,
    PREPARED,
    Changed,
    End,
    TxnChange,
    TxnDescription,
    TxnRow,
)
from moldau.records.batch import compute_crc
from moldau.records.control import MARKER_BYTES, read_end_txn_marker
from moldau.records.record import batch_header


class TxnStoreContract:
    """`marker_kind`: of extents that are markers. `has_leases`: the store looks at them."""

    marker_kind = KIND_INLINE
    has_leases = True

    @opened
    async def test_a_new_transactional_id(self, it: Stores) -> None:
        assert await it.txns.load("t") is None
        seen: list[Any] = []

        def decide(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange:
            seen.append((row, partitions, now))
            return TxnChange(new("t", producer_id=5, updated_ms=now))

        assert await it.txns.change("t", decide) == Changed(new("t", producer_id=5, updated_ms=1_000_000), [])
        assert seen == [(None, frozenset(), 1_000_000)]
        assert await it.txns.load("t") == TxnDescription(new("t", producer_id=5, updated_ms=1_000_000), [])

    @opened
    async def test_every_column_is_kept(self, it: Stores) -> None:
        row = TxnRow("ü\0", 1 << 60, 32767, 1 << 61, -1, PREPARED, 1 << 50, (1 << 31) - 1, 1 << 45, 1 << 46, 2)
        await it.txns.change("ü\0", do(row))
        other = TxnRow("ü\0", 1, 2, 3, 4, COMMITTED, 5, 6, 7, 8, 1)
        for expected in (row, other):
            await it.txns.change("ü\0", do(expected))
            assert await it.txns.load("ü\0") == TxnDescription(expected, [])
            assert await it.txns.all("", 9) == [expected]

    @opened
    async def test_nothing_is_done_when_nothing_is_decided(self, it: Stores) -> None:
        assert await it.txns.change("t", nothing) == Changed(None, [])
        assert await it.txns.all("", 9) == []
        await it.txns.change("t", do(new("t")))
        assert await it.txns.change("t", nothing) == Changed(new("t"), [])

    @reopened
    async def test_it_is_there_after_a_restart(self, opener: Opener) -> None:
        async with opener() as it:
            p, q = await it.topic(partitions=2)
            await begin(it, "t", [q, p], [offset(2)])
        async with opener() as it:
            assert await it.txns.load("t") == TxnDescription(on("t"), [(topic_id("t"), 0), (topic_id("t"), 1)])
            assert await it.txns.pending_offsets("g", None) == [OffsetKey("g", topic_id("t"), 0)]
            assert len((await commit(it, "t")).markers) == 2

    @opened
    async def test_partitions_join(self, it: Stores) -> None:
        ids = await it.topic(partitions=4)
        await begin(it, "t", ids[:1])
        await begin(it, "other", ids[3:])
        await it.txns.change("t", do(on("t"), partition_ids=[ids[2], ids[0], ids[2]]))
        seen = await joined(it, "t")
        assert seen == {ids[0], ids[2]}
        description = await it.txns.load("t")
        assert description is not None
        assert description.partitions == [(topic_id("t"), 0), (topic_id("t"), 2)]

    @opened
    async def test_a_commit_is_a_marker_at_the_end_of_each_partition(self, it: Stores) -> None:
        a, b, c = await it.topic(partitions=3)
        await it.append(entry(a, 0, 7), entry(c, 0, 3))
        await it.recovery.raise_leader_epochs(4)
        await begin(it, "t", [c, a])
        it.clock.now = 5_000_000
        row = on("t", state=COMMITTED, epoch=3, updated_ms=5_000_000)
        changed = await it.txns.change("t", do(row, end=End(True, 77, 3)))
        assert changed.row == row
        assert [(e.partition_id, e.base_offset, e.last_offset, e.records) for e in changed.markers] == [
            (a, 7, 7, 1),
            (c, 3, 3, 1),
        ]
        for extent in changed.markers:
            p = extent.partition_id
            assert (await it.extents(p))[-1] == extent
            assert (extent.kind, extent.leader_epoch, extent.length) == (self.marker_kind, 4, MARKER_BYTES)
            assert (extent.appended_at, extent.max_timestamp) == (5_000_000, 5_000_000)
            assert extent.running_max_timestamp == 5_000_000
            assert unpack(extent.fold) == [
                (77, 3, -1, -1, 0, 0, 5_000_000, FLAG_TRANSACTIONAL | FLAG_MARKER | FLAG_COMMIT)
            ]
            state = await it.row(p)
            assert (state.end_offset, state.max_timestamp) == (extent.last_offset + 1, 5_000_000)
            assert state.bytes_total == sum(e.length for e in await it.extents(p))
            data = await it.log.read_inline(extent.blob_id)
            assert data is not None
            batch = data[extent.position : extent.position + extent.length]
            header = batch_header(batch)
            assert header.crc == compute_crc(batch, 0, len(batch))
            assert (header.base_offset, header.partition_leader_epoch) == (extent.base_offset, 4)
            assert (header.is_control, header.is_transactional, header.base_sequence) == (True, True, -1)
            marker = read_end_txn_marker(batch)
            assert marker is not None
            assert (marker.offset, marker.producer_id, marker.producer_epoch) == (extent.base_offset, 77, 3)
            assert (marker.commit, marker.timestamp) == (True, 5_000_000)
        assert len({extent.blob_id for extent in changed.markers}) == 1
        assert await it.extents(b) == []
        assert await it.txns.load("t") == TxnDescription(row, [])
        assert await joined(it, "t") == frozenset()
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_an_abort(self, it: Stores) -> None:
        (p,) = await it.topic()
        await begin(it, "t", [p], [offset(5)])
        changed = await abort(it, "t")
        assert changed.row is not None
        assert changed.row.state == ABORTED
        (extent,) = changed.markers
        assert unpack(extent.fold)[0][-1] == FLAG_TRANSACTIONAL | FLAG_MARKER
        assert [marker.commit for marker in await markers_of(it, p)] == [False]
        assert await it.groups.fetch_offsets_and_pending("g", None) == ([], [])

    @opened
    async def test_a_timestamp_before_those_of_the_log(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0, max_timestamp=1 << 42))
        await begin(it, "t", [p])
        ((extent),) = (await commit(it, "t")).markers
        assert (extent.max_timestamp, extent.running_max_timestamp) == (1_000_000, 1 << 42)
        assert (await it.row(p)).max_timestamp == 1 << 42

    @opened
    async def test_an_end_without_partitions(self, it: Stores) -> None:
        await it.topic()
        await begin(it, "t", [], [offset(5)])
        assert (await commit(it, "t")).markers == []
        assert [row.offset for row in await it.groups.fetch_offsets("g", None)] == [5]
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_partitions_that_join_as_it_ends(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        await begin(it, "t", [b])
        change = do(on("t", state=COMMITTED), partition_ids=[a], offsets=[offset(9)], end=End(True, 7, 0))
        changed = await it.txns.change("t", change)
        assert [extent.partition_id for extent in changed.markers] == [a, b]
        assert [row.offset for row in await it.groups.fetch_offsets("g", None)] == [9]
        whole = do(on("new", state=ABORTED), partition_ids=[b, a], end=End(False, 8, 0))
        assert [extent.base_offset for extent in (await it.txns.change("new", whole)).markers] == [1, 1]
        assert await it.txns.load("new") == TxnDescription(on("new", state=ABORTED), [])

    @opened
    async def test_each_end_is_its_own(self, it: Stores) -> None:
        (p,) = await it.topic()
        await begin(it, "u", [p], [offset(100, group="h")])
        for n in range(3):
            await begin(it, "t", [p], [offset(n)], epoch=n)
            await (commit if n % 2 else abort)(it, "t", producer_id=5, epoch=n)
        assert [(m.offset, m.producer_epoch, m.commit) for m in await markers_of(it, p)] == [
            (0, 0, False),
            (1, 1, True),
            (2, 2, False),
        ]
        assert [row.offset for row in await it.groups.fetch_offsets("g", None)] == [1]
        assert await joined(it, "u") == {p}
        assert await it.txns.pending_offsets("h", None) == [OffsetKey("h", topic_id("t"), 0)]

    @opened
    async def test_an_append_that_was_decided_before_the_end_has_moved(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0, 4))
        await begin(it, "t", [p])
        await commit(it, "t")
        (answer,) = await it.append(entry(p, 4))
        assert (answer.status, answer.offset) == (MOVED, 5)
        (answer,) = await it.append(entry(p, 5))
        assert answer.status == APPENDED

    @opened
    async def test_an_end_beside_busy_appenders(self, it: Stores) -> None:
        ids = await it.topic(partitions=3)
        appended = dict.fromkeys(ids, 0)
        over = False

        async def write() -> None:
            ends = dict.fromkeys(ids, 0)
            while not over:
                for p in ids:
                    (answer,) = await it.append(entry(p, ends[p], 2))
                    ends[p] = answer.offset + 2 if answer.status == APPENDED else answer.offset
                    appended[p] += 2 * (answer.status == APPENDED)
                await asyncio.sleep(0)

        async def end(name: str) -> None:
            for _ in range(10):
                await begin(it, name, ids)
                assert len((await commit(it, name)).markers) == 3

        writers = [asyncio.create_task(write()) for _ in range(2)]
        await asyncio.gather(end("t"), end("u"))
        over = True
        await asyncio.gather(*writers)
        for p in ids:
            extents = await it.extents(p)
            offsets = [n for extent in extents for n in range(extent.base_offset, extent.last_offset + 1)]
            assert offsets == list(range((await it.row(p)).end_offset))
            assert len(offsets) == appended[p] + 20
            assert len(await markers_of(it, p)) == 20
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_partitions_that_are_dead_get_no_marker(self, it: Stores) -> None:
        a, b = await it.topic("alive", 2)
        dead = await it.topic("dead", 2)
        purged = await it.topic("purged", 1)
        await it.append(entry(dead[0], 0, 5))
        await begin(it, "t", [*purged, b, *dead, a])
        await it.topics.delete_topic(topic_id("dead"), 5)
        await it.topics.delete_topic(topic_id("purged"), 5)
        assert await it.maintenance.purge_partition(purged[0], 9)
        description = await it.txns.load("t")
        assert description is not None
        assert description.partitions == [(topic_id("alive"), 0), (topic_id("alive"), 1)]
        changed = await commit(it, "t")
        assert [extent.partition_id for extent in changed.markers] == [a, b]
        assert changed.markers[1].position - changed.markers[0].position == MARKER_BYTES
        assert len(await it.extents(dead[0])) == 1
        assert await it.extents(dead[1]) == []
        assert await joined(it, "t") == frozenset()

    @opened
    async def test_an_end_of_which_nothing_is_alive(self, it: Stores) -> None:
        dead = await it.topic("dead", 2)
        await begin(it, "t", dead, [offset(5, "dead")])
        await it.topics.delete_topic(topic_id("dead"), 5)
        changed = await commit(it, "t")
        assert changed.markers == []
        assert changed.row is not None
        assert changed.row.state == COMMITTED
        assert await it.groups.fetch_offsets("g", None) == []
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_markers_are_extents_as_any_other(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        await begin(it, "t", [a, b])
        (one, two) = (await commit(it, "t")).markers
        segment = Extent(a, 0, 0, 500, 0, MARKER_BYTES, 1, 1, 1, 0, KIND_SEGMENT, 1, one.fold)
        await it.maintenance.replace_extents(a, [one], [segment], BlobRow(500, KIND_SEGMENT, MARKER_BYTES, 1))
        assert await it.log.read_inline(two.blob_id) is not None
        assert await it.maintenance.live_counts() == []
        await it.maintenance.delete_extents(b, [two])
        assert await it.log.read_inline(two.blob_id) is None
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_what_decide_raises_ends_it(self, it: Stores) -> None:
        class Fenced(Exception):
            pass

        def decide(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange:
            raise Fenced(row)

        with pytest.raises(Fenced):
            await it.txns.change("t", decide)
        assert await it.txns.load("t") is None
        await it.txns.change("t", do(new("t")))
        results = await asyncio.gather(
            *[it.txns.change("t", decide if n % 3 == 1 else do(new("t", epoch=n))) for n in range(9)],
            return_exceptions=True,
        )
        assert [isinstance(result, Fenced) for result in results] == [n % 3 == 1 for n in range(9)]
        description = await it.txns.load("t")
        assert description is not None
        assert description.row.epoch in (0, 2, 3, 5, 6, 8)

    @opened
    async def test_two_first_ones_of_one_id(self, it: Stores) -> None:
        """Each sees what the one before it wrote."""

        def bump(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange:
            return TxnChange(new("t") if row is None else row._replace(epoch=row.epoch + 1, previous_epoch=row.epoch))

        changes = await asyncio.gather(*[it.txns.change("t", bump) for _ in range(12)])
        assert sorted(changed.row.epoch for changed in changes if changed.row) == list(range(12))

    @opened
    async def test_an_end_and_a_bump_at_once(self, it: Stores) -> None:
        (p,) = await it.topic()

        def end(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange | None:
            assert row is not None
            if row.state != ONGOING:
                return None
            assert partitions == {p}
            return TxnChange(row._replace(state=COMMITTED), end=End(True, row.producer_id, row.epoch))

        def bump(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange:
            assert row is not None
            aborts = End(False, row.producer_id, row.epoch + 1) if row.state == ONGOING else None
            return TxnChange(row._replace(state=EMPTY, epoch=row.epoch + 1), end=aborts)

        for n in range(10):
            await begin(it, "t", [p], epoch=n)
            one, other = await asyncio.gather(it.txns.change("t", end), it.txns.change("t", bump))
            assert len(one.markers) + len(other.markers) == 1
        assert len(await markers_of(it, p)) == 10

    @opened
    async def test_ids_are_forgotten(self, it: Stores) -> None:
        (p,) = await it.topic()
        await begin(it, "t", [p], [offset(5)])
        await begin(it, "u", [p])
        assert await it.txns.change("t", do(None)) == Changed(None, [])
        assert await it.txns.load("t") is None
        assert await joined(it, "t") == frozenset()
        assert await it.txns.pending_offsets("g", None) == []
        assert await it.txns.change("t", do(None)) == Changed(None, [])
        assert [row.transactional_id for row in await it.txns.all("", 9)] == ["u"]
        assert await joined(it, "u") == {p}

    @opened
    async def test_all_in_pages(self, it: Stores) -> None:
        names = sorted(["", "a", "B", "é", "z", "\U0001f600", "a0"])
        for name in reversed(names):
            await it.txns.change(name, do(new(name)))
        # an empty name is no transactional id, but `after` begins there
        found: list[str] = [""]
        while page := await it.txns.all(found[-1], 2):
            found += [row.transactional_id for row in page]
        assert found == names

    @opened
    async def test_overdue_ones(self, it: Stores) -> None:
        for name, state, started, timeout in (
            ("c", ONGOING, 999_000, 999),
            ("a", ONGOING, 0, 999_999),
            ("now", ONGOING, 999_000, 1000),
            ("later", ONGOING, 999_999, 60_000),
            ("done", COMMITTED, 0, 1),
            ("prepared", PREPARED, 0, 1),
        ):
            await it.txns.change(name, do(new(name, state=state, started_ms=started, timeout_ms=timeout)))
        assert [row.transactional_id for row in await it.txns.overdue(9)] == ["a", "c"]
        assert [row.transactional_id for row in await it.txns.overdue(1)] == ["a"]
        it.clock.now += 1
        assert [row.transactional_id for row in await it.txns.overdue(9)] == ["a", "c", "now"]

    @opened
    async def test_idle_ones(self, it: Stores) -> None:
        for n, state in enumerate((EMPTY, ONGOING, PREPARED, COMMITTED, ABORTED)):
            await it.txns.change(f"{n}", do(new(f"{n}", state=state, updated_ms=100 + n)))
        assert [row.transactional_id for row in await it.txns.idle(104, 9)] == ["0", "3"]
        assert [row.transactional_id for row in await it.txns.idle(105, 9)] == ["0", "3", "4"]
        assert [row.transactional_id for row in await it.txns.idle(105, 2)] == ["0", "3"]
        assert await it.txns.idle(100, 9) == []

    @opened
    async def test_offsets_are_pending_and_then_the_groups(self, it: Stores) -> None:
        await it.topic()
        t = topic_id("t")
        await it.groups.write([], [offset(1), offset(10, partition=2)], [])
        await begin(it, "t", [], [offset(2), offset(3, partition=1)])
        await it.txns.change("t", do(on("t"), offsets=[offset(4), offset(5, metadata="x\0y")]))
        await begin(it, "u", [], [offset(7, group="other")])
        committed = [offset(1), offset(10, partition=2)]
        pending = [OffsetKey("g", t, 0), OffsetKey("g", t, 1)]
        assert await it.groups.fetch_offsets_and_pending("g", None) == (committed, pending)
        assert await it.txns.pending_offsets("g", None) == pending
        keys = [(t, 2), (t, 0), (t, 9), (t, 0)]
        assert await it.groups.fetch_offsets_and_pending("g", keys) == (committed, pending[:1])
        assert await it.txns.pending_offsets("g", keys) == pending[:1]
        assert await it.groups.fetch_offsets_and_pending("g", []) == ([], [])
        assert await it.groups.fetch_offsets_and_pending("nobody", None) == ([], [])
        await commit(it, "t")
        rows = [offset(5, metadata="x\0y"), offset(3, partition=1), offset(10, partition=2)]
        assert await it.groups.fetch_offsets_and_pending("g", None) == (rows, [])
        assert await it.groups.fetch_offsets("g", None) == rows
        assert await it.txns.pending_offsets("other", None) == [OffsetKey("other", t, 0)]

    @opened
    async def test_two_transactions_with_the_same_offset(self, it: Stores) -> None:
        await it.topic()
        t = topic_id("t")
        await begin(it, "t", [], [offset(2)])
        await begin(it, "u", [], [offset(3)])
        assert await it.txns.pending_offsets("g", None) == [OffsetKey("g", t, 0)]
        await commit(it, "u")
        assert await it.groups.fetch_offsets_and_pending("g", [(t, 0)]) == ([offset(3)], [OffsetKey("g", t, 0)])
        await abort(it, "t")
        assert await it.groups.fetch_offsets_and_pending("g", None) == ([offset(3)], [])

    @opened
    async def test_an_offset_that_is_deleted_does_not_come_of_a_transaction(self, it: Stores) -> None:
        await it.topic()
        t = topic_id("t")
        await it.groups.write([], [offset(1), offset(1, group="other")], [])
        await begin(it, "t", [], [offset(2), offset(3, partition=1), offset(4, group="other")])
        await begin(it, "u", [], [offset(5)])
        guard = None
        if self.has_leases:
            lease = await it.leases.acquire("groups/1", "1:1", 5000)
            guard = Guard("groups/1", lease.epoch)
            with pytest.raises(LeaseLost):
                await it.groups.write([], [], [OffsetKey("g", t, 0)], Guard("groups/1", lease.epoch + 1))
        both = [OffsetKey("g", t, 0), OffsetKey("g", t, 1)]
        assert await it.groups.fetch_offsets_and_pending("g", None) == ([offset(1)], both)
        await it.groups.write([], [], [OffsetKey("g", t, 0)], guard)
        assert await it.groups.fetch_offsets_and_pending("g", None) == ([], both[1:])
        await it.txns.change("u", do(on("u"), offsets=[offset(6)]))
        await commit(it, "t")
        assert await it.groups.fetch_offsets_and_pending("g", None) == ([offset(3, partition=1)], both[:1])
        assert await it.groups.fetch_offsets("other", None) == [offset(4, group="other")]
        await commit(it, "u")
        assert await it.groups.fetch_offsets("g", None) == [offset(6), offset(3, partition=1)]

    @opened
    async def test_offsets_of_topics_that_are_gone(self, it: Stores) -> None:
        await it.topic("alive")
        await it.topic("gone")
        await begin(it, "t", [], [offset(2, "gone"), offset(3, "alive"), offset(4, "never")])
        await it.topics.delete_topic(topic_id("gone"), 5)
        await commit(it, "t")
        assert await it.groups.fetch_offsets_and_pending("g", None) == ([offset(3, "alive")], [])

    @opened
    async def test_offsets_under_the_lease_of_their_group(self, it: Stores) -> None:
        await it.topic()
        lease = await it.leases.acquire("groups/1", "1:1", 5000)
        guard = Guard("groups/1", lease.epoch)
        await begin(it, "t", [])
        await it.txns.change("t", do(on("t"), offsets=[offset(1)], guard=guard))
        await it.leases.release("1:1", ["groups/1"])
        for name in ("t", "new"):
            with pytest.raises(LeaseLost):
                await it.txns.change(name, do(on(name, seq=9), offsets=[offset(2, partition=1)], guard=guard))
        assert await it.txns.load("t") == TxnDescription(on("t"), [])
        assert await it.txns.load("new") is None
        assert await it.txns.pending_offsets("g", None) == [OffsetKey("g", topic_id("t"), 0)]

    @opened
    async def test_many_partitions_and_offsets(self, it: Stores) -> None:
        ids = await it.topic(partitions=1000)
        await it.append(entry(ids[500], 0, 3))
        await begin(it, "t", ids[::-1], [offset(n, partition=n) for n in range(1000)])
        changed = await commit(it, "t")
        assert [extent.partition_id for extent in changed.markers] == ids
        first = changed.markers[0].position
        assert [extent.position - first for extent in changed.markers] == [n * MARKER_BYTES for n in range(1000)]
        assert [extent.base_offset for extent in changed.markers] == [3 * (n == 500) for n in range(1000)]
        assert (await markers_of(it, ids[999]))[0].offset == 0
        assert len(await it.groups.fetch_offsets("g", None)) == 1000
        assert await it.maintenance.live_counts() == []
