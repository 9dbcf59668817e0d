"""Consumer groups on a loop: large assignments in a thread, events that are decided again, heartbeats without a task, a move of the shard."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from consumer_playbook import ConsumerPlaybook, topic_id
from jumploop import JumpLoop, run
from playbook import GROUP, TOPIC
from test_group_runtime import Store

from moldau.coordination import assignors
from moldau.coordination.assignors import UnknownAssignor, assignor
from moldau.coordination.consumer import assigning
from moldau.coordination.consumer.events import ConsumerHeartbeat, ConsumerHeartbeatReply
from moldau.coordination.coordinator import GroupCoordinator
from moldau.coordination.events import OffsetCommit
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.errors import StoreUnavailable
from moldau.protocol import error_codes as e


class Setting:
    def __init__(self, loop: JumpLoop, **settings: Any) -> None:
        self.loop = loop
        self.store = Store()
        self.play = ConsumerPlaybook(settings, t=8)

    async def open(self) -> GroupCoordinator:
        around = Surroundings(
            self.play.config, self.play.topics, self.play.settings.__getitem__, lambda group_id: self.play.settings
        )
        it = GroupCoordinator(self.store, self.play.config, self.loop.ms, {TOPIC: "t"}.get, around=around)
        await it.start()
        return it


def beat(name: str, epoch: int, **more: Any) -> ConsumerHeartbeat:
    if epoch == 0:
        more = {"topics": ["t"], "rebalance_timeout_ms": 60_000, "owned": {}} | more
    return ConsumerHeartbeat(GROUP, name, epoch, **more)


async def ask(it: GroupCoordinator, event: ConsumerHeartbeat) -> ConsumerHeartbeatReply:
    reply: ConsumerHeartbeatReply = await it.ask(event)
    return reply


def test_a_heartbeat_that_changes_nothing_is_answered_at_once() -> None:
    async def main(loop: JumpLoop) -> None:
        it = await Setting(loop).open()
        assert (await ask(it, beat("a", 0))).assigned == {topic_id("t"): frozenset(range(8))}
        tasks = asyncio.all_tasks()
        future = it.ask(beat("a", 2))
        assert future.done()
        assert future.result().member_epoch == 2
        assert asyncio.all_tasks() == tasks
        await it.close()
        assert it.ask(beat("a", 2)).result().error_code == e.COORDINATOR_NOT_AVAILABLE

    run(main)


def test_a_large_assignment_is_made_by_a_thread_while_heartbeats_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigning, "BIG", 0)

    async def main(loop: JumpLoop) -> None:
        it = await Setting(loop).open()
        await ask(it, beat("a", 0))
        reply = await ask(it, beat("b", 0))
        assert (reply.member_epoch, reply.assigned) == (2, {})  # the target is not there yet
        assert it.ask(beat("b", 2)).done()
        while (reply := await ask(it, beat("b", reply.member_epoch))).member_epoch == 2:
            await asyncio.sleep(0.01)
        assert reply.member_epoch == 3
        assert (await ask(it, beat("a", 2))).assigned != {topic_id("t"): frozenset(range(8))}
        await it.close()

    run(main)


class Failing:
    name = "failing"
    uses_racks = False

    def assign(self, spec: Any) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize("big", [0, 1_000])
def test_an_assignor_that_fails_leaves_what_there_was(monkeypatch: pytest.MonkeyPatch, big: int) -> None:
    monkeypatch.setattr(assigning, "BIG", big)
    monkeypatch.setitem(assignors._loaded, ("consumer", "failing"), Failing())

    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop, **{"group.consumer.assignors": ("uniform", "failing")})
        it = await setting.open()
        await ask(it, beat("a", 0))
        reply = await ask(it, beat("b", 0, assignor="failing"))
        assert reply.error_code == (e.UNKNOWN_SERVER_ERROR if big else e.NONE)
        await asyncio.sleep(0.1)
        assert (await ask(it, beat("a", 2))).error_code == e.NONE
        await it.close()

    run(main)


def test_a_group_of_offsets_alone_makes_room() -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        it = await setting.open()
        assert await it.commit_offsets(OffsetCommit(GROUP, "", -1, [(TOPIC, 0, 1, -1, "")], commit_timestamp=1)) == [0]
        first, second = it.ask(beat("a", 0)), it.ask(beat("b", 0))
        assert (await first).error_code == (await second).error_code == e.NONE
        assert [group.group_type for group in it.list_groups()] == ["consumer"]
        assert len(await it.fetch_offsets(GROUP, None)) == 1
        await it.close()

    run(main)


def test_a_store_that_fails_in_between_refuses_and_leaves_the_group_as_it_was() -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        it = await setting.open()
        await it.commit_offsets(OffsetCommit(GROUP, "", -1, [(TOPIC, 0, 1, -1, "")], commit_timestamp=1))
        setting.store.broken = StoreUnavailable("gone")
        assert (await ask(it, beat("a", 0))).error_code == e.COORDINATOR_NOT_AVAILABLE
        setting.store.broken = None
        assert [group.group_type for group in it.list_groups()] == ["classic"]
        assert (await ask(it, beat("a", 0))).error_code == e.NONE
        await it.close()

    run(main)


def test_members_go_on_at_the_next_coordinator() -> None:
    async def main(loop: JumpLoop) -> None:
        setting = Setting(loop)
        it = await setting.open()
        await ask(it, beat("a", 0))
        await it.close()
        it = await setting.open()
        writes = setting.store.writes
        assert (await ask(it, beat("a", 2))).member_epoch == 2
        assert setting.store.writes == writes
        code, why, found = it.details("consumer", GROUP)
        assert (code, why, found.state) == (e.NONE, None, "Stable")
        assert it.details("consumer", "x")[0] == e.GROUP_ID_NOT_FOUND
        await it.close()

    run(main)


def test_an_assignor_that_nobody_knows() -> None:
    with pytest.raises(UnknownAssignor, match="no assignor 'best' for consumer groups; built in are range, uniform"):
        assignor("consumer", "best")
    assert assignor("consumer", "range") is assignor("consumer", "range")
