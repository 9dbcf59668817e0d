"""The contract of `LeaseStore`, and of writes that are guarded by a lease."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, opened, reopened
from support.stores import Stores

from moldau.metadata.errors import LeaseLost
from moldau.metadata.rows import Guard, Lease
from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow

A, B = "1:1", "2:1"


def row(offset: int, group: str = "g") -> OffsetRow:
    return OffsetRow(group, b"t" * 16, 0, offset, -1, "", 1000, -1)


class LeaseStoreContract:
    @opened
    async def test_a_free_lease_is_taken_and_others_learn_by_whom(self, it: Stores) -> None:
        assert await it.leases.acquire("x", A, 5000) == Lease("x", 1, A, 5000)
        it.clock.now += 1200
        assert await it.leases.acquire("x", B, 9000) == Lease("x", 1, A, 3800)
        assert await it.leases.acquire("y", B, 9000) == Lease("y", 1, B, 9000)

    @opened
    async def test_the_epoch_rises_only_with_the_owner(self, it: Stores) -> None:
        await it.leases.acquire("x", A, 5000)
        it.clock.now += 4999
        assert await it.leases.acquire("x", A, 5000) == Lease("x", 1, A, 5000)
        assert await it.leases.acquire("x", B, 5000) == Lease("x", 1, A, 5000)
        assert await it.leases.renew(A, ["x"], 7000) == {"x"}
        it.clock.now += 5001
        assert await it.leases.acquire("x", A, 5000) == Lease("x", 1, A, 5000)
        it.clock.now += 5000
        assert await it.leases.acquire("x", B, 5000) == Lease("x", 2, B, 5000)
        it.clock.now += 5000
        assert await it.leases.acquire("x", A, 5000) == Lease("x", 3, A, 5000)

    @opened
    async def test_another_start_of_the_same_node_is_another_owner(self, it: Stores) -> None:
        await it.leases.acquire("x", "1:1", 5000)
        assert await it.leases.acquire("x", "1:2", 5000) == Lease("x", 1, "1:1", 5000)
        it.clock.now += 5000
        assert await it.leases.acquire("x", "1:2", 5000) == Lease("x", 2, "1:2", 5000)

    @opened
    async def test_a_lease_is_taken_from_an_owner_that_is_known_to_be_dead(self, it: Stores) -> None:
        await it.leases.acquire("x", A, 5000)
        assert await it.leases.acquire("x", B, 5000, "3:1") == Lease("x", 1, A, 5000)
        assert await it.leases.acquire("x", B, 5000, A) == Lease("x", 2, B, 5000)
        assert await it.leases.renew(A, ["x"], 5000) == set()
        with pytest.raises(LeaseLost):
            await it.groups.write([], [row(1)], [], Guard("x", 1))

    @opened
    async def test_a_renewal_tells_which_are_still_held(self, it: Stores) -> None:
        for name in ("a", "b", "c"):
            await it.leases.acquire(name, A, 1000)
        it.clock.now += 1000
        await it.leases.acquire("b", B, 9000)
        assert await it.leases.renew(A, ["c", "b", "a", "never"], 4000) == {"a", "c"}
        assert await it.leases.renew(A, [], 4000) == set()
        it.clock.now += 3999
        assert await it.leases.holders("") == [
            Lease("a", 1, A, 1),
            Lease("b", 2, B, 5001),
            Lease("c", 1, A, 1),
        ]
        it.clock.now += 1
        assert await it.leases.holders("") == [Lease("b", 2, B, 5000)]

    @opened
    async def test_what_is_released_is_free_at_once(self, it: Stores) -> None:
        await it.leases.acquire("a", A, 5000)
        await it.leases.acquire("b", B, 5000)
        await it.leases.release(A, ["a", "b", "never"])
        assert await it.leases.holders("") == [Lease("b", 1, B, 5000)]
        assert await it.leases.renew(A, ["a"], 5000) == set()
        assert await it.leases.acquire("a", B, 5000) == Lease("a", 2, B, 5000)
        await it.leases.release(B, ["a"])
        assert await it.leases.acquire("a", B, 5000) == Lease("a", 3, B, 5000)

    @opened
    async def test_holders_of_names_with_a_prefix(self, it: Stores) -> None:
        names = ["group/1", "group/10", "group/2", "groups", "job", "group/\u00fc\U0001f30a"]
        for name in names:
            await it.leases.acquire(name, A, 5000)
        assert [lease.name for lease in await it.leases.holders("group/")] == [
            "group/1",
            "group/10",
            "group/2",
            "group/\u00fc\U0001f30a",
        ]
        assert [lease.name for lease in await it.leases.holders("group/1")] == ["group/1", "group/10"]
        assert await it.leases.holders("x") == []

    @opened
    async def test_of_many_that_want_it_one_has_it(self, it: Stores) -> None:
        owners = [f"{n}:1" for n in range(20)]
        leases = await asyncio.gather(*(it.leases.acquire("x", owner, 5000) for owner in owners))
        assert len(set(leases)) == 1
        assert leases[0].owner in owners
        it.clock.now += 5000
        again = await asyncio.gather(*(it.leases.acquire("x", owner, 5000) for owner in owners))
        assert {(lease.owner, lease.epoch) for lease in again} <= {
            (leases[0].owner, 1),
            *((owner, 2) for owner in owners),
        }
        assert len({lease.owner for lease in again}) == 1

    @reopened
    async def test_leases_survive_a_reopen(self, opener: Opener) -> None:
        async with opener() as it:
            await it.leases.acquire("x", A, 5000)
        async with opener() as it:
            assert await it.leases.acquire("x", B, 5000) == Lease("x", 1, A, 5000)

    # -- guarded writes -----------------------------------------------------------------------------------------------

    @opened
    async def test_a_write_under_a_lease_that_is_held(self, it: Stores) -> None:
        lease = await it.leases.acquire("x", A, 5000)
        await it.groups.write([GroupRecord(1, "g", "", b"v")], [row(5)], [], Guard("x", lease.epoch))
        assert await it.groups.fetch_offsets("g", None) == [row(5)]
        it.clock.now += 9000
        await it.groups.write([], [row(6)], [], Guard("x", lease.epoch))  # nobody else has taken it
        assert await it.groups.fetch_offsets("g", None) == [row(6)]

    @opened
    async def test_a_write_under_a_lost_lease_writes_nothing(self, it: Stores) -> None:
        lease = await it.leases.acquire("x", A, 5000)
        await it.groups.write([GroupRecord(1, "g", "", b"v")], [row(5)], [], Guard("x", lease.epoch))
        it.clock.now += 5000
        await it.leases.acquire("x", B, 5000)
        for guard in (Guard("x", 1), Guard("x", 3), Guard("never", 1)):
            with pytest.raises(LeaseLost):
                await it.groups.write(
                    [GroupRecord(1, "g", "", None), GroupRecord(1, "h", "", b"v")],
                    [row(9, "other")],
                    [OffsetKey("g", b"t" * 16, 0)],
                    guard,
                )
        await it.leases.release(B, ["x"])
        with pytest.raises(LeaseLost):
            await it.groups.write([], [row(9)], [], Guard("x", 2))
        assert await it.groups.load_groups() == [GroupRecord(1, "g", "", b"v")]
        assert await it.groups.fetch_offsets("g", None) == [row(5)]
        assert await it.groups.fetch_offsets("other", None) == []

    @opened
    async def test_a_lost_lease_is_told_to_those_who_wrote_under_it_and_to_no_others(self, it: Stores) -> None:
        await it.leases.acquire("x", A, 5000)
        await it.leases.acquire("y", A, 5000)
        await it.leases.acquire("z", B, 5000)
        await it.leases.release(B, ["z"])
        guards = [Guard("x", 1), None, Guard("z", 1), Guard("y", 1), Guard("y", 2)]

        async def write(n: int) -> bool:
            try:
                await it.groups.write([], [row(n)] if n % 5 < 2 else [row(n, f"g{n}")], [], guards[n % 5])
            except LeaseLost:
                return False
            return True

        done = await asyncio.gather(*(write(n) for n in range(40)))
        assert done == [n % 5 in (0, 1, 3) for n in range(40)]
        assert await it.groups.fetch_offsets("g", None) == [row(36)]
        assert await it.groups.groups_with_offsets([f"g{n}" for n in range(40)]) == {f"g{n}" for n in range(3, 40, 5)}
