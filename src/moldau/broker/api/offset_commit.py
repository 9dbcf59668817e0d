"""OffsetCommit 2-10: offsets of a group, written in one durable transaction and answered after it.

2-4 carry a retention of their own; 6 leader epochs (KIP-320); 7 static members (KIP-345); 9 the errors of new groups (KIP-848); 10
names topics by id (KIP-516). Unknown topics and partitions fail alone: UNKNOWN_TOPIC_OR_PARTITION, an unknown id UNKNOWN_TOPIC_ID.

Where a broker is alone, a commit needs no task: it is decided at once, and answered when the journal has it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from moldau.broker.committing import Sorted, sort_out, sort_out_now
from moldau.broker.dispatch import complete
from moldau.coordination.events import OffsetCommit
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request

    _Found = Sorted[OffsetCommitResponseTopic, OffsetCommitResponsePartition]


def at_once(broker: Broker, request: Request, reply: Reply) -> bool:
    message: OffsetCommitRequest = request.message
    by_id = request.version >= 10
    found = sort_out_now(broker, message.topics, by_id, OffsetCommitResponseTopic, OffsetCommitResponsePartition)
    if found is None or not found.offsets:
        return False
    return broker.groups.commit_offsets_now(
        _event(broker, request, found), partial(_answer, broker, request, reply, found)
    )


async def handle(broker: Broker, request: Request) -> OffsetCommitResponse:
    message: OffsetCommitRequest = request.message
    found = await sort_out(
        broker, message.topics, request.version >= 10, OffsetCommitResponseTopic, OffsetCommitResponsePartition
    )
    codes: list[int] = []
    if found.offsets:
        codes = await broker.groups.commit_offsets(_event(broker, request, found))
    return OffsetCommitResponse(topics=found.answer(codes))


def _event(broker: Broker, request: Request, found: _Found) -> OffsetCommit:
    message: OffsetCommitRequest = request.message
    return OffsetCommit(
        message.group_id,
        message.member_id,
        message.generation_id_or_member_epoch,
        found.offsets,
        commit_timestamp=broker.steady_clock(),
        instance_id=message.group_instance_id,
        retention_ms=message.retention_time_ms,
        knows_group_id_not_found=request.version >= 9,
    )


def _answer(broker: Broker, request: Request, reply: Reply, found: _Found, codes: list[int]) -> None:
    clean = not found.has_unknown and not any(codes)
    complete(broker, request, reply, OffsetCommitResponse(topics=found.answer(codes)), clean=clean)
