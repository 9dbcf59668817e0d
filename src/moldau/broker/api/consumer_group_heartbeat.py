"""ConsumerGroupHeartbeat 0-1 (KIP-848): members of consumer groups join, are alive, tell what they own, are told what is theirs, leave.

0 is given its member id by the broker when it has none; 1 makes it itself, and may subscribe by regular expression. The most frequent request of
such groups, so one that changes nothing makes no task, and the next one like it is not even decoded. Where `group.version` is 0 it is UNSUPPORTED_VERSION.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from moldau.broker import features
from moldau.broker.dispatch import frame_reply
from moldau.broker.routine import while_levels_last
from moldau.coordination.consumer.events import ConsumerHeartbeat, ConsumerHeartbeatReply
from moldau.protocol import api_keys, error_codes, uuid
from moldau.protocol.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    if not features.group_version(broker.cluster.features):
        future = broker.loop.create_future()
        future.set_result(ConsumerHeartbeatReply(error_codes.UNSUPPORTED_VERSION))
        _answer(broker, request, reply, future)
        return
    event = _event(request)
    future = broker.groups.ask(event)
    if not future.done():
        future.add_done_callback(partial(_answer, broker, request, reply))
        return
    _answer(broker, request, reply, future)
    if event.repeat is not None:
        reply.repeat = while_levels_last(broker.cluster, event.repeat)


def _event(request: Request) -> ConsumerHeartbeat:
    message: ConsumerGroupHeartbeatRequest = request.message
    owned = message.topic_partitions
    return ConsumerHeartbeat(
        message.group_id,
        message.member_id,
        message.member_epoch,
        instance_id=message.instance_id,
        rack_id=message.rack_id,
        rebalance_timeout_ms=message.rebalance_timeout_ms,
        topics=message.subscribed_topic_names,
        regex=message.subscribed_topic_regex,
        assignor=message.server_assignor,
        owned=None if owned is None else {each.topic_id: frozenset(each.partitions) for each in owned},
        client_id=request.client_id or "",
        client_host=f"/{request.peer.host}",
        new_member_id="" if message.member_id else uuid.to_text(uuid.random()),
        version=request.version,
    )


def _answer(broker: Broker, request: Request, reply: Reply, future: asyncio.Future[ConsumerHeartbeatReply]) -> None:
    if future.cancelled() or future.exception() is not None:  # our fault; the runtime has logged it
        reply.hang_up()
        return
    said = future.result()
    response = ConsumerGroupHeartbeatResponse(
        error_code=said.error_code,
        error_message=said.error_message,
        member_id=said.member_id,
        member_epoch=said.member_epoch,
        heartbeat_interval_ms=said.heartbeat_interval_ms,
    )
    if said.assigned is not None:
        response.assignment = Assignment(
            topic_partitions=[
                TopicPartitions(topic_id=topic_id, partitions=sorted(partitions))
                for topic_id, partitions in said.assigned.items()
            ]
        )
    broker.metrics.request(api_keys.CONSUMER_GROUP_HEARTBEAT, request.started)
    if said.error_code:
        broker.metrics.errors[api_keys.CONSUMER_GROUP_HEARTBEAT, said.error_code] += 1
    reply.send(frame_reply(request, response.encode(request.version)))
