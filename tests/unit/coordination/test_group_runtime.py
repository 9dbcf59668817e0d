"""The coordinator on a loop: order within a group, a slow or broken store, cancelled callers, timers, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from jumploop import JumpLoop, run
from playbook import GROUP, RANGE, TOPIC, told

from moldau.coordination.config import GroupConfig
from moldau.coordination.coordinator import GroupCoordinator, new_member_id
from moldau.coordination.events import (
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    LeavingMember,
    OffsetCommit,
    OffsetDelete,
    SyncGroup,
)
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.protocol import error_codes


class Store(MemoryGroupStore):
    """Writes take `write_ms`, in order; `broken` makes them fail."""

    def __init__(self) -> None:
        super().__init__()
        self.write_ms = 0
        self.broken: Exception | None = None
        self.writes = 0
        self._order = asyncio.Lock()

    async def write(self, *rows: Any) -> None:
        async with self._order:
            self.writes += 1
            if self.write_ms:
                await asyncio.sleep(self.write_ms / 1000)
            if self.broken is not None:
                raise self.broken
            await super().write(*rows)


class Setting:
    def __init__(self, loop: JumpLoop) -> None:
        self.loop = loop
        self.store = Store()
        self.config = GroupConfig(group_initial_rebalance_delay_ms=100)
        self.topics = {TOPIC: "t"}

    async def open(self) -> GroupCoordinator:
        it = GroupCoordinator(self.store, self.config, self.loop.ms, self.topics.get)
        await it.start()
        return it


Body = Callable[[Setting, GroupCoordinator], Coroutine[Any, Any, None]]


def serving(body: Body) -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        it = await setting.open()
        await body(setting, it)
        await it.close()

    run(main)


def joining(name: str, group: str = GROUP, **more: Any) -> JoinGroup:
    values = {"session_timeout_ms": 10_000, "rebalance_timeout_ms": 60_000, "requires_known_member_id": False} | more
    return JoinGroup(group, "", name, "consumer", RANGE, **values)


def committing(member_id: str = "", generation: int = -1, offset: int = 1, group: str = GROUP) -> OffsetCommit:
    return OffsetCommit(group, member_id, generation, [(TOPIC, 0, offset, -1, "")], commit_timestamp=1_000_000)


async def make_stable(it: GroupCoordinator, *names: str, group: str = GROUP) -> None:
    replies = await asyncio.gather(*(it.join(joining(name, group)) for name in names))
    assert {reply.leader for reply in replies} == {names[0]}
    syncs = [it.sync(SyncGroup(group, name, 1, {n: n.encode() for n in names})) for name in names]
    assert [reply.assignment for reply in await asyncio.gather(*syncs)] == [name.encode() for name in names]


def test_the_life_of_a_group() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await make_stable(it, "a", "b")
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), setting.loop.ms()) == error_codes.NONE
        assert await it.heartbeat(Heartbeat(GROUP, "b", 1)) == error_codes.NONE
        assert await it.commit_offsets(committing("a", 1, 42)) == [error_codes.NONE]
        assert [(row.offset, row.partition) for row in await it.fetch_offsets(GROUP, None)] == [(42, 0)]
        assert [row.offset for row in await it.fetch_offsets(GROUP, [(TOPIC, 0), (TOPIC, 1)])] == [42]
        assert told(await it.leave(LeaveGroup(GROUP, [LeavingMember("a"), LeavingMember("b")]))) == "NONE,NONE"
        assert await it.delete_groups([GROUP, "nobody"]) == [
            (GROUP, error_codes.NONE),
            ("nobody", error_codes.GROUP_ID_NOT_FOUND),
        ]
        assert await it.fetch_offsets(GROUP, None) == []
        assert await setting.store.load_groups() == []

    serving(body)


def test_members_go_on_after_a_restart() -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        it = await setting.open()
        await make_stable(it, "a", "b")
        await it.close()
        it = await setting.open()
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), loop.ms()) == error_codes.NONE
        await asyncio.sleep(9.5)
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), loop.ms()) == error_codes.NONE
        await asyncio.sleep(1)  # b's session began with the restart, and is over
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), loop.ms()) == error_codes.REBALANCE_IN_PROGRESS
        assert it.heartbeat_now(Heartbeat(GROUP, "b", 1), loop.ms()) == error_codes.UNKNOWN_MEMBER_ID
        await it.close()

    run(main)


def test_events_wait_while_the_assignment_is_written() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await asyncio.gather(it.join(joining("a")), it.join(joining("b")))
        setting.store.write_ms = 50
        leader = asyncio.ensure_future(it.sync(SyncGroup(GROUP, "a", 1, {"b": b"B"})))
        await asyncio.sleep(0.001)
        assert it.heartbeat_now(Heartbeat(GROUP, "b", 1), setting.loop.ms()) is None
        assert it.heartbeat_now(Heartbeat("other", "b", 1), setting.loop.ms()) == error_codes.UNKNOWN_MEMBER_ID
        beat = asyncio.ensure_future(it.heartbeat(Heartbeat(GROUP, "b", 1)))
        commit = asyncio.ensure_future(it.commit_offsets(committing("b", 1)))
        follower = asyncio.ensure_future(it.sync(SyncGroup(GROUP, "b", 1)))
        await asyncio.sleep(0.04)
        assert not any(task.done() for task in (leader, beat, commit, follower))
        assert (await follower).assignment == b"B"  # decided after the group was stable, not before
        assert (await leader).error_code == error_codes.NONE
        assert (await beat, await commit) == (error_codes.NONE, [error_codes.NONE])

    serving(body)


def test_commits_of_a_group_are_written_together_and_in_order() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await it.commit_offsets(committing())
        setting.store.write_ms = 10
        tasks = [asyncio.ensure_future(it.commit_offsets(committing(offset=n))) for n in range(20)]
        await asyncio.sleep(0.001)
        assert it.heartbeat_now(Heartbeat(GROUP, "x", 1), setting.loop.ms()) == error_codes.UNKNOWN_MEMBER_ID
        assert await asyncio.gather(*tasks) == [[error_codes.NONE]] * 20
        assert [row.offset for row in await it.fetch_offsets(GROUP, None)] == [19]
        assert setting.store.writes == 21

    serving(body)


def test_first_commits_of_a_group_at_the_same_moment() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        setting.store.write_ms = 10
        tasks = [it.commit_offsets(committing(offset=n)) for n in range(5)]
        assert await asyncio.gather(*tasks) == [[error_codes.NONE]] * 5
        assert [row.offset for row in await it.fetch_offsets(GROUP, None)] == [4]
        assert len(await setting.store.load_groups()) == 1

    serving(body)


def test_a_deletion_waits_for_commits_in_flight_and_leaves_nothing() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await it.commit_offsets(committing())
        setting.store.write_ms = 10
        before = asyncio.ensure_future(it.commit_offsets(committing(offset=2)))
        await asyncio.sleep(0.001)
        deletion = asyncio.ensure_future(it.delete_groups([GROUP]))
        await asyncio.sleep(0.001)
        behind = asyncio.ensure_future(it.commit_offsets(committing("a", 1)))
        assert await before == [error_codes.NONE]
        assert await deletion == [(GROUP, error_codes.NONE)]
        assert await behind == [error_codes.GROUP_ID_NOT_FOUND]
        assert await it.fetch_offsets(GROUP, None) == []
        assert await setting.store.load_groups() == []

    serving(body)


def test_a_store_that_fails() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        setting.store.broken = StoreUnavailable("disk full")
        no = error_codes.COORDINATOR_NOT_AVAILABLE
        assert await it.commit_offsets(committing()) == [no]
        assert it.list_groups() == []
        await asyncio.gather(it.join(joining("a")), it.join(joining("b")))
        syncs = await asyncio.gather(it.sync(SyncGroup(GROUP, "b", 1)), it.sync(SyncGroup(GROUP, "a", 1, {})))
        assert [reply.error_code for reply in syncs] == [no, no]
        setting.store.broken = None
        again = [joining("a"), joining("b")]
        for event in again:
            event.member_id = event.new_member_id
        assert {r.generation_id for r in await asyncio.gather(*(it.join(event) for event in again))} == {2}
        assert (await it.sync(SyncGroup(GROUP, "a", 2, {"a": b"A"}))).assignment == b"A"
        setting.store.broken = StoreUnavailable("disk full")
        assert await it.commit_offsets(committing("a", 2)) == [no]
        assert told(await it.delete_offsets(OffsetDelete(GROUP, [("u", TOPIC, 0)]))) == error_codes.name(no)
        setting.store.broken = None
        await it.leave(LeaveGroup(GROUP, [LeavingMember("a"), LeavingMember("b")]))
        setting.store.broken = StoreUnavailable("disk full")
        assert await it.delete_groups([GROUP]) == [(GROUP, no)]
        setting.store.broken = None
        assert await it.delete_groups([GROUP]) == [(GROUP, error_codes.NONE)]

    serving(body)


def test_a_store_with_a_defect_does_not_block_the_group(caplog: pytest.LogCaptureFixture) -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await it.join(joining("a"))
        setting.store.broken = KeyError("defect")
        reply = await it.sync(SyncGroup(GROUP, "a", 1, {}))
        assert reply.error_code == error_codes.COORDINATOR_NOT_AVAILABLE
        setting.store.broken = None
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), 0) == error_codes.REBALANCE_IN_PROGRESS

    serving(body)
    assert "KeyError" in caplog.text


def test_a_cancelled_caller_forgoes_its_reply_only() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        gone = asyncio.ensure_future(it.join(joining("a")))
        await asyncio.sleep(0)
        gone.cancel()
        reply = await it.join(joining("b"))
        assert [member[0] for member in reply.members] == []
        assert reply.leader == "a"
        setting.store.write_ms = 10
        first = asyncio.ensure_future(it.commit_offsets(committing(group="simple")))
        await asyncio.sleep(0.001)
        first.cancel()
        assert await it.commit_offsets(committing(group="simple", offset=2)) == [error_codes.NONE]
        again = asyncio.ensure_future(it.commit_offsets(committing(group="simple", offset=3)))
        await asyncio.sleep(0.001)
        again.cancel()
        assert await it.delete_groups(["simple"]) == [("simple", error_codes.NONE)]

    serving(body)


def test_parked_members_are_answered_when_the_broker_stops() -> None:
    async def main(loop: JumpLoop) -> None:
        it = await Setting(loop).open()
        parked = asyncio.ensure_future(it.join(joining("a")))
        await asyncio.sleep(0)
        await it.close()
        no = error_codes.COORDINATOR_NOT_AVAILABLE
        assert (await parked).error_code == no
        assert (await it.join(joining("b"))).error_code == no
        assert (await it.sync(SyncGroup(GROUP, "a", 1))).error_code == no
        assert (await it.leave(LeaveGroup(GROUP, [LeavingMember("a")]))).error_code == no
        assert (await it.delete_offsets(OffsetDelete(GROUP, []))).error_code == no
        assert await it.heartbeat(Heartbeat(GROUP, "a", 1)) == no
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), loop.ms()) is None
        assert await it.commit_offsets(committing()) == [no]

    run(main)


def test_a_write_under_way_ends_before_the_broker_stops() -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        it = await setting.open()
        await it.join(joining("a"))
        setting.store.write_ms = 50
        sync = asyncio.ensure_future(it.sync(SyncGroup(GROUP, "a", 1, {"a": b"A"})))
        await asyncio.sleep(0.001)
        await it.close()
        assert (await sync).assignment == b"A"
        assert len(await setting.store.load_groups()) == 1

    run(main)


def test_a_defect_in_a_decision_reaches_the_caller_and_the_group_goes_on() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await make_stable(it, "a")
        group: Any = it._groups.get(GROUP)
        group.static_members["i"] = "nobody"
        with pytest.raises(KeyError, match="nobody"):
            await it.join(joining("b", instance_id="i"))
        assert it.heartbeat_now(Heartbeat(GROUP, "a", 1), setting.loop.ms()) == error_codes.NONE

    serving(body)


def test_a_record_that_cannot_be_applied_is_told_with_the_story(caplog: pytest.LogCaptureFixture) -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await asyncio.gather(it.join(joining("a")), it.join(joining("b")))
        group: Any = it._groups.get(GROUP)
        group.members["b"].join_ticket = asyncio.get_running_loop().create_future()
        reply = await it.sync(SyncGroup(GROUP, "a", 1, {}))
        assert reply.error_code == error_codes.UNKNOWN_SERVER_ERROR
        assert it.heartbeat_now(Heartbeat(GROUP, "x", 1), setting.loop.ms()) == error_codes.UNKNOWN_MEMBER_ID

    serving(body)
    assert "is parked while a record is applied; what happened before:" in caplog.text
    assert "CompletingRebalance: SyncGroup a" in caplog.text


def test_hundreds_of_groups_have_one_timer() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        groups = [f"g{n}" for n in range(300)]
        await asyncio.gather(*(make_stable(it, "a", group=group) for group in groups))
        assert len([h for h in setting.loop._scheduled if not h._cancelled]) <= 2  # type: ignore[attr-defined]
        for _ in range(4):
            await asyncio.sleep(3)
            for group in groups[:100]:
                assert it.heartbeat_now(Heartbeat(group, "a", 1), setting.loop.ms()) == error_codes.NONE
        states = {entry.group_id: entry.state for entry in it.list_groups()}
        assert [states[group] for group in groups] == ["Stable"] * 100 + ["Empty"] * 200

    serving(body)


def test_lists_and_descriptions() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        await make_stable(it, "a", "b")
        await it.commit_offsets(committing(group="simple"))
        parked = asyncio.ensure_future(it.join(joining("c", "joins", client_id="client", client_host="/127.0.0.1")))
        await asyncio.sleep(0)

        def listed(*filters: Any) -> list[str]:
            return sorted(f"{e.group_id} {e.group_type} {e.protocol_type} {e.state}" for e in it.list_groups(*filters))

        everything = ["g classic consumer Stable", "joins classic consumer PreparingRebalance", "simple classic  Empty"]
        assert listed() == everything
        assert listed(["stable", " EMPTY "]) == [everything[0], everything[2]]
        assert listed([], ["Classic"]) == everything
        assert listed(["Stable"], ["consumer"]) == []
        stable, joins, unknown = it.describe_groups([GROUP, "joins", "nobody"])
        assert (stable.state, stable.protocol_type, stable.protocol_name) == ("Stable", "consumer", "range")
        assert [(m.member_id, m.metadata, m.assignment) for m in stable.members] == [
            ("a", RANGE[0][1], b"a"),
            ("b", RANGE[0][1], b"b"),
        ]
        assert (joins.state, joins.protocol_name, joins.members[0].metadata) == ("PreparingRebalance", "", b"")
        assert (joins.members[0].client_id, joins.members[0].client_host) == ("client", "/127.0.0.1")
        assert (unknown.state, unknown.error_code) == ("Dead", error_codes.GROUP_ID_NOT_FOUND)
        await parked

    serving(body)


def test_empty_group_ids() -> None:
    async def body(setting: Setting, it: GroupCoordinator) -> None:
        bad = error_codes.INVALID_GROUP_ID
        assert (await it.join(joining("a", ""))).error_code == bad
        assert (await it.sync(SyncGroup("", "a", 1))).error_code == bad
        assert it.heartbeat_now(Heartbeat("", "a", 1), 0) == bad
        assert (await it.leave(LeaveGroup("", [LeavingMember("a")]))).error_code == bad
        assert (await it.delete_offsets(OffsetDelete("", []))).error_code == bad
        assert await it.commit_offsets(committing(group="")) == [error_codes.NONE]  # as in Kafka, of old
        assert await it.delete_groups([""]) == [("", error_codes.NONE)]

    serving(body)


def test_member_ids_are_long_and_never_the_same() -> None:
    ids = {new_member_id("client", None) for _ in range(100)}
    assert len(ids) == 100
    assert all(len(i) == len("client-") + 36 and i.startswith("client-") for i in ids)
    assert new_member_id("client", "instance").startswith("instance-")
