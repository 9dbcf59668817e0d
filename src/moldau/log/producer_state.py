"""Idempotent producers of one partition: the last five batches of each, and what they say about the next one.

Pure. The same decisions serve every store (invariant 3); they follow Kafka's ProducerStateManager and ProducerAppendInfo:

- a batch whose epoch, first and last sequence equal one of the last five is a duplicate: success, with the old offset;
- a lower epoch: INVALID_PRODUCER_EPOCH;
- a new epoch of a known producer begins at sequence 0, else OUT_OF_ORDER_SEQUENCE_NUMBER;
- within an epoch sequences have no gap (2^31-1 is followed by 0), else OUT_OF_ORDER_SEQUENCE_NUMBER;
- a producer this partition does not know (new, or expired) may begin anywhere, but for transactions of version 2 (KIP-890): at sequence 0;
- while its transaction is open a producer writes nothing else: INVALID_TXN_STATE.

A marker ends the transaction. One of version 2 has the epoch after the end, which is the producer's from then on: its batches are forgotten, and the
next sequence is 0. One for a producer without a transaction, or an unknown one, does no harm.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from moldau.metadata.fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL, REMEMBERED_BATCHES
from moldau.protocol import error_codes
from moldau.records.batch import SEQUENCE_MAX, TRANSACTIONAL_BIT, BatchHeader

from .fold import Entry
from .transactions import Transactions

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
    """One producer id in one partition. `appended_at` is the store's time of its last batch or marker (expiry goes by it), `timestamp` what
    stood in that; `marked`: a marker of its has landed.
    """

    __slots__ = ("appended_at", "batches", "epoch", "marked", "producer_id", "timestamp")

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.batches: list[Remembered] = []
        self.appended_at = 0
        self.timestamp = -1
        self.marked = False

    def copy(self) -> Producer:
        """One that may change by itself; batches that are remembered never do."""
        copy = Producer(self.producer_id, self.epoch)
        copy.batches = self.batches.copy()
        copy.appended_at = self.appended_at
        copy.timestamp = self.timestamp
        copy.marked = self.marked
        return copy


class Refused(Exception):
    """The batch must not be appended. `error_code` is Kafka's."""

    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class ProducerStates:
    """All producers of a partition, the least recently active first, and their transactions."""

    __slots__ = ("by_id", "transactions")

    def __init__(self) -> None:
        self.by_id: OrderedDict[int, Producer] = OrderedDict()
        self.transactions = Transactions()

    def check(self, header: BatchHeader, from_zero: bool = False) -> Remembered | None:
        """None: append it. A remembered batch: it is a duplicate of that one. Raises Refused.

        `from_zero`: a producer that is not known here begins at sequence 0. Whether a transactional batch may open a transaction (`opens`) is
        not decided here.
        """
        producer = self.by_id.get(header.producer_id)
        first = header.base_sequence
        if producer is None:
            if from_zero and first != 0:
                raise _out_of_order(
                    header, f"sequence {first} came of a producer that is not known here, 0 was expected"
                )
            return None
        if header.producer_epoch == producer.epoch:
            last = header.last_sequence
            for batch in producer.batches:
                if batch.first_sequence == first and batch.last_sequence == last:
                    return batch
            expected = (producer.batches[-1].last_sequence + 1) & SEQUENCE_MAX if producer.batches else 0
            if first != expected:
                raise _out_of_order(header, f"sequence {first} came, {expected} was expected")
        elif header.producer_epoch < producer.epoch:
            raise Refused(
                error_codes.INVALID_PRODUCER_EPOCH,
                f"producer {header.producer_id}: epoch {header.producer_epoch} is older than {producer.epoch}",
            )
        elif first != 0:
            raise _out_of_order(header, f"the new epoch must begin at sequence 0, not {first}")
        if not header.attributes & TRANSACTIONAL_BIT and header.producer_id in self.transactions.open:
            raise Refused(
                error_codes.INVALID_TXN_STATE,
                f"producer {header.producer_id} has a transaction open since offset {self.transactions.open[header.producer_id]};"
                " the batch belongs to none",
            )
        return None

    def opens(self, header: BatchHeader) -> bool:
        """Whether the batch would open a transaction: somebody must know that it may."""
        if not header.attributes & TRANSACTIONAL_BIT:
            return False
        producer_id = header.producer_id
        return producer_id not in self.transactions.open or self.by_id[producer_id].epoch != header.producer_epoch

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
        transactional: bool = False,
    ) -> None:
        """Fold one batch that is (or is about to be) in the log."""
        producer = self.by_id.get(producer_id)
        if producer is None or producer.epoch != epoch or len(self.by_id) > 1:
            producer = self._active(producer_id, epoch)
        batches = producer.batches
        if len(batches) == REMEMBERED_BATCHES:
            del batches[0]
        batches.append(Remembered(first_sequence, last_sequence, base_offset, last_offset, timestamp))
        producer.appended_at = appended_at
        producer.timestamp = timestamp
        if transactional and producer_id not in self.transactions.open:
            self.transactions.begin(producer_id, base_offset)

    def add_batch(self, header: BatchHeader, base_offset: int, appended_at: int) -> None:
        """Fold one batch that is about to be in the log there."""
        self.add(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.last_sequence,
            base_offset,
            base_offset + header.last_offset_delta,
            header.max_timestamp,
            appended_at,
            header.attributes & TRANSACTIONAL_BIT != 0,
        )

    def mark(self, producer_id: int, epoch: int, offset: int, commit: bool, timestamp: int, appended_at: int) -> None:
        """Fold one marker."""
        producer = self.by_id.get(producer_id)
        if producer is None or producer.epoch != epoch or len(self.by_id) > 1:
            producer = self._active(producer_id, epoch)
        producer.appended_at = appended_at
        producer.timestamp = timestamp
        producer.marked = True
        self.transactions.end(producer_id, offset, commit)

    def _active(self, producer_id: int, epoch: int) -> Producer:
        """The producer, which is the last one that was active now."""
        producer = self.by_id.get(producer_id)
        if producer is None:
            producer = self.by_id[producer_id] = Producer(producer_id, epoch)
        else:
            self.by_id.move_to_end(producer_id)
            if epoch != producer.epoch:
                producer.epoch = epoch
                producer.batches.clear()
        return producer

    def apply(self, entry: Entry, extent_base: int, appended_at: int) -> None:
        """Fold one entry of an extent."""
        producer_id, epoch, first, last, base, end, timestamp, flags = entry
        base += extent_base
        if flags & FLAG_MARKER:
            self.mark(producer_id, epoch, base, bool(flags & FLAG_COMMIT), timestamp, appended_at)
        else:
            transactional = bool(flags & FLAG_TRANSACTIONAL)
            self.add(producer_id, epoch, first, last, base, extent_base + end, timestamp, appended_at, transactional)

    def copy_of(self, producer_ids: Iterable[int]) -> ProducerStates:
        """What is known of these, to be changed by itself; without what was aborted."""
        copy = ProducerStates()
        for producer_id in producer_ids:
            producer = self.by_id.get(producer_id)
            if producer is not None:
                copy.by_id[producer_id] = producer.copy()
            if producer_id in self.transactions.open:
                copy.transactions.open[producer_id] = self.transactions.open[producer_id]
        return copy

    def expire(self, before: int) -> int:
        """Forget producers whose last batch was appended before that time, but for those with an open transaction; returns how many."""
        gone = []
        for producer in self.by_id.values():
            if producer.appended_at >= before:
                break
            if producer.producer_id not in self.transactions.open:
                gone.append(producer.producer_id)
        for producer_id in gone:
            del self.by_id[producer_id]
        return len(gone)


def _out_of_order(header: BatchHeader, what: str) -> Refused:
    return Refused(
        error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {header.producer_id} epoch {header.producer_epoch}: {what}",
    )
