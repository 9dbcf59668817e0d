"""What a fetch is answered: records and offsets of its partitions, errors, and who else is to be asked.

An incremental answer of a session leaves out partitions of which there is nothing new (`moldau.broker.fetch_sessions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchResponse,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
)
from moldau.records.batch import offset_span

from .fetch_sessions import NO_SESSION, FetchSession, SessionPartition

if TYPE_CHECKING:
    from moldau.log.reader import Buffer
    from moldau.log.view import PartitionView

    from .dispatch import Request
    from .fetch_places import FetchPlaces, Views
    from .fetch_reading import FetchReading

NO_RECORDS = b""


def answer(
    request: Request,
    session: FetchSession | None,
    incremental: bool,
    places: FetchPlaces,
    views: Views,
    reading: FetchReading,
) -> FetchResponse:
    """The session remembers what it is told; the broker counts what is given."""
    responses: list[FetchableTopicResponse] = []
    by_topic: dict[tuple[bytes, str], FetchableTopicResponse] = {}
    for partition, view in zip(places.partitions, views, strict=True):
        buffers = reading.data.get(partition.key)
        told = _partition(request, places, partition, view, buffers, reading)
        if session is not None:
            if not isinstance(view, int):
                moved = (
                    view.high_watermark != partition.last_high_watermark
                    or view.log_start_offset != partition.last_log_start_offset
                )
                partition.last_high_watermark = view.high_watermark
                partition.last_log_start_offset = view.log_start_offset
            else:
                moved = True
                partition.last_high_watermark = -1
            if incremental and not moved and buffers is None:
                continue
            if incremental and buffers is not None and partition.key in session.partitions:
                session.partitions.move_to_end(partition.key)
        topic_id, name, _ = partition.key
        topic = by_topic.get((topic_id, name))
        if topic is None:
            topic = by_topic[topic_id, name] = FetchableTopicResponse(topic=name, topic_id=topic_id)
            responses.append(topic)
        topic.partitions.append(told)
    response = FetchResponse(session_id=session.session_id if session else NO_SESSION, responses=responses)
    if (
        places.broker.steering is not None
        and request.version >= 16
        and not places.is_follower()  # who is told the leader only, as in Kafka
        and error_codes.NOT_LEADER_OR_FOLLOWER in views
    ):
        response.node_endpoints = [
            NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in places.broker.told_of(request.peer.endpoint)
        ]
    return response


def _partition(
    request: Request,
    places: FetchPlaces,
    partition: SessionPartition,
    view: PartitionView | int,
    buffers: list[Buffer] | None,
    reading: FetchReading,
) -> PartitionData:
    index = partition.key[2]
    if partition.key in places.near:
        near, seen = places.near[partition.key]
        return PartitionData(
            partition_index=index,
            high_watermark=seen.high_watermark,
            last_stable_offset=seen.last_stable_offset,
            log_start_offset=seen.log_start_offset,
            aborted_transactions=[] if places.committed else None,
            preferred_read_replica=near,
            records=NO_RECORDS,
        )
    if isinstance(view, int):
        return _refused(request, places, partition, view)
    aborted: list[AbortedTransaction] | None = None
    if places.committed:  # a list in any case, as Kafka gives it
        ranges = reading.aborted.get(partition.key, ()) if buffers is not None else ()
        aborted = [AbortedTransaction(producer_id=each[0], first_offset=each[1]) for each in ranges]
    if buffers is not None:
        metrics = places.broker.metrics
        metrics.bytes_out += sum(map(len, buffers))
        metrics.records_out += offset_span(buffers[0], buffers[-1])
    return PartitionData(
        partition_index=index,
        high_watermark=view.high_watermark,
        last_stable_offset=view.last_stable_offset,
        log_start_offset=view.log_start_offset,
        aborted_transactions=aborted,
        records=buffers if buffers is not None else NO_RECORDS,
    )


def _refused(request: Request, places: FetchPlaces, partition: SessionPartition, code: int) -> PartitionData:
    broker = places.broker
    broker.metrics.errors[api_keys.FETCH, code] += 1
    leader: LeaderIdAndEpoch | None = None
    if code == error_codes.NOT_LEADER_OR_FOLLOWER and request.version >= 16:
        partition_id = places.partition_id(partition)
        leader = LeaderIdAndEpoch(
            leader_id=broker.members.partition_leader(partition_id),
            leader_epoch=broker.leader_epoch_of(partition_id),
        )
    return PartitionData(
        partition_index=partition.key[2],
        error_code=code,
        current_leader=leader,
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        aborted_transactions=None,
        records=NO_RECORDS,
    )
