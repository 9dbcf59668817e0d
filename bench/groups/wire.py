"""A connection that speaks groups: requests are whole messages, answers come in order.

Spoken versions, served by both brokers: ConsumerGroupHeartbeat 1, ShareGroupHeartbeat 1, ShareFetch 1, OffsetCommit 9, FindCoordinator 4, Metadata 12,
IncrementalAlterConfigs 1.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import Any

from bench.rawwire import Connection, Failed, connect
from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.message import Message
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from moldau.protocol.registry import response_class

VERSIONS = {68: 1, 76: 1, 78: 1, 8: 9, 10: 4, 3: 12, 44: 1}
CONFIGS_OF_GROUP = 32
NOT_YET = {14, 15, 16}
"""The coordinator loads, is not available, or is another one: asked again."""
ANSWER_SECONDS_MAX = 60.0


def framed(body: Message) -> bytes:
    """With its header and its length."""
    key = body.API_KEY
    version = VERSIONS[key]
    header = RequestHeader(request_api_key=key, request_api_version=version, correlation_id=0, client_id="load")
    message = header.encode(request_header_version(key, version)) + body.encode(version)
    return struct.pack(">i", len(message)) + message


def opened(key: int, answer: bytes) -> Any:
    """What an answer says."""
    version = VERSIONS[key]
    at = ResponseHeader.decode_at(answer, response_header_version(key, version), 0)[1]
    return response_class(key).decode_at(answer, version, at)[0]


class Channel:
    """One connection; `ask` may be called again before the answer is there."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        connection.on_frame = self._on_frame
        connection.lost.add_done_callback(self._lost)

    @classmethod
    async def open(cls, bootstrap: str) -> Channel:
        return cls(await connect(bootstrap))

    def _on_frame(self, view: memoryview) -> None:
        answer = self._waiting.popleft()
        if not answer.done():
            answer.set_result(bytes(view))

    def _lost(self, lost: asyncio.Future[None]) -> None:
        error = lost.exception() or Failed("the connection is gone")
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(error)

    async def ask(self, body: Message) -> Any:
        """The decoded answer. Raises Failed."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self.connection.transport.write(framed(body))
        try:
            return opened(body.API_KEY, await asyncio.wait_for(answer, ANSWER_SECONDS_MAX))
        except TimeoutError:
            raise Failed(f"{type(body).__name__}: no answer in {ANSWER_SECONDS_MAX:.0f} s") from None

    def close(self) -> None:
        self.connection.transport.close()


async def coordinator(channel: Channel, group: str) -> None:
    """Waits until there is one. Raises Failed."""
    for _ in range(200):
        answer = await channel.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=[group]))
        error = answer.coordinators[0].error_code
        if not error:
            return
        if error not in NOT_YET:
            raise Failed(f"FindCoordinator: error code {error}")
        await asyncio.sleep(0.1)
    raise Failed("FindCoordinator: no coordinator came")


async def topic_id(channel: Channel, topic: str) -> bytes:
    answer = await channel.ask(MetadataRequest(topics=[MetadataRequestTopic(name=topic)]))
    if answer.topics[0].error_code:
        raise Failed(f"Metadata of {topic}: error code {answer.topics[0].error_code}")
    found: bytes = answer.topics[0].topic_id
    return found


async def set_group(channel: Channel, group: str, configs: dict[str, str]) -> None:
    """Raises Failed."""
    entries = [AlterableConfig(name=name, config_operation=0, value=value) for name, value in configs.items()]
    resource = AlterConfigsResource(resource_type=CONFIGS_OF_GROUP, resource_name=group, configs=entries)
    answer = await channel.ask(IncrementalAlterConfigsRequest(resources=[resource]))
    if answer.responses[0].error_code:
        raise Failed(f"configs of {group}: {answer.responses[0].error_message}")
