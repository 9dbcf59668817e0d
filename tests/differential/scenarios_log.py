"""Produce, ListOffsets, OffsetForLeaderEpoch."""

from __future__ import annotations

from conversation import Broke, Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from moldau.protocol.messages.metadata import MetadataRequest
from moldau.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from moldau.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
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
    c.wire("silent").unanswered()
    c.ask("after acks 0", k.PRODUCE, version, produce_body(c, version, topic, bytes(batch())), on="silent")
    two = produce_body(c, version, topic, bytes(batch()))
    two.topic_data[0].partition_data.append(PartitionProduceData(index=1, records=bytes(batch(2))))
    two.topic_data[0].partition_data.append(PartitionProduceData(index=5, records=bytes(batch(2))))
    c.ask("three partitions, one unknown", k.PRODUCE, version, two)
    c.ask("no topics", k.PRODUCE, version, ProduceRequest(acks=-1, timeout_ms=10_000))
    bare = produce_body(c, version, topic, bytes(batch()))
    bare.topic_data[0].partition_data = []
    c.ask("no partitions", k.PRODUCE, version, bare)
    twice = produce_body(c, version, c.topic("twice"), bytes(batch()))
    twice.topic_data[0].partition_data.append(PartitionProduceData(index=0, records=bytes(batch(2))))
    c.ask("a partition twice", k.PRODUCE, version, twice)
    for label, acks in (("acks -2", -2), ("acks 32767", 32767)):
        ask(label, bytes(batch()), acks=acks)
    ask("negative partition", bytes(batch()), partition=-1)
    slow = produce_body(c, version, topic, bytes(batch()))
    slow.timeout_ms = -1
    c.ask("negative time-out", k.PRODUCE, version, slow)
    # no acknowledgement, and an error: the connection is the only one to tell
    c.post(k.PRODUCE, version, produce_body(c, version, topic, bytes(batch()), partition=9, acks=0), on="wrong")
    c.wire("wrong").unanswered()
    c.ask("after a wrong one with acks 0", k.METADATA, 1, MetadataRequest(topics=[]), on="wrong")
    if version >= 13:
        no_id = produce_body(c, version, topic, bytes(batch()))
        no_id.topic_data[0].topic_id = bytes(16)
        c.ask("topic id 0", k.PRODUCE, version, no_id)
    c.note("the log", fetch_all(c, topic))


def fetch_all(c: Conversation, topic: str) -> object:
    body = FetchRequest(max_wait_ms=100, min_bytes=1, max_bytes=1 << 20)
    asked = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    body.topics = [FetchTopic(topic=topic, partitions=[asked])]
    return c.quiet(k.FETCH, 12, body)


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
    for label, timestamp in [*special, ("-7", -7), ("-100", -100), ("the smallest", -(2**63))]:
        ask(label, timestamp)
        ask(f"{label}, empty", timestamp, to=empty)
    for label, timestamp in (
        ("before all", 0),
        ("just before the first", THEN - 1),
        ("the first", THEN),
        ("inside a batch", THEN + 20),
        ("between two records", THEN + 21),
        ("the last of a batch", THEN + 40),
        ("between two batches", THEN + 500),
        ("the last", THEN + 1040),
        ("after all", THEN + 1041),
        ("the largest", 2**63 - 1),
    ):
        ask(label, timestamp)
    ask("time in an empty log", THEN, to=empty)
    ask("no such partition", -1, partition=9)
    ask("negative partition", -1, partition=-1)
    ask("no such topic", -1, to=f"{c.prefix}-none")
    ask("invalid topic", -1, to="a b")
    two = [ListOffsetsPartition(partition_index=0, timestamp=t) for t in (-1, -2)]
    c.ask("a partition twice", k.LIST_OFFSETS, version, listing(topic, two))
    c.ask("no partition", k.LIST_OFFSETS, version, listing(topic, []))
    c.ask("no topic", k.LIST_OFFSETS, version, ListOffsetsRequest(replica_id=-1, topics=[]))
    for replica_id in (-2, 77):
        body = listing(topic, [ListOffsetsPartition(timestamp=-1)])
        body.replica_id = replica_id
        c.ask(f"as replica {replica_id}", k.LIST_OFFSETS, version, body)
    if version >= 2:
        ask("committed only", -1, isolation_level=1)
        ask("committed only, by time", THEN + 20, isolation_level=1)
        ask("no such isolation", -1, isolation_level=7)
    if version >= 4:
        ask("this epoch", -1, epoch=0)
        ask("a later epoch", -1, epoch=3)
        ask("a later epoch, by time", THEN, epoch=3)
        ask("epoch -2", -1, epoch=-2)


@scenario(k.LIST_OFFSETS, k.PRODUCE, k.DELETE_RECORDS)
def list_offsets_by_time(c: Conversation, version: int) -> None:
    """Logs whose times do not rise, are equal, are compressed, were stamped by the broker, begin late."""
    odd, packed, stamped, cut = (
        c.topic("odd"),
        c.topic("packed"),
        c.topic("s", message_timestamp_type="LogAppendTime"),
        c.topic("cut"),
    )
    later = (("the first", THEN), ("in between", THEN + 15), ("the largest time", -3), ("late", THEN + 3000))

    def ask(label: str, topic: str, *times: tuple[str, int]) -> None:
        for when, timestamp in times:
            body = listing(topic, [ListOffsetsPartition(timestamp=timestamp)])
            c.ask(f"{label}: {when}", k.LIST_OFFSETS, version, body)

    for start, step, count in ((THEN + 2000, -100, 3), (THEN, 10, 3), (THEN + 2000, 0, 3), (THEN + 500, -10, 4)):
        c.quiet(k.PRODUCE, 9, produce_body(c, 9, odd, bytes(batch(count, start=start, step=step))))
    ask("odd", odd, *later, ("1,900 on", THEN + 1900), ("1,901 on", THEN + 1901), ("2,000 on", THEN + 2000))
    for codec in COMPRESSIONS.values():
        c.quiet(k.PRODUCE, 9, produce_body(c, 9, packed, bytes(batch(20, codec=codec))))
    ask("packed", packed, *later, ("100 on", THEN + 101))
    c.quiet(k.PRODUCE, 9, produce_body(c, 9, stamped, bytes(batch(3))))
    ask("stamped", stamped, *later)
    fill(c, cut, 5, 5)
    asked = DeleteRecordsTopic(name=cut, partitions=[DeleteRecordsPartition(partition_index=0, offset=3)])
    c.quiet(k.DELETE_RECORDS, 2, DeleteRecordsRequest(topics=[asked], timeout_ms=10_000))
    ask("cut", cut, *later, ("a record that is gone", THEN + 5), ("earliest", -2), ("latest", -1))


def listing(topic: str, partitions: list[ListOffsetsPartition]) -> ListOffsetsRequest:
    return ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=partitions)])


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
    ask("epoch -5", -5)
    ask("current -5", 0, current=-5)
    ask("both later", 5, current=5)
    ask("an empty log", 0, to=c.topic("empty"))
    ask("negative partition", 0, partition=-1)
    c.ask("no topics", k.OFFSET_FOR_LEADER_EPOCH, version, OffsetForLeaderEpochRequest())
    ask("no such partition", 0, partition=9)
    ask("no such topic", 0, to=f"{c.prefix}-none")
