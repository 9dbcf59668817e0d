"""DescribeQuorum 0-2 (KIP-595, KIP-836, KIP-853), truthfully: the metadata store is the quorum, and the broker that is named as
controller is its one voter. The other brokers observe it.

Offsets count the commits of this process, the only order that a store of its own has to show; brokers that share a store show its metadata
version. How far the others have followed is not known here: -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol import error_codes
from moldau.protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    ReplicaState,
    RequestTopicData,
    ResponsePartitionData,
    ResponseTopicData,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request
    from moldau.cluster.member import Member


TOPIC = "__cluster_metadata"


async def handle(broker: Broker, request: Request) -> DescribeQuorumResponse:
    message: DescribeQuorumRequest = request.message
    asked = [
        (topic.topic_name, partition.partition_index) for topic in message.topics for partition in topic.partitions
    ]
    if asked != [(TOPIC, 0)]:
        return DescribeQuorumResponse(topics=[_unknown(topic, request.version) for topic in message.topics])
    nodes: list[Node] = []
    if request.version >= 2:
        nodes = [Node(node_id=member.node_id, listeners=_listeners(broker, member)) for member in broker.members.live]
    topics = [ResponseTopicData(topic_name=TOPIC, partitions=[_partition(broker)])]
    return DescribeQuorumResponse(topics=topics, nodes=nodes)


def _listeners(broker: Broker, member: Member) -> list[Listener]:
    if member is broker.members.me:
        return [Listener(name=each.listener, host=each.host, port=each.port) for each in broker.endpoints]
    return [Listener(name=name, host=host, port=port) for name, (host, port) in member.endpoints.items()]


def _unknown(topic: RequestTopicData, version: int) -> ResponseTopicData:
    """All that was asked, when it was not the metadata log and nothing else."""
    text = f"only partition 0 of {TOPIC} has a quorum" if version >= 2 else ""
    return ResponseTopicData(
        topic_name=topic.topic_name,
        partitions=[
            ResponsePartitionData(
                partition_index=partition.partition_index,
                error_code=error_codes.UNKNOWN_TOPIC_OR_PARTITION,
                error_message=text,
            )
            for partition in topic.partitions
        ],
    )


def _partition(broker: Broker) -> ResponsePartitionData:
    voter, *observers = broker.members.node_ids
    commits = broker.commits()
    return ResponsePartitionData(
        partition_index=0,
        leader_id=voter,
        leader_epoch=1,
        high_watermark=commits,
        current_voters=[_replica(broker, voter, commits, leads=True)],
        observers=[_replica(broker, node_id, commits, leads=False) for node_id in observers],
    )


def _replica(broker: Broker, node_id: int, commits: int, *, leads: bool) -> ReplicaState:
    if not leads and node_id != broker.node_id:
        return ReplicaState(replica_id=node_id, log_end_offset=-1, last_fetch_timestamp=-1, last_caught_up_timestamp=-1)
    now = broker.clock()
    return ReplicaState(
        replica_id=node_id, log_end_offset=commits, last_fetch_timestamp=now, last_caught_up_timestamp=now
    )
