"""Heartbeats that a connection repeats word for word, through real connections and the dispatcher: told once with routines and once without, a history gives
the same bytes at the same times, and leaves the same state, deadlines and counts.

What may come between two heartbeats is meant to be everything that can change the answer: time and time-outs, topics, settings of the group, levels of features, other
members of both protocols, a store that is slow or fails, commits, the end of the coordinator, another client id, another connection, several requests at a time.
"""

from __future__ import annotations

import asyncio
import random
from struct import pack
from types import SimpleNamespace
from typing import Any

import pytest
from consumer_playbook import ConsumerPlaybook
from jumploop import JumpLoop, run
from playbook import GROUP, RANGE, TOPIC
from share_playbook import Sharing
from support.stores import ManualClock
from test_group_runtime import Store

from moldau.broker import features
from moldau.broker.broker import Endpoint
from moldau.broker.dispatch import Dispatcher
from moldau.broker.metrics import Metrics
from moldau.broker.routine import Routine
from moldau.coordination.consumer.events import ConsumerHeartbeat
from moldau.coordination.coordinator import GroupCoordinator
from moldau.coordination.events import JoinGroup, LeaveGroup, LeavingMember, OffsetCommit
from moldau.coordination.shard_store import lease_of, shard_of
from moldau.coordination.shards import GroupShards
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.memory.lease_store import MemoryLeaseStore
from moldau.metadata.memory.state import MemoryState
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.metadata.rows import ClusterRow
from moldau.protocol import error_codes as e
from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.messages.share_group_heartbeat import ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse
from moldau.server.busy_poll import BusyPoll
from moldau.server.connection import Connection
from moldau.server.frame_budget import FrameBudget

VERSION = 1
STEPS = 400
LEVELS = {features.GROUP: 1, features.SHARE: 1}


class Transport:
    def __init__(self) -> None:
        self.sent = b""
        self.calls = 0

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.calls += 1
        self.sent += data

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass


class Keeper:
    frame_max = 100_000

    def __init__(self) -> None:
        self.budget = FrameBudget(1 << 20)
        self.busy_poll = BusyPoll(None, 0)  # type: ignore[arg-type]

    def opened(self, connection: Connection) -> bool:
        return True

    def closed(self, connection: Connection) -> None:
        pass


class Client:
    """A member with two connections of its own, of which it uses one at a time. It learns from the answers that it looks at."""

    request: Any = ConsumerGroupHeartbeatRequest
    response: Any = ConsumerGroupHeartbeatResponse
    tells = True
    """What it owns, when that has changed."""

    def __init__(self, dispatcher: Any, name: str) -> None:
        self.dispatcher, self.name, self.client_id = dispatcher, name, "client"
        self.epoch = 0
        self.owned: list[tuple[bytes, list[int]]] = []
        self.correlation_id = 0
        self.changed = False
        """It has a new assignment and has not yet said so."""
        self.connect()
        self.other = self.transport, self.connection, "other"
        self.connect()

    def swap(self) -> None:
        """Use the other connection, under the client id that was last used there."""
        other, self.other = self.other, (self.transport, self.connection, self.client_id)
        self.transport, self.connection, self.client_id = other

    def connect(self) -> None:
        self.transport = Transport()
        self.connection = Connection(self.dispatcher, Keeper(), Endpoint("PLAINTEXT", "h", 1), 1)  # type: ignore[arg-type]
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def frame(self, epoch: int | None = None, **more: Any) -> bytes:
        self.correlation_id += 1
        body = self.request(
            group_id=GROUP, member_id=self.name, member_epoch=self.epoch if epoch is None else epoch, **more
        )
        header = RequestHeader(
            request_api_key=body.API_KEY,
            request_api_version=VERSION,
            correlation_id=self.correlation_id,
            client_id=self.client_id,
        )
        message = header.encode(request_header_version(body.API_KEY, VERSION)) + body.encode(VERSION)
        return pack(">i", len(message)) + message

    def send(self, *frames: bytes) -> None:
        data = b"".join(frames)
        self.connection.get_buffer(len(data))[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def join(self, **more: Any) -> None:
        said = {"rebalance_timeout_ms": 60_000, "subscribed_topic_names": ["t"], "topic_partitions": []} | more
        self.send(self.frame(0, **said))

    def tell(self) -> None:
        self.changed = False
        self.send(
            self.frame(
                topic_partitions=[TopicPartitions(topic_id=topic, partitions=each) for topic, each in self.owned]
            )
        )

    def look(self) -> bytes:
        """What came since the last look; the last answer is believed."""
        sent = self.other[0].sent + self.transport.sent
        self.other[0].sent = self.transport.sent = b""
        at, answer = 0, None
        while at < len(sent):
            end = at + 4 + int.from_bytes(sent[at : at + 4], "big")
            raw = sent[at + 4 : end]
            start = ResponseHeader.decode_at(raw, response_header_version(self.request.API_KEY, VERSION), 0)[1]
            answer = self.response.decode_at(raw, VERSION, start)[0]
            at = end
        if answer is not None and answer.error_code == e.NONE:
            self.epoch = answer.member_epoch
            if answer.assignment is not None:
                self.changed = self.tells
                self.owned = [(t.topic_id, list(t.partitions)) for t in answer.assignment.topic_partitions]
        elif answer is not None and answer.error_code in (e.UNKNOWN_MEMBER_ID, e.FENCED_MEMBER_EPOCH):
            self.epoch = 0
        return sent


class Sharer(Client):
    request = ShareGroupHeartbeatRequest
    response = ShareGroupHeartbeatResponse
    tells = False

    def join(self, **more: Any) -> None:
        self.send(self.frame(0, subscribed_topic_names=more.get("subscribed_topic_names") or ["t"]))

    def tell(self) -> None:
        self.send(self.frame(subscribed_topic_names=["t"]))


class Broker(SimpleNamespace):
    @property
    def serves_shares(self) -> bool:
        return features.share_version(self.cluster.features) > 0


class World:
    def __init__(self, loop: JumpLoop) -> None:
        self.loop = loop
        self.store = Store()
        self.play = Sharing(t=6)
        self.metrics = Metrics()
        self.broker: Any = Broker(
            loop=loop,
            metrics=self.metrics,
            cluster=ClusterRow("c", 1, LEVELS, 0),
            appender=SimpleNamespace(pending_bytes=0),
            pending_max_bytes=1,
            outbox=SimpleNamespace(held_bytes=0),
            peers=None,
        )
        self.dispatcher = Dispatcher(self.broker)
        self.log: list[Any] = []

    async def open(self) -> GroupCoordinator:
        play = self.play
        around = Surroundings(play.config, play.topics, play.settings.__getitem__, lambda group_id: play.settings)
        it = GroupCoordinator(self.store, play.config, self.loop.ms, {TOPIC: "t"}.get, around=around)
        await it.start()
        self.broker.groups = it
        return it

    def snapshot(self) -> Any:
        runtime = self.broker.groups._runtime
        group = runtime._groups.get(GROUP)
        state: Any = None
        if hasattr(group, "group_epoch"):
            members = {name: (repr(m), m.session_deadline, m.rebalance_deadline) for name, m in group.members.items()}
            epochs = (group.group_epoch, group.assignment_epoch, group.topics_version, group.metadata_hash)
            state = (members, epochs, group.wake_at, group.assign_deadline, list(group.story))
        lanes = {name: (lane.busy, lane.writes, len(lane.waiting)) for name, lane in runtime._lanes.items()}
        counts = {key: api.count for key, api in self.metrics.apis.items()}
        deadlines = (dict(runtime._deadlines._at), runtime._alarm_at, len(runtime._parked))
        return (repr(group), state, lanes, counts, dict(self.metrics.errors), deadlines, dict(self.store._records))


async def history(loop: JumpLoop, kind: type[Client], seed: int) -> World:
    dice = random.Random(seed)
    world = World(loop)
    interval = dice.choice([0, 2_000])
    world.play.settings |= {f"{protocol}.assignment.interval.ms": interval for protocol in ("consumer", "share")}
    it = await world.open()
    clients = [kind(world.dispatcher, name) for name in ("a", "b", "c", "d")]
    classic: list[str] = []
    calm = dice.choice([0.6, 0.8, 0.95])
    for step in range(STEPS):
        client = dice.choice(clients)
        if dice.random() < 0.15:  # what was wrong is put right
            world.store.broken, world.store.write_ms, world.broker.cluster.features = None, 0, LEVELS
        if dice.random() < 0.1:
            client.swap()
        if dice.random() < calm:
            if client.changed:
                client.tell()
            elif client.epoch <= 0 and client.name != "d":
                client.join()
            else:
                client.send(*(client.frame() for _ in range(dice.choice([1, 1, 1, 3, 100]))))
        else:
            match dice.randint(0, 17):
                case 0:
                    await asyncio.sleep(dice.choice([1, 20, 46]))
                case 1:
                    name = dice.choice("tu")
                    facts = world.play.topics.by_name(name)
                    world.play.topics.put(name, (facts.partitions if facts else 0) + 1)
                case 2 if world.play.topics.by_name("u") is not None:
                    world.play.topics.drop("u")
                case 3:
                    interval = dice.choice([3_000, 5_000])
                    for protocol in ("consumer", "share"):
                        world.play.settings[f"{protocol}.heartbeat.interval.ms"] = interval
                case 4:
                    timeout = dice.choice([30_000, 45_000])
                    for protocol in ("consumer", "share"):
                        world.play.settings[f"{protocol}.session.timeout.ms"] = timeout
                case 5:
                    world.broker.cluster.features = dice.choice([LEVELS, dict(LEVELS), {}])
                case 6:
                    client.client_id = dice.choice(["client", "tneilc", "longer"])
                case 7:
                    client.connect()
                case 8:
                    client.send(client.frame(dice.choice([-1, -1, client.epoch - 1, client.epoch + 1])))
                case 9:
                    client.join(
                        **dice.choice(
                            [
                                {},
                                {"subscribed_topic_names": ["t", "u"]},
                                {"subscribed_topic_names": [], "subscribed_topic_regex": "t|u"},
                            ]
                        )
                    )
                case 10:
                    client.tell()
                case 11:
                    world.store.write_ms = dice.choice([0, 0, 50])
                case 12:
                    world.store.broken = dice.choice([None, None, StoreUnavailable("no")])
                case 13:
                    await it.close()
                    if dice.random() < 0.5:
                        client.send(client.frame())
                        world.log.append(client.look())
                    it = await world.open()
                case 14:
                    offsets = [(TOPIC, 0, step, -1, "")]
                    event = OffsetCommit(GROUP, client.name, client.epoch, offsets, commit_timestamp=1)
                    world.log.append(await it.commit_offsets(event))
                case 15:
                    name = f"classic-{step}"
                    classic.append(name)
                    more: dict[str, Any] = {"session_timeout_ms": 10_000, "requires_known_member_id": False}
                    it.ask(JoinGroup(GROUP, "", name, "consumer", RANGE, rebalance_timeout_ms=20_000, **more))
                case 16 if classic:
                    it.ask(LeaveGroup(GROUP, [LeavingMember(classic.pop())]))
                case 17:
                    world.log.append(await it.delete_groups([GROUP]))
        if dice.random() < 0.7:
            await asyncio.sleep(dice.choice([0, 0, 0.01, 0.1, 3]))
        world.log += [step, loop.ms(), [each.look() for each in clients], world.snapshot()]
    world.store.broken = None
    await it.close()
    return world


class Count:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered = self.refused = 0
        answer = Routine.answer

        def counted(routine: Routine, frame: bytearray) -> bytes | None:
            found = answer(routine, frame)
            self.answered += found is not None
            self.refused += found is None
            return found

        monkeypatch.setattr(Routine, "answer", counted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Client, Sharer])
@pytest.mark.parametrize("seed", range(10))
def test_a_history_is_the_same_with_and_without_routines(
    kind: type[Client], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Count(monkeypatch)
    with_routines = run(lambda loop: history(loop, kind, seed))
    answered = count.answered
    assert answered
    monkeypatch.setattr(Routine, "of", lambda *given: None)
    without = run(lambda loop: history(loop, kind, seed))
    assert count.answered == answered
    for one, other in zip(with_routines.log, without.log, strict=True):
        assert one == other


def test_what_a_connection_repeats_is_answered_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: JumpLoop) -> None:
        world = World(loop)
        it = await world.open()
        a = Client(world.dispatcher, "a")
        a.join()
        await asyncio.sleep(0.1)
        a.look()
        a.tell()
        await asyncio.sleep(0.1)
        a.look()
        a.send(a.frame())
        first = a.look()
        decoded: list[Any] = []
        monkeypatch.setattr(ConsumerGroupHeartbeatRequest, "decode", lambda *given: decoded.append(given))
        await asyncio.sleep(30)
        calls = a.transport.calls
        a.send(a.frame(), a.frame())
        assert not decoded
        assert a.transport.calls == calls + 1  # both answers in one
        numbers = [pack(">i", a.correlation_id + change) for change in (-1, 0)]
        assert a.look() == b"".join(first[:4] + number + first[8:] for number in numbers)
        assert world.metrics.apis[a.request.API_KEY].count == 5
        await asyncio.sleep(30)  # 60 s after the first one: the session has begun anew
        a.send(a.frame())
        assert a.look()[:4] == first[:4]
        await it.close()

    run(main)


def test_a_shard_that_was_lost_takes_nothing_more() -> None:
    """From the moment on at which the store says that the lease is another's, before the coordinator's own end has begun."""

    async def main(loop: JumpLoop) -> None:
        play = ConsumerPlaybook(t=1)
        clock = ManualClock()
        state = MemoryState("c", 1, clock)
        leases, store = MemoryLeaseStore(state), MemoryGroupStore(state)
        around = Surroundings(play.config, play.topics, play.settings.__getitem__, lambda group_id: play.settings)
        found: list[bool] = []
        beat = ConsumerHeartbeat(GROUP, "a", 2)

        def lost(shard: int) -> None:
            assert beat.repeat is not None
            found.append(beat.repeat())

        it = GroupShards(store, play.config, loop.ms, lambda _: "t", lambda _: False, lost, around)
        shard = shard_of(GROUP)
        await it.gain(shard, (await leases.acquire(lease_of(shard), "one", 10_000)).epoch)
        await it.ask(ConsumerHeartbeat(GROUP, "a", 0, topics=["t"], rebalance_timeout_ms=60_000, owned={}))
        for _ in range(2):  # the first one after the group was made looks at the topics
            assert it.ask(beat).result().error_code == e.NONE
        assert beat.repeat is not None
        assert beat.repeat()
        clock.now += 20_000
        await leases.acquire(lease_of(shard), "two", 10_000)
        assert beat.repeat()
        event = OffsetCommit(GROUP, "a", 2, [(TOPIC, 0, 1, -1, "")], commit_timestamp=1)
        assert await it.commit_offsets(event) != [e.NONE]
        assert found == [False]
        await it.close()

    run(main)
