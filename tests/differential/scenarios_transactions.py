"""Transactions of both versions: producers, what takes part, ends, offsets, and what administrators see of them.

Apache Kafka says CONCURRENT_TRANSACTIONS while it ends a transaction, and what its coordinator loads or its producer ids are fetched, other codes;
all of them are asked again here: what counts is the answer that stays.
"""

from __future__ import annotations

import time
from typing import Any

from conversation import Broke, Conversation, scenario
from scenarios_log import batch, produce_body

from moldau.protocol import api_keys as k
from moldau.protocol import error_codes as e
from moldau.protocol.message import Message
from moldau.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from moldau.protocol.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from moldau.protocol.messages.delete_groups import DeleteGroupsRequest
from moldau.protocol.messages.describe_transactions import DescribeTransactionsRequest
from moldau.protocol.messages.end_txn import EndTxnRequest
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest
from moldau.protocol.messages.list_transactions import ListTransactionsRequest
from moldau.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from moldau.protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from moldau.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

LATER = {
    e.CONCURRENT_TRANSACTIONS,
    e.COORDINATOR_LOAD_IN_PROGRESS,
    e.COORDINATOR_NOT_AVAILABLE,
    e.NOT_COORDINATOR,
    e.NOT_ENOUGH_REPLICAS,
}
Producer = tuple[int, int]


def _codes(answer: Any) -> set[int]:
    """Every error code in it."""
    found: set[int] = set()
    for name in getattr(answer, "__slots__", ()):
        value = getattr(answer, name)
        if name.endswith("error_code"):
            found.add(value)
        elif isinstance(value, list):
            for each in value:
                found |= _codes(each)
    return found


class Talk:
    """A conversation whose answers are those that stay."""

    def __init__(self, c: Conversation) -> None:
        self.c = c
        self.id = f"{c.prefix}-txn"

    def ask(self, label: str, api_key: int, version: int, body: Message) -> Any:
        for _ in range(500):
            answer = self.c.quiet(api_key, version, body)
            if not _codes(answer) & LATER:
                if label:
                    self.c.note(label, answer)
                return answer
            time.sleep(0.02)
        raise Broke(f"{label}: still {_codes(answer)}")

    def found(self) -> None:
        self.ask("", k.FIND_COORDINATOR, 2, FindCoordinatorRequest(key=self.id, key_type=1))

    def init(self, label: str, version: int = 4, expected: Producer = (-1, -1), **fields: Any) -> Producer:
        body = InitProducerIdRequest(
            **{"transactional_id": self.id, "transaction_timeout_ms": 60_000, **fields},  # type: ignore[arg-type]
            producer_id=expected[0],
            producer_epoch=expected[1],
        )
        answer = self.ask(label, k.INIT_PRODUCER_ID, version, body)
        return answer.producer_id, answer.producer_epoch

    def add(
        self, label: str, producer: Producer, *topics: tuple[str, list[int]], version: int = 3, **fields: Any
    ) -> None:
        asked = [AddPartitionsToTxnTopic(name=name, partitions=indexes) for name, indexes in topics]
        body = AddPartitionsToTxnRequest(
            **{"v3_and_below_transactional_id": self.id, **fields},
            v3_and_below_producer_id=producer[0],
            v3_and_below_producer_epoch=producer[1],
            v3_and_below_topics=asked,
        )
        self.ask(label, k.ADD_PARTITIONS_TO_TXN, version, body)

    def add_offsets(self, label: str, producer: Producer, group: str, version: int = 3, **fields: Any) -> None:
        body = AddOffsetsToTxnRequest(
            **{"transactional_id": self.id, **fields},
            producer_id=producer[0],
            producer_epoch=producer[1],
            group_id=group,
        )
        self.ask(label, k.ADD_OFFSETS_TO_TXN, version, body)

    def produce(self, label: str, producer: Producer, topic: str, sequence: int, *, version: int) -> None:
        records = batch(
            2, producer_id=producer[0], producer_epoch=producer[1], base_sequence=sequence, transactional=True
        )
        body = produce_body(self.c, version, topic, bytes(records))
        body.transactional_id = self.id
        self.ask(label, k.PRODUCE, version, body)

    def end(self, label: str, producer: Producer, commit: bool, version: int, **fields: Any) -> Producer:
        body = EndTxnRequest(
            **{"transactional_id": self.id, **fields},
            producer_id=producer[0],
            producer_epoch=producer[1],
            committed=commit,
        )
        answer = self.ask(label, k.END_TXN, version, body)
        if version >= 5 and not answer.error_code:
            return answer.producer_id, answer.producer_epoch
        return producer

    def log(self, label: str, topic: str) -> None:
        """What a reader of committed records gets, once nothing is open."""
        body = FetchRequest(max_wait_ms=100, min_bytes=1, max_bytes=1 << 20, isolation_level=1)
        asked = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
        body.topics = [FetchTopic(topic=topic, partitions=[asked])]
        for _ in range(100):
            found = self.c.quiet(k.FETCH, 12, body).responses[0].partitions[0]
            if found.last_stable_offset == found.high_watermark:
                break
            time.sleep(0.05)
        else:
            raise Broke(f"{label}: a transaction is open on and on")
        asked.partition_max_bytes = 1  # batch by batch: how much Apache Kafka reads ahead is another matter
        for offset in range(found.high_watermark):
            asked.fetch_offset = offset
            self.c.note(f"{label}, {offset}", self.c.quiet(k.FETCH, 12, body))

    def commit(self, label: str, producer: Producer, topic: str, offset: int, version: int, **fields: Any) -> None:
        place = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata="m")
        asked = TxnOffsetCommitRequestTopic(name=topic, partitions=[place])
        if version >= 6:
            asked.topic_id = self.c.topic_id(topic)
        body = TxnOffsetCommitRequest(
            **{"transactional_id": self.id, "group_id": f"{self.c.prefix}-g", **fields},
            producer_id=producer[0],
            producer_epoch=producer[1],
            topics=[asked],
        )
        self.ask(label, k.TXN_OFFSET_COMMIT, version, body)

    def offsets(self, label: str, topic: str, *, stable: bool) -> None:
        asked = OffsetFetchRequestTopic(name=topic, partition_indexes=[0])
        body = OffsetFetchRequest(group_id=f"{self.c.prefix}-g", topics=[asked], require_stable=stable)
        self.ask(label, k.OFFSET_FETCH, 7, body)


@scenario(k.INIT_PRODUCER_ID, k.ADD_PARTITIONS_TO_TXN, k.END_TXN, k.FIND_COORDINATOR)
def transactional_producers(c: Conversation, version: int) -> None:
    t = Talk(c)
    topic = c.topic()
    t.found()
    first = t.init("first", version)
    second = t.init("another instance", version)
    t.init("the longest time-out", version, transaction_timeout_ms=900_000)
    t.init("a longer one", version, transaction_timeout_ms=900_001)
    t.init("none", version, transaction_timeout_ms=0)
    t.init("negative", version, transaction_timeout_ms=-1)
    now = t.init("again", version)
    t.add("a fenced one adds", first, (topic, [0]))
    t.add("the one before too", second, (topic, [0]))
    t.add("begin", now, (topic, [0]))
    after = t.init("an instance while it is open", version)
    t.end("what it had opened", now, True, 3)
    t.add("begin again", after, (topic, [0]))
    t.end("commit", after, True, 3)
    if version >= 3:
        bumped = t.init("its own epoch", version, after)
        t.init("asked again", version, after)
        t.init("the one before that", version, now)
        t.init("another id", version, (after[0] + 1_000_000, 0))
        t.init("from the future", version, (bumped[0], bumped[1] + 1))
        t.init("and on", version, bumped)


@scenario(k.ADD_PARTITIONS_TO_TXN, k.INIT_PRODUCER_ID, k.END_TXN, k.FIND_COORDINATOR)
def partitions_of_transactions(c: Conversation, version: int) -> None:
    if version > 3:
        return  # of brokers among themselves
    t = Talk(c)
    topic = c.topic(partitions=3)
    t.found()
    t.add("nobody knows it", (1, 0), (topic, [0]), version=version)
    t.add("no id", (1, 0), (topic, [0]), version=version, v3_and_below_transactional_id="")
    it = t.init("init")
    t.add("one", it, (topic, [0]), version=version)
    t.add("the same", it, (topic, [0]), version=version)
    t.add("two", it, (topic, [1, 0]), version=version)
    t.add("no such partition", it, (topic, [2, 9]), version=version)
    t.add("no such topic", it, (topic, [2]), (f"{c.prefix}-none", [0]), version=version)
    t.add("old epoch", (it[0], it[1] - 1), (topic, [2]), version=version)
    t.add("new epoch", (it[0], it[1] + 1), (topic, [2]), version=version)
    t.add("another producer", (it[0] + 1_000_000, it[1]), (topic, [2]), version=version)
    t.end("abort", it, False, 3)
    t.add("the next", it, (topic, [2]), version=version)
    t.end("commit", it, True, 3)


@scenario(k.END_TXN, k.INIT_PRODUCER_ID, k.PRODUCE, k.ADD_PARTITIONS_TO_TXN, k.FETCH, k.FIND_COORDINATOR)
def ends_of_transactions(c: Conversation, version: int) -> None:
    t = Talk(c)
    topic = c.topic()
    t.found()
    second = version >= 5
    t.end("nobody knows it", (1, 0), True, version)
    t.end("no id", (1, 0), True, version, transactional_id="")
    it = t.init("init")
    t.end("nothing has begun, commit", it, True, version)
    it = t.end("nothing has begun, abort", it, False, version)

    def begin(label: str, sequence: int) -> None:
        if second:
            t.produce(label, it, topic, sequence, version=12)
        else:
            t.add(f"{label}: partition", it, (topic, [0]))
            t.produce(label, it, topic, sequence, version=11)

    begin("a batch", 0)
    t.end("old epoch", (it[0], it[1] - 1), True, version)
    t.end("new epoch", (it[0], it[1] + 1), True, version)
    t.end("another producer", (it[0] + 1_000_000, it[1]), True, version)
    before, it = it, t.end("commit", it, True, version)
    t.end("commit again", before, True, version)
    t.end("abort instead", before, False, version)
    begin("the next", 0 if second else 2)
    t.end("the one before, late", before if second else (it[0], it[1] - 1), False, version)
    before, it = it, t.end("abort", it, False, version)
    t.end("abort again", before, False, version)
    t.end("commit instead", before, True, version)
    t.produce("without a transaction", before if second else it, topic, 4, version=12 if second else 11)
    begin("left open", 0 if second else 4)
    other = t.init("fenced")
    t.end("what it left", it, True, version)
    t.produce("and a batch", it, topic, 6, version=12 if second else 11)
    t.end("by the new one, commit", other, True, version)
    t.log("the log", topic)


@scenario(k.TXN_OFFSET_COMMIT, k.INIT_PRODUCER_ID, k.ADD_OFFSETS_TO_TXN, k.END_TXN, k.OFFSET_FETCH, k.FIND_COORDINATOR)
def offsets_of_transactions(c: Conversation, version: int) -> None:
    t = Talk(c)
    topic = c.topic()
    t.found()
    t.ask("", k.FIND_COORDINATOR, 2, FindCoordinatorRequest(key=f"{c.prefix}-g", key_type=0))
    it = t.init("init")
    second = version >= 5
    if not second:
        t.add_offsets("add", it, f"{c.prefix}-g")
    t.commit("first", it, topic, 5, version)
    t.offsets("not yet", topic, stable=False)
    t.offsets("not yet, stable", topic, stable=True)
    it = t.end("commit", it, True, 5 if second else 3)
    time.sleep(0.2)
    t.offsets("committed", topic, stable=True)
    if not second:
        t.add_offsets("add again", it, f"{c.prefix}-g")
    t.commit("second", it, topic, 9, version)
    if version >= 3:
        member = {"member_id": "x", "generation_id_or_member_epoch": 3}
        t.commit("a generation of nobody", it, topic, 9, version, **member)
    t.commit("no group", it, topic, 9, version, group_id="")
    t.commit("no such topic", it, f"{c.prefix}-none", 9, version) if version < 6 else None
    it = t.end("abort", it, False, 5 if second else 3)
    time.sleep(0.2)
    t.offsets("aborted", topic, stable=True)
    t.commit("old epoch", (it[0], it[1] - 1), topic, 9, version)
    t.commit("another producer", (it[0] + 1_000_000, it[1]), topic, 9, version)


@scenario(k.ADD_OFFSETS_TO_TXN, k.INIT_PRODUCER_ID, k.FIND_COORDINATOR)
def groups_of_transactions(c: Conversation, version: int) -> None:
    t = Talk(c)
    t.found()
    group = f"{c.prefix}-g"
    t.add_offsets("nobody knows it", (1, 0), group, version)
    t.add_offsets("no id", (1, 0), group, version, transactional_id="")
    it = t.init("init")
    t.add_offsets("add", it, group, version)
    t.add_offsets("the same", it, group, version)
    t.add_offsets("old epoch", (it[0], it[1] - 1), group, version)
    t.add_offsets("another producer", (it[0] + 1_000_000, it[1]), group, version)


@scenario(
    k.DELETE_GROUPS,
    k.OFFSET_DELETE,
    k.TXN_OFFSET_COMMIT,
    k.INIT_PRODUCER_ID,
    k.END_TXN,
    k.OFFSET_FETCH,
    k.FIND_COORDINATOR,
)
def deleted_groups_of_transactions(c: Conversation, version: int) -> None:
    """What is deleted while a transaction is about to change it, that transaction does not bring back."""
    t = Talk(c)
    topic = c.topic()
    t.found()
    group = f"{c.prefix}-g"
    t.ask("", k.FIND_COORDINATOR, 2, FindCoordinatorRequest(key=group, key_type=0))
    delete = DeleteGroupsRequest(groups_names=[group])
    it = t.init("init")
    t.commit("first", it, topic, 5, 5)
    t.ask("delete the group", k.DELETE_GROUPS, version, delete)
    it = t.end("commit", it, True, 5)
    time.sleep(0.2)
    t.offsets("nothing", topic, stable=True)
    t.ask("delete it again", k.DELETE_GROUPS, version, delete)
    t.commit("second", it, topic, 6, 5)
    it = t.end("commit it", it, True, 5)
    time.sleep(0.2)
    t.offsets("committed", topic, stable=True)
    t.commit("third", it, topic, 7, 5)
    place = OffsetDeleteRequestTopic(name=topic, partitions=[OffsetDeleteRequestPartition(partition_index=0)])
    t.ask("delete the offset", k.OFFSET_DELETE, 0, OffsetDeleteRequest(group_id=group, topics=[place]))
    t.offsets("stable again", topic, stable=True)
    t.end("commit the rest", it, True, 5)
    time.sleep(0.2)
    t.offsets("nothing again", topic, stable=True)


@scenario(k.DESCRIBE_TRANSACTIONS, k.INIT_PRODUCER_ID, k.ADD_PARTITIONS_TO_TXN, k.END_TXN, k.FIND_COORDINATOR)
def describe_transactions(c: Conversation, version: int) -> None:
    t = Talk(c)
    topic = c.topic(partitions=2)
    t.found()

    def ask(label: str, transactional_id: str) -> None:
        body = DescribeTransactionsRequest(transactional_ids=[transactional_id])
        t.ask(label, k.DESCRIBE_TRANSACTIONS, version, body)

    ask("nobody knows it", t.id)
    ask("no id", "")
    it = t.init("init")
    ask("empty", t.id)
    t.add("add", it, (topic, [1]))
    ask("open", t.id)
    t.end("commit", it, True, 3)
    time.sleep(0.2)
    ask("committed", t.id)


@scenario(k.LIST_TRANSACTIONS, k.INIT_PRODUCER_ID, k.ADD_PARTITIONS_TO_TXN, k.FIND_COORDINATOR)
def list_transactions(c: Conversation, version: int) -> None:
    t = Talk(c)
    topic = c.topic()
    t.found()
    it = t.init("init")
    mine = [it[0]]

    def ask(label: str, **fields: Any) -> None:
        body = ListTransactionsRequest(**{"producer_id_filters": mine, **fields})
        t.ask(label, k.LIST_TRANSACTIONS, version, body)

    ask("empty")
    ask("those that are open", state_filters=["Ongoing"])
    ask("a state that is none", state_filters=["Ongoing", "Gone"])
    t.add("add", it, (topic, [0]))
    ask("open", state_filters=["Ongoing"])
    ask("another producer", producer_id_filters=[it[0] + 1_000_000])
    if version >= 1:
        time.sleep(0.05)
        ask("for long", duration_filter=600_000)
        ask("for a moment", duration_filter=1)
        ask("no duration", duration_filter=0)
    if version >= 2:
        ask("pattern", transactional_id_pattern=".*-txn")
        ask("a part of it", transactional_id_pattern="txn")
        ask("no pattern", transactional_id_pattern="")
        ask("none", transactional_id_pattern="[")
