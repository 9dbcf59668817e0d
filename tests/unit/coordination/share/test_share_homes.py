"""Share-partitions and their rows: one commit for many, and what becomes of them when it fails or another broker was quicker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from support.aio import run

from moldau.coordination.share.homes import Home, ShareHomes
from moldau.coordination.share.partition import Acknowledgement, Letter, Limits
from moldau.coordination.share.records import SHARE_GROUP
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.metadata.memory_shares import MemoryShareStore
from moldau.metadata.rows_groups import GroupRecord
from moldau.metadata.rows_share import ShareKey, ShareRow
from moldau.protocol.error_codes import (
    FENCED_STATE_EPOCH,
    GROUP_ID_NOT_FOUND,
    INVALID_RECORD_STATE,
    KAFKA_STORAGE_ERROR,
    NONE,
    NOT_LEADER_OR_FOLLOWER,
)

TOPIC = b"t" * 16
ALL = [(0, 9), (10, 19)]


class Store(MemoryShareStore):
    """Counts its writes; may refuse them, before or after it has done what they say; may be slow."""

    def __init__(self, groups: MemoryGroupStore) -> None:
        super().__init__(groups)
        self.writes: list[int] = []
        self.fails = ""
        self.gate: asyncio.Event | None = None

    async def write(self, rows: Sequence[ShareRow]) -> list[bool]:
        self.writes.append(len(rows))
        if self.gate is not None:
            await self.gate.wait()
        if self.fails == "before":
            raise StoreUnavailable("no")
        written = await super().write(rows)
        if self.fails == "after":
            raise StoreUnavailable("who knows")
        return written


class World:
    def __init__(self) -> None:
        self.now = 1000
        groups = MemoryGroupStore()
        self.store = Store(groups)
        self._groups = groups
        self.limits = Limits(lock_ms=50)
        self.homes = self.broker()

    def broker(self) -> ShareHomes:
        return ShareHomes(self.store, SHARE_GROUP, lambda: self.now, lambda group: self.limits)

    async def group(self) -> None:
        await self._groups.write([GroupRecord(SHARE_GROUP, "g", "", b"x")], [], [])

    async def claim(self, partition: int = 0, homes: ShareHomes | None = None, start: int = 0) -> Home | int:
        async def begin() -> int:
            return start

        return await (self.homes if homes is None else homes).claim(
            ShareKey("g", TOPIC, partition), partition, 0, begin
        )

    async def home(self, partition: int = 0, homes: ShareHomes | None = None) -> Home:
        home = await self.claim(partition, homes)
        assert isinstance(home, Home)
        return home

    def take(self, home: Home, member: str = "m", homes: ShareHomes | None = None) -> list[tuple[int, int, int]]:
        given = (self.homes if homes is None else homes).acquire(
            home, member, home.partition.next_offset, ALL, 100, 100, False
        )
        return [tuple(each) for each in given]  # type: ignore[misc]


def acks(first: int, last: int, kind: int = 1) -> list[Acknowledgement]:
    return [Acknowledgement(first, last, [kind])]


def test_a_share_partition_needs_its_group_and_begins_once() -> None:
    async def main() -> None:
        it = World()
        assert await it.claim() == GROUP_ID_NOT_FOUND
        await it.group()
        one, two = await asyncio.gather(it.claim(start=5), it.claim(start=6))
        assert one is two
        assert (await it.home()).partition.start == 5
        assert (await it.home(0, it.broker())).partition.start == 5

    run(main())


def test_acknowledgements_that_come_meanwhile_share_a_commit() -> None:
    async def main() -> None:
        it = World()
        await it.group()
        homes = [await it.home(n) for n in range(10)]
        for home in homes:
            assert it.take(home) == [(0, 19, 1)]
        it.store.gate = asyncio.Event()
        said = [asyncio.ensure_future(it.homes.acknowledge(home, "m", acks(0, 4))) for home in homes]
        await asyncio.sleep(0.01)
        said += [asyncio.ensure_future(it.homes.acknowledge(home, "m", acks(5, 19))) for home in homes]
        await asyncio.sleep(0.01)
        assert not any(each.done() for each in said)  # durable first
        it.store.gate.set()
        assert set(await asyncio.gather(*said)) == {NONE}
        assert it.store.writes == [10, 10]
        assert {row.start_offset for row in it.store.rows.values()} == {20}

    run(main())


def test_a_write_that_fails_ends_what_is_in_memory() -> None:
    async def main() -> None:
        for fails, left in (("before", (0, 19, 1)), ("after", (10, 19, 1))):
            it = World()
            await it.group()
            home = await it.home()
            it.take(home)
            it.store.fails = fails
            assert await it.homes.acknowledge(home, "m", acks(0, 9)) == KAFKA_STORAGE_ERROR
            assert await it.homes.acknowledge(home, "m", acks(0, 9)) == KAFKA_STORAGE_ERROR
            it.store.fails = ""
            again = await it.home()
            assert again is not home
            assert await it.homes.acknowledge(again, "m", acks(10, 19)) in (INVALID_RECORD_STATE, 42)
            assert it.take(again) == [left]

    run(main())


def test_who_was_taken_over_writes_no_more() -> None:
    async def main() -> None:
        it = World()
        await it.group()
        old, other = await it.home(), it.broker()
        it.take(old)
        new = await it.home(0, other)
        assert it.take(new, "n", other) == [(0, 19, 1)]
        woken: list[int] = []
        old.waiters.add(lambda: woken.append(1))
        assert await it.homes.acknowledge(old, "m", acks(0, 19)) == NOT_LEADER_OR_FOLLOWER
        assert woken
        assert await other.acknowledge(new, "n", acks(0, 9)) == NONE
        await other.verify([new.key])
        assert new.code == NONE
        assert (await it.home()).partition.start == 10
        await other.verify([new.key])
        assert new.code == FENCED_STATE_EPOCH

    run(main())


def test_locks_end_by_themselves_and_are_stored() -> None:
    async def main() -> None:
        it = World()
        await it.group()
        home = await it.home()
        it.take(home)
        woken = asyncio.get_running_loop().create_future()
        home.waiters.add(lambda: woken.set_result(None))
        it.now += 60
        await asyncio.wait_for(woken, 1)
        await it.homes.close()
        again = it.broker()
        assert it.take(await it.home(0, again), "n", again) == [(0, 19, 2)]

    run(main())


def test_what_was_said_before_the_leader_changed_is_stored() -> None:
    async def main() -> None:
        it = World()
        await it.group()
        home = await it.home()
        it.take(home)
        it.store.gate = asyncio.Event()
        first = asyncio.ensure_future(it.homes.acknowledge(home, "m", acks(0, 4)))
        await asyncio.sleep(0.01)
        second = asyncio.ensure_future(it.homes.acknowledge(home, "m", acks(5, 9)))
        await asyncio.sleep(0.01)
        it.homes.drop_if(lambda each: each is home, NOT_LEADER_OR_FOLLOWER)
        assert await it.homes.acknowledge(home, "m", acks(10, 19)) == NOT_LEADER_OR_FOLLOWER
        it.store.gate.set()
        assert await asyncio.gather(first, second) == [NONE, NONE]
        other = it.broker()
        assert it.take(await it.home(0, other), "n", other) == [(10, 19, 1)]

    run(main())


def test_a_home_that_was_claimed_anew_does_not_speak_for_the_old_one() -> None:
    async def main() -> None:
        it = World()
        await it.group()
        old = await it.home()
        it.take(old)
        it.store.gate = asyncio.Event()
        first = asyncio.ensure_future(it.homes.acknowledge(old, "m", acks(0, 4)))
        await asyncio.sleep(0.01)
        lost = asyncio.ensure_future(it.homes.acknowledge(old, "m", acks(5, 9)))
        it.homes.drop_if(lambda each: each is old, NOT_LEADER_OR_FOLLOWER)
        await asyncio.sleep(0.01)
        new = await it.home()
        it.take(new, "n")
        said = asyncio.ensure_future(it.homes.acknowledge(new, "n", acks(0, 19)))
        await asyncio.sleep(0.01)
        it.store.gate.set()
        assert await asyncio.gather(first, lost, said) == [NOT_LEADER_OR_FOLLOWER, NOT_LEADER_OR_FOLLOWER, NONE]
        assert it.store.rows[new.key].start_offset == 20

    run(main())


def test_what_was_given_up_is_told_once_that_is_durable_and_again_by_who_comes_next() -> None:
    async def main() -> None:
        it = World()
        it.limits = Limits(lock_ms=50, dead_letters=True)
        it.homes = it.broker()
        told: list[Letter] = []
        it.homes.undertaker = lambda home, letters: told.extend(letters)
        await it.group()
        home = await it.home()
        it.take(home)
        it.store.gate = asyncio.Event()
        said = asyncio.ensure_future(it.homes.acknowledge(home, "m", [*acks(0, 2, 3), *acks(3, 9, 0), *acks(10, 19)]))
        await asyncio.sleep(0.01)
        assert (told, said.done()) == ([], False)
        it.store.gate.set()
        assert await said == NONE
        assert told == [Letter(0, 2, 1, True)]  # gaps are not told of
        it.homes.buried(home, Letter(0, 0, 1, True))
        await it.homes.close()
        assert [(row.start_offset, row.final_count) for row in it.store.rows.values()] == [(1, 17)]
        told.clear()
        two = it.broker()
        two.undertaker = lambda home, letters: told.extend(letters)
        home = await it.home(0, two)
        assert told == [Letter(1, 2, 1, True)]
        two.buried(home, told[0])
        await two.close()
        assert [(row.start_offset, row.final_count) for row in it.store.rows.values()] == [(20, 0)]

    run(main())


def test_what_was_given_up_is_not_told_when_that_could_not_be_stored() -> None:
    async def main() -> None:
        it = World()
        it.limits = Limits(lock_ms=50, dead_letters=True)
        it.homes = it.broker()
        told: list[Letter] = []
        it.homes.undertaker = lambda home, letters: told.extend(letters)
        await it.group()
        home = await it.home()
        it.take(home)
        it.store.fails = "before"
        assert await it.homes.acknowledge(home, "m", acks(0, 2, 3)) == KAFKA_STORAGE_ERROR
        assert told == []

    run(main())
