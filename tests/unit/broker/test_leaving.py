"""A broker that leaves: when its clients are sent away."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import run

from moldau.broker import together as module
from moldau.broker.steering import Steering
from moldau.broker.together import Together
from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.cluster.notes import LEAVING_KNOWN, Note
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.memory.cluster_store import MemoryClusterStore
from moldau.metadata.memory.state import MemoryState

PARTITIONS = range(40)


async def leaving() -> tuple[Any, Together, Any]:
    """Broker 1 of two; who is asked for a partition answers by `steering`."""
    loop = asyncio.get_running_loop()
    store = MemoryClusterStore(MemoryState(), 1)
    incarnations = [await store.start_broker(node_id, None, "{}", "1", 0) for node_id in (1, 2)]

    def now() -> int:
        return int(loop.time() * 1000)

    broker = SimpleNamespace(
        members=Membership(Member(1, incarnations[0], None, {}, "1")),
        steady_clock=now,
        cluster_store=store,
        catalog=SimpleNamespace(hint=lambda version: None),
        views={},
        refresher=None,
        purgatory=SimpleNamespace(wake_all=lambda: None),
        loop=loop,
    )
    together = Together(broker, None, "OUT", maintains=False, fenced=lambda: None)  # type: ignore[arg-type]
    await together.pulse.beat()
    broker.steering = Steering(broker.members, now)
    return broker, together, f"2:{incarnations[1]}"


def sent_away(broker: Any) -> list[int]:
    return [partition_id for partition_id in PARTITIONS if not broker.steering.writer(partition_id)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)


def test_no_client_is_sent_away_before_the_others_know() -> None:
    async def main() -> None:
        broker, together, other = await leaving()
        mine = [each for each in PARTITIONS if broker.members.leader_of(each) == 1]
        leaves = asyncio.create_task(together.leave())
        await asyncio.sleep(0.05)
        rows, _ = await broker.cluster_store.heartbeat(2, int(other.partition(":")[2]))
        assert [row.draining for row in rows if row.node_id == 1] == [True]
        await together.pulse.beat()
        assert not set(mine) & set(sent_away(broker))
        assert broker.members.node_ids == [1, 2]
        together.peers.take(Note(LEAVING_KNOWN), other)
        await asyncio.wait_for(leaves, 5)
        assert sent_away(broker) == list(PARTITIONS)
        assert broker.members.node_ids == [2]

    run(main())


def test_others_that_say_nothing_do_not_keep_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)

    async def main() -> None:
        broker, together, _ = await leaving()
        with caplog.at_level(logging.INFO):
            await asyncio.wait_for(together.leave(), 5)
        assert sent_away(broker) == list(PARTITIONS)
        assert "event=not_released peers=[2]" in caplog.text

    run(main())


def test_where_the_store_does_not_answer_it_leaves_at_once() -> None:
    async def main() -> None:
        broker, together, _ = await leaving()

        async def away(*_: object) -> None:
            raise StoreUnavailable("away")

        broker.cluster_store = SimpleNamespace(set_draining=away)
        await asyncio.wait_for(together.leave(), 0.5)
        assert broker.members.me.draining

    run(main())
