from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, run
from support.stores import memory_opener

from moldau.cluster.member import Member, pack_endpoints
from moldau.cluster.membership import Membership
from moldau.cluster.pulse import DEAD_MS, Pulse
from moldau.metadata.errors import BrokerFenced

WHERE = pack_endpoints({"PLAINTEXT": ("h", 1)})


@pytest.fixture
def opener() -> Opener:
    return memory_opener()


class Broker:
    def __init__(self, it: object, node_id: int, incarnation: int) -> None:
        self.members = Membership(Member(node_id, incarnation, None, {}, "1"))
        self.beats = 0
        self.ended = 0
        self.pulse = Pulse(it.cluster, self.members, it.clock, self._beat, self._end)  # type: ignore[attr-defined]

    def _beat(self) -> None:
        self.beats += 1

    def _end(self) -> None:
        self.ended += 1


def test_members_by_their_heartbeats(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            brokers = [Broker(it, n, await it.cluster.start_broker(n, "r", WHERE, "1", it.clock())) for n in (1, 2)]
            await it.cluster.start_broker(3, None, "{", "1", it.clock())
            for broker in brokers:
                await broker.pulse.beat()
            assert brokers[0].members.node_ids == [1, 2, 3]
            other = brokers[0].members.member(2)
            assert other is not None
            assert (other.endpoints, other.rack, brokers[0].beats) == ({"PLAINTEXT": ("h", 1)}, "r", 1)
            it.clock.now += DEAD_MS
            await brokers[0].pulse.beat()
            assert brokers[0].members.node_ids == [1]
            await brokers[1].pulse.beat()
            assert brokers[1].members.node_ids == [1, 2]

    run(main())


def test_who_was_replaced_ends(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            old = Broker(it, 1, await it.cluster.start_broker(1, None, WHERE, "1", it.clock()))
            await it.cluster.start_broker(1, None, WHERE, "1", it.clock())
            with pytest.raises(BrokerFenced):
                await old.pulse.beat()
            await old.pulse.run()  # ends by itself
            assert (old.ended, old.beats) == (2, 0)

    run(main())


def test_it_beats_on_and_at_once_when_asked(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            broker = Broker(it, 1, await it.cluster.start_broker(1, None, WHERE, "1", it.clock()))
            running = asyncio.create_task(broker.pulse.run())
            for _ in range(5):
                await asyncio.sleep(0)
                broker.pulse.soon()
                await asyncio.sleep(0.005)
            assert broker.beats >= 5
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(main())
