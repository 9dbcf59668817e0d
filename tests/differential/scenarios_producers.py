"""InitProducerId, what idempotent producers may send, DescribeProducers."""

from __future__ import annotations

import time

from conversation import Broke, Conversation, scenario
from scenarios_log import batch, fetch_all, produce_body

from moldau.protocol import api_keys as k
from moldau.protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest


def new_producer(c: Conversation) -> int:
    """Apache Kafka asks for a block of ids first, and answers COORDINATOR_LOAD_IN_PROGRESS until it has one."""
    body = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
    for _ in range(200):
        answer = c.quiet(k.INIT_PRODUCER_ID, 4, body)
        if not answer.error_code:
            return int(answer.producer_id)
        time.sleep(0.01)
    raise Broke("no producer id")


@scenario(k.INIT_PRODUCER_ID)
def init_producer_id(c: Conversation, version: int) -> None:
    def ask(label: str, **fields: object) -> object:
        body = InitProducerIdRequest(**{"transactional_id": None, "transaction_timeout_ms": 60_000, **fields})
        return c.ask(label, k.INIT_PRODUCER_ID, version, body)

    new_producer(c)
    first = ask("first")
    ask("second")
    ask("time-out 0", transaction_timeout_ms=0)
    ask("empty transactional id", transactional_id="")
    if version >= 3:
        producer_id = getattr(first, "producer_id", 0)
        ask("epoch bump", producer_id=producer_id, producer_epoch=0)
        ask("id without epoch", producer_id=producer_id, producer_epoch=-1)
        ask("epoch without id", producer_id=-1, producer_epoch=3)


@scenario(k.PRODUCE, k.INIT_PRODUCER_ID)
def idempotence(c: Conversation, version: int) -> None:
    topic = c.topic()
    producer_id = new_producer(c)

    def ask(label: str, sequence: int, *, count: int = 1, epoch: int = 0, pid: int | None = None) -> None:
        records = batch(
            count,
            producer_id=producer_id if pid is None else pid,
            producer_epoch=epoch,
            base_sequence=sequence,
        )
        c.ask(label, k.PRODUCE, version, produce_body(c, version, topic, bytes(records)))

    ask("0", 0)
    ask("0 again", 0)
    ask("1 to 3", 1, count=3)
    ask("1 to 3 again", 1, count=3)
    ask("1 again, another count", 1)
    ask("a gap", 9)
    for sequence in range(4, 10):
        ask(f"{sequence}", sequence)
    ask("the fifth last again", 5)
    ask("older than the last five", 1, count=3)
    ask("far too old", 0)
    ask("negative sequence", -5)
    ask("new epoch in the middle", 7, epoch=1)
    ask("new epoch", 0, epoch=1)
    ask("old epoch", 10)
    ask("two epochs on", 0, epoch=3)
    ask("the epoch between", 0, epoch=2)
    ask("an unknown producer in the middle", 55, pid=4_000_000_000)
    ask("and on", 56, pid=4_000_000_000)
    ask("negative epoch", 0, epoch=-1)
    wrap = new_producer(c)
    ask("the end of the sequence", 2**31 - 2, count=2, pid=wrap)
    ask("past the end", 0, pid=wrap)
    crossing = new_producer(c)
    ask("across the end", 2**31 - 2, count=4, pid=crossing)
    ask("across the end again", 2**31 - 2, count=4, pid=crossing)
    ask("behind the crossing", 2, pid=crossing)
    c.note("the log", fetch_all(c, topic))


@scenario(k.DESCRIBE_PRODUCERS, k.PRODUCE, k.INIT_PRODUCER_ID)
def describe_producers(c: Conversation, version: int) -> None:
    topic = c.topic(partitions=2)
    producer_id = new_producer(c)
    records = bytes(batch(3, producer_id=producer_id, producer_epoch=0, base_sequence=0))
    c.ask("a batch", k.PRODUCE, 9, produce_body(c, 9, topic, records))

    def ask(label: str, name: str, *partitions: int) -> None:
        body = DescribeProducersRequest(topics=[TopicRequest(name=name, partition_indexes=list(partitions))])
        c.ask(label, k.DESCRIBE_PRODUCERS, version, body)

    ask("both partitions", topic, 0, 1)
    ask("no such partition", topic, 9)
    ask("no such topic", f"{c.prefix}-none", 0)
    ask("invalid topic", "a b", 0)
