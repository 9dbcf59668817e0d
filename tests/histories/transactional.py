"""Clients of a run with transactions: some read, process and write; some only write; all of them abort now and then, and leave zombies behind."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from support.hanging import Hung, send_offsets
from support.talker import Gone, Talker

from moldau.protocol.messages.fetch import PartitionData
from moldau.records.batch import iter_headers
from moldau.records.control import read_end_txn_marker

from .checks.transactions import OUTPUTS, output_of
from .consumers import Reader
from .history import FAILED, OK, UNKNOWN, Final, Look, Seen, Txn
from .lookers import seen_in
from .producers import _silent
from .recorder import Recorder

INPUT, OUTPUT = "orders", "bills"
TIMEOUT_MS = 10_000
"""Of transactions, so that what a killed client leaves is over at the end of a run."""
SETTINGS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}
"""Of the brokers, for the same reason."""
_SECONDS = 30.0


def topic_of(partition: int) -> tuple[str, int]:
    """The topic, and the partition as the topic counts."""
    return (OUTPUT, partition - OUTPUTS) if partition >= OUTPUTS else (INPUT, partition)


class Worker(threading.Thread):
    """What both kinds have in common: instances of one transactional id, one after the other, and sometimes one beside the next."""

    def __init__(self, name: str, recorder: Recorder, bootstrap: str, partitions: int, seed: int) -> None:
        super().__init__(name=name)
        self.recorder = recorder
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.random = random.Random(seed)
        self.instance = 0
        self.number = 0
        self.zombie: tuple[Producer, Txn] | None = None

    def run(self) -> None:
        while not self.recorder.stop.is_set():
            self.instance += 1
            try:
                producer = self._producer()
                self._bury()
                self._live(producer, self.recorder.now() + self.random.uniform(1, 8))
            except KafkaException as error:
                self.recorder.note(self.process, f"its life ends: {error}")
        self._bury()

    @property
    def process(self) -> str:
        return f"{self.name}/{self.instance}"

    def _live(self, producer: Producer, until: float) -> None:
        raise NotImplementedError

    def _producer(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "client.id": self.process,
                "transactional.id": self.name,
                "transaction.timeout.ms": TIMEOUT_MS,
                "linger.ms": 2,
                "request.timeout.ms": 5_000,
                "socket.timeout.ms": 8_000,
                "retry.backoff.ms": 50,
                "retry.backoff.max.ms": 500,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "error_cb": lambda error: self.recorder.note(self.process, error.str()),
                "logger": _silent(),
            }
        )
        while True:
            try:
                producer.init_transactions(_SECONDS)
                return producer
            except KafkaException as error:
                if not error.args[0].retriable() or self.recorder.stop.is_set():
                    raise

    def _begin(self, producer: Producer) -> Txn:
        self.number += 1
        now = self.recorder.now()
        producer.begin_transaction()
        return Txn(self.process, now, now, self.number, result=FAILED)

    def _write(self, producer: Producer, txn: Txn, partition: int, value: str) -> None:
        topic, at = topic_of(partition)
        txn.outputs.append(Seen(partition, -1, value))
        producer.produce(topic, value, partition=at)
        producer.poll(0)

    def _end(self, producer: Producer, txn: Txn, commit: bool) -> None:
        """Commit or abort, whatever it takes, and write down what became of it. Raises KafkaException when the producer can do no more."""
        error = None
        if commit:
            txn.asked = self.recorder.now()
            error = self._try(producer.commit_transaction)
            if error is None:
                self._tell(txn, OK)
                return
            # librdkafka flushes first: what it says then was never committed; of an EndTxn one never knows
            self._tell(txn, UNKNOWN, error.args[0].name())
            if not error.args[0].txn_requires_abort():
                raise error
            error = self._try(producer.abort_transaction)
            if error is not None:
                raise error
            return
        error = self._try(producer.abort_transaction)
        self._tell(txn, FAILED, "" if error is None else error.args[0].name())
        if error is not None:
            raise error

    def _try(self, work: Callable[[float], Any]) -> KafkaException | None:
        for _ in range(4):
            try:
                work(_SECONDS)
                return None
            except KafkaException as error:
                if not error.args[0].retriable():
                    return error
                last = error
        return last

    def _tell(self, txn: Txn, result: str, error: str = "") -> None:
        txn.end = self.recorder.now()
        txn.result, txn.error = result, error
        self.recorder.add(txn)

    def _leave(self, producer: Producer, txn: Txn) -> None:
        """The next instance begins while this transaction is open; afterwards the zombie tries to commit it."""
        self.zombie = producer, txn

    def _bury(self) -> None:
        if self.zombie is None:
            return
        producer, txn = self.zombie
        self.zombie = None
        txn.asked = self.recorder.now() if self.instance > int(txn.process.partition("/")[2]) else -1
        if txn.asked < 0:  # the run is over
            error = self._try(producer.abort_transaction)
            self._tell(txn, FAILED, "" if error is None else error.args[0].name())
            return
        try:
            producer.commit_transaction(_SECONDS)
        except KafkaException as error:
            # another producer was answered before this was asked: it is over
            self._tell(txn, FAILED, error.args[0].name())
        else:
            self._tell(txn, OK)
            self.recorder.troubled(txn.process, "a zombie committed")


class Writer(Worker):
    """Some records to some partitions of the outputs in each transaction."""

    def _live(self, producer: Producer, until: float) -> None:
        rng = self.random
        while not self.recorder.stop.is_set():
            txn = self._begin(producer)
            for nth in range(rng.choice((1, 2, 5, 12))):
                self._write(
                    producer, txn, OUTPUTS + rng.randrange(self.partitions), f"{self.process}-{self.number}-{nth}"
                )
                if rng.random() < 0.1:
                    self.recorder.stop.wait(rng.uniform(0, 0.3))
            if self.recorder.now() > until:
                if rng.random() < 0.5:
                    producer.flush(1)
                    self._leave(producer, txn)
                    return
                self._end(producer, txn, True)
                return
            self._end(producer, txn, rng.random() < 0.7)
            self.recorder.stop.wait(rng.expovariate(8))


class Processor(Worker):
    """A member of a group that makes of each input one output, now and then an input again, and commits its offsets in the transaction."""

    def __init__(self, *args: Any, group: str) -> None:
        super().__init__(*args)
        self.group = group

    def _live(self, producer: Producer, until: float) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "client.id": self.process,
                "group.id": self.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "session.timeout.ms": 8_000,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 50,
                "retry.backoff.ms": 50,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 8_000,
                "error_cb": lambda error: self.recorder.note(self.process, error.str()),
                "log_level": 0,  # no logger: librdkafka's own thread would wait for the GIL, which `assign` holds while it waits for that thread
            }
        )
        try:
            consumer.subscribe([INPUT])
            self._work(producer, consumer, until)
        finally:
            with contextlib.suppress(KafkaException):
                consumer.close()

    def _work(self, producer: Producer, consumer: Consumer, until: float) -> None:
        rng = self.random
        while not self.recorder.stop.is_set():
            messages = [each for each in consumer.consume(rng.choice((1, 5, 40)), 0.2) if not each.error()]
            if not messages:
                if self.recorder.now() > until:
                    return
                continue
            txn = self._begin(producer)
            txn.group = self.group
            for message in messages:
                record = Seen(message.partition() or 0, message.offset() or 0, (message.value() or b"").decode())
                txn.inputs.append(record)
                value = output_of(record, self.process, self.number)
                if not record.value.startswith("again:") and rng.random() < 0.1:
                    self._write(producer, txn, rng.randrange(self.partitions), f"again:{value}")
                else:
                    self._write(producer, txn, OUTPUTS + rng.randrange(self.partitions), value)
            positions = [each for each in consumer.position(consumer.assignment()) if each.offset >= 0]
            txn.offsets = {each.partition: each.offset for each in positions}
            taken = {record.partition for record in txn.inputs}
            if not taken <= txn.offsets.keys():  # revoked meanwhile
                self._end(producer, txn, False)
                return
            try:
                send_offsets(producer, positions, consumer.consumer_group_metadata())
            except Hung:
                self._tell(txn, FAILED, "hung")
                return
            except KafkaException as error:
                if not error.args[0].txn_requires_abort() and not error.args[0].retriable():
                    self._tell(txn, FAILED, error.args[0].name())
                    raise
                self._end(producer, txn, False)
                return
            if self.recorder.now() > until and rng.random() < 0.6:
                producer.flush(1)
                self._leave(producer, txn)
                return
            commit = rng.random() < 0.8
            self._end(producer, txn, commit)
            if txn.result != OK or self.recorder.now() > until:
                return  # from what was committed last, as after a restart


class TransactionReader(Reader):
    """Of the outputs."""

    def __init__(self, name: str, recorder: Recorder, bootstrap: str, partitions: int, seed: int) -> None:
        super().__init__(name, recorder, bootstrap, OUTPUT, partitions, seed)

    def consumer(self, **config: Any) -> Consumer:
        level = "read_uncommitted" if self.name.startswith("u") else "read_committed"
        return super().consumer(**config, **{"isolation.level": level})

    def seen(self, message: Any) -> Seen | None:
        seen = super().seen(message)
        if seen is None:
            return None
        self.positions[seen.partition + OUTPUTS] = self.positions.pop(seen.partition)
        return seen._replace(partition=seen.partition + OUTPUTS)

    def _assign(self, consumer: Consumer, positions: dict[int, int], why: str) -> None:
        at = {p % OUTPUTS: offset for p, offset in positions.items()}
        super()._assign(consumer, at, why)
        self.positions = {p + OUTPUTS: offset for p, offset in at.items()}
        self.recorder.history[-1].positions = dict(self.positions)  # type: ignore[attr-defined]


class TransactionLooker(threading.Thread):
    """Fetches of committed records from brokers at random, whoever leads."""

    def __init__(
        self, name: str, recorder: Recorder, addresses: Callable[[], dict[int, str]], partitions: int, seed: int
    ) -> None:
        super().__init__(name=name)
        self._recorder = recorder
        self._addresses = addresses
        self._partitions = partitions
        self._random = random.Random(seed)
        self._ends: dict[int, int] = {}

    def run(self) -> None:
        while not self._recorder.stop.is_set():
            node = self._random.choice(sorted(self._addresses()))
            partition = self._random.randrange(self._partitions) + self._random.choice((0, OUTPUTS))
            offset = max(0, self._ends.get(partition, 0) - self._random.choice((0, 1, 5, 100)))
            try:
                with Talker(self._addresses()[node], 3.0) as wire:
                    start = self._recorder.now()
                    answer = wire.fetch(*topic_of(partition), offset, 1 << 16, committed=True)
            except (Gone, OSError):
                continue
            finally:
                self._recorder.stop.wait(self._random.expovariate(30))
            if answer.error_code == 0:
                end = self._recorder.now()
                self._ends[partition] = answer.high_watermark
                records = data_in(partition, offset, answer)
                self._recorder.add(
                    Look(self.name, start, end, node, partition, answer.last_stable_offset, offset, records)
                )
            elif answer.error_code == 1:
                text = f"broker {node} says that {offset} of partition {partition} is out of range"
                self._recorder.troubled(self.name, text)


def data_in(partition: int, offset: int, answer: PartitionData) -> list[Seen]:
    """The records from that offset on, as clients sort them out: no markers, and nothing that the answer says was aborted."""
    data = answer.records or b""
    aborted = sorted((each.first_offset, each.producer_id) for each in answer.aborted_transactions or [])
    dropped: set[int] = set()
    kept: set[int] = set()
    for position, header in iter_headers(data):
        while aborted and aborted[0][0] <= header.base_offset + header.last_offset_delta:
            dropped.add(aborted.pop(0)[1])
        if header.is_control:
            marker = read_end_txn_marker(bytes(data[position : position + header.size]))
            if marker is not None and not marker.commit:
                dropped.discard(header.producer_id)
        elif not (header.is_transactional and header.producer_id in dropped):
            kept.update(range(header.base_offset, header.base_offset + header.last_offset_delta + 1))
    return [seen for seen in seen_in(partition, offset, answer) if seen.offset in kept]


def final_of(recorder: Recorder, address: str, partition: int, *, committed: bool) -> Final:
    """Everything in the partition as that broker gives it. Raises Gone, OSError; RuntimeError for a refusal."""
    start = recorder.now()
    topic, at = topic_of(partition)
    records: list[Seen] = []
    offset = end = 0
    with Talker(address) as wire:
        while True:
            answer = wire.fetch(topic, at, offset, committed=committed)
            if answer.error_code:
                raise RuntimeError(f"{address} answers error {answer.error_code} to a fetch of {topic}-{at}")
            end = answer.last_stable_offset if committed else answer.high_watermark
            data = answer.records or b""
            last = offset
            for _, header in iter_headers(data):
                last = header.base_offset + header.last_offset_delta + 1
            records += data_in(partition, offset, answer)
            if last >= end or last == offset:
                break
            offset = last
    name = f"{'' if committed else 'u'}final@{address.rsplit(':', 1)[1]}"
    return Final(name, start, recorder.now(), partition, end, records)
