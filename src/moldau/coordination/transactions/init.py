"""InitProducerId with a transactional id: a producer begins, or begins anew (KIP-98, KIP-360).

- No row: a new producer id, epoch 0.
- No expected producer (a new instance): the epoch rises, so that older instances are fenced; what they left open is aborted in the same
  change. Where Kafka raises the epoch once to abort, says CONCURRENT_TRANSACTIONS and raises it again when the client comes back, this raises it
  twice at once.
- An expected producer that is the current one: the epoch rises. Asked again (it is the previous one now): the same answer. Any other one
  is fenced, and nothing is aborted for it.
"""

from __future__ import annotations

from moldau.metadata.rows_txn import EMPTY, End, TxnChange, TxnRow

from .epochs import NONE, is_open, marker_epoch, raised
from .refusal import NeedsProducerId, fenced

VERSION_1 = 1


def init_producer(
    row: TxnRow | None,
    now: int,
    transactional_id: str,
    timeout_ms: int,
    expected: tuple[int, int] | None,
    spare_id: int | None,
) -> TxnChange | None:
    """The answer is the producer id and epoch of the row afterwards. Raises TxnRefused (PRODUCER_FENCED), NeedsProducerId."""
    if row is None:
        if spare_id is None:
            raise NeedsProducerId
        before = expected or (NONE, NONE)
        return TxnChange(
            TxnRow(transactional_id, spare_id, 0, *before, EMPTY, 0, timeout_ms, NONE, now, VERSION_1),
        )
    if expected is not None and expected != (row.producer_id, row.epoch):
        if expected == (row.previous_id, row.previous_epoch) and not is_open(row):
            return None
        raise fenced(expected[1], row.epoch)
    end = None
    rises = 1
    if is_open(row):
        end = End(False, row.producer_id, marker_epoch(row))
        rises = 1 if expected is not None else 2
    row = raised(row, rises, spare_id, knows_before=expected is not None)
    return TxnChange(row._replace(state=EMPTY, timeout_ms=timeout_ms, started_ms=NONE, updated_ms=now), end=end)
