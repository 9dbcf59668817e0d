"""Metadata 0-13: brokers, topics, partitions and their leader (KIP-516 topic ids, KIP-430 authorized operations).

Null topics (empty in version 0) means all. A missing topic is created when the client and the broker allow it, and answered with
UNKNOWN_TOPIC_OR_PARTITION once more, so that the client asks again. A topic that is asked for twice is answered once. Version 13 has a top-level error code (KIP-1102).
Where it cannot be found out whether another broker has made a topic, the answer is LEADER_NOT_AVAILABLE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.broker.catalog import Topic
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from moldau.protocol.primitives import ZERO_UUID

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

TOPIC_OPERATIONS = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))
"""Read, write, create, delete, alter, describe, and both kinds of configs: all that a topic knows (AclOperation codes)."""
NO_OPERATIONS = -(1 << 31)
"""They were not asked for."""
CLUSTER_OPERATIONS = sum(1 << operation for operation in (5, 7, 8, 9, 10, 11, 12))


async def handle(broker: Broker, request: Request) -> MetadataResponse:
    message: MetadataRequest = request.message
    wanted = message.topics
    with_operations = message.include_topic_authorized_operations
    if request.version >= 10 and any(not _is_one_topic(each, request.version) for each in wanted or ()):
        return _refused(message, request.version)
    stale = not await _look(broker, wanted, request.version)
    if wanted is None or (request.version == 0 and not wanted):
        answers = [_topic(broker, topic, with_operations) for topic in broker.catalog.by_name.values()]
    else:
        answers = []
        for each in {(each.topic_id, each.name): each for each in wanted}.values():
            if each.topic_id != ZERO_UUID and request.version >= 12:
                topic = broker.catalog.by_id.get(each.topic_id)
                answers.append(
                    _topic(broker, topic, with_operations)
                    if topic
                    else MetadataResponseTopic(
                        error_code=error_codes.LEADER_NOT_AVAILABLE if stale else error_codes.UNKNOWN_TOPIC_ID,
                        name=None,
                        topic_id=each.topic_id,
                    )
                )
            else:
                assert each.name is not None
                allow = request.version < 4 or message.allow_auto_topic_creation
                answers.append(await _by_name(broker, each.name, allow, with_operations, stale))
    told = broker.told_of(request.peer.endpoint)
    return MetadataResponse(
        brokers=[
            MetadataResponseBroker(node_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in told
        ],
        cluster_id=broker.cluster.cluster_id,
        controller_id=broker.controller(told),
        topics=answers,
        cluster_authorized_operations=CLUSTER_OPERATIONS
        if message.include_cluster_authorized_operations
        else NO_OPERATIONS,
    )


def _is_one_topic(asked: MetadataRequestTopic, version: int) -> bool:
    """Versions 10 and 11 have a field for topic ids, and take names only; 12 and 13 take one or the other."""
    by_id, by_name = asked.topic_id != ZERO_UUID, asked.name is not None
    return by_name and not by_id if version < 12 else by_name or by_id


def _refused(message: MetadataRequest, version: int) -> MetadataResponse:
    """As Kafka refuses a whole request: each topic has the error, and there are no brokers."""
    topics = [
        MetadataResponseTopic(error_code=error_codes.INVALID_REQUEST, name=each.name or "", topic_id=each.topic_id)
        for each in message.topics or ()
    ]
    return MetadataResponse(
        error_code=error_codes.INVALID_REQUEST if version >= 13 else error_codes.NONE, topics=topics
    )


async def _look(broker: Broker, wanted: list[MetadataRequestTopic] | None, version: int) -> bool:
    """What other brokers made is known, so far as it is asked for; False when the store does not answer."""
    try:
        if wanted is None or (version == 0 and not wanted):
            await broker.catalog.fresh()
        else:
            await broker.catalog.look_for(
                (each.topic_id if each.topic_id != ZERO_UUID and version >= 12 else each.name or "", -1)
                for each in wanted
            )
    except StoreError:
        return False
    return True


async def _by_name(broker: Broker, name: str, allow: bool, with_operations: bool, stale: bool) -> MetadataResponseTopic:
    topic = broker.catalog.by_name.get(name)
    if topic is not None:
        return _topic(broker, topic, with_operations)
    error = topics.name_error(name)
    if stale and not error:
        return MetadataResponseTopic(error_code=error_codes.LEADER_NOT_AVAILABLE, name=name)
    if error is not None or topics.is_internal(name):
        code = error_codes.INVALID_TOPIC_EXCEPTION if error else error_codes.UNKNOWN_TOPIC_OR_PARTITION
        return MetadataResponseTopic(error_code=code, name=name)
    if not allow or not broker.auto_create_topics:
        return MetadataResponseTopic(error_code=error_codes.UNKNOWN_TOPIC_OR_PARTITION, name=name)
    code = await topics.auto_create(broker, name)
    return MetadataResponseTopic(error_code=code or error_codes.UNKNOWN_TOPIC_OR_PARTITION, name=name)


def _topic(broker: Broker, topic: Topic, with_operations: bool) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        error_code=error_codes.NONE,
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=False,
        partitions=[
            MetadataResponsePartition(
                error_code=error_codes.NONE,
                partition_index=index,
                leader_id=replicas[0],
                leader_epoch=broker.leader_epoch_of(partition_id),
                replica_nodes=replicas,
                isr_nodes=replicas,
            )
            for index, partition_id in enumerate(topic.partition_ids)
            for replicas in (broker.replicas_of(topic, partition_id),)
        ],
        topic_authorized_operations=TOPIC_OPERATIONS if with_operations else NO_OPERATIONS,
    )
