"""The contract of `ShareStore`."""

from __future__ import annotations

from support.aio import Opener, opened, reopened
from support.stores import Stores

from moldau.metadata.rows_groups import GroupRecord
from moldau.metadata.rows_share import ShareKey, ShareRow

KIND = 77
T, U = b"t" * 16, b"u" * 16


def key(partition: int = 0, group: str = "g", topic_id: bytes = T) -> ShareKey:
    return ShareKey(group, topic_id, partition)


async def group(it: Stores, name: str = "g") -> None:
    await it.groups.write([GroupRecord(KIND, name, "", b"x")], [], [])


class ShareStoreContract:
    @opened
    async def test_a_new_one_begins_as_the_first_owner_says(self, it: Stores) -> None:
        await group(it)
        row = await it.shares.claim(key(), KIND, 7, 3, b"s")
        assert row == ShareRow("g", T, 0, 1, 0, 3, 7, 0, b"s")
        assert await it.shares.claim(key(), KIND, 99, 4, b"-") == row._replace(owner_epoch=2, leader_epoch=4)
        assert await it.shares.load([key(1), key()]) == [row._replace(owner_epoch=2, leader_epoch=4)]

    @opened
    async def test_without_its_group_nothing_is_claimed(self, it: Stores) -> None:
        await it.groups.write([GroupRecord(KIND + 1, "g", "", b"x"), GroupRecord(KIND, "g", "m", b"x")], [], [])
        assert await it.shares.claim(key(), KIND, 7, 3, b"s") is None
        await group(it)
        assert await it.shares.claim(key(), KIND, 7, 3, b"s") is not None
        await it.groups.write([GroupRecord(KIND, "g", "", None)], [], [])
        assert await it.shares.claim(key(), KIND, 7, 3, b"s") is None
        assert [row.owner_epoch for row in await it.shares.of_group("g")] == [1]

    @opened
    async def test_only_the_last_owner_writes(self, it: Stores) -> None:
        await group(it)
        rows = [await it.shares.claim(key(n), KIND, 0, 0, b"") for n in range(3)]
        await it.shares.claim(key(1), KIND, 0, 0, b"")
        changed = [row._replace(start_offset=5, final_count=2, state=b"new") for row in rows if row is not None]
        assert await it.shares.write(changed) == [True, False, True]
        assert [
            (row.partition, row.start_offset, row.final_count, row.state) for row in await it.shares.of_group("g")
        ] == [
            (0, 5, 2, b"new"),
            (1, 0, 0, b""),
            (2, 5, 2, b"new"),
        ]
        assert await it.shares.write([ShareRow("h", T, 0, 1, 0, 0, 0, 0, b"")]) == [False]

    @opened
    async def test_an_administrator_fences_the_owner(self, it: Stores) -> None:
        await group(it)
        row = await it.shares.claim(key(), KIND, 0, 0, b"")
        assert row is not None
        await it.shares.reset(
            [row._replace(start_offset=40, leader_epoch=2, state=b"r"), ShareRow(*key(1), 0, 0, 1, 8, 0, b"r")]
        )
        assert await it.shares.of_group("g") == [
            ShareRow("g", T, 0, 2, 1, 2, 40, 0, b"r"),
            ShareRow("g", T, 1, 1, 0, 1, 8, 0, b"r"),
        ]
        assert await it.shares.write([row._replace(start_offset=3)]) == [False]

    @opened
    async def test_groups_and_topics_are_forgotten(self, it: Stores) -> None:
        await group(it)
        await group(it, "h")
        for each in (key(), key(1), key(0, "g", U), key(0, "h"), key(0, "h", U)):
            assert await it.shares.claim(each, KIND, 0, 0, b"") is not None
        await it.shares.forget("g", [T])
        assert [row.key for row in await it.shares.of_group("g")] == [key(0, "g", U)]
        await it.shares.forget_topics([U])
        assert await it.shares.of_group("g") == []
        assert [row.key for row in await it.shares.of_group("h")] == [key(0, "h")]
        await it.shares.forget("h")
        assert await it.shares.of_group("h") == []

    @opened
    async def test_what_has_no_group_is_dropped(self, it: Stores) -> None:
        await group(it)
        await group(it, "h")
        await it.shares.claim(key(), KIND, 0, 0, b"")
        await it.shares.claim(key(0, "h"), KIND, 0, 0, b"")
        await it.groups.write([GroupRecord(KIND, "g", "", None)], [], [])
        await it.shares.drop_orphans(KIND)
        assert [await it.shares.of_group(name) for name in "gh"] == [[], [ShareRow(*key(0, "h"), 1, 0, 0, 0, 0, b"")]]

    @reopened
    async def test_it_survives(self, opener: Opener) -> None:
        async with opener() as it:
            await group(it, "g\0\ufffe\U0001f600")
            row = await it.shares.claim(key(3, "g\0\ufffe\U0001f600"), KIND, 1, 0, b"")
            assert row is not None
            big = row._replace(start_offset=1 << 62, final_count=1 << 40, state=bytes(range(256)) * 40)
            assert await it.shares.write([big]) == [True]
        async with opener() as it:
            assert await it.shares.of_group("g\0\ufffe\U0001f600") == [big]
