"""DeleteTopics 1-6, by name, and by id from 6 (KIP-516). Name and id are free at once; bytes go in the background."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.protocol import error_codes
from moldau.protocol.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from moldau.protocol.primitives import ZERO_UUID

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DeleteTopicsResponse:
    message: DeleteTopicsRequest = request.message
    states = message.topics if request.version >= 6 else [DeleteTopicState(name=name) for name in message.topic_names]
    counts = Counter((state.name, state.topic_id) for state in states)
    results = []
    # a topic that stands twice is answered once: refused
    for state in {(state.name, state.topic_id): state for state in states}.values():
        if counts[state.name, state.topic_id] > 1:
            results.append(_refused(state, error_codes.INVALID_REQUEST, "the topic stands twice in the request"))
        else:
            results.append(await _delete(broker, state))
    return DeleteTopicsResponse(responses=results)


def _refused(state: DeleteTopicState, code: int, text: str | None) -> DeletableTopicResult:
    return DeletableTopicResult(name=state.name, topic_id=state.topic_id, error_code=code, error_message=text)


async def _delete(broker: Broker, state: DeleteTopicState) -> DeletableTopicResult:
    by_id = state.topic_id != ZERO_UUID
    if by_id == (state.name is not None):
        return _refused(state, error_codes.INVALID_REQUEST, "either a name or a topic id is expected, not both or none")
    try:
        topic = await topics.of_id(broker, state.topic_id) if by_id else await topics.named(broker, state.name or "")
        if not broker.options.delete_topics:
            return _refused(state, error_codes.TOPIC_DELETION_DISABLED, "delete.topic.enable is false")
        try:
            await topics.delete(broker, topic)
        except topics.TopicError:
            if by_id or broker.catalog.by_name.get(topic.name) in (topic, None):
                raise
            return await _delete(broker, state)  # another broker has made it anew
    except topics.TopicError as error:
        return _refused(state, error.error_code, error.message)
    return DeletableTopicResult(name=topic.name, topic_id=topic.topic_id)
