"""DeleteShareGroupOffsets 0: a share group without members forgets topics (KIP-932): it begins there anew, by `share.auto.offset.reset`.

GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP for the whole; UNKNOWN_TOPIC_OR_PARTITION for a topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse,
    DeleteShareGroupOffsetsResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DeleteShareGroupOffsetsResponse:
    message: DeleteShareGroupOffsetsRequest = request.message
    code, why, group = broker.groups.details("share", message.group_id)
    if not code and group.members:
        code, why = error_codes.NON_EMPTY_GROUP, f"Group {message.group_id} is not empty."
    if code:
        return DeleteShareGroupOffsetsResponse(error_code=code, error_message=why)
    try:
        await broker.catalog.look_for((topic.topic_name, -1) for topic in message.topics)
        known = {topic.topic_name: broker.catalog.by_name.get(topic.topic_name) for topic in message.topics}
        topic_ids = [topic.topic_id for topic in known.values() if topic is not None]
        await broker.shares.store.forget(message.group_id, topic_ids)
    except StoreError as error:
        return DeleteShareGroupOffsetsResponse(
            error_code=error_codes.COORDINATOR_NOT_AVAILABLE, error_message=str(error)
        )
    broker.shares.forget_group(message.group_id)
    gone = error_codes.UNKNOWN_TOPIC_OR_PARTITION
    return DeleteShareGroupOffsetsResponse(
        responses=[
            DeleteShareGroupOffsetsResponseTopic(topic_name=name, topic_id=topic.topic_id)
            if topic is not None
            else DeleteShareGroupOffsetsResponseTopic(
                topic_name=name, error_code=gone, error_message=error_codes.name(gone)
            )
            for name, topic in known.items()
        ]
    )
