"""DescribeQuorum 0-2 (KIP-595, KIP-836, KIP-853), truthfully: the metadata store is the quorum, and this node is its one voter.

Offsets count the commits of this process: that is the only order the store has to show.
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


TOPIC = "__cluster_metadata"


async def handle(broker: Broker, request: Request) -> DescribeQuorumResponse:
    message: DescribeQuorumRequest = request.message
    asked = [
        (topic.topic_name, partition.partition_index) for topic in message.topics for partition in topic.partitions
    ]
    if asked != [(TOPIC, 0)]:
        return DescribeQuorumResponse(topics=[_unknown(topic, request.version) for topic in message.topics])
    nodes = []
    if request.version >= 2:
        listeners = [Listener(name=each.listener, host=each.host, port=each.port) for each in broker.endpoints]
        nodes.append(Node(node_id=broker.node_id, listeners=listeners))
    topics = [ResponseTopicData(topic_name=TOPIC, partitions=[_partition(broker)])]
    return DescribeQuorumResponse(topics=topics, nodes=nodes)


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
    commits = broker.commits()
    now = broker.clock()
    return ResponsePartitionData(
        partition_index=0,
        leader_id=broker.node_id,
        leader_epoch=1,
        high_watermark=commits,
        current_voters=[
            ReplicaState(
                replica_id=broker.node_id,
                log_end_offset=commits,
                last_fetch_timestamp=now,
                last_caught_up_timestamp=now,
            )
        ],
    )
