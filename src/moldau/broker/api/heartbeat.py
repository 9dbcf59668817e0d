"""Heartbeat 0-4: a member is alive (KIP-345 static members from 3). The most frequent request of all, so it makes no task.

REBALANCE_IN_PROGRESS tells the member to join again. Only while the group is being written does a heartbeat wait.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from moldau.broker.dispatch import frame_reply
from moldau.coordination.events import Heartbeat
from moldau.protocol import api_keys
from moldau.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    message: HeartbeatRequest = request.message
    event = Heartbeat(message.group_id, message.member_id, message.generation_id, message.group_instance_id)
    error_code = broker.groups.heartbeat_now(event, broker.steady_clock())
    if error_code is not None:
        _answer(broker, request, reply, error_code)
        return
    task = broker.loop.create_task(_wait(broker, request, reply, event))
    reply.on_abandon = partial(_cancel, task)
    broker.keep(task)


async def _wait(broker: Broker, request: Request, reply: Reply, event: Heartbeat) -> None:
    _answer(broker, request, reply, await broker.groups.heartbeat(event))


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _answer(broker: Broker, request: Request, reply: Reply, error_code: int) -> None:
    broker.metrics.request(api_keys.HEARTBEAT, request.started)
    if error_code:
        broker.metrics.errors[api_keys.HEARTBEAT, error_code] += 1
    reply.send(frame_reply(request, HeartbeatResponse(error_code=error_code).encode(request.version)))
