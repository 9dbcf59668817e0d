"""EndTxn: how a transaction ends, and what is said to who asks again.

Version 1 (EndTxn 0-4) keeps the epoch: a request that comes again finds the outcome it asked for. Version 2 (EndTxn 5, KIP-890) raises it at
each end, so that what comes late from before has an old epoch; who asks again names the epoch before, and gets the new one. An end
that leaves no epoch gives a new producer id; its marker carries the last epoch there is.
"""

from __future__ import annotations

from moldau.metadata.rows_txn import ABORTED, COMMITTED, End, TxnChange, TxnRow

from .epochs import is_open, marker_epoch, raised
from .refusal import fenced, unknown, wrong_state


def end_version_1(row: TxnRow | None, now: int, producer: tuple[int, int], commit: bool) -> TxnChange | None:
    """Raises TxnRefused: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE."""
    if row is None or row.producer_id != producer[0]:
        raise unknown(row.transactional_id if row is not None else "")
    if row.epoch != producer[1]:
        raise fenced(producer[1], row.epoch)
    if is_open(row):
        return TxnChange(_ended(row, now, commit), end=End(commit, row.producer_id, row.epoch))
    if row.state == (COMMITTED if commit else ABORTED):
        return None
    raise wrong_state(_already(row, commit))


def end_version_2(
    row: TxnRow | None, now: int, producer: tuple[int, int], commit: bool, spare_id: int | None
) -> TxnChange | None:
    """The answer is the producer id and epoch of the row afterwards. Raises TxnRefused as version 1, NeedsProducerId."""
    producer_id, epoch = producer
    if row is None:
        raise unknown("")
    over = row.state in (COMMITTED, ABORTED)
    again = over and (row.previous_id, row.previous_epoch) == producer
    if row.producer_id != producer_id and not again:
        raise unknown(row.transactional_id)
    if row.epoch != epoch and not again:
        raise fenced(epoch, row.epoch)
    if again:
        if row.state == (COMMITTED if commit else ABORTED):
            return None
        raise wrong_state(_already(row, commit))
    after = _ended(raised(row, 1, spare_id, knows_before=True), now, commit)
    if is_open(row):
        return TxnChange(after, end=End(commit, row.producer_id, marker_epoch(row)))
    if commit:
        raise wrong_state(_already(row, commit))
    return TxnChange(after)  # an abort of nothing: the producer wants its next epoch


def time_out(row: TxnRow | None, now: int, seq: int, feature: int, spare_id: int | None) -> TxnChange | None:
    """Abort that transaction if its time is over. The producer is fenced by its epoch, which rises as Kafka's does. Raises NeedsProducerId."""
    if row is None or not is_open(row) or row.seq != seq or now < row.started_ms + row.timeout_ms:
        return None
    return _forced(row, now, feature, spare_id)


def abort(
    row: TxnRow | None, now: int, producer: tuple[int, int], feature: int, spare_id: int | None
) -> TxnChange | None:
    """An administrator aborts what that producer has open. None: it has nothing open. Raises NeedsProducerId."""
    if row is None or not is_open(row) or (row.producer_id, row.epoch) != producer:
        return None
    return _forced(row, now, feature, spare_id)


def expire(row: TxnRow | None, before: int) -> TxnChange | None:
    """Forget a transactional id that has been idle since before that time."""
    return TxnChange(None) if row is not None and not is_open(row) and row.updated_ms < before else None


def _forced(row: TxnRow, now: int, feature: int, spare_id: int | None) -> TxnChange:
    """At version 2 of the feature an abort that the producer then asks for is the same one, and it may go on (Kafka keeps `lastProducerEpoch`)."""
    after = raised(row, 1, spare_id, knows_before=feature >= 2)
    return TxnChange(_ended(after, now, False), end=End(False, row.producer_id, marker_epoch(row)))


def _ended(row: TxnRow, now: int, commit: bool) -> TxnRow:
    return row._replace(state=COMMITTED if commit else ABORTED, updated_ms=now)


def _already(row: TxnRow, commit: bool) -> str:
    what = "commit" if commit else "abort"
    if row.state == COMMITTED:
        return f"{what}: the last transaction was committed"
    if row.state == ABORTED:
        return f"{what}: the last transaction was aborted"
    return f"{what}: there is no transaction"
