"""ElectLeaders 0-2 (KIP-460): the leader of a partition is always the preferred one, so an election is never needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

PREFERRED, UNCLEAN = 0, 1


async def handle(broker: Broker, request: Request) -> ElectLeadersResponse:
    message: ElectLeadersRequest = request.message
    if request.version >= 1 and message.election_type not in (PREFERRED, UNCLEAN):
        return _refused(message)
    unknown, why = error_codes.UNKNOWN_TOPIC_OR_PARTITION, "no such partition"
    try:
        await broker.catalog.look_for(
            (wanted.topic, max(wanted.partitions, default=-1)) for wanted in message.topic_partitions or ()
        )
    except StoreError as error:
        unknown, why = error_codes.KAFKA_STORAGE_ERROR, str(error)
    if message.topic_partitions is None:
        # every partition: then those that need no election are left out
        every = [ReplicaElectionResult(topic=name) for name in broker.catalog.by_name]
        return ElectLeadersResponse(replica_election_results=every)
    results = []
    for wanted in message.topic_partitions:
        topic = broker.catalog.by_name.get(wanted.topic)
        known = len(topic.partition_ids) if topic else 0
        results.append(
            ReplicaElectionResult(
                topic=wanted.topic,
                partition_result=[
                    PartitionResult(
                        partition_id=index,
                        error_code=error_codes.ELECTION_NOT_NEEDED if 0 <= index < known else unknown,
                        error_message="the leader is the preferred one" if 0 <= index < known else why,
                    )
                    for index in wanted.partitions
                ],
            )
        )
    return ElectLeadersResponse(replica_election_results=results)


def _refused(message: ElectLeadersRequest) -> ElectLeadersResponse:
    code, text = error_codes.INVALID_REQUEST, f"election type {message.election_type} came, expected 0 or 1"
    results = [
        ReplicaElectionResult(
            topic=wanted.topic,
            partition_result=[
                PartitionResult(partition_id=index, error_code=code, error_message=text) for index in wanted.partitions
            ],
        )
        for wanted in message.topic_partitions or ()
    ]
    return ElectLeadersResponse(error_code=code, replica_election_results=results)
