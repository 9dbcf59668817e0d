"""OffsetCommit 2-10: offsets of a group, written in one durable transaction and answered after it.

2-4 carry a retention of their own; 6 leader epochs (KIP-320); 7 static members (KIP-345); 9 the errors of new groups (KIP-848); 10
names topics by id (KIP-516). Unknown topics and partitions fail alone: UNKNOWN_TOPIC_OR_PARTITION, an unknown id UNKNOWN_TOPIC_ID.

Where a broker is alone, a commit needs no task: it is decided at once, and answered when the journal has it. The next one of the same partitions is
not even decoded (`moldau.broker.recurring`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from moldau.broker.committing import Sorted, sort_out, sort_out_now
from moldau.broker.dispatch import complete, frame_reply
from moldau.broker.recurring import learn
from moldau.coordination.commit_form import CommitForm
from moldau.coordination.events import OffsetCommit
from moldau.protocol import error_codes
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
    event = _event(broker, request, found)
    if not broker.groups.commit_offsets_now(event, partial(_answer, broker, request, reply, found)):
        return False
    if not found.has_unknown:
        make = partial(_Form.of, broker, request, event, found)
        reply.learn = partial(learn, request.peer, request.api_key, broker.metrics, make)
    return True


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


class _Form:
    """Commits of the same partitions (`moldau.broker.recurring.Form`). The topics that there are must be those of its making."""

    __slots__ = ("_broker", "_commits", "_found", "_request", "_topics_version", "answer", "bodies")

    def __init__(self, broker: Broker, request: Request, commits: CommitForm, found: _Found) -> None:
        self._broker = broker
        self._request = request
        self._commits = commits
        self._found = found
        self._topics_version = broker.catalog.topics_version
        self.bodies = self._body(0), self._body(-1)
        request.message = None  # it is not needed, and larger than all else here
        self.answer = self._all(error_codes.NONE)

    @classmethod
    def of(cls, broker: Broker, request: Request, event: OffsetCommit, found: _Found) -> _Form | None:
        commits = CommitForm.of(event)
        return None if commits is None else cls(broker, request, commits, found)

    def _body(self, offset: int) -> bytes:
        """The request with that offset everywhere."""
        message: OffsetCommitRequest = self._request.message
        for topic in message.topics:
            for partition in topic.partitions:
                partition.committed_offset = offset
        return message.encode(self._request.version)

    def _all(self, code: int) -> bytes:
        topics = self._found.answer([code] * len(self._found.known))
        return b"".join(frame_reply(self._request, OffsetCommitResponse(topics=topics).encode(self._request.version)))

    def stands(self) -> bool:
        return self._broker.catalog.topics_version == self._topics_version

    def again(self, numbers: Sequence[int], done: Callable[[bytes | None], None]) -> bool:
        def committed(code: int) -> None:
            if code:
                self._broker.metrics.errors[self._request.api_key, code] += len(self._found.known)
                done(self._all(code))
            else:
                done(None)

        return self._broker.groups.commit_again(self._commits, numbers, committed)
