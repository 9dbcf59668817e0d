"""A member of a share group that says exactly what was sent and what was answered."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from support.talker import Talker, records_of

from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages import share_acknowledge as ack
from moldau.protocol.messages import share_fetch as fetch
from moldau.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from moldau.protocol.messages.share_group_heartbeat import ShareGroupHeartbeatRequest

GROUP = 32
_LOADING_SECONDS = 5.0
GAP, ACCEPT, RELEASE, REJECT, RENEW = range(5)
Said = dict[int, list[tuple[int, int, list[int]]]]
"""Partition to (first offset, last offset, types)."""


def set_group(wire: Talker, group: str, **configs: str) -> int:
    """The error code. Underscores of the keys are dots."""
    changes = [
        AlterableConfig(name=key.replace("_", "."), config_operation=0, value=text) for key, text in configs.items()
    ]
    resource = AlterConfigsResource(resource_type=GROUP, resource_name=group, configs=changes)
    answer = wire.call(api_keys.INCREMENTAL_ALTER_CONFIGS, 1, IncrementalAlterConfigsRequest(resources=[resource]))
    return int(answer.responses[0].error_code)


def topic_id(wire: Talker, name: str) -> bytes:
    request = MetadataRequest(topics=[MetadataRequestTopic(name=name)], allow_auto_topic_creation=False)
    (found,) = wire.call(api_keys.METADATA, 12, request).topics
    return bytes(found.topic_id)


class ShareMember:
    """Subscribed to one topic."""

    def __init__(self, wire: Talker, group: str, topic: str, partitions: int = 1, member_id: str = "") -> None:
        self.wire = wire
        self.group = group
        self.topic = topic
        self.topic_id = topic_id(wire, topic)
        self.partitions: Sequence[int] = range(partitions)
        self.member_id = member_id or str(uuid.uuid4())
        self.epoch = 0
        self.session = 0
        self.values: dict[int, bytes] = {}
        """What it was given last, by offset."""

    def heartbeat(self, epoch: int | None = None, topics: list[str] | None = None) -> Any:
        """The answer; joins at first."""
        epoch = self.epoch if epoch is None else epoch
        request = ShareGroupHeartbeatRequest(
            group_id=self.group,
            member_id=self.member_id,
            member_epoch=epoch,
            subscribed_topic_names=[self.topic] if topics is None and epoch == 0 else topics,
        )
        answer = self.wire.call(api_keys.SHARE_GROUP_HEARTBEAT, 1, request)
        if not answer.error_code:
            self.epoch = answer.member_epoch
        return answer

    def fetch(self, said: Said | None = None, *, epoch: int | None = None, **how: Any) -> Any:
        """The whole answer."""
        fields: dict[str, Any] = {
            "max_wait_ms": 500,
            "min_bytes": 1,
            "max_bytes": 1 << 20,
            "max_records": 500,
            "batch_size": 500,
        }
        places = set(said or ()) | (set(self.partitions) if not self.session else set())
        partitions = [
            fetch.FetchPartition(
                partition_index=index,
                acknowledgement_batches=[
                    fetch.AcknowledgementBatch(first_offset=first, last_offset=last, acknowledge_types=types)
                    for first, last, types in (said or {}).get(index, [])
                ],
            )
            for index in sorted(places)
        ]
        request = fetch.ShareFetchRequest(
            group_id=self.group,
            member_id=self.member_id,
            share_session_epoch=self.session if epoch is None else epoch,
            topics=[fetch.FetchTopic(topic_id=self.topic_id, partitions=partitions)] if partitions else [],
            **{**fields, **how},
        )
        answer = self.wire.call(api_keys.SHARE_FETCH, 2, request)
        if not answer.error_code:
            self.session = 0 if epoch == -1 else self.session + 1
        return answer

    def take(self, said: Said | None = None, **how: Any) -> list[tuple[int, int, int]]:
        """(first offset, last offset, deliveries) of what one fetch of one partition gives."""
        answer = self.fetch(said, **how)
        assert answer.error_code == 0, answer
        partitions = [partition for topic in answer.responses for partition in topic.partitions]
        given = []
        for each in partitions:
            assert (each.error_code, each.acknowledge_error_code) == (0, 0), each
            held = [(piece.first_offset, piece.last_offset) for piece in each.acquired_records]
            self.values = {
                record.offset: record.value or b""
                for record in records_of(each.records)
                if any(first <= record.offset <= last for first, last in held)
            }
            given += [(piece.first_offset, piece.last_offset, piece.delivery_count) for piece in each.acquired_records]
        return given

    def acknowledge(self, said: Said, *, epoch: int | None = None, renew: bool = False) -> Any:
        """The whole answer."""
        partitions = [
            ack.AcknowledgePartition(
                partition_index=index,
                acknowledgement_batches=[
                    ack.AcknowledgementBatch(first_offset=first, last_offset=last, acknowledge_types=types)
                    for first, last, types in batches
                ],
            )
            for index, batches in said.items()
        ]
        request = ack.ShareAcknowledgeRequest(
            group_id=self.group,
            member_id=self.member_id,
            share_session_epoch=self.session if epoch is None else epoch,
            is_renew_ack=renew,
            topics=[ack.AcknowledgeTopic(topic_id=self.topic_id, partitions=partitions)],
        )
        answer = self.wire.call(api_keys.SHARE_ACKNOWLEDGE, 2, request)
        if not answer.error_code:
            self.session = 0 if epoch == -1 else self.session + 1
        return answer

    def say(self, first: int, last: int, *types: int, renew: bool = False) -> int:
        """The error code of an acknowledgement in partition 0."""
        answer = self.acknowledge({0: [(first, last, list(types))]}, renew=renew)
        assert answer.error_code == 0, answer
        return int(answer.responses[0].partitions[0].error_code)


def joined(wire: Talker, group: str, topic: str, partitions: int = 1) -> ShareMember:
    """A member that has its assignment; it asks again while its coordinator is still loading, as clients do."""
    member = ShareMember(wire, group, topic, partitions)
    deadline = time.monotonic() + _LOADING_SECONDS
    while (answer := member.heartbeat()).error_code == error_codes.COORDINATOR_LOAD_IN_PROGRESS:
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    assert answer.error_code == 0, answer
    return member
