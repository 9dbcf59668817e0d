"""Requests of their own to brokers at random, whoever leads: ends of partitions, a fetch, committed offsets. And the last reads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from support.talker import LATEST, Gone, Talker

from moldau.protocol.messages.fetch import PartitionData
from moldau.records.batch import compute_crc, iter_headers
from moldau.records.record import iter_records

from .history import Committed, Final, Look, Seen
from .recorder import Recorder


class Looker(threading.Thread):
    """One request after the other, some 30 a second."""

    def __init__(
        self,
        name: str,
        recorder: Recorder,
        addresses: Callable[[], dict[int, str]],
        topic: str,
        partitions: int,
        group: str,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._recorder = recorder
        self._addresses = addresses
        self._topic = topic
        self._partitions = partitions
        self._group = group
        self._random = random.Random(seed)
        self._wires: dict[int, Talker] = {}
        self._ends = dict.fromkeys(range(partitions), 0)

    def run(self) -> None:
        while not self._recorder.stop.is_set():
            node = self._random.choice(sorted(self._addresses()))
            try:
                if node not in self._wires:
                    self._wires[node] = Talker(self._addresses()[node], 3.0)
                self._ask(node, self._wires[node])
            except (Gone, OSError):
                wire = self._wires.pop(node, None)
                if wire is not None:
                    wire.__exit__()
            self._recorder.stop.wait(self._random.expovariate(30))
        for wire in self._wires.values():
            wire.__exit__()

    def _ask(self, node: int, wire: Talker) -> None:
        partition = self._random.randrange(self._partitions)
        start = self._recorder.now()
        what = self._random.random()
        if what < 0.2:
            answer = wire.fetch_offset(self._group, self._topic, partition)
            if answer.error_code == 0 and answer.topics[0].partitions[0].error_code == 0:
                offset = answer.topics[0].partitions[0].committed_offset
                offsets = {partition: offset} if offset >= 0 else {}
                asked = Committed(self.name, start, self._recorder.now(), self._group, [partition], offsets)
                self._recorder.add(asked)
            return
        if what < 0.5:
            listed = wire.list_offset(self._topic, partition, LATEST)
            if listed.error_code == 0:
                self._recorder.add(Look(self.name, start, self._recorder.now(), node, partition, listed.offset))
            return
        offset = max(0, self._ends[partition] - self._random.choice([0, 0, 1, 5, 1000]))
        fetched = wire.fetch(self._topic, partition, offset, 1 << 16)
        if fetched.error_code == 0:
            end = self._recorder.now()
            self._ends[partition] = fetched.high_watermark
            records = seen_in(partition, offset, fetched)
            self._recorder.add(Look(self.name, start, end, node, partition, fetched.high_watermark, offset, records))
        elif fetched.error_code == 1:
            text = f"broker {node} says that {offset} of partition {partition} is out of range"
            self._recorder.troubled(self.name, text)


def seen_in(partition: int, offset: int, answer: PartitionData) -> list[Seen]:
    """The records from that offset on; checksums are looked at."""
    data = answer.records
    found: list[Seen] = []
    for position, header in iter_headers(data or b""):
        assert data is not None
        assert compute_crc(data, position, header.size) == header.crc, "a wrong checksum was served"
        for record in iter_records(memoryview(data)[position : position + header.size]):
            if record.offset >= offset:
                value = bytes(record.value or b"").decode()
                found.append(Seen(partition, record.offset, value, header.partition_leader_epoch))
    return found


def final(recorder: Recorder, address: str, topic: str, partition: int) -> Final:
    """Everything in the partition as that broker gives it. Raises Gone, OSError; RuntimeError for a refusal."""
    start = recorder.now()
    records: list[Seen] = []
    with Talker(address) as wire:
        listed = wire.list_offset(topic, partition, LATEST)
        while not listed.error_code and (not records or records[-1].offset + 1 < listed.offset):
            offset = records[-1].offset + 1 if records else 0
            answer = wire.fetch(topic, partition, offset)
            if answer.error_code:
                raise RuntimeError(f"{address} answers error {answer.error_code} to a fetch of {topic}-{partition}")
            more = seen_in(partition, offset, answer)
            if not more:
                break  # the checks will say what is missing
            records += more
        if listed.error_code:
            raise RuntimeError(f"{address} answers error {listed.error_code} for the end of {topic}-{partition}")
    return Final(f"final@{address.rsplit(':', 1)[1]}", start, recorder.now(), partition, listed.offset, records)
