"""Batches that belong to transactions, on their way from Produce into the log.

A producer's first batch in a partition needs a guard: that its partition takes part (decision 10). In version 2 (Produce 12 and later, KIP-890) the
batch itself brings the partition in, in version 1 AddPartitionsToTxn has. All partitions of a request that need it are asked about in one call of
the store. A guard that does not hold any more is asked about once again: another broker may have ended that transaction, and begun the next.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from moldau.log.flush import Append, Batch
    from moldau.protocol.messages.produce import PartitionProduceResponse
    from moldau.records.batch import BatchHeader

    from .broker import Broker
    from .catalog import Topic

    _Take = Callable[[TxnGuard], None]
    _Refuse = Callable[[int, str], None]

log = logging.getLogger(__name__)

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


class _Waiting:
    """One in a line."""

    __slots__ = ("batch", "refuse", "take", "version")

    def __init__(self, version: int, batch: Joining, take: _Take, refuse: _Refuse) -> None:
        self.version = version
        self.batch = batch
        self.take = take
        self.refuse = refuse


class Joins:
    """Batches whose guards are asked about, in the order they came: a line for each transactional id.

    All that are in a line are asked about together. What comes meanwhile stands behind them even if its guard is known: it would be out of
    order before them.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lines: dict[str, deque[_Waiting]] = {}

    def has_line(self, transactional_id: str) -> bool:
        """Whether anybody waits."""
        return transactional_id in self._lines

    def add(self, transactional_id: str, version: int, batch: Joining, take: _Take, refuse: _Refuse) -> None:
        """`take` is called with the batch's guard, or `refuse` with an error code and a text; not within this call."""
        line = self._lines.get(transactional_id)
        if line is None:
            line = self._lines[transactional_id] = deque()
            loop = self._broker.loop
            self._broker.keep(loop.create_task(self._serve(transactional_id, line), name="moldau-join"))
        line.append(_Waiting(version, batch, take, refuse))

    async def _serve(self, transactional_id: str, line: deque[_Waiting]) -> None:
        try:
            while line:
                asked = list(line)
                answers = await _ask(self._broker, transactional_id, asked)
                for each in asked:
                    line.popleft()
                    answer = answers[each.batch]
                    if isinstance(answer, TxnGuard):
                        each.take(answer)
                    else:
                        each.refuse(*answer)
        except Exception:
            log.exception("event=join_failed transactional_id=%s", transactional_id)
            for each in line:
                each.refuse(error_codes.UNKNOWN_SERVER_ERROR, "our fault: see the broker's log")
        finally:
            del self._lines[transactional_id]


async def _ask(
    broker: Broker, transactional_id: str, waiting: list[_Waiting]
) -> dict[Joining, TxnGuard | tuple[int, str]]:
    """The guard of each batch, or why it is refused."""
    producers: dict[tuple[int, int, int], list[Joining]] = {}
    for each in waiting:
        header = each.batch.header
        producers.setdefault((header.producer_id, header.producer_epoch, each.version), []).append(each.batch)
    answers: dict[Joining, TxnGuard | tuple[int, str]] = {}
    for (producer_id, epoch, version), batches in producers.items():
        try:
            guards, refused = await _guards(broker, transactional_id, (producer_id, epoch), batches, version)
        except TxnRefused as error:
            answers |= dict.fromkeys(batches, (_of_produce(error, version), str(error)))
        except StoreError as error:
            answers |= dict.fromkeys(batches, (error_codes.KAFKA_STORAGE_ERROR, str(error)))
        else:
            for batch in batches:
                guard = guards.get(batch.partition_id)
                if guard is not None:
                    answers[batch] = guard
                else:
                    why = refused[batch.partition_id]
                    answers[batch] = (_of_produce(why, version), str(why))
    return answers


async def _guards(
    broker: Broker, transactional_id: str, producer: tuple[int, int], batches: list[Joining], version: int
) -> tuple[dict[int, TxnGuard], dict[int, TxnRefused]]:
    transactions = broker.transactions
    ids = list(dict.fromkeys([each.partition_id for each in batches]))
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
