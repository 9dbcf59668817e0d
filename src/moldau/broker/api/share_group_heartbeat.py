"""ShareGroupHeartbeat 1: membership of a share group, and which partitions a member fetches (KIP-932).

Epoch 0 joins, with an id that the member has made itself; -1 leaves. The assignment comes with the first answer and whenever it is another.
FENCED_MEMBER_EPOCH and UNKNOWN_MEMBER_ID say: join again. GROUP_ID_NOT_FOUND where the id is another type's group, GROUP_MAX_SIZE_REACHED,
INVALID_REQUEST. A heartbeat that changes nothing makes no task, and the next one like it is not even decoded.
"""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING

from moldau.broker.dispatch import frame_reply
from moldau.broker.routine import while_levels_last
from moldau.coordination.share.events import ShareHeartbeat, ShareReply
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.share_group_heartbeat import (
    Assignment,
    ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse,
    TopicPartitions,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    message: ShareGroupHeartbeatRequest = request.message
    if not broker.serves_shares:
        refused = ShareGroupHeartbeatResponse(error_code=error_codes.UNSUPPORTED_VERSION)
        reply.send(frame_reply(request, refused.encode(request.version)))
        return
    topics = message.subscribed_topic_names
    event = ShareHeartbeat(
        message.group_id,
        message.member_id,
        message.member_epoch,
        message.rack_id,
        None if topics is None else tuple(topics),
        request.client_id or "",
        f"/{request.peer.host}",
    )
    future = broker.groups.ask(event)
    if future.done():
        _answer(broker, request, reply, future)
        if event.repeat is not None:
            reply.repeat = while_levels_last(broker.cluster, event.repeat)
    else:
        future.add_done_callback(lambda done: _answer(broker, request, reply, done))


def _answer(broker: Broker, request: Request, reply: Reply, future: Future[ShareReply]) -> None:
    if future.cancelled() or future.exception() is not None:
        reply.hang_up()
        return
    said = future.result()
    broker.metrics.request(api_keys.SHARE_GROUP_HEARTBEAT, request.started)
    if said.error_code:
        broker.metrics.errors[api_keys.SHARE_GROUP_HEARTBEAT, said.error_code] += 1
    assignment = None
    if said.assignment is not None:
        assignment = Assignment(
            topic_partitions=[
                TopicPartitions(topic_id=topic_id, partitions=list(partitions))
                for topic_id, partitions in said.assignment.items()
            ]
        )
    response = ShareGroupHeartbeatResponse(
        error_code=said.error_code,
        error_message=said.error_message,
        member_id=said.member_id,
        member_epoch=said.member_epoch,
        heartbeat_interval_ms=said.heartbeat_interval_ms,
        assignment=assignment,
    )
    reply.send(frame_reply(request, response.encode(request.version)))
