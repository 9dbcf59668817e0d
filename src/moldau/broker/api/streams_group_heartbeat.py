"""StreamsGroupHeartbeat 0-1 (KIP-1071): a thread of a Kafka Streams application joins its group, goes on, or leaves.

The answer has the tasks that the member is to run, when these have changed, and statuses: what the application waits for. Internal topics that
are missing are created meanwhile. Source topics by pattern are refused, as in Kafka 4.4. Version 1 adds the status MISSING_CLIENT_TAGS
(KAFKA-20744), and asks a member for the description of the topology (KIP-1331).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from moldau.broker import features
from moldau.broker.dispatch import frame_reply
from moldau.coordination.streams import status as statuses
from moldau.coordination.streams.endpoints import Endpoint
from moldau.coordination.streams.events import JOINING, LEAVING_FOR_A_WHILE, StreamsHeartbeat, StreamsReply
from moldau.coordination.streams.tasks import Assignment, TaskId, Tasks, by_subtopology
from moldau.coordination.streams.topology import (
    InternalTopic,
    InvalidTopology,
    Subtopology,
    Topology,
    check_changelogs,
)
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages import streams_group_heartbeat as wire

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request


class _Invalid(Exception):
    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    if not features.streams_groups(broker.cluster.features):
        text = "The cluster does not support the STREAMS group protocol."
        _answer(broker, request, reply, StreamsReply(error_codes.UNSUPPORTED_VERSION, text))
        return
    try:
        event = _event(request)
    except _Invalid as invalid:
        _answer(broker, request, reply, StreamsReply(invalid.error_code, str(invalid)))
        return
    except InvalidTopology as invalid:
        _answer(broker, request, reply, StreamsReply(error_codes.STREAMS_INVALID_TOPOLOGY, str(invalid)))
        return
    future = broker.groups.ask(event)
    if future.done():
        _later(broker, request, reply, future)
    else:
        future.add_done_callback(partial(_later, broker, request, reply))


def _later(broker: Broker, request: Request, reply: Reply, future: asyncio.Future[StreamsReply]) -> None:
    if future.cancelled() or future.exception() is not None:  # our fault; the runtime has logged it
        reply.hang_up()
    else:
        _answer(broker, request, reply, future.result())


def _answer(broker: Broker, request: Request, reply: Reply, told: StreamsReply) -> None:
    broker.metrics.request(api_keys.STREAMS_GROUP_HEARTBEAT, request.started)
    if told.error_code:
        broker.metrics.errors[api_keys.STREAMS_GROUP_HEARTBEAT, told.error_code] += 1
    response = _response(told, request.version)
    if told.missing:
        group_id = request.message.group_id
        if errors := broker.internal_topics.errors(group_id, told.missing):
            for status in response.status or ():
                if status.status_code == statuses.MISSING_INTERNAL_TOPICS:
                    status.status_detail += f"; Creation failed: {errors}."
        broker.internal_topics.create(broker, group_id, told.missing)
    reply.send(frame_reply(request, response.encode(request.version)))


# -- the request


def _event(request: Request) -> StreamsHeartbeat:
    """Raises _Invalid and InvalidTopology."""
    message: wire.StreamsGroupHeartbeatRequest = request.message
    _check(message)
    topology = None if message.topology is None else _topology(message.topology)
    if topology is not None:
        check_changelogs(topology)
    owned = None
    if message.active_tasks is not None:
        owned = Assignment(_tasks(message.active_tasks), _tasks(message.standby_tasks), _tasks(message.warmup_tasks))
    endpoint = message.user_endpoint
    return StreamsHeartbeat(
        message.group_id,
        message.member_id,
        message.member_epoch,
        instance_id=message.instance_id,
        rack_id=message.rack_id,
        rebalance_timeout_ms=message.rebalance_timeout_ms,
        topology=topology,
        owned=owned,
        process_id=message.process_id,
        endpoint=None if endpoint is None else Endpoint(endpoint.host, endpoint.port),
        client_tags=None if message.client_tags is None else {tag.key: tag.value for tag in message.client_tags},
        offsets=_offsets(message.task_offsets),
        end_offsets=_offsets(message.task_end_offsets),
        shutdown_application=message.shutdown_application,
        endpoint_epoch=message.endpoint_information_epoch,
        describes=request.version >= 1,
        client_id=request.client_id or "",
        client_host=f"/{request.peer.host}",
    )


def _check(message: wire.StreamsGroupHeartbeatRequest) -> None:
    """What Kafka's GroupCoordinatorService checks. Raises _Invalid."""
    for part in message.topology.subtopologies if message.topology else ():
        if part.source_topic_regex:
            raise _invalid("Regular expressions for source topics are not supported yet.")
    for name, value in (
        ("MemberId", message.member_id),
        ("GroupId", message.group_id),
        ("InstanceId", message.instance_id),
        ("RackId", message.rack_id),
    ):
        if value is not None and not value.strip():
            raise _invalid(f"{name} can't be empty.")
    kinds = (message.active_tasks, message.standby_tasks, message.warmup_tasks)
    if message.member_epoch == JOINING:
        if message.rebalance_timeout_ms == -1:
            raise _invalid("RebalanceTimeoutMs must be provided in first request.")
        for name, tasks in zip(("ActiveTasks", "StandbyTasks", "WarmupTasks"), kinds, strict=True):
            if tasks:
                raise _invalid(f"{name} must be empty when (re-)joining.")
        if message.topology is None:
            raise _invalid("Topology must be non-null when (re-)joining.")
    elif message.topology is not None:
        raise _invalid("Topology can only be provided when (re-)joining.")
    elif message.member_epoch == LEAVING_FOR_A_WHILE and message.instance_id is None:
        raise _invalid("InstanceId can't be null.")
    elif message.member_epoch < LEAVING_FOR_A_WHILE:
        raise _invalid(f"MemberEpoch is {message.member_epoch}, but must be greater than or equal to -2.")
    if any(tasks is not None for tasks in kinds) and any(tasks is None for tasks in kinds):
        raise _invalid("If one task-type is non-null, all must be non-null.")


def _invalid(text: str) -> _Invalid:
    return _Invalid(error_codes.INVALID_REQUEST, text)


def _topology(topology: wire.Topology) -> Topology:
    if topology.epoch < 0:
        raise _Invalid(error_codes.STREAMS_INVALID_TOPOLOGY_EPOCH, "Topology epoch must be non-negative.")
    parts = {part.subtopology_id: _part(part) for part in topology.subtopologies}
    if len(parts) < len(topology.subtopologies):
        raise InvalidTopology("Two subtopologies have the same id.")
    return Topology(topology.epoch, parts)


def _part(part: wire.Subtopology) -> Subtopology:
    repartitions = [_topic(topic) for topic in part.repartition_source_topics]
    try:
        groups = tuple(
            frozenset(
                [part.source_topics[_index(index)] for index in group.source_topics]
                + [repartitions[_index(index)].name for index in group.repartition_source_topics]
            )
            for group in part.copartition_groups
        )
    except IndexError:
        raise InvalidTopology(
            f"A co-partition group of subtopology {part.subtopology_id} names a topic that it does not have."
        ) from None
    return Subtopology(
        part.subtopology_id,
        tuple(part.source_topics),
        repartition_sink_topics=tuple(part.repartition_sink_topics),
        repartition_source_topics=tuple(repartitions),
        state_changelog_topics=tuple(_topic(topic) for topic in part.state_changelog_topics),
        copartition_groups=groups,
    )


def _index(index: int) -> int:
    if index < 0:
        raise IndexError(index)
    return index


def _topic(topic: wire.TopicInfo) -> InternalTopic:
    configs = tuple(sorted((config.key, config.value) for config in topic.topic_configs))
    return InternalTopic(topic.name, topic.partitions, topic.replication_factor, configs)


def _tasks(tasks: Iterable[wire.TaskIds] | None) -> Tasks:
    return frozenset((ids.subtopology_id, partition) for ids in tasks or () for partition in ids.partitions)


def _offsets(offsets: Iterable[wire.TaskOffset] | None) -> dict[TaskId, int] | None:
    return None if offsets is None else {(each.subtopology_id, each.partition): each.offset for each in offsets}


# -- the response


def _response(told: StreamsReply, version: int) -> wire.StreamsGroupHeartbeatResponse:
    response = wire.StreamsGroupHeartbeatResponse(
        error_code=told.error_code,
        error_message=told.error_message,
        member_id=told.member_id,
        member_epoch=told.member_epoch,
        heartbeat_interval_ms=told.heartbeat_interval_ms,
        task_offset_interval_ms=told.task_offset_interval_ms,
        status=[
            wire.Status(status_code=each.code, status_detail=each.detail)
            for each in told.status
            if version >= 1 or each.code != statuses.MISSING_CLIENT_TAGS
        ],
        endpoint_information_epoch=told.endpoint_epoch,
    )
    if told.asks_for_description:
        response.topology_description_required = True
    if told.assignment is not None:
        response.active_tasks = _ids(told.assignment.active)
        response.standby_tasks = _ids(told.assignment.standby)
        response.warmup_tasks = _ids(told.assignment.warmup)
    if told.endpoints is not None:
        response.partitions_by_user_endpoint = [
            wire.EndpointToPartitions(
                user_endpoint=wire.Endpoint(host=each.endpoint.host, port=each.endpoint.port),
                active_partitions=_partitions(each.active),
                standby_partitions=_partitions(each.standby),
            )
            for each in told.endpoints
        ]
    return response


def _ids(tasks: Tasks) -> list[wire.TaskIds]:
    return [
        wire.TaskIds(subtopology_id=name, partitions=partitions) for name, partitions in by_subtopology(tasks).items()
    ]


def _partitions(topics: list[tuple[str, list[int]]]) -> list[wire.TopicPartition]:
    return [wire.TopicPartition(topic=topic, partitions=partitions) for topic, partitions in topics]
