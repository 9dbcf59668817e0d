"""TxnOffsetCommit 0-6: offsets of a group that are committed with a transaction (KIP-98). Until then they are pending.

2 has leader epochs; 3 the member, its generation and instance, which are checked as those of OffsetCommit (KIP-447); 5 begins a transaction of version
2 if there is none (KIP-890); 6 names topics by id, and may say STALE_MEMBER_EPOCH, which is ILLEGAL_GENERATION before (KIP-1319). Unknown topics and partitions fail alone. What is wrong with the producer is said of
every partition: INVALID_PRODUCER_EPOCH, INVALID_PRODUCER_ID_MAPPING, INVALID_TXN_STATE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.committing import sort_out
from moldau.broker.txn_errors import code_of
from moldau.coordination.events import OffsetCommit
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request
    from moldau.metadata.rows import Guard
    from moldau.metadata.rows_groups import OffsetRow


async def handle(broker: Broker, request: Request) -> TxnOffsetCommitResponse:
    message: TxnOffsetCommitRequest = request.message
    found = await sort_out(
        broker, message.topics, request.version >= 6, TxnOffsetCommitResponseTopic, TxnOffsetCommitResponsePartition
    )
    codes = await _commit(broker, message, found.offsets, request.version) if found.offsets else []
    return TxnOffsetCommitResponse(topics=found.answer(codes))


async def _commit(
    broker: Broker,
    message: TxnOffsetCommitRequest,
    offsets: list[tuple[bytes, int, int, int, str | None]],
    version: int,
) -> list[int]:
    """One error code for each offset."""

    async def write(rows: list[OffsetRow], guard: Guard | None) -> None:
        await broker.transactions.commit_offsets(
            message.transactional_id,
            (message.producer_id, message.producer_epoch),
            rows,
            guard,
            2 if version >= 5 else 1,
        )

    event = OffsetCommit(
        message.group_id,
        message.member_id,
        message.generation_id_or_member_epoch,
        offsets,
        commit_timestamp=broker.steady_clock(),
        instance_id=message.group_instance_id,
        knows_group_id_not_found=False,
        transactional=True,
    )
    if not message.group_id:
        return [error_codes.INVALID_GROUP_ID] * len(offsets)
    try:
        codes = await broker.groups.commit_transactional(event, write)
    except (TxnRefused, StoreError) as error:
        return [code_of(error, knows_fenced=False)] * len(offsets)
    if version < 6 and error_codes.STALE_MEMBER_EPOCH in codes:  # which would be fatal to these producers
        return [error_codes.ILLEGAL_GENERATION if code == error_codes.STALE_MEMBER_EPOCH else code for code in codes]
    return codes
