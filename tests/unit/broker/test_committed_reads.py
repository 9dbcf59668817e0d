"""Readers of committed records: where they stop, when they are woken, and what they are told was aborted. Transactions are put in below the APIs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from support.wire import Wire, request

from moldau.broker.broker import Broker
from moldau.log.flush import Append
from moldau.metadata.rows_txn import ABORTED, COMMITTED, ONGOING, Changed, End, TxnChange, TxnGuard, TxnRow
from moldau.protocol import api_keys
from moldau.protocol.messages.create_topics import CreatableTopic
from moldau.protocol.messages.describe_producers import TopicRequest
from moldau.protocol.messages.fetch import FetchPartition, FetchTopic, PartitionData
from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsTopic
from moldau.records.batch import BatchHeader, iter_headers
from moldau.records.builder import build_batch
from moldau.records.record import Record
from moldau.testing import BrokerThread


class Running:
    """A broker and a connection to it."""

    def __init__(self, thread: BrokerThread, wire: Wire) -> None:
        self.thread = thread
        self.wire = wire
        self.broker: Broker = thread.lifecycle.node.broker
        self.sequences: dict[int, int] = {}

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self.thread._loop).result(10)

    @property
    def partition_id(self) -> int:
        return self.broker.catalog.by_name["t"].partition_ids[0]

    def append(self, producer_id: int, *, transactional: bool = True, size: int = 20) -> int:
        return self.do(lambda: self._append(producer_id, transactional, size))

    async def _append(self, producer_id: int, transactional: bool, size: int) -> int:
        sequence = self.sequences.get(producer_id, 0)
        self.sequences[producer_id] = sequence + 1
        batch = build_batch(
            [Record(0, 1000 + sequence, None, b"%d" % producer_id + b"." * size)],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=sequence,
            transactional=transactional,
        )
        view = await self.broker.views.load(self.partition_id)
        assert view is not None
        guard = TxnGuard(self.partition_id, str(producer_id), 1)
        told: asyncio.Future[Append] = asyncio.get_running_loop().create_future()
        self.broker.appender._txn_open = lambda guard: True  # type: ignore[union-attr]
        self.broker.appender.submit(Append(view, batch, BatchHeader(batch), True, told.set_result, guard))
        append = await told
        assert append.error_code == 0, append.error_message
        return append.base_offset

    def end(self, producer_id: int, commit: bool) -> int:
        """The marker's offset."""
        row = TxnRow(str(producer_id), producer_id, 0, -1, -1, ONGOING, 1, 60_000, 1, 1, 1)

        async def change() -> Changed:
            store = self.broker.txn_store
            await store.change(row.transactional_id, lambda *_: TxnChange(row, partition_ids=[self.partition_id]))
            ended = row._replace(state=COMMITTED if commit else ABORTED)
            return await store.change(
                row.transactional_id, lambda *_: TxnChange(ended, end=End(commit, producer_id, 0))
            )

        changed: Changed = self.do(lambda: self.broker.markers.end(change))
        return changed.markers[0].base_offset

    def fetch(
        self, offset: int, isolation: int = 1, wait_ms: int = 0, min_bytes: int = 1, wire: Wire | None = None
    ) -> PartitionData:
        partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
        body = request(
            api_keys.FETCH,
            max_wait_ms=wait_ms,
            min_bytes=min_bytes,
            max_bytes=1 << 20,
            isolation_level=isolation,
            topics=[FetchTopic(topic="t", partitions=[partition])],
        )
        answer = (wire or self.wire).ask(body, 12)
        data: PartitionData = answer.responses[0].partitions[0]
        assert data.error_code == 0
        return data

    def offset_of(self, timestamp: int, isolation: int) -> int:
        partition = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
        topics = [ListOffsetsTopic(name="t", partitions=[partition])]
        answer = self.wire.ask(request(api_keys.LIST_OFFSETS, isolation_level=isolation, topics=topics), 7)
        offset: int = answer.topics[0].partitions[0].offset
        return offset


@pytest.fixture
def it() -> Iterator[Running]:
    with BrokerThread() as thread, Wire(thread.bootstrap) as wire:
        topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1)
        assert wire.ask(request(api_keys.CREATE_TOPICS, topics=[topic]), 7).topics[0].error_code == 0
        yield Running(thread, wire)


def bases(data: PartitionData) -> list[int]:
    return [header.base_offset for _, header in iter_headers(data.records or b"")]


def aborted(data: PartitionData) -> list[tuple[int, int]]:
    assert data.aborted_transactions is not None
    return [(each.producer_id, each.first_offset) for each in data.aborted_transactions]


def test_readers_of_committed_records_stop_and_are_told(it: Running) -> None:
    it.append(1, transactional=False)
    assert aborted(it.fetch(0)) == []
    assert it.fetch(0, isolation=0).aborted_transactions is None
    it.append(2)
    it.append(3)
    it.append(2)
    data = it.fetch(0)
    assert (bases(data), data.last_stable_offset, data.high_watermark) == ([0], 1, 4)
    assert bases(it.fetch(0, isolation=0)) == [0, 1, 2, 3]
    assert bases(it.fetch(2)) == []
    assert it.end(3, commit=False) == 4
    assert bases(it.fetch(0)) == [0]
    assert it.end(2, commit=True) == 5
    data = it.fetch(0)
    assert (bases(data), aborted(data), data.last_stable_offset) == ([0, 1, 2, 3, 4, 5], [(3, 2)], 6)
    assert aborted(it.fetch(5)) == []
    assert aborted(it.fetch(3)) == [(3, 2)]
    assert it.fetch(6).records in (None, b"")


def test_offsets_by_isolation(it: Running) -> None:
    it.append(1, transactional=False)
    it.append(2)
    assert (it.offset_of(-1, 0), it.offset_of(-1, 1), it.offset_of(-2, 1)) == (2, 1, 0)
    assert (it.offset_of(1000, 1), it.offset_of(1001, 1)) == (0, -1)
    it.end(2, commit=True)
    assert it.offset_of(-1, 1) == 3


def test_producers_are_described_with_their_transactions(it: Running) -> None:
    it.append(1, transactional=False)
    it.append(2)

    def described() -> dict[int, tuple[int, int]]:
        topics = [TopicRequest(name="t", partition_indexes=[0])]
        answer = it.wire.ask(request(api_keys.DESCRIBE_PRODUCERS, topics=topics), 0)
        producers = answer.topics[0].partitions[0].active_producers
        return {each.producer_id: (each.current_txn_start_offset, each.coordinator_epoch) for each in producers}

    assert described() == {1: (-1, -1), 2: (1, -1)}
    it.end(2, commit=False)
    assert described() == {1: (-1, -1), 2: (-1, 0)}


@pytest.mark.parametrize("min_bytes", [1, 100])
def test_a_waiting_reader_is_woken_by_the_marker_and_not_by_batches(it: Running, min_bytes: int) -> None:
    it.append(2)
    answers: list[PartitionData] = []

    def wait() -> None:
        with Wire(it.thread.bootstrap) as wire:
            answers.append(it.fetch(0, wait_ms=10_000, min_bytes=min_bytes, wire=wire))

    waiting = threading.Thread(target=wait)
    waiting.start()
    deadline = time.monotonic() + 5
    view = it.broker.views.get(it.partition_id)
    assert view is not None
    while not view.waiters:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    it.append(2)
    it.append(1, transactional=False)
    assert view.waiters, "it sleeps on"
    it.end(2, commit=True)
    waiting.join(5)
    assert [bases(data) for data in answers] == [[0, 1, 2, 3]]


def test_a_real_consumer_sees_committed_records_only(it: Running) -> None:
    for producer_id, commit in ((1, True), (2, False), (3, True), (4, False)):
        it.append(producer_id)
        it.append(9, transactional=False)
        it.end(producer_id, commit)
    it.append(5)
    settings = {"bootstrap.servers": it.thread.bootstrap, "group.id": "g", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True})
    consumer.assign([TopicPartition("t", 0, 0)])
    seen = []
    while (message := consumer.poll(10)) is not None and message.error() is None:
        seen.append(message.value()[:1])
    consumer.close()
    assert seen == [b"1", b"9", b"9", b"3", b"9", b"9"]
