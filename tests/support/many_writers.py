"""Many writers of several brokers on the same partitions of one metadata store, with maintenance as noise: nothing lost, doubled or out of order.

As a program (`python -m support.many_writers URL SEED FIRST_BLOB PARTITION...`) it is one broker's writers, and prints what they were told.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from itertools import count, pairwise

from moldau.metadata.errors import Conflict
from moldau.metadata.rows import APPENDED, BLOB_GONE, GONE, KIND_SEGMENT, MOVED, BlobRow, Extent

from .stores import Stores, entry, topic_id, url_opener

SECONDS = 3.0
PARTITIONS = 5


class Story:
    """What the writers were told."""

    def __init__(self, ids: list[int], seed: int, first_blob: int = 1000) -> None:
        self.ids = ids
        self.random = random.Random(seed)
        self.blobs = count(first_blob)
        self.appended: dict[int, dict[int, int]] = {p: {} for p in ids}
        """Of each partition: base offset to records."""
        self.counts: Counter[str] = Counter()
        self.until = asyncio.get_running_loop().time() + SECONDS

    @property
    def over(self) -> bool:
        return asyncio.get_running_loop().time() > self.until

    def add(self, told: str) -> None:
        """What another process printed."""
        appended, counts = json.loads(told)
        for p, ranges in appended.items():
            for base, records in ranges.items():
                assert int(base) not in self.appended[int(p)]
                self.appended[int(p)][int(base)] = records
        self.counts.update(counts)


async def write(it: Stores, story: Story, shared_blob: int | None, doomed_topic: list[int]) -> None:
    """Appends to several partitions at once with ends that others move; what moved is tried again."""
    ends = dict.fromkeys(story.ids, 0)
    while not story.over:
        chosen = story.random.sample(story.ids, story.random.randint(1, PARTITIONS))
        wanted = {p: story.random.randint(1, 9) for p in chosen}
        for p in doomed_topic:
            wanted[p] = 1
        inline = b"b" * 50 if shared_blob is None else None
        blob_id = next(story.blobs) if shared_blob is None else shared_blob
        while wanted:
            order = list(wanted)
            story.random.shuffle(order)
            answers = await it.append(
                *[entry(p, ends.get(p, 0), wanted[p], length=5) for p in order], blob_id=blob_id, inline=inline
            )
            if inline is not None and any(answer.status == APPENDED for answer in answers):
                blob_id = next(story.blobs)  # these bytes are stored
            for p, answer in zip(order, answers, strict=True):
                story.counts[("appended", "moved", "gone", "blob gone")[answer.status]] += 1
                assert answer.status != BLOB_GONE
                if answer.status == APPENDED:
                    records = wanted.pop(p)
                    assert answer.offset == ends.get(p, 0)
                    if p in story.appended:
                        assert answer.offset not in story.appended[p]
                        story.appended[p][answer.offset] = records
                    ends[p] = answer.offset + records
                elif answer.status == MOVED:
                    assert answer.offset > ends.get(p, 0), "an end that was there before"
                    ends[p] = answer.offset
                else:
                    assert answer.status == GONE
                    assert p not in story.appended
                    del wanted[p]


async def merge(it: Stores, story: Story) -> None:
    """The segment builder, by more than one broker at once."""
    while not story.over:
        p = story.random.choice(story.ids)
        extents = await it.extents(p)
        at = story.random.randrange(max(1, len(extents) - 3))
        old = extents[at : at + story.random.randint(1, 12)]
        if old:
            blob_id = next(story.blobs)
            new = Extent(
                p, old[0].base_offset, old[-1].last_offset, blob_id, 0, sum(e.length for e in old), 100, 100,
                sum(e.records for e in old), 0, KIND_SEGMENT, 1000,
            )  # fmt: skip
            try:
                await it.maintenance.replace_extents(p, old, [new], BlobRow(blob_id, KIND_SEGMENT, new.length, 1000))
                story.counts["merged"] += 1
            except Conflict:
                story.counts["merge lost"] += 1
        await asyncio.sleep(0.001)


async def retain(it: Stores, story: Story, starts: dict[int, int]) -> None:
    while not story.over:
        p = story.random.choice(story.ids)
        extents = (await it.extents(p))[: story.random.randint(1, 3)]
        if len(extents) > 1:
            start = await it.log.raise_log_start(p, extents[-1].last_offset + 1)
            assert start is not None
            assert start[0] >= starts.get(p, 0)
            starts[p] = start[0]
            try:
                await it.maintenance.delete_extents(p, extents)
                story.counts["retained"] += 1
            except Conflict:
                story.counts["retention lost"] += 1
        await it.maintenance.write_snapshot(p, starts.get(p, 0), b"s")
        await asyncio.sleep(0.003)


async def collect(it: Stores, story: Story) -> None:
    while not story.over:
        story.counts["doomed"] += len(await it.maintenance.doom_unreferenced(1 << 40, 0, 50))
        await it.log.changed([])
        await asyncio.sleep(0.01)


async def create_and_delete(it: Stores, story: Story, current: list[int]) -> None:
    """Topics die under the writers' hands and are purged at once."""
    while not story.over:
        name = f"x{next(story.blobs)}"
        current[:] = await it.topic(name, 2)
        await asyncio.sleep(0.05)
        await it.topics.delete_topic(topic_id(name), 5)
        for p in list(current):
            while not await it.maintenance.purge_partition(p, 3):
                pass
        story.counts["topics"] += 1


async def check(it: Stores, story: Story, starts: dict[int, int]) -> None:
    for name in ("appended", "moved", "merged", "retained", "topics", "gone"):
        assert story.counts[name] > 0, (name, story.counts)
    for p in story.ids:
        row, extents = await it.row(p), await it.extents(p)
        assert row.end_offset == sum(story.appended[p].values())
        bases = sorted(story.appended[p])
        assert bases[0] == 0
        assert all(base + story.appended[p][base] == after for base, after in pairwise(bases))
        assert all(one.last_offset + 1 == two.base_offset for one, two in pairwise(extents))
        assert extents[-1].last_offset + 1 == row.end_offset
        assert extents[0].base_offset <= row.log_start_offset
        assert row.log_start_offset >= starts.get(p, 0)
        assert row.bytes_total == sum(extent.length for extent in extents)
        merged = {extent.base_offset for extent in extents if extent.kind == KIND_SEGMENT}
        for extent in extents:
            if extent.base_offset not in merged:
                assert story.appended[p][extent.base_offset] == extent.records
            if extent.kind != KIND_SEGMENT and extent.blob_id > 999:
                assert await it.log.read_inline(extent.blob_id) is not None


async def main(url: str, seed: int, first_blob: int, ids: list[int]) -> None:
    async with url_opener(url)() as it:
        story = Story(ids, seed, first_blob)
        await asyncio.gather(
            *(write(it, story, blob, []) for blob in (None, None, 2)), merge(it, story), collect(it, story)
        )
        print(json.dumps([story.appended, story.counts]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [int(each) for each in sys.argv[4:]]))
