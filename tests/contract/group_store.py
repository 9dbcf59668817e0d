"""The contract of `GroupStore`: import the functions into a test module that has a `store` fixture.

    from group_store import *  # noqa: F403

    @pytest.fixture
    def store():  # a zero-argument factory: each call opens the same store again, as after a restart
        ...

`store()` returns the store itself or an async context manager that opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow

__all__ = [
    "test_a_rewritten_offset_is_one_row",
    "test_all_offsets_come_sorted_and_only_of_that_group",
    "test_concurrent_writes_land_in_the_order_of_the_calls",
    "test_deleting_offsets_leaves_the_others",
    "test_deleting_what_is_not_there_is_fine",
    "test_expirable_offsets_come_in_chunks",
    "test_expirable_offsets_go_by_expire_or_commit_timestamp",
    "test_groups_with_offsets",
    "test_names_and_metadata_may_hold_any_code_point",
    "test_names_and_metadata_of_any_text",
    "test_nothing_written_nothing_found",
    "test_offsets_of_topics_are_capped",
    "test_only_the_wanted_offsets_are_fetched",
    "test_records_and_offsets_survive_a_reopen",
    "test_records_are_put_replaced_and_deleted",
    "test_records_of_thousands_of_wanted_groups",
    "test_records_of_wanted_groups_only",
    "test_thousands_of_offsets_in_one_write",
]

Store = Callable[[], Any]
A, B = b"\xaa" * 16, b"\xbb" * 16


def row(group: str = "g", topic_id: bytes = A, partition: int = 0, offset: int = 5, **other: Any) -> OffsetRow:
    values = {"leader_epoch": -1, "metadata": "", "commit_timestamp": 1000, "expire_timestamp": -1} | other
    return OffsetRow(group, topic_id, partition, offset, **values)


@asynccontextmanager
async def opened(store: Store) -> Any:
    made = store()
    if isinstance(made, AbstractAsyncContextManager):
        async with made as inner:
            yield inner
    else:
        yield made


def run(store: Store, body: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with opened(store) as inner:
            return await body(inner)

    return asyncio.run(main())


def test_nothing_written_nothing_found(store: Store) -> None:
    async def body(it: Any) -> None:
        assert await it.load_groups() == []
        assert await it.fetch_offsets("g", None) == []
        assert await it.fetch_offsets("g", [(A, 0)]) == []
        assert await it.fetch_offsets("g", []) == []
        assert await it.list_expirable(10**15, 10**15, None, 10) == []
        assert await it.groups_with_offsets(["g"]) == set()
        assert await it.groups_with_offsets([]) == set()
        assert await it.offsets_of_topics([A], 10) == []
        assert await it.offsets_of_topics([], 10) == []

    run(store, body)


def test_records_are_put_replaced_and_deleted(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([GroupRecord(1, "b", "", b"one"), GroupRecord(1, "a", "x", b"\x00\xff")], [], [])
        await it.write([GroupRecord(2, "a", "", b"other kind"), GroupRecord(1, "b", "", b"two")], [], [])
        assert await it.load_groups() == [
            GroupRecord(1, "a", "x", b"\x00\xff"),
            GroupRecord(1, "b", "", b"two"),
            GroupRecord(2, "a", "", b"other kind"),
        ]
        await it.write([GroupRecord(1, "b", "", None)], [], [])
        assert [record.group for record in await it.load_groups()] == ["a", "a"]

    run(store, body)


def test_records_of_wanted_groups_only(store: Store) -> None:
    async def body(it: Any) -> None:
        groups = ["a", "b", "grün \U0001f30a", "\0", "\ufffe1\0", "c'd"]
        records = [
            GroupRecord(kind, group, key, f"{kind}{key}".encode())
            for kind in (1, 2)
            for group in groups
            for key in ("", "x", "y")
        ]
        await it.write(records, [], [])
        assert await it.load_groups(lambda group: False) == []
        for one in groups:
            assert await it.load_groups(lambda group, one=one: group == one) == sorted(
                r for r in records if r.group == one
            )
        some = await it.load_groups(lambda group: group != "b")
        assert sorted(some) == sorted(record for record in records if record.group != "b")
        assert some == [record for record in await it.load_groups() if record.group != "b"]

    run(store, body)


def test_records_of_thousands_of_wanted_groups(store: Store) -> None:
    async def body(it: Any) -> None:
        records = [GroupRecord(1, f"g{n:04}", key, b"%d" % n) for n in range(2_500) for key in ("", "x")]
        await it.write(records, [], [])
        assert await it.load_groups(lambda group: group != "g0007") == [r for r in records if r.group != "g0007"]

    run(store, body)


def test_deleting_what_is_not_there_is_fine(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([GroupRecord(1, "nobody", "", None)], [], [OffsetKey("nobody", A, 7)])
        await it.write([], [], [])
        assert await it.load_groups() == []

    run(store, body)


def test_a_rewritten_offset_is_one_row(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([], [row(offset=1, metadata="first")], [])
        last = row(offset=2, metadata="second", leader_epoch=3, commit_timestamp=2000, expire_timestamp=9000)
        await it.write([], [last], [])
        found = await it.fetch_offsets("g", None)
        assert found == [last]
        assert isinstance(found[0], OffsetRow)
        assert isinstance(found[0].topic_id, bytes)

    run(store, body)


def test_all_offsets_come_sorted_and_only_of_that_group(store: Store) -> None:
    async def body(it: Any) -> None:
        rows = [row(topic_id=B, partition=1), row(topic_id=A, partition=10), row(topic_id=A, partition=2)]
        await it.write([], [*rows, row(group="other")], [])
        assert await it.fetch_offsets("g", None) == sorted(rows)

    run(store, body)


def test_only_the_wanted_offsets_are_fetched(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([], [row(partition=p) for p in range(5)] + [row(topic_id=B, partition=1)], [])
        found = await it.fetch_offsets("g", [(B, 1), (A, 3), (A, 99), (A, 3)])
        assert [(r.topic_id, r.partition) for r in found] == [(A, 3), (B, 1)]

    run(store, body)


def test_deleting_offsets_leaves_the_others(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([], [row(partition=p) for p in range(3)] + [row(group="other", partition=1)], [])
        await it.write([], [], [OffsetKey("g", A, 1), OffsetKey("g", A, 99)])
        assert [r.partition for r in await it.fetch_offsets("g", None)] == [0, 2]
        assert len(await it.fetch_offsets("other", None)) == 1

    run(store, body)


def test_expirable_offsets_go_by_expire_or_commit_timestamp(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write(
            [],
            [
                row("old", commit_timestamp=100),
                row("just", commit_timestamp=500),
                row("young", commit_timestamp=501),
                row("kept", commit_timestamp=100, expire_timestamp=2001),
                row("due", commit_timestamp=1900, expire_timestamp=2000),
            ],
            [],
        )
        assert [r.group for r in await it.list_expirable(2000, 500, None, 10)] == ["due", "just", "old"]

    run(store, body)


def test_expirable_offsets_come_in_chunks(store: Store) -> None:
    async def body(it: Any) -> None:
        rows = sorted(row(g, topic_id=t, partition=p) for g in ("a", "b") for t in (A, B) for p in range(3))
        await it.write([], rows, [])
        seen: list[OffsetRow] = []
        after = None
        while chunk := await it.list_expirable(5000, 5000, after, 5):
            assert len(chunk) <= 5
            seen += chunk
            after = chunk[-1].key
        assert seen == rows

    run(store, body)


def test_groups_with_offsets(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([GroupRecord(1, "empty", "", b"x")], [row("a"), row("b"), row("b", partition=1)], [])
        await it.write([], [], [OffsetKey("a", A, 0)])
        assert await it.groups_with_offsets(["a", "b", "empty", "nobody"]) == {"b"}

    run(store, body)


def test_offsets_of_topics_are_capped(store: Store) -> None:
    async def body(it: Any) -> None:
        await it.write([], [row(g, topic_id=t, partition=p) for g in "ab" for t in (A, B) for p in range(3)], [])
        found = await it.offsets_of_topics([A], 100)
        assert sorted(found) == [OffsetKey(g, A, p) for g in "ab" for p in range(3)]
        assert len(await it.offsets_of_topics([A, B], 4)) == 4
        await it.write([], [], found)
        assert await it.offsets_of_topics([A], 100) == []

    run(store, body)


def test_names_and_metadata_of_any_text(store: Store) -> None:
    async def body(it: Any) -> None:
        group = "gr\u00fcp'pe \u6cb3 \U0001f30a"
        it_row = row(group, metadata="tab\t nl\n quote'\" \U0001f30a", offset=2**62, partition=2**31 - 1)
        await it.write([GroupRecord(1, group, "k'\u6cb3", b"")], [it_row], [])
        assert await it.fetch_offsets(group, None) == [it_row]
        assert await it.load_groups() == [GroupRecord(1, group, "k'\u6cb3", b"")]

    run(store, body)


def test_names_and_metadata_may_hold_any_code_point(store: Store) -> None:
    async def body(it: Any) -> None:
        for group in ("\0", "a\0b", "\ufffe", "\ufffe0", "\ufffe1\0", "\uffff"):
            it_row = row(group, metadata=group + "m")
            record = GroupRecord(1, group, group, b"v")
            await it.write([record], [it_row], [])
            assert await it.fetch_offsets(group, None) == [it_row]
            assert await it.fetch_offsets(group, [(A, 0)]) == [it_row]
            assert record in await it.load_groups()
            assert await it.groups_with_offsets([group, "none"]) == {group}
            await it.write([record._replace(value=None)], [], [it_row.key])
        assert await it.load_groups() == []
        assert await it.offsets_of_topics([A], 10) == []

    run(store, body)


def test_concurrent_writes_land_in_the_order_of_the_calls(store: Store) -> None:
    async def body(it: Any) -> None:
        await asyncio.gather(*(it.write([], [row(offset=n)], []) for n in range(50)))
        assert [r.offset for r in await it.fetch_offsets("g", None)] == [49]

    run(store, body)


def test_thousands_of_offsets_in_one_write(store: Store) -> None:
    async def body(it: Any) -> None:
        rows = [row(partition=p, offset=p) for p in range(3000)]
        await it.write([], rows, [])
        assert await it.fetch_offsets("g", None) == rows
        assert len(await it.fetch_offsets("g", [(A, p) for p in range(3000)])) == 3000
        await it.write([], [], [r.key for r in rows])
        assert await it.groups_with_offsets(["g"]) == set()

    run(store, body)


def test_records_and_offsets_survive_a_reopen(store: Store) -> None:
    async def first(it: Any) -> None:
        await it.write([GroupRecord(1, "g", "", b"value")], [row()], [])

    async def second(it: Any) -> None:
        assert await it.load_groups() == [GroupRecord(1, "g", "", b"value")]
        assert await it.fetch_offsets("g", None) == [row()]

    run(store, first)
    run(store, second)
