"""Produce requests that a connection repeats with other batches, on real sockets: a history told once with shapes and once without is answered with
the same bytes, and leaves the same records.

What may come between two that are alike: other partitions, topics and versions, batches that are damaged, empty, compressed, too large, repeated, out of
sequence or of a transaction, partitions that are not there, topics that come, go and change their settings, several requests at a time, other tags and client ids.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import pytest
from support.wire import Wire, request

from moldau.broker import produce_shape
from moldau.broker.produce_shape import ProduceShape
from moldau.protocol import api_keys as k
from moldau.protocol import error_codes
from moldau.protocol.message import Message
from moldau.protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from moldau.records.builder import build_batch
from moldau.records.record import Record
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

STEPS = 250
TOPICS = {
    "t": {},
    "u": {},
    "stamped": {"message.timestamp.type": "LogAppendTime"},
    "packed": {"compression.type": "gzip"},
}


def made(wire: Wire, name: str, configs: dict[str, str]) -> bytes:
    """The id of a new topic."""
    from moldau.protocol.messages.create_topics import CreatableTopic, CreatableTopicConfig

    topic = CreatableTopic(
        name=name,
        num_partitions=2,
        replication_factor=1,
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in configs.items()],
    )
    answer = wire.ask(request(k.CREATE_TOPICS, topics=[topic], timeout_ms=5000), 7)
    topic_id: bytes = answer.topics[0].topic_id
    return topic_id


class Story:
    """One telling. The dice are the same in every one, whatever the ids of topics are."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        self.dice = random.Random(seed)
        self.side = Wire(bootstrap)
        self.ids = {name: made(self.side, name, configs) for name, configs in TOPICS.items()}
        self.wires = [Wire(bootstrap) for _ in range(3)]
        self.habits: list[dict[str, Any]] = [
            {"version": self.dice.randint(3, 13), "topic": "t", "acks": -1, "client": b"wire"} for _ in self.wires
        ]
        self.sequence = {0: 0, 1: 0}
        self.answers: list[Any] = []

    def batch(self) -> bytes:
        dice = self.dice
        records = [
            Record(number, 1_000_000 + number, b"k", dice.randbytes(dice.choice([5, 100, 3000])))
            for number in range(dice.choice([1, 1, 3]))
        ]
        return bytes(build_batch(records, codec=dice.choice([0, 0, 0, 1])))

    def sequenced(self, partition: int) -> bytes:
        """Of a producer with an id: the next one, the same one again, or one too far."""
        sequence = self.sequence[partition] + self.dice.choice([0, 0, 0, -1, 3])
        batch = build_batch([Record(0, 7, None, b"s")], producer_id=5, producer_epoch=0, base_sequence=max(sequence, 0))
        if sequence == self.sequence[partition]:
            self.sequence[partition] += 1
        return bytes(batch)

    def spoilt(self) -> bytes | None:
        batch = bytearray(self.batch())
        match self.dice.randrange(6):
            case 0:
                batch[-1] ^= 1
            case 1:
                return None
            case 2:
                return b""
            case 3:
                return bytes(batch[: self.dice.randrange(len(batch))])
            case 4:
                return bytes(batch + batch)
            case _:
                return bytes(
                    build_batch(
                        [Record(0, 7, None, b"x")], producer_id=5, producer_epoch=0, base_sequence=0, transactional=True
                    )
                )
        return bytes(batch)

    def ask(self, number: int) -> None:
        """One to three requests of a connection, and their answers."""
        wire, habit, dice = self.wires[number], self.habits[number], self.dice
        version, sent = habit["version"], []
        for _ in range(dice.choice([1, 1, 3])):
            partition = dice.choice([0, 0, 1, 1, 1, 2, -1]) if dice.random() < 0.3 else dice.randrange(2)
            chance = dice.random()
            batch = (
                self.spoilt()
                if chance < 0.1
                else self.sequenced(partition)
                if chance < 0.3 and partition in (0, 1) and habit["topic"] == "t"
                else self.batch()
            )
            topic = habit["topic"]
            data = [
                TopicProduceData(
                    name=topic,
                    topic_id=self.ids[topic],
                    partition_data=[PartitionProduceData(index=partition, records=batch)],
                )
            ]
            for _ in range(dice.choice([0, 0, 0, 0, 1, 2])):
                more, batch = dice.randrange(2), self.batch()
                if dice.random() < 0.2:
                    batch = self.spoilt() if dice.random() < 0.3 or habit["topic"] != "t" else self.sequenced(more)
                data[0].partition_data.append(PartitionProduceData(index=more, records=batch))
            body = ProduceRequest(acks=habit["acks"], timeout_ms=dice.choice([1000, 1000, 1000, 5]), topic_data=data)
            sent.append(framed(wire, body, version, habit["client"], extra=dice.random() < 0.05))
        wire.link.sendall(b"".join(sent))
        for _ in sent:
            payload = wire.receive(struct.unpack(">i", wire.receive(4))[0])
            at = 5 if version >= 9 else 4
            answer = ProduceResponse.decode(payload, version, at)
            assert answer.encode(version) == payload[at:]
            for topic_answer in answer.responses:
                topic_answer.topic_id = bytes(16)
                for each in topic_answer.partition_responses:
                    each.log_append_time_ms = min(each.log_append_time_ms, 0)
            self.answers.append((number, struct.unpack_from(">i", payload), bytes(answer.encode(version))))

    def change(self) -> None:
        dice = self.dice
        habit = dice.choice(self.habits)
        match dice.randrange(5):
            case 0:
                habit["version"] = dice.randint(3, 13)
            case 1:
                habit["topic"] = dice.choice(sorted(self.ids))
            case 2:
                habit["acks"] = dice.choice([-1, 1, 1, 7])
            case 3:
                habit["client"] = dice.choice([b"wire", b"reiw", b"", b"longer"])
            case 4:
                from moldau.protocol.messages.delete_topics import DeleteTopicState

                self.side.ask(request(k.DELETE_TOPICS, topics=[DeleteTopicState(name="u")], timeout_ms=5000), 6)
                if dice.random() < 0.7:
                    self.ids["u"] = made(self.side, "u", TOPICS["u"])

    def tell(self) -> list[Any]:
        for _ in range(STEPS):
            if self.dice.random() < 0.15:
                self.change()
            self.ask(self.dice.randrange(len(self.wires)))
        for wire in (self.side, *self.wires):
            wire.link.close()
        return self.answers


def framed(wire: Wire, body: Message, version: int, client: bytes, *, extra: bool) -> bytes:
    """A request; `extra`: with a tagged field in its header that nobody knows, where there are such."""
    wire._correlation += 1
    head = struct.pack(">hhih", k.PRODUCE, version, wire._correlation, len(client)) + client
    if version >= k.FLEXIBLE_FROM[k.PRODUCE]:
        head += b"\x01\x63\x02hi" if extra else b"\0"
    message = head + body.encode(version)
    return struct.pack(">i", len(message)) + message


def ends(bootstrap: str) -> list[Any]:
    from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsTopic

    with Wire(bootstrap) as wire:
        topics = [
            ListOffsetsTopic(
                name=name, partitions=[ListOffsetsPartition(partition_index=each, timestamp=-1) for each in (0, 1)]
            )
            for name in TOPICS
        ]
        answer = wire.ask(request(k.LIST_OFFSETS, topics=topics), 7)
        return [(t.name, [(p.partition_index, p.offset) for p in t.partitions]) for t in answer.topics]


@pytest.mark.parametrize("seed", range(8))
def test_a_history_is_the_same_with_and_without_shapes(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    begin = ProduceShape.begin

    def counted(shape: ProduceShape, *given: Any) -> bool:
        nonlocal taken
        done = begin(shape, *given)
        taken += done
        return done

    monkeypatch.setattr(ProduceShape, "begin", counted)
    monkeypatch.setattr(produce_shape, "TRIES", 1000)
    told: list[Any] = []

    def tell(bootstrap: str) -> list[Any]:
        return [*Story(bootstrap, seed).tell(), ends(bootstrap)]

    with BrokerThread(data=tmp_path / "with") as broker:
        told.append(tell(broker.bootstrap))
    assert taken > STEPS // 8
    monkeypatch.setattr(ProduceShape, "learn", lambda *given: None)
    before = taken
    with BrokerThread(data=tmp_path / "without") as broker:
        told.append(tell(broker.bootstrap))
    assert taken == before
    for one, other in zip(*told, strict=True):
        assert one == other


@pytest.mark.parametrize("version", range(3, 14))
def test_the_second_one_is_not_decoded(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with BrokerThread() as broker, Wire(broker.bootstrap) as wire:
        topic_id = made(wire, "t", {})

        def ask(partition: int, size: int, acks: int = -1) -> Any:
            batch = build_batch([Record(0, 7, None, bytes(size))])
            data = TopicProduceData(
                name="t",
                topic_id=topic_id,
                partition_data=[PartitionProduceData(index=partition, records=bytes(batch))],
            )
            answer = wire.ask(request(k.PRODUCE, acks=acks, timeout_ms=9, topic_data=[data]), version)
            return answer.responses[0].partition_responses[0]

        for partition in (0, 1):  # views are loaded
            assert ask(partition, 1).error_code == 0
        decoded: list[Any] = []
        decode = ProduceRequest.decode
        monkeypatch.setattr(ProduceRequest, "decode", lambda *given: (decoded.append(given), decode(*given))[1])
        for number in range(1, 4):
            for partition in (0, 1):
                answer = ask(partition, 10**number)
                assert (answer.index, answer.error_code, answer.base_offset) == (partition, 0, number)
        assert not decoded
        assert ask(0, 1, acks=1).base_offset == 4
        assert len(decoded) == 1
        assert ask(0, 1, acks=1).base_offset == 5
        assert len(decoded) == 1


@pytest.mark.parametrize("version", range(3, 14))
def test_several_partitions_are_not_decoded(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are more or fewer of them than there were; and of a batch that is refused the others are told as ever."""
    with BrokerThread() as broker, Wire(broker.bootstrap) as wire:
        topic_id = made(wire, "t", {})

        def ask(*partitions: int, sequence: int = -1) -> list[tuple[int, int, int]]:
            made_of = {"producer_id": 5, "producer_epoch": 0, "base_sequence": sequence} if sequence >= 0 else {}
            batch = bytes(build_batch([Record(0, 7, None, bytes(50))], **made_of))
            data = TopicProduceData(
                name="t",
                topic_id=topic_id,
                partition_data=[PartitionProduceData(index=each, records=batch) for each in partitions],
            )
            answer = wire.ask(request(k.PRODUCE, acks=-1, timeout_ms=9, topic_data=[data]), version)
            return [(p.index, p.error_code, p.base_offset) for p in answer.responses[0].partition_responses]

        for partition in (0, 1):
            ask(partition)
        decoded: list[Any] = []
        decode = ProduceRequest.decode
        monkeypatch.setattr(ProduceRequest, "decode", lambda *given: (decoded.append(given), decode(*given))[1])
        assert ask(0, 1) == [(0, 0, 1), (1, 0, 1)]
        assert ask(1, 0, 1) == [(1, 0, 2), (0, 0, 2), (1, 0, 3)]
        assert ask(1) == [(1, 0, 4)]
        assert ask(1, sequence=0) == [(1, 0, 5)]
        code = error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert ask(0, 1, sequence=3) == [(0, 0, 3), (1, code, -1)]  # in partition 0 nothing is known of the producer
        assert not decoded


def test_a_connection_that_never_repeats_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made_of: list[Any] = []
    around = ProduceShape._around
    monkeypatch.setattr(ProduceShape, "_around", lambda *given: (made_of.append(given), around(*given))[1])
    with BrokerThread() as broker, Wire(broker.bootstrap) as wire:
        for number in range(12):
            made(wire, f"t{number}", {})
            data = TopicProduceData(
                name=f"t{number}",
                partition_data=[PartitionProduceData(index=0, records=bytes(build_batch([Record(0, 7, None, b"x")])))],
            )
            answer = wire.ask(request(k.PRODUCE, acks=1, timeout_ms=9, topic_data=[data]), 9)
            assert answer.responses[0].partition_responses[0].base_offset == 0
    assert len(made_of) == 4
