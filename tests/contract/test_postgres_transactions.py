"""Transactions that end beside busy writers, groups and maintenance of two brokers on one PostgreSQL: no marker lost or doubled, no gap, no deadlock."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from itertools import count, pairwise

import asyncpg
import pytest
from support.aio import run
from support.postgres import Postgres
from support.stores import Stores, entry, postgres_opener, topic_id
from support.transactions import begin, new, offset

from moldau.log.fold import unpack
from moldau.metadata.errors import Conflict
from moldau.metadata.fold_entry import FLAG_COMMIT, FLAG_MARKER
from moldau.metadata.rows import APPENDED, GONE, KIND_SEGMENT, MOVED, BlobRow, Extent
from moldau.metadata.rows_txn import ABORTED, COMMITTED, ONGOING, End, TxnChange, TxnRow

SECONDS = 3.0
PARTITIONS = 5
TXNS = 4
GROUP = "g"


class Story:
    """What everybody was told."""

    def __init__(self, ids: list[int], seed: int) -> None:
        self.ids = ids
        self.random = random.Random(seed)
        self.blobs = count(1000)
        self.records: Counter[int] = Counter()
        """Of each partition, markers left out."""
        self.markers: dict[int, dict[int, tuple[int, int, bool]]] = {p: {} for p in ids}
        """Of each partition: offset to producer id, epoch, and whether it commits."""
        self.offsets: dict[int, int] = {}
        """Of the group, by the producer whose partition it is."""
        self.counts: Counter[str] = Counter()
        self.until = asyncio.get_running_loop().time() + SECONDS

    @property
    def over(self) -> bool:
        return asyncio.get_running_loop().time() > self.until


async def transact(stores: list[Stores], story: Story, producer_id: int, dying: list[int]) -> None:
    """Begins at one broker, ends at any, sometimes at two at once; each transaction has an epoch of its own."""
    name = f"t{producer_id}"
    await stores[0].txns.change(name, lambda *_: TxnChange(new(name, producer_id=producer_id)))
    for epoch in count(1):
        if story.over:
            return
        ids = story.random.sample(story.ids, story.random.randint(1, PARTITIONS))
        first = ids[: story.random.randint(0, len(ids))]
        row = {"producer_id": producer_id, "epoch": epoch}
        mine = offset(epoch, group=GROUP, partition=producer_id)
        await begin(story.random.choice(stores), name, [*first, *dying], [mine], **row)
        await begin(story.random.choice(stores), name, ids, [offset(epoch, "dying", GROUP)], **row)
        commits = story.random.random() < 0.7
        expected = frozenset(ids)

        def end(
            row: TxnRow | None,
            partitions: frozenset[int],
            now: int,
            epoch: int = epoch,
            commits: bool = commits,
            expected: frozenset[int] = expected,
        ) -> TxnChange | None:
            assert row is not None
            assert row.epoch == epoch
            if row.state != ONGOING:
                assert not partitions
                return None
            assert partitions >= expected
            state = COMMITTED if commits else ABORTED
            return TxnChange(row._replace(state=state), end=End(commits, row.producer_id, epoch))

        asked = [each.txns.change(name, end) for each in stores[: story.random.randint(1, len(stores))]]
        told = [changed for changed in await asyncio.gather(*asked) if changed.markers]
        assert len(told) == 1, "ended once"
        markers = {extent.partition_id: extent.base_offset for extent in told[0].markers}
        assert markers.keys() & set(story.ids) == expected
        for p in ids:
            assert markers[p] not in story.markers[p]
            story.markers[p][markers[p]] = producer_id, epoch, commits
        if commits:
            story.offsets[producer_id] = epoch
        story.counts["committed" if commits else "aborted"] += 1


async def write(it: Stores, story: Story, dying: list[int]) -> None:
    ends = dict.fromkeys(story.ids, 0)
    while not story.over:
        chosen = story.random.sample(story.ids, story.random.randint(1, PARTITIONS))
        wanted = {p: story.random.randint(1, 9) for p in [*chosen, *dying]}
        story.random.shuffle(chosen)
        answers = await it.append(
            *[entry(p, ends.get(p, 0), n, length=5) for p, n in wanted.items()],
            blob_id=next(story.blobs),
            inline=b"b" * 50,
        )
        for (p, records), answer in zip(wanted.items(), answers, strict=True):
            story.counts[("appended", "moved", "gone")[answer.status]] += 1
            if answer.status == APPENDED:
                ends[p] = answer.offset + records
                story.records[p] += records
            elif answer.status == MOVED:
                assert answer.offset > ends.get(p, 0)
                ends[p] = answer.offset
            else:
                assert answer.status == GONE
                assert p not in story.ids


async def merge(it: Stores, story: Story) -> None:
    """The segment builder; folds stay."""
    while not story.over:
        p = story.random.choice(story.ids)
        extents = await it.extents(p)
        at = story.random.randrange(max(1, len(extents) - 3))
        old = [each for each in extents[at : at + story.random.randint(1, 6)] if not each.fold][:1]
        if old:
            blob_id = next(story.blobs)
            one = old[0]
            new_one = Extent(
                p, one.base_offset, one.last_offset, blob_id, 0, one.length, 100, 100, one.records, 0, KIND_SEGMENT, 1000
            )  # fmt: skip
            try:
                await it.maintenance.replace_extents(
                    p, old, [new_one], BlobRow(blob_id, KIND_SEGMENT, one.length, 1000)
                )
                story.counts["merged"] += 1
            except Conflict:
                story.counts["merge lost"] += 1
        await asyncio.sleep(0.005)


async def noise(it: Stores, story: Story, dying: list[int]) -> None:
    """Log starts, the group's other commits, and topics that die while they take part."""
    while not story.over:
        await it.log.raise_log_start(story.random.choice(story.ids), 1)
        rows = [offset(1, group=GROUP, partition=n) for n in (99, 98, 97)]
        await it.groups.write([], rows, [])
        await it.txns.overdue(9)
        name = f"x{next(story.blobs)}"
        dying[:] = await it.topic(name, 2)
        await asyncio.sleep(0.05)
        await it.topics.delete_topic(topic_id(name), 5)
        for p in list(dying):
            while not await it.maintenance.purge_partition(p, 3):
                pass
        story.counts["topics"] += 1


async def check(it: Stores, story: Story) -> None:
    for name in ("committed", "aborted", "appended", "moved", "merged", "topics"):
        assert story.counts[name] > 0, (name, story.counts)
    for p in story.ids:
        row, extents = await it.row(p), await it.extents(p)
        assert extents[0].base_offset == 0
        assert all(one.last_offset + 1 == two.base_offset for one, two in pairwise(extents))
        assert extents[-1].last_offset + 1 == row.end_offset == story.records[p] + len(story.markers[p])
        found = {}
        for extent in extents:
            for producer_id, epoch, *_, flags in unpack(extent.fold):
                assert flags & FLAG_MARKER
                found[extent.base_offset] = producer_id, epoch, bool(flags & FLAG_COMMIT)
        assert found == story.markers[p]
        assert row.bytes_total == sum(extent.length for extent in extents)
    committed, pending = await it.groups.fetch_offsets_and_pending(GROUP, None)
    assert pending == []
    assert {row.partition: row.offset for row in committed if row.partition <= TXNS} == story.offsets
    assert await it.maintenance.live_counts() == []


@pytest.mark.slow
def test_transactions_that_end_beside_everybody_else(postgres: Postgres) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    url = postgres.url(postgres.database())

    async def main() -> None:
        async with AsyncExitStack() as stack:
            a, b = [await stack.enter_async_context(postgres_opener(url)()) for _ in range(2)]
            story = Story(await a.topic("t", PARTITIONS), seed)
            dying: list[int] = []
            await asyncio.gather(
                *(transact([a, b], story, producer_id, dying) for producer_id in range(1, TXNS + 1)),
                *(write(it, story, dying) for it in (a, b, a)),
                *(merge(it, story) for it in (a, b)),
                noise(b, story, dying),
            )
            print(dict(story.counts))
            await check(a, story)

    run(main())

    async def deadlocks() -> int:
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        found = await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        left = await connection.fetchval("SELECT count(*) FROM txn_partition") + await connection.fetchval(
            "SELECT count(*) FROM txn_offset"
        )
        await connection.close()
        assert left == 0, "takes part after the end"
        return int(found)

    if run(deadlocks()):
        log = postgres.log()
        raise AssertionError(log[log.rindex("deadlock detected") :])
