"""Batches that belong to transactions, on their way from Produce into the log.

A producer's first batch in a partition needs a guard: that its partition takes part (decision 10). In version 2 (Produce 12 and later, KIP-890) the
batch itself brings the partition in, in version 1 AddPartitionsToTxn has. All partitions of a request that need it are asked about in one call of
the store. A guard that does not hold any more is asked about once again: another broker may have ended that transaction, and begun the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from moldau.log.flush import Append, Batch
    from moldau.metadata.rows_txn import TxnGuard
    from moldau.protocol.messages.produce import PartitionProduceResponse
    from moldau.records.batch import BatchHeader

    from .broker import Broker
    from .catalog import Topic

IMPLICIT_FROM = 12
"""The version of Produce from which batches join by themselves."""
_ABORTABLE_FROM = 11
"""The version from which a producer knows TRANSACTION_ABORTABLE, and INVALID_TXN_STATE ends it (KIP-890)."""


class Joining:
    """A batch that needs a guard."""

    __slots__ = ("answer", "batch", "header", "index", "partition_id", "topic")

    def __init__(
        self, topic: Topic, index: int, batch: Batch, header: BatchHeader, answer: PartitionProduceResponse
    ) -> None:
        self.topic = topic
        self.index = index
        self.partition_id = topic.partition_ids[index]
        self.batch = batch
        self.header = header
        self.answer = answer


def known_guard(broker: Broker, transactional_id: str, header: BatchHeader, partition_id: int) -> TxnGuard | None:
    """What this broker remembers."""
    known = broker.transactions.known.of(transactional_id, header.producer_id, header.producer_epoch)
    return known.guards.get(partition_id) if known is not None else None


async def join(
    broker: Broker,
    transactional_id: str,
    version: int,
    batches: list[Joining],
    take: Callable[[Joining, TxnGuard], None],
    refuse: Callable[[Joining, int, str], None],
) -> None:
    """Each of them is taken, with its guard, or refused."""
    producers: dict[tuple[int, int], list[Joining]] = {}
    for each in batches:
        producers.setdefault((each.header.producer_id, each.header.producer_epoch), []).append(each)
    for producer, ones in producers.items():
        try:
            guards, refused = await _guards(broker, transactional_id, producer, ones, version)
        except TxnRefused as error:
            for each in ones:
                refuse(each, _of_produce(error, version), str(error))
            continue
        except StoreError as error:
            for each in ones:
                refuse(each, error_codes.KAFKA_STORAGE_ERROR, str(error))
            continue
        for each in ones:
            guard = guards.get(each.partition_id)
            if guard is not None:
                take(each, guard)
            else:
                why = refused[each.partition_id]
                refuse(each, _of_produce(why, version), str(why))


async def _guards(
    broker: Broker, transactional_id: str, producer: tuple[int, int], batches: list[Joining], version: int
) -> tuple[dict[int, TxnGuard], dict[int, TxnRefused]]:
    transactions = broker.transactions
    ids = [each.partition_id for each in batches]
    if version >= IMPLICIT_FROM:
        return (await transactions.join(transactional_id, producer, ids, 2)).guards, {}
    known, refused = await transactions.verify(transactional_id, producer, ids)
    if refused and known is not None and not broker.verifies_transactions:
        known, refused = await transactions.join(transactional_id, producer, ids, 1), {}
    return (known.guards if known is not None else {}), refused


def _of_produce(error: TxnRefused, version: int) -> int:
    """Kafka's brokers never tell a producer PRODUCER_FENCED in a Produce response."""
    if error.error_code == error_codes.PRODUCER_FENCED:
        return error_codes.INVALID_PRODUCER_EPOCH
    if error.error_code == error_codes.INVALID_TXN_STATE and version >= _ABORTABLE_FROM:
        return error_codes.TRANSACTION_ABORTABLE
    return error.error_code


def is_stale(append: Append) -> bool:
    """Whether it was refused because of its guard."""
    return append.error_code == error_codes.INVALID_TXN_STATE and append.header.is_transactional
