"""Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, and DescribeProducers."""

from __future__ import annotations

from conversation import Broke, Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from moldau.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from moldau.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from moldau.records import compression
from moldau.records.builder import build_batch
from moldau.records.record import Record

THEN = 1_700_000_000_000  # a fixed time, so that answers can be recorded
UNKNOWN_ID = bytes(range(16))
COMPRESSIONS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def batch(
    count: int = 1, *, start: int = THEN, step: int = 10, value: bytes = b"value", **options: object
) -> bytearray:
    """`count` records whose keys are k0, k1, ... and whose times are `step` ms apart."""
    records = [Record(i, start + i * step, b"k%d" % i, value, [("h", b"x"), ("n", None)]) for i in range(count)]
    return build_batch(records, **options)  # type: ignore[arg-type]


def produce_body(
    c: Conversation, version: int, topic: str, records: bytes | None, *, partition: int = 0, acks: int = -1
) -> ProduceRequest:
    data = TopicProduceData(partition_data=[PartitionProduceData(index=partition, records=records)])
    if version >= 13:
        data.topic_id = c.topic_id(topic) if topic.startswith(c.prefix) else UNKNOWN_ID
    else:
        data.name = topic
    return ProduceRequest(acks=acks, timeout_ms=10_000, topic_data=[data])


def fill(c: Conversation, topic: str, *counts: int, partition: int = 0, start: int = THEN) -> None:
    """A batch for each count, one request each; the times of a batch begin 1,000 ms after those of the last."""
    for i, count in enumerate(counts):
        records = bytes(batch(count, start=start + i * 1000))
        answer = c.quiet(k.PRODUCE, 9, produce_body(c, 9, topic, records, partition=partition))
        code = answer.responses[0].partition_responses[0].error_code
        if code:
            raise Broke(f"filling {topic}: error code {code}")


@scenario(k.PRODUCE)
def produce(c: Conversation, version: int) -> None:
    topic = c.topic(partitions=2)

    def ask(label: str, records: bytes | None, *, to: str = topic, partition: int = 0, acks: int = -1) -> None:
        body = produce_body(c, version, to, records, partition=partition, acks=acks)
        c.ask(label, k.PRODUCE, version, body, on=label if acks not in (-1, 1) or not records else "")

    ask("one record", bytes(batch()))
    ask("three records", bytes(batch(3)))
    ask("acks 1", bytes(batch()), acks=1)
    ask("acks 2", bytes(batch()), acks=2)
    for name, codec in COMPRESSIONS.items():
        ask(f"compressed by {name}", bytes(batch(50, codec=codec)))
    ask("no such partition", bytes(batch()), partition=9)
    if version < 13:
        ask("no such topic", bytes(batch()), to="nowhere")
        ask("invalid topic", bytes(batch()), to="a b")
    if version == 9:  # Apache Kafka never answers, which is tried once
        ask("null records", None)
    ask("empty records", b"")
    # no acknowledgement: the answer to a question sent after it shows that nothing was answered
    c.post(k.PRODUCE, version, produce_body(c, version, topic, bytes(batch()), acks=0), on="silent")
    c.wire("silent")._waiting.pop()
    c.ask("after acks 0", k.PRODUCE, version, produce_body(c, version, topic, bytes(batch())), on="silent")
    two = produce_body(c, version, topic, bytes(batch()))
    two.topic_data[0].partition_data.append(PartitionProduceData(index=1, records=bytes(batch(2))))
    two.topic_data[0].partition_data.append(PartitionProduceData(index=5, records=bytes(batch(2))))
    c.ask("three partitions, one unknown", k.PRODUCE, version, two)


@scenario(k.PRODUCE)
def produce_bad_batches(c: Conversation, version: int) -> None:
    topic = c.topic(max_message_bytes="2000")
    odd = c.topic("odd")  # for what the brokers do not agree on, so that it moves no other offset

    def ask(label: str, records: bytes, *, to: str = topic) -> None:
        # on a connection of its own: some answers are a closed one
        c.ask(label, k.PRODUCE, version, produce_body(c, version, to, records), on=label)

    def changed(at: int, value: bytes, *, crc: bool = True, count: int = 3) -> bytes:
        raw = batch(count)
        raw[at : at + len(value)] = value
        if crc:
            from moldau.records.crc import crc32c

            raw[17:21] = crc32c(memoryview(raw)[21:]).to_bytes(4, "big")
        return bytes(raw)

    good = bytes(batch(3))
    ask("wrong checksum", changed(17, b"\0\0\0\1", crc=False))
    ask("a byte of a value changed", changed(len(good) - 12, b"\xff", crc=False))
    ask("magic 1", changed(16, b"\1", crc=False))
    ask("magic 9", changed(16, b"\x09", crc=False))
    ask("two batches", good + good)
    ask("cut short", good[:-5])
    ask("shorter than a header", good[:30])
    ask("a byte too long", good + b"\0", to=odd)
    ask("length of 3", changed(8, (3).to_bytes(4, "big"), crc=False))
    ask("negative length", changed(8, (-3).to_bytes(4, "big", signed=True), crc=False))
    ask("base offset 7", changed(0, (7).to_bytes(8, "big")))
    ask("last offset delta too large", changed(23, (9).to_bytes(4, "big")))
    ask("last offset delta too small", changed(23, (1).to_bytes(4, "big")))
    ask("too many records promised", changed(57, (4).to_bytes(4, "big")))
    ask("no record promised", changed(57, (0).to_bytes(4, "big")))
    ask("negative record count", changed(57, (-1).to_bytes(4, "big", signed=True)))
    ask("control batch", changed(21, (0x20).to_bytes(2, "big")))
    ask("unknown codec", changed(21, (0x07).to_bytes(2, "big")))
    ask("says log append time", changed(21, (0x08).to_bytes(2, "big")))
    ask("says gzip, is not", changed(21, (0x01).to_bytes(2, "big")), to=odd)
    ask("too large", bytes(batch(1, value=b"v" * 3000)))
    ask("large, compressed small", bytes(batch(1, value=b"v" * 3000, codec=compression.codec_of("gzip"))))
    narrow = c.topic("narrow", message_timestamp_before_max_ms="1000")
    ask("time too long ago", good, to=narrow)
    ask("time in the far future", bytes(batch(1, start=4_000_000_000_000)))
    ask("no time", bytes(batch(1, start=-1)))
    stamped = c.topic("stamped", message_timestamp_type="LogAppendTime")
    ask("log append time", good, to=stamped)
    c.note("the stamped log", fetch_all(c, stamped))
    c.note("the log", fetch_all(c, topic))


def fetch_all(c: Conversation, topic: str) -> object:
    body = FetchRequest(max_wait_ms=100, min_bytes=1, max_bytes=1 << 20)
    asked = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    body.topics = [FetchTopic(topic=topic, partitions=[asked])]
    return c.quiet(k.FETCH, 12, body)


class Fetching:
    """Builds Fetch requests of one version: topics by name or by id."""

    def __init__(self, c: Conversation, version: int) -> None:
        self.c, self.version, self.ids = c, version, {}

    def names(self, topic: str) -> dict[str, object]:
        if self.version < 13:
            return {"topic": topic}
        if topic not in self.ids:
            self.ids[topic] = self.c.topic_id(topic) if topic.startswith(self.c.prefix) else UNKNOWN_ID
        return {"topic_id": self.ids[topic]}

    def ask(
        self,
        label: str,
        *wanted: tuple[str, int, int],
        partition_bytes: int = 1 << 20,
        epoch: int = -1,
        forget: tuple[str, int] | None = None,
        **fields: object,
    ) -> object:
        """`wanted`: topic, partition, offset."""
        topics: dict[str, list[FetchPartition]] = {}
        for topic, partition, offset in wanted:
            asked = FetchPartition(
                partition=partition, fetch_offset=offset, partition_max_bytes=partition_bytes, log_start_offset=-1
            )
            if self.version >= 9:
                asked.current_leader_epoch = epoch
            topics.setdefault(topic, []).append(asked)
        defaults: dict[str, object] = {"max_wait_ms": 50, "min_bytes": 1, "max_bytes": 1 << 20}
        body = FetchRequest(**{**defaults, **fields})  # type: ignore[arg-type]
        body.topics = [FetchTopic(**self.names(t), partitions=p) for t, p in topics.items()]  # type: ignore[arg-type]
        if forget:
            body.forgotten_topics_data = [
                ForgottenTopic(**self.names(forget[0]), partitions=[forget[1]])  # type: ignore[arg-type]
            ]
        return self.c.ask(label, k.FETCH, self.version, body)


@scenario(k.FETCH, k.PRODUCE)
def fetch(c: Conversation, version: int) -> None:
    topic = c.topic(partitions=3)
    fill(c, topic, 3, 2)
    fill(c, topic, 1, partition=1)
    f = Fetching(c, version)
    f.ask("from the start", (topic, 0, 0))
    f.ask("the middle of a batch", (topic, 0, 1))
    f.ask("the second batch", (topic, 0, 3))
    f.ask("at the end", (topic, 0, 5))
    f.ask("behind the end", (topic, 0, 6))
    f.ask("negative offset", (topic, 0, -1))
    f.ask("an empty partition", (topic, 2, 0))
    f.ask("three partitions", (topic, 0, 0), (topic, 1, 0), (topic, 2, 0))
    f.ask("no such partition", (topic, 9, 0))
    f.ask("no such topic", ("nowhere", 0, 0))
    f.ask("known and unknown", (topic, 1, 0), ("nowhere", 0, 0))
    f.ask("one byte of each", (topic, 0, 0), (topic, 1, 0), partition_bytes=1)
    f.ask("one byte in all", (topic, 0, 0), (topic, 1, 0), max_bytes=1)
    f.ask("committed only", (topic, 0, 0), isolation_level=1)
    f.ask("no such isolation", (topic, 0, 0), isolation_level=5)
    f.ask("nothing")
    if version >= 9:
        f.ask("this epoch", (topic, 0, 0), epoch=0)
        f.ask("a later epoch", (topic, 0, 0), epoch=5)
    if version <= 14:
        f.ask("as a debugging replica", (topic, 0, 0), replica_id=-2)
    if version >= 11:
        f.ask("with a rack", (topic, 0, 0), rack_id="somewhere")


@scenario(k.FETCH, k.PRODUCE)
def fetch_compressed(c: Conversation, version: int) -> None:
    f = Fetching(c, version)
    for name, codec in COMPRESSIONS.items():
        topic = c.topic(name)
        c.quiet(k.PRODUCE, 9, produce_body(c, 9, topic, bytes(batch(5, codec=codec))))
        f.ask(name, (topic, 0, 0))
    again = c.topic("again", compression_type="zstd")
    c.quiet(k.PRODUCE, 9, produce_body(c, 9, again, bytes(batch(5, codec=1))))
    f.ask("compressed again by the broker", (again, 0, 0))


@scenario(k.FETCH, k.PRODUCE)
def fetch_sessions(c: Conversation, version: int) -> None:
    if version < 7:
        return
    a, b = c.topic("a", partitions=2), c.topic("b")
    fill(c, a, 1)
    f = Fetching(c, version)
    first = f.ask("new session", (a, 0, 0), (a, 1, 0), session_id=0, session_epoch=0)
    session = getattr(first, "session_id", 0)
    f.ask("nothing new", session_id=session, session_epoch=1)
    fill(c, a, 2, partition=1)
    f.ask("only what changed", session_id=session, session_epoch=2)
    f.ask("one more topic", (b, 0, 0), session_id=session, session_epoch=3)
    f.ask("a new offset", (a, 0, 1), session_id=session, session_epoch=4)
    f.ask("one forgotten", forget=(a, 1), session_id=session, session_epoch=5)
    f.ask("a wrong epoch", session_id=session, session_epoch=9)
    f.ask("after the wrong epoch", session_id=session, session_epoch=6)
    f.ask("no such session", session_id=12345678, session_epoch=1)
    f.ask("no such session, new", (a, 0, 0), session_id=12345678, session_epoch=0)
    f.ask("closed", session_id=session, session_epoch=-1)
    f.ask("after closing", session_id=session, session_epoch=7)
    f.ask("without a session", (a, 0, 0), session_id=0, session_epoch=-1)
    f.ask("unknown in a session", ("nowhere", 0, 0), (a, 0, 0), session_id=0, session_epoch=0)


@scenario(k.LIST_OFFSETS, k.PRODUCE)
def list_offsets(c: Conversation, version: int) -> None:
    topic, empty = c.topic(), c.topic("empty")
    fill(c, topic, 5, 5)

    def ask(label: str, timestamp: int, *, to: str = topic, partition: int = 0, epoch: int = -1, **fields: int) -> None:
        asked = ListOffsetsPartition(partition_index=partition, timestamp=timestamp)
        if version >= 4:
            asked.current_leader_epoch = epoch
        topics = [ListOffsetsTopic(name=to, partitions=[asked])]
        c.ask(label, k.LIST_OFFSETS, version, ListOffsetsRequest(replica_id=-1, topics=topics, **fields))

    special = [("latest", -1), ("earliest", -2), ("largest time", -3), ("local", -4), ("tiered", -5), ("pending", -6)]
    for label, timestamp in [*special, ("-7", -7)]:
        ask(label, timestamp)
        ask(f"{label}, empty", timestamp, to=empty)
    for label, timestamp in (
        ("before all", 0),
        ("the first", THEN),
        ("inside a batch", THEN + 20),
        ("between two records", THEN + 21),
        ("between two batches", THEN + 500),
        ("the last", THEN + 1040),
        ("after all", THEN + 1041),
    ):
        ask(label, timestamp)
    ask("time in an empty log", THEN, to=empty)
    ask("no such partition", -1, partition=9)
    ask("no such topic", -1, to=f"{c.prefix}-none")
    if version >= 2:
        ask("committed only", -1, isolation_level=1)
    if version >= 4:
        ask("this epoch", -1, epoch=0)
        ask("a later epoch", -1, epoch=3)


@scenario(k.OFFSET_FOR_LEADER_EPOCH, k.PRODUCE)
def offset_for_leader_epoch(c: Conversation, version: int) -> None:
    topic = c.topic()
    fill(c, topic, 4)

    def ask(label: str, epoch: int, *, current: int = -1, to: str = topic, partition: int = 0) -> None:
        asked = OffsetForLeaderPartition(partition=partition, current_leader_epoch=current, leader_epoch=epoch)
        body = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic=to, partitions=[asked])])
        if version >= 3:
            body.replica_id = -1
        c.ask(label, k.OFFSET_FOR_LEADER_EPOCH, version, body)

    ask("this epoch", 0)
    ask("a later epoch", 5)
    ask("undefined", -1)
    ask("fenced", 0, current=4)
    ask("current", 0, current=0)
    ask("no such partition", 0, partition=9)
    ask("no such topic", 0, to=f"{c.prefix}-none")
