"""ShareFetch 1-2: records for a member of a share group, and what became of those it had (KIP-932; KIP-1206 strict limits and KIP-1222 renewals from 2).

The session says which partitions (epoch 0 opens it, -1 closes it and gives back what the member has). Acknowledgements are taken first
and answered once they are durable; then whole batches are handed out, from the partitions in turn, up to `max_records` (strictly with
`share_acquire_mode` 1) and `max_bytes`. Without any it waits, for appends and for records that others give back, until max_wait_ms. A renewal
fetches nothing. Markers and, for groups that read committed records, aborted ones are never handed out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from moldau.broker.dispatch import frame_parts
from moldau.broker.share_elsewhere import leader_of
from moldau.broker.share_fetching import STRICT, Given, ShareFetching
from moldau.broker.share_sessions import FINAL_EPOCH, INITIAL_EPOCH, MEMBER_ID_MOST, Place
from moldau.coordination.share.partition import Acknowledgement
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.share_fetch import (
    AcquiredRecords,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionData,
    ShareFetchableTopicResponse,
    ShareFetchRequest,
    ShareFetchResponse,
)
from moldau.records.batch import offset_span

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Reply, Request

log = logging.getLogger(__name__)

_NO_RECORDS = b""


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    task = broker.loop.create_task(_run(broker, request, reply))
    broker.keep(task)
    reply.cancels(task)


async def _run(broker: Broker, request: Request, reply: Reply) -> None:
    message: ShareFetchRequest = request.message
    try:
        response = await _answer(broker, request)
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("event=share_fetch_failed peer=%s group=%s action=close", request.peer, message.group_id)
        reply.hang_up()
        return
    if response.error_code:
        broker.metrics.errors[api_keys.SHARE_FETCH, response.error_code] += 1
    broker.metrics.request(api_keys.SHARE_FETCH, request.started)
    reply.on_abandon = None
    reply.send(frame_parts(request, response.encode_parts(request.version)))


async def _answer(broker: Broker, request: Request) -> ShareFetchResponse:
    message: ShareFetchRequest = request.message
    group, member, epoch = message.group_id or "", message.member_id or "", message.share_session_epoch
    acknowledgements, asked = _split(message)
    if not broker.serves_shares:
        return _refused(error_codes.UNSUPPORTED_VERSION, "share.version is 0")
    if not group:
        return _refused(error_codes.INVALID_REQUEST, "no group id")
    if not 0 < len(member) <= MEMBER_ID_MOST:
        return _refused(error_codes.INVALID_REQUEST, "the member id has 1 to 36 characters")
    limits_are_zero = not (message.max_wait_ms or message.min_bytes or message.max_bytes or message.max_records)
    if message.is_renew_ack and not limits_are_zero:
        return _refused(error_codes.INVALID_REQUEST, "a renewal fetches nothing: all limits are 0")
    if message.share_acquire_mode not in (0, STRICT):
        return _refused(
            error_codes.INVALID_REQUEST, f"share acquire mode {message.share_acquire_mode}, known are 0 and 1"
        )
    shares = broker.shares
    sessions = shares.sessions
    forgotten = [(topic.topic_id, index) for topic in message.forgotten_topics_data for index in topic.partitions]
    if epoch == FINAL_EPOCH:
        session = sessions.close(group, member)
        if session is None:
            return _refused(error_codes.SHARE_SESSION_NOT_FOUND)
        codes = await shares.acknowledge(group, member, acknowledgements, message.is_renew_ack)
        await shares.end_session(session)
        return _response(broker, request, group, {}, {}, codes)
    if epoch == INITIAL_EPOCH:
        if acknowledgements:
            return _refused(error_codes.INVALID_REQUEST, "a new session has nothing to acknowledge")
        session, code = sessions.open(group, member, request.peer.number, asked)
        if session is not None:
            await shares.verify(group, session.partitions)
    else:
        session, code = sessions.resume(group, member, epoch)
        if session is not None:
            session.update(asked, forgotten)
    if session is None:
        return _refused(code)
    acknowledging = None
    if acknowledgements:
        acknowledging = asyncio.ensure_future(shares.acknowledge(group, member, acknowledgements, message.is_renew_ack))
        broker.keep(acknowledging)
        await asyncio.sleep(0)  # taken before records are handed out; durable a little later
    given: dict[Place, Given] = {}
    errors: dict[Place, int] = {}
    if not message.is_renew_ack:
        fetch = ShareFetching(broker, request, session)
        await fetch.run()
        given, errors = fetch.given, fetch.errors
    outcomes = await acknowledging if acknowledging is not None else {}
    return _response(broker, request, group, given, errors, outcomes)


def _split(message: ShareFetchRequest) -> tuple[dict[Place, list[Acknowledgement]], list[Place]]:
    acknowledgements: dict[Place, list[Acknowledgement]] = {}
    asked: list[Place] = []
    for topic in message.topics:
        for partition in topic.partitions:
            place = (topic.topic_id, partition.partition_index)
            asked.append(place)
            if partition.acknowledgement_batches:
                acknowledgements[place] = [
                    Acknowledgement(batch.first_offset, batch.last_offset, batch.acknowledge_types)
                    for batch in partition.acknowledgement_batches
                ]
    return acknowledgements, asked


def _refused(code: int, why: str | None = None) -> ShareFetchResponse:
    return ShareFetchResponse(error_code=code, error_message=why or error_codes.name(code))


# -- the answer -------------------------------------------------------------------------------------------------------


def _response(
    broker: Broker,
    request: Request,
    group: str,
    given: dict[Place, Given],
    errors: dict[Place, int],
    codes: dict[Place, int],
) -> ShareFetchResponse:
    topics: dict[bytes, ShareFetchableTopicResponse] = {}
    elsewhere = False
    for place in [*given, *errors, *(place for place in codes if place not in given and place not in errors)]:
        topic_id, index = place
        topic = topics.get(topic_id)
        if topic is None:
            topic = topics[topic_id] = ShareFetchableTopicResponse(topic_id=topic_id)
        records, acquired = given.get(place, (_NO_RECORDS, []))
        error, refused = errors.get(place, 0), codes.get(place, 0)
        leader: LeaderIdAndEpoch | None = None
        if error_codes.NOT_LEADER_OR_FOLLOWER in (error, refused):
            told = leader_of(broker, place)
            if told is not None:
                leader = LeaderIdAndEpoch(leader_id=told[0], leader_epoch=told[1])
                elsewhere = True
        for code in (error, refused):
            if code:
                broker.metrics.errors[api_keys.SHARE_FETCH, code] += 1
        if isinstance(records, list):
            broker.metrics.bytes_out += sum(map(len, records))
            broker.metrics.records_out += offset_span(records[0], records[-1])
        topic.partitions.append(
            PartitionData(
                partition_index=index,
                error_code=error,
                acknowledge_error_code=refused,
                current_leader=leader or LeaderIdAndEpoch(),
                records=records,
                acquired_records=[
                    AcquiredRecords(first_offset=first, last_offset=last, delivery_count=count)
                    for first, last, count in acquired
                ],
            )
        )
    return ShareFetchResponse(
        acquisition_lock_timeout_ms=broker.shares.homes.limits(group).lock_ms,
        responses=list(topics.values()),
        node_endpoints=[
            NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in (broker.told_of(request.peer.endpoint) if elsewhere else ())
        ],
    )
