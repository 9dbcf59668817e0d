"""Idempotent producers of one partition: the last five batches of each, and what they say about the next one.

Pure. The same decisions serve every store (invariant 3); they follow Kafka's ProducerStateManager and ProducerAppendInfo:

- a batch whose epoch, first and last sequence equal one of the last five is a duplicate: success, with the old offset;
- a lower epoch: INVALID_PRODUCER_EPOCH;
- a new epoch of a known producer begins at sequence 0, else OUT_OF_ORDER_SEQUENCE_NUMBER;
- within an epoch sequences have no gap (2^31-1 is followed by 0), else OUT_OF_ORDER_SEQUENCE_NUMBER;
- a producer this partition does not know (new, or expired) may begin anywhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from moldau.protocol import error_codes
from moldau.records.batch import SEQUENCE_MAX, BatchHeader

from .fold import REMEMBERED_BATCHES, Entry

ACCEPT = -1
"""From `check`: no duplicate, no error."""


class Remembered:
    """One batch of a producer."""

    __slots__ = ("base_offset", "first_sequence", "last_offset", "last_sequence", "timestamp")

    def __init__(self, first_sequence: int, last_sequence: int, base_offset: int, last_offset: int, timestamp: int):
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence
        self.base_offset = base_offset
        self.last_offset = last_offset
        self.timestamp = timestamp


class Producer:
    """One producer id in one partition. `appended_at` is the store's time of its last batch (expiry goes by it)."""

    __slots__ = ("appended_at", "batches", "epoch", "producer_id")

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.batches: list[Remembered] = []
        self.appended_at = 0

    def copy(self) -> Producer:
        """One that may change by itself; batches that are remembered never do."""
        copy = Producer(self.producer_id, self.epoch)
        copy.batches = self.batches.copy()
        copy.appended_at = self.appended_at
        return copy


class Refused(Exception):
    """The batch must not be appended. `error_code` is Kafka's."""

    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class ProducerStates:
    """All producers of a partition, the least recently active first."""

    __slots__ = ("by_id",)

    def __init__(self) -> None:
        self.by_id: OrderedDict[int, Producer] = OrderedDict()

    def check(self, header: BatchHeader) -> Remembered | None:
        """None: append it. A remembered batch: it is a duplicate of that one. Raises Refused."""
        producer = self.by_id.get(header.producer_id)
        if producer is None:
            return None
        first = header.base_sequence
        if header.producer_epoch == producer.epoch:
            last = header.last_sequence
            for batch in producer.batches:
                if batch.first_sequence == first and batch.last_sequence == last:
                    return batch
            expected = (producer.batches[-1].last_sequence + 1) & SEQUENCE_MAX if producer.batches else 0
            if first != expected:
                raise Refused(
                    error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER,
                    f"producer {header.producer_id} epoch {header.producer_epoch}: sequence {first} came, {expected} was expected",
                )
            return None
        if header.producer_epoch < producer.epoch:
            raise Refused(
                error_codes.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id}: epoch {header.producer_epoch} is older than {producer.epoch}",
            )
        if first != 0:
            raise Refused(
                error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {header.producer_id}: the new epoch {header.producer_epoch} must begin at sequence 0, not {first}",
            )
        return None

    def add(
        self,
        producer_id: int,
        epoch: int,
        first_sequence: int,
        last_sequence: int,
        base_offset: int,
        last_offset: int,
        timestamp: int,
        appended_at: int,
    ) -> None:
        """Fold one batch that is (or is about to be) in the log."""
        producer = self.by_id.get(producer_id)
        if producer is None:
            producer = self.by_id[producer_id] = Producer(producer_id, epoch)
        else:
            self.by_id.move_to_end(producer_id)
            if epoch != producer.epoch:
                producer.epoch = epoch
                producer.batches.clear()
        batches = producer.batches
        if len(batches) == REMEMBERED_BATCHES:
            del batches[0]
        batches.append(Remembered(first_sequence, last_sequence, base_offset, last_offset, timestamp))
        producer.appended_at = appended_at

    def apply(self, entry: Entry, extent_base: int, appended_at: int) -> None:
        """Fold one entry of an extent."""
        producer_id, epoch, first, last, base, end, timestamp, _flags = entry
        self.add(producer_id, epoch, first, last, extent_base + base, extent_base + end, timestamp, appended_at)

    def copy_of(self, producer_ids: Iterable[int]) -> ProducerStates:
        """What is known of these, to be changed by itself."""
        copy = ProducerStates()
        for producer_id in producer_ids:
            producer = self.by_id.get(producer_id)
            if producer is not None:
                copy.by_id[producer_id] = producer.copy()
        return copy

    def expire(self, before: int) -> int:
        """Forget producers whose last batch was appended before that time; returns how many."""
        gone = 0
        while self.by_id:
            producer = next(iter(self.by_id.values()))
            if producer.appended_at >= before:
                break
            self.by_id.popitem(last=False)
            gone += 1
        return gone
