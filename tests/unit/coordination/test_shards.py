"""Groups that move between brokers with their shard's lease."""

from __future__ import annotations

import pytest
from playbook import RANGE
from support.aio import run
from support.stores import ManualClock

from moldau.coordination.config import GroupConfig
from moldau.coordination.events import Heartbeat, JoinGroup, OffsetCommit, SyncGroup
from moldau.coordination.shard_store import SHARDS, lease_of, shard_of
from moldau.coordination.shards import GroupShards
from moldau.metadata.memory.lease_store import MemoryLeaseStore
from moldau.metadata.memory.state import MemoryState
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.protocol.error_codes import COORDINATOR_LOAD_IN_PROGRESS, NONE, NOT_COORDINATOR


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        state = MemoryState("c", 1, self.clock)
        self.leases = MemoryLeaseStore(state)
        self.groups = MemoryGroupStore(state)

    def broker(self, lost: list[int] | None = None, expected: bool = False) -> GroupShards:
        told = lost if lost is not None else []
        config = GroupConfig(group_initial_rebalance_delay_ms=0)
        return GroupShards(self.groups, config, self.clock, lambda _: "t", lambda _: expected, told.append)

    async def gain(self, broker: GroupShards, shard: int, owner: str) -> None:
        lease = await self.leases.acquire(lease_of(shard), owner, 10_000)
        assert lease.owner == owner
        await broker.gain(shard, lease.epoch)


G = "g"
MINE = shard_of(G)


def joining(member_id: str = "") -> JoinGroup:
    return JoinGroup(G, member_id, "m-1", "consumer", RANGE, session_timeout_ms=10_000, requires_known_member_id=False)


async def stable(broker: GroupShards) -> int:
    """One member, m-1, that has its assignment; returns the generation."""
    joined = await broker.join(joining())
    assert (joined.error_code, joined.member_id) == (NONE, "m-1")
    synced = await broker.sync(SyncGroup(G, "m-1", joined.generation_id, {"m-1": b"all"}))
    assert synced.assignment == b"all"
    return joined.generation_id


def commit(offset: int, member_id: str = "", generation: int = -1) -> OffsetCommit:
    return OffsetCommit(G, member_id, generation, [(b"t" * 16, 0, offset, -1, None)], commit_timestamp=1)


def test_shards_are_even_and_fixed() -> None:
    counts = [0] * SHARDS
    for number in range(5000):
        counts[shard_of(f"group-{number}")] += 1
    assert min(counts) > 50
    assert (shard_of("g"), shard_of("")) == (28, 0)


def test_a_member_goes_on_at_the_next_broker() -> None:
    async def main() -> None:
        world = World()
        one, two = world.broker(), world.broker()
        await world.gain(one, MINE, "1:1")
        generation = await stable(one)
        assert await one.commit_offsets(commit(5, "m-1", generation)) == [NONE]
        assert [group.group_id for group in one.list_groups()] == [G]
        await one.lose(MINE)
        await world.leases.release("1:1", [lease_of(MINE)])
        await world.gain(two, MINE, "2:1")
        beat = Heartbeat(G, "m-1", generation)
        assert one.heartbeat_now(beat, 1) == NOT_COORDINATOR
        assert two.heartbeat_now(beat, world.clock()) == NONE
        assert await two.commit_offsets(commit(6, "m-1", generation)) == [NONE]
        assert [row.offset for row in await one.fetch_offsets(G, None)] == [6]
        assert [group.group_id for group in two.list_groups()] == [G]
        await two.close()
        assert two.held == []

    run(main())


def test_a_broker_that_slept_cannot_write() -> None:
    async def main() -> None:
        world = World()
        lost: list[int] = []
        one, two = world.broker(lost), world.broker()
        await world.gain(one, MINE, "1:1")
        generation = await stable(one)
        world.clock.now += 10_001
        await world.gain(two, MINE, "2:1")
        assert await two.commit_offsets(commit(7, "m-1", generation)) == [NONE]
        assert await one.commit_offsets(commit(3, "m-1", generation)) != [NONE]
        assert (lost, one.held) == ([MINE], [])
        assert [row.offset for row in await two.fetch_offsets(G, None)] == [7]
        await one.close()
        await two.close()

    run(main())


@pytest.mark.parametrize(("expected", "code"), [(False, NOT_COORDINATOR), (True, COORDINATOR_LOAD_IN_PROGRESS)])
def test_groups_of_others(expected: bool, code: int) -> None:
    async def main() -> None:
        broker = World().broker(expected=expected)
        assert (await broker.join(joining())).error_code == code
        assert await broker.commit_offsets(commit(1)) == [code]
        assert await broker.heartbeat(Heartbeat(G, "m", 1)) == code
        assert [group.error_code for group in broker.describe_groups([G])] == [code]
        assert await broker.delete_groups([G]) == [(G, code)]
        assert broker.list_groups() == []

    run(main())


def test_offsets_of_deleted_topics_go_without_a_lease() -> None:
    async def main() -> None:
        world = World()
        one, two = world.broker(), world.broker()
        await world.gain(one, MINE, "1:1")
        assert await one.commit_offsets(commit(5)) == [NONE]
        await two.forget_topics([b"t" * 16])
        assert await one.fetch_offsets(G, None) == []
        await one.close()

    run(main())
