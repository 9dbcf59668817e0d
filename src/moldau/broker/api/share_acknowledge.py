"""ShareAcknowledge 1-2: what became of records that a member of a share group has (KIP-932; KIP-1222 renewals from 2).

Each partition is answered when what was said of it is durable: NONE; INVALID_RECORD_STATE for records that the member does not have (any
more); NOT_LEADER_OR_FOLLOWER with the leader where the share-partition is at home elsewhere. Epoch -1 closes the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.share_elsewhere import leader_of
from moldau.broker.share_sessions import FINAL_EPOCH, INITIAL_EPOCH, MEMBER_ID_MOST, Place
from moldau.coordination.share.partition import Acknowledgement
from moldau.protocol import error_codes
from moldau.protocol.messages.share_acknowledge import (
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
    ShareAcknowledgeRequest,
    ShareAcknowledgeResponse,
    ShareAcknowledgeTopicResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> ShareAcknowledgeResponse:
    message: ShareAcknowledgeRequest = request.message
    group, member, epoch = message.group_id or "", message.member_id or "", message.share_session_epoch
    if not broker.serves_shares:
        return _refused(error_codes.UNSUPPORTED_VERSION)
    if not group or not 0 < len(member) <= MEMBER_ID_MOST:
        return _refused(error_codes.INVALID_REQUEST)
    if epoch == INITIAL_EPOCH:
        return _refused(error_codes.INVALID_SHARE_SESSION_EPOCH)
    shares = broker.shares
    closing = shares.sessions.close(group, member) if epoch == FINAL_EPOCH else None
    if epoch == FINAL_EPOCH:
        code = error_codes.NONE if closing is not None else error_codes.SHARE_SESSION_NOT_FOUND
    else:
        _, code = shares.sessions.resume(group, member, epoch)
    if code:
        return _refused(code)
    acknowledgements = {
        (topic.topic_id, partition.partition_index): [
            Acknowledgement(batch.first_offset, batch.last_offset, batch.acknowledge_types)
            for batch in partition.acknowledgement_batches
        ]
        for topic in message.topics
        for partition in topic.partitions
    }
    codes = await shares.acknowledge(group, member, acknowledgements, message.is_renew_ack)
    if closing is not None:
        await shares.end_session(closing)
    return _response(broker, request, group, codes)


def _refused(code: int) -> ShareAcknowledgeResponse:
    return ShareAcknowledgeResponse(error_code=code, error_message=error_codes.name(code))


def _response(broker: Broker, request: Request, group: str, codes: dict[Place, int]) -> ShareAcknowledgeResponse:
    topics: dict[bytes, ShareAcknowledgeTopicResponse] = {}
    elsewhere = False
    for place, code in codes.items():
        topic_id, index = place
        topic = topics.get(topic_id)
        if topic is None:
            topic = topics[topic_id] = ShareAcknowledgeTopicResponse(topic_id=topic_id)
        leader = LeaderIdAndEpoch()
        told = leader_of(broker, place) if code == error_codes.NOT_LEADER_OR_FOLLOWER else None
        if told is not None:
            leader = LeaderIdAndEpoch(leader_id=told[0], leader_epoch=told[1])
            elsewhere = True
        topic.partitions.append(PartitionData(partition_index=index, error_code=code, current_leader=leader))
    return ShareAcknowledgeResponse(
        acquisition_lock_timeout_ms=broker.shares.homes.limits(group).lock_ms,
        responses=list(topics.values()),
        node_endpoints=[
            NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in (broker.told_of(request.peer.endpoint) if elsewhere else ())
        ],
    )
