"""Commits that a connection repeats with other offsets, through real connections and the dispatcher: told once with forms and once without, a history gives
the same bytes at the same times, and leaves the same offsets, sessions and counts.

What may come between two commits is meant to be everything that can change the answer: rebalances of classic and consumer groups, members that are
fenced or gone, topics that come and go, a store that is slow or fails, the end of the coordinator, another set of partitions, metadata, another version.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from struct import pack, unpack_from
from types import SimpleNamespace
from typing import Any

import pytest
from consumer_playbook import topic_id
from jumploop import JumpLoop, run
from playbook import GROUP, RANGE
from test_group_runtime import Store
from test_repeated_heartbeats import Keeper, Transport, World

from moldau.broker.broker import Endpoint
from moldau.broker.recurring import Recurring
from moldau.coordination.consumer.events import ConsumerHeartbeat
from moldau.coordination.coordinator import GroupCoordinator
from moldau.coordination.events import JoinGroup, LeaveGroup, LeavingMember, SyncGroup
from moldau.metadata.commit_notes import CommitLayout, CommitNote
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.metadata.rows_groups import OffsetRow
from moldau.protocol import error_codes as e
from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from moldau.server.connection import Connection

STEPS = 500
HELD = "held"
"""A group with members of the consumer protocol."""


class CallbackStore(Store):
    """With commits that need no task."""

    def __init__(self) -> None:
        super().__init__()
        self.writing: set[asyncio.Task[None]] = set()

    def write_offsets(self, offsets: list[OffsetRow], done: Callable[[StoreError | None], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._write(offsets, done))
        self.writing.add(task)
        task.add_done_callback(self.writing.discard)

    async def _write(self, offsets: list[OffsetRow], done: Callable[[StoreError | None], None]) -> None:
        try:
            await self.write([], offsets, [])
        except StoreError as error:
            done(error)
        else:
            done(None)

    def write_again(self, note: CommitNote, done: Callable[[StoreError | None], None]) -> None:
        self.write_offsets(note.offsets, done)


class Catalog:
    """The topics of the world, as the broker knows them."""

    shared = False

    def __init__(self, topics: Any) -> None:
        self._topics = topics

    @property
    def topics_version(self) -> int:
        version: int = self._topics.version
        return version

    def _found(self, facts: Any) -> Any:
        if facts is None:
            return None
        return SimpleNamespace(topic_id=facts.topic_id, partition_ids=range(facts.partitions))

    @property
    def by_name(self) -> Any:
        return SimpleNamespace(get=lambda name: self._found(self._topics.by_name(name)))

    @property
    def by_id(self) -> Any:
        return SimpleNamespace(get=lambda wanted: self._found(self._topics.by_id(wanted)))

    async def look_for(self, wanted: Any) -> None:
        list(wanted)


class Client:
    """Somebody who commits the same partitions again and again, in a version."""

    def __init__(self, world: World, group: str, member: str, version: int) -> None:
        self.group, self.member, self.version = group, member, version
        self.generation = -1
        self.partitions = [("t", 0), ("t", 1), ("u", 0)]
        self.metadata: str | None = ""
        self.retention = -1
        self.correlation_id = 0
        self.offset = 0
        self.transport = Transport()
        self.connection = Connection(world.dispatcher, Keeper(), Endpoint("PLAINTEXT", "h", 1), 1)  # type: ignore[arg-type]
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def frame(self) -> bytes:
        topics: dict[str, OffsetCommitRequestTopic] = {}
        for name, partition in self.partitions:
            topic = topics.setdefault(name, OffsetCommitRequestTopic(name=name, topic_id=topic_id(name)))
            self.offset += 1
            topic.partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=partition,
                    committed_offset=self.offset,
                    committed_leader_epoch=3 if self.version >= 6 else -1,
                    committed_metadata=self.metadata,
                )
            )
        body = OffsetCommitRequest(
            group_id=self.group,
            generation_id_or_member_epoch=self.generation,
            member_id=self.member if self.generation >= 0 else "",
            retention_time_ms=self.retention if self.version <= 4 else -1,
            topics=list(topics.values()),
        )
        self.correlation_id += 1
        header = RequestHeader(
            request_api_key=body.API_KEY,
            request_api_version=self.version,
            correlation_id=self.correlation_id,
            client_id="client",
        )
        message = header.encode(request_header_version(body.API_KEY, self.version)) + body.encode(self.version)
        return pack(">i", len(message)) + message

    def send(self, *frames: bytes) -> None:
        data = b"".join(frames)
        self.connection.get_buffer(len(data))[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def look(self) -> bytes:
        sent, self.transport.sent = self.transport.sent, b""
        return sent

    def codes(self) -> list[int]:
        """Of the one answer that came."""
        sent = self.look()
        assert unpack_from(">ii", sent) == (len(sent) - 4, self.correlation_id)
        start = ResponseHeader.decode_at(sent[4:], response_header_version(8, self.version), 0)[1]
        answer = OffsetCommitResponse.decode_at(sent[4:], self.version, start)[0]
        return [partition.error_code for topic in answer.topics for partition in topic.partitions]


def make_world(loop: JumpLoop) -> World:
    world = World(loop)
    world.store = CallbackStore()
    world.play.topics.put("u", 2)
    world.broker.catalog = Catalog(world.play.topics)
    world.broker.steady_clock = loop.ms
    return world


async def classic_members(it: GroupCoordinator, names: list[str]) -> int:
    """All are in the group; its generation."""
    more: dict[str, Any] = {"session_timeout_ms": 10_000, "requires_known_member_id": False}
    joins = [
        it.ask(JoinGroup(GROUP, "", name, "consumer", RANGE, rebalance_timeout_ms=20_000, **more)) for name in names
    ]
    replies = await asyncio.gather(*joins)
    generation: int = replies[0].generation_id
    given = dict.fromkeys(names, b"")
    await asyncio.gather(*(it.ask(SyncGroup(GROUP, name, generation, given)) for name in names))
    return generation


async def history(loop: JumpLoop, seed: int) -> World:
    dice = random.Random(seed)
    world = make_world(loop)
    it = await world.open()
    generation = await classic_members(it, ["a", "b"])
    epochs = {}
    for name in ("c", "d"):
        beat = ConsumerHeartbeat(HELD, name, 0, topics=["t", "u"], rebalance_timeout_ms=60_000, owned={})
        epochs[name] = (await it.ask(beat)).member_epoch
    clients = [Client(world, GROUP, name, version) for name, version in (("a", 2), ("b", 8), ("a", 7))]
    clients += [Client(world, HELD, name, version) for name, version in (("c", 9), ("d", 10))]
    clients.append(Client(world, "simple", "", dice.randint(2, 10)))
    for client in clients:
        client.generation = {GROUP: generation, HELD: epochs.get(client.member, 0), "simple": -1}[client.group]
    calm = dice.choice([0.7, 0.9, 0.97])
    for step in range(STEPS):
        client = dice.choice(clients)
        if dice.random() < 0.2:  # what was wrong is put right
            world.store.broken, world.store.write_ms = None, 0
            client.metadata, client.retention = "", -1
            if world.play.topics.by_name("u") is None:
                world.play.topics.put("u", 2)
        if dice.random() < calm:
            client.send(*(client.frame() for _ in range(dice.choice([1, 1, 1, 2, 4]))))
        else:
            match dice.randint(0, 12):
                case 0:
                    await asyncio.sleep(dice.choice([1, 9, 46]))
                case 1:
                    world.play.topics.put(dice.choice("tu"), dice.choice([1, 2, 3]))
                case 2 if world.play.topics.by_name("u") is not None:
                    world.play.topics.drop("u")
                case 3:
                    client.generation += dice.choice([-1, 1])
                case 4:
                    client.partitions = dice.choice(
                        [[("t", 0), ("t", 1), ("u", 0)], [("u", 1)], [("t", 9)], [("v", 0)]]
                    )
                case 5:
                    client.metadata = dice.choice([None, "", "text", "x" * 4097])
                case 6:
                    client.retention = dice.choice([-1, 5])
                case 7:
                    world.store.write_ms = dice.choice([0, 50])
                case 8:
                    world.store.broken = dice.choice([None, StoreUnavailable("no")])
                case 9:
                    await it.close()
                    client.send(client.frame())
                    it = await world.open()
                case 10:
                    it.ask(LeaveGroup(GROUP, [LeavingMember(dice.choice("ab"))]))
                case 11 if world.store.broken is None:
                    joined = await classic_members(it, ["a", "b"])
                    for each in clients:
                        if each.group == GROUP:
                            each.generation = joined
                case 12:
                    name = dice.choice("cd")
                    left = ConsumerHeartbeat(
                        HELD, name, dice.choice([-1, 0]), topics=["t"], rebalance_timeout_ms=60_000, owned={}
                    )
                    it.ask(left)
        if dice.random() < 0.7:
            await asyncio.sleep(dice.choice([0, 0, 0.01, 0.1, 3]))
        offsets = sorted(await world.store.fetch_offsets(client.group, None))
        world.log += [step, loop.ms(), [each.look() for each in clients], world.snapshot(), offsets]
    world.store.broken = None
    await it.close()
    await asyncio.sleep(1)
    return world


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_history_is_the_same_with_and_without_forms(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {True: 0, False: 0}
    begin = Recurring.begin

    def counted(recurring: Recurring, frame: bytearray, reply: Any) -> bool:
        done = begin(recurring, frame, reply)
        counts[done] += 1
        return done

    monkeypatch.setattr(Recurring, "begin", counted)
    with_forms = run(lambda loop: history(loop, seed))
    assert counts[True]
    assert counts[False]
    taken = counts[True]
    monkeypatch.setattr(Recurring, "learn", lambda *given: None)
    without = run(lambda loop: history(loop, seed))
    assert counts[True] == taken
    for one, other in zip(with_forms.log, without.log, strict=True):
        assert one == other


@pytest.mark.parametrize("version", range(2, 11))
def test_the_same_partitions_are_not_decoded_again(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: JumpLoop) -> None:
        world = make_world(loop)
        it = await world.open()
        client = Client(world, "simple", "", version)
        for _ in range(2):  # the first one makes the group
            client.send(client.frame())
            await asyncio.sleep(0.01)
            assert client.codes() == [e.NONE] * 3
        decoded: list[Any] = []
        decode = OffsetCommitRequest.decode

        def seen(*given: Any) -> OffsetCommitRequest:
            decoded.append(given)
            return decode(*given)

        monkeypatch.setattr(OffsetCommitRequest, "decode", seen)
        for _ in range(3):
            client.send(client.frame())
            await asyncio.sleep(0.01)
            assert client.codes() == [e.NONE] * 3
        assert not decoded
        rows = await it.fetch_offsets("simple", None)
        assert [row.offset for row in rows] == [client.offset - 2, client.offset - 1, client.offset]
        assert {row.commit_timestamp for row in rows} == {loop.ms() - 10}
        assert world.metrics.apis[8].count == 5
        world.store.broken = StoreUnavailable("no")
        client.send(client.frame())
        await asyncio.sleep(0.01)
        assert client.codes() == [e.COORDINATOR_NOT_AVAILABLE] * 3
        assert world.metrics.errors[8, e.COORDINATOR_NOT_AVAILABLE] == 3
        assert not decoded
        world.store.broken = None
        world.play.topics.drop("u")
        client.send(client.frame())
        await asyncio.sleep(0.01)
        unknown = e.UNKNOWN_TOPIC_ID if version >= 10 else e.UNKNOWN_TOPIC_OR_PARTITION
        assert client.codes() == [e.NONE, e.NONE, unknown]
        assert len(decoded) == 1
        await it.close()

    run(main)


def test_a_connection_that_never_repeats_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(loop: JumpLoop) -> None:
        world = make_world(loop)
        it = await world.open()
        world.play.topics.put("t", 100)
        client = Client(world, "simple", "", 9)
        made: list[Any] = []
        make = CommitLayout.__init__
        monkeypatch.setattr(CommitLayout, "__init__", lambda *given: (made.append(given), make(*given))[1])
        for partition in range(50):
            client.partitions = [("t", partition)]
            client.send(client.frame())
            await asyncio.sleep(0.01)
            assert client.codes() == [e.NONE]
        assert len(made) == 4
        await it.close()

    run(main)
